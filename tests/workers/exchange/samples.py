"""What the tests of the exchange and of the feed share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import msgspec
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from workers.exchange.faults import Fault
from workers.exchange.listing import Listing
from workers.exchange.server import ExchangeServer

LISTINGS = (
    Listing("BTCUSDT", 1_000_000, 1_000, 6_000_000),
    Listing("ETHUSDT", 1_000_000, 10_000, 300_000),
    Listing("DOGEUSDT", 50_000, 100_000_000, 400),
)
ALL = "/".join(
    f"{listing.symbol.lower()}@{stream}"
    for listing in LISTINGS
    for stream in ("trade", "bookTicker")
)


def exchange(
    rate: int = 0, seed: int = 1, last: int | None = None, **options: Any
) -> ExchangeServer:
    """A server of the sample market, not yet started."""
    return ExchangeServer(LISTINGS, seed=seed, volatility_bp=2, rate=rate, last=last, **options)


@contextlib.asynccontextmanager
async def serving(
    rate: int = 0, *faults: str, **options: Any
) -> AsyncIterator[tuple[ExchangeServer, int]]:
    """A started server, with faults from its start on, and its port."""
    server = exchange(rate, **options)
    for text in faults:
        server.faults.begin(Fault.parse(text))
    try:
        yield server, await server.start()
    finally:
        await server.close()


class Client(WSListener):
    """A plain client that keeps what it gets."""

    def __init__(self) -> None:
        self.texts: asyncio.Queue[bytes] = asyncio.Queue()
        self.pings: asyncio.Queue[bytes] = asyncio.Queue()
        self.pongs: asyncio.Queue[bytes] = asyncio.Queue()
        self.close_code: WSCloseCode | None = None
        self.transport: WSTransport

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        payload = frame.get_payload_as_bytes()
        if frame.msg_type == WSMsgType.TEXT:
            self.texts.put_nowait(payload)
        elif frame.msg_type == WSMsgType.PING:
            self.pings.put_nowait(payload)
        elif frame.msg_type == WSMsgType.PONG:
            self.pongs.put_nowait(payload)
        elif frame.msg_type == WSMsgType.CLOSE:
            self.close_code = frame.get_close_code()

    async def ask(self, request: object) -> object:
        """Send a request; return the next text, which must be its answer."""
        payload = request if isinstance(request, bytes) else msgspec.json.encode(request)
        self.transport.send(WSMsgType.TEXT, payload)
        return msgspec.json.decode(await self.texts.get())

    async def messages(self, count: int) -> list[dict[str, object]]:
        """The next so many texts, decoded."""
        return [msgspec.json.decode(await self.texts.get()) for _ in range(count)]


@contextlib.asynccontextmanager
async def client(port: int, path: str, *, auto_pong: bool = True) -> AsyncIterator[Client]:
    """A client of the server on a port of loopback."""
    transport, listener = await ws_connect(
        Client, f"ws://127.0.0.1:{port}{path}", enable_auto_pong=auto_pong
    )
    assert isinstance(listener, Client)
    try:
        yield listener
    finally:
        transport.disconnect()
        await transport.wait_disconnected()


def run(test: Coroutine[object, object, None]) -> None:
    """Run a test that waits for sockets; the limit is for one that would wait for ever."""
    asyncio.run(asyncio.wait_for(test, 30))


async def until(condition: Callable[[], bool]) -> None:
    """Let everything else go on until something is so."""
    while not condition():
        await asyncio.sleep(0.001)


async def fetch(port: int, path: str, order: object = None) -> tuple[int, dict[str, str], Any]:
    """GET a path, or POST an order to it; return status, headers and the decoded body."""
    body = (
        b"" if order is None else order if isinstance(order, bytes) else msgspec.json.encode(order)
    )
    method = "GET" if order is None else "POST"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(
            f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        head, _, content = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
        await writer.wait_closed()
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return int(first.split(" ")[1]), headers, msgspec.json.decode(content)
