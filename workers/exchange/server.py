"""The exchange's WebSocket server, on loopback or wherever it is told to listen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from picows import (
    WSListener,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

from workers.exchange.connection import Connection, Venue
from workers.exchange.listing import Listing, ListingError
from workers.exchange.market import SeededMarket
from workers.exchange.request import NoSuchPathError, RequestError, StreamRequest
from workers.exchange.wire import STREAMS, Encoder, stream_name

NOMINAL_RATE = 2_000
"""Events a second by the exchange's own clock if it sends as fast as its clients read."""

MOST_RATE = 1_000_000

_FAREWELL = 1.0  # seconds for clients to take what is still on its way


class ExchangeServer:
    """Serves a seeded market to any number of clients, to each from where it asks.

    `rate` is in events a second, 0 for as fast as each client reads; the market ends with event
    `last`, if that is given; `clock` is monotonic, in ns.

    Raises:
        ListingError: an argument is out of its limits.
    """

    def __init__(
        self,
        listings: Sequence[Listing],
        *,
        seed: int,
        volatility_bp: float,
        rate: int,
        last: int | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        if not 0 <= rate <= MOST_RATE:
            raise ListingError(f"exchange.rate was {rate}, must be from 0 to {MOST_RATE}")
        self._venue = Venue(
            SeededMarket(listings, seed, volatility_bp),
            Encoder(listings, rate or NOMINAL_RATE),
            tuple(stream_name(each.symbol, stream) for each in listings for stream in STREAMS),
            rate,
            last,
            clock,
        )
        self._connections: list[Connection] = []
        self._server: asyncio.Server | None = None
        self._failed = asyncio.Event()
        self._failure: BaseException | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listen, and return the port, which is the system's choice if `port` is 0.

        Raises:
            OSError: it cannot.
        """
        self._server = await ws_create_server(self._accept, host, port)
        chosen: int = self._server.sockets[0].getsockname()[1]
        return chosen

    def connections(self) -> int:
        """Return how many clients there are."""
        return len(self._connections)

    async def wait_failed(self) -> None:
        """Return when a connection fails other than by its client, which `close` then raises."""
        await self._failed.wait()

    async def close(self) -> None:
        """Stop listening and take leave of all clients.

        Raises:
            Exception: what a connection failed of, if one did other than by its client.
        """
        await self._end(lambda connection: connection.close())

    async def abort(self) -> None:
        """Stop as if killed: no farewell, nothing that was not sent yet.

        Raises:
            Exception: as `close`.
        """
        await self._end(lambda connection: connection.abort())

    def _accept(self, upgrade: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener:
        try:
            request = StreamRequest.parse(upgrade.path, self._venue.streams)
        except RequestError as error:
            status = 404 if isinstance(error, NoSuchPathError) else 400
            response = WSUpgradeResponse.create_error_response(status, f"{error}\n".encode())
            return WSUpgradeResponseWithListener(response, None)
        return Connection(self._venue, request, self._opened)

    def _opened(self, connection: Connection) -> None:
        self._connections.append(connection)
        connection.task.add_done_callback(lambda task: self._over(connection, task))

    def _over(self, connection: Connection, task: asyncio.Task[None]) -> None:
        self._connections.remove(connection)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failure = self._failure or error
            self._failed.set()

    async def _end(self, leave: Callable[[Connection], None]) -> None:
        if self._server is not None:
            self._server.close()
            for connection in self._connections:
                leave(connection)
            if self._connections:
                await asyncio.wait([each.task for each in self._connections], timeout=_FAREWELL)
            for connection in self._connections:  # those who took too long
                connection.abort()
            await asyncio.gather(*(each.task for each in self._connections), return_exceptions=True)
            await self._server.wait_closed()
            self._server = None
        if self._failure is not None:
            raise self._failure
