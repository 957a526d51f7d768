"""The exchange's port: WebSockets and REST of all venues, on loopback or where it is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from picows import (
    WSListener,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
)

from workers.exchange import binance_rest, coinbase_rest, kraken_rest, operate
from workers.exchange.binance import Binance, streams_of
from workers.exchange.coinbase import Coinbase
from workers.exchange.connection import Connection
from workers.exchange.dialect import Dialect
from workers.exchange.exchange import Exchange
from workers.exchange.faults import VENUES, Fault, Faults
from workers.exchange.front import Front, websocket_protocol
from workers.exchange.http import Request, Response
from workers.exchange.kraken import Kraken, pair_name
from workers.exchange.listing import Listing
from workers.exchange.playback import Playback, Recording, Replay, Speed
from workers.exchange.request import NoSuchPathError, RequestError, StreamRequest, venue_of
from workers.exchange.rest import QueryError, handler
from workers.exchange.source import Source

_REST: dict[str, ModuleType] = {
    "binance": binance_rest,
    "kraken": kraken_rest,
    "coinbase": coinbase_rest,
}
_CONTROL = "/control"
_FAREWELL = 1.0  # seconds for clients to take what is still on its way
_AGAIN = 0.01  # seconds between attempts to have the port back
_BLOCKS = 16  # blocks of the market that are passed over at once


class ExchangeServer:
    """Serves a seeded market, or a captured one, to any number of clients.

    `rate` is in events a second, 0 for as fast as each client reads; the market begins after event
    `position` and ends with event `last`, if that is given; `clock` is monotonic, in ns. Only the
    protocols of `venues` are spoken. With a `recording` its frames are sent in place of the
    market's. With a `farewell`, too, each client is sent all of them and nothing else, those before
    its `after` at once, and at the end its connection is closed with those words.

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
        position: int = 0,
        last: int | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
        venues: Sequence[str] = VENUES,
        faults: Faults | None = None,
        recording: Recording | None = None,
        speed: Speed | None = None,
        farewell: bytes = b"",
    ) -> None:
        self.exchange = Exchange(
            listings,
            seed=seed,
            volatility_bp=volatility_bp,
            rate=rate,
            last=last,
            clock=clock,
            faults=faults,
        )
        for listing in listings:
            if set(venues) - {"binance"}:
                pair_name(listing)  # refuses what has no name there
        self.faults = self.exchange.faults
        self.faults.listeners.append(self._on_fault)
        self._venues = tuple(venues)
        self._position = position
        self._playback = None
        if recording is not None:
            self._playback = Playback(recording, speed or Speed(), clock, farewell=farewell)
        self._known = streams_of(self.exchange)
        self._numbers = dict.fromkeys(VENUES, 0)
        self._connections: list[Connection] = []
        self._fronts: set[Front] = set()
        self._server: asyncio.Server | None = None
        self._place = ("", 0)
        self._is_closing = False
        self._opening: asyncio.Task[None] | None = None
        self._failed = asyncio.Event()
        self._failure: BaseException | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listen, and return the port, which is the system's choice if `port` is 0.

        Raises:
            OSError: it cannot.
            ImportError: picows is of a version that cannot serve it.
        """
        websocket_protocol(self._accept)  # now, and not when the first client comes
        while not self.exchange.approach(self._position + 1, _BLOCKS):
            await asyncio.sleep(0)
        self.exchange.start(self._position)
        try:
            await self._listen(host, port)
        except OSError as error:
            raise OSError(
                f"exchange's address was {host}:{port}, must be this machine's with a port that "
                f"is free, or 0: {error.strerror or error}"
            ) from None
        assert self._server is not None
        chosen: int = self._server.sockets[0].getsockname()[1]
        self._place = (host, chosen)
        self._arrange()
        return chosen

    def connections(self) -> int:
        """Return how many clients have a WebSocket."""
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

    async def _listen(self, host: str, port: int) -> None:
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Front(self.faults, self._fronts, self._owner, self._respond, self._accept),
            host,
            port,
        )

    def _owner(self, path: str) -> str | None:
        """Return whose a path is, None if no venue's."""
        venue = venue_of(path)
        if venue is not None and path != "/":
            return venue
        for name, module in _REST.items():
            if handler(module.ROUTES, path) is not None:
                return name
        return venue

    def _respond(self, request: Request, is_local: bool) -> Response:
        if request.path == _CONTROL:
            return operate.respond(self.faults, self.exchange, request, is_local=is_local)
        venue = self._owner(request.path)
        found = None
        if venue in self._venues:
            found = handler(_REST[venue].ROUTES, request.path)
        if found is None or venue is None:
            return Response.of({"error": f"path {request.path!r} was not found"}, 404)
        if request.method != "GET":
            text = f"method of {request.path} was {request.method}, must be GET"
            return Response.of({"error": text}, 405, Allow="GET")
        if self._playback is not None:
            answer = self._playback.respond(request.path, request.query.get("symbol", ""))
            if answer is not None:
                return answer
        try:
            return found(self.exchange, request)
        except QueryError as error:
            refusal: Response = _REST[venue].error(str(error))
            return refusal

    def _accept(self, upgrade: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener:
        try:
            request = StreamRequest.parse(upgrade.path, self._streams(upgrade.path))
            if request.venue not in self._venues:
                raise NoSuchPathError(
                    f"venue was {request.venue}, must be one of {', '.join(self._venues)}"
                )
        except RequestError as error:
            status = 404 if isinstance(error, NoSuchPathError) else 400
            response = WSUpgradeResponse.create_error_response(status, f"{error}\n".encode())
            return WSUpgradeResponseWithListener(response, None)
        self._numbers[request.venue] += 1
        source: Source = self._playback or self.exchange
        after = request.after
        if self._playback is not None and self._playback.farewell:
            source, after = self._playback.known_to(after or 0), None
        return Connection(
            self.exchange,
            source,
            self._dialect(request),
            self._numbers[request.venue],
            self._opened,
            after=after,
            count=request.count,
        )

    def _streams(self, path: bytes) -> Sequence[str]:
        if self._playback is None:
            return self._known
        return _Anything()

    def _dialect(self, request: StreamRequest) -> Dialect:
        if self._playback is not None:
            return Replay(
                self._playback.recording,
                request.venue,
                begins=bool(request.streams),
                alone=bool(self._playback.farewell),
            )
        if request.venue == "kraken":
            return Kraken(self.exchange, self._numbers["kraken"])
        if request.venue == "coinbase":
            return Coinbase(self.exchange)
        return Binance(self.exchange, request)

    def _opened(self, connection: Connection) -> None:
        self._connections.append(connection)
        connection.task.add_done_callback(lambda task: self._over(connection, task))

    def _over(self, connection: Connection, task: asyncio.Task[None]) -> None:
        self._connections.remove(connection)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failure = self._failure or error
            self._failed.set()

    def _on_fault(self, fault: Fault, begins: bool) -> None:
        of_it = [each for each in self._connections if fault.venue in (None, each.venue)]
        if fault.name == "black-hole":
            for each in of_it:  # it may be in several, and one may have replaced another
                if self.faults.of(each.venue).black_hole:
                    each.freeze()
                else:
                    each.thaw()
        elif fault.name in ("refuse", "restart"):
            if fault.name == "restart" and begins:
                for each in self._connections:
                    each.reset()
                for front in list(self._fronts):
                    front.abort()
            self._arrange()
        elif fault.once and begins:
            for each in of_it:
                if fault.name == "reset":
                    each.reset()
                else:
                    each.die()

    def _arrange(self) -> None:
        """Listen, or not, as the faults want it."""
        closed = any(fault.name in ("refuse", "restart") for fault in self.faults.active())
        if self._is_closing or not self._place[1]:
            return
        if closed and self._server is not None:
            self._server.close()
            self._server = None
        elif not closed and self._server is None and self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._open_again())

    async def _open_again(self) -> None:
        try:
            while True:
                try:
                    await self._listen(*self._place)
                    break
                except OSError:
                    await asyncio.sleep(_AGAIN)
        finally:
            self._opening = None
        self._arrange()

    async def _end(self, leave: Callable[[Connection], None]) -> None:
        self._is_closing = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for connection in list(self._connections):
            leave(connection)
        if self._connections:
            await asyncio.wait([each.task for each in self._connections], timeout=_FAREWELL)
        for connection in list(self._connections):  # those who took too long
            connection.abort()
        for front in list(self._fronts):
            front.abort()
        await asyncio.gather(*(each.task for each in self._connections), return_exceptions=True)
        if server is not None:
            await server.wait_closed()
        if self._failure is not None:
            raise self._failure


class _Anything(Sequence[str]):
    """All names of streams: what a capture holds is sent, whatever is asked for."""

    def __contains__(self, name: object) -> bool:
        return True

    def __len__(self) -> int:
        return 0

    def __getitem__(self, index: Any) -> Any:
        raise IndexError
