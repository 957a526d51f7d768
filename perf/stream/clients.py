"""Who reads the stream: the feed as it is, and what else there is to read it with.

Each is a process that connects, says that it is ready, and then reads until all was read that was
sent, or nothing comes any more. `METHODS` says what each does with a message.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import time
from array import array
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import msgspec

from perf.receiver import is_live, reading
from perf.stream.frames import QUOTE, SYMBOLS, TRADE, instruments, streams
from perf.stream.sender import HOST
from pipeline.process import become_worker
from shm import Segment
from workers.feed.binance import Binance

READY = "ready"
_LOOK_S = 0.01
_CALM_S = 0.1
_IDLE_S = 1.0  # without a message, after all was sent
_MARGIN = ("crossMarginPairsData", "isolatedMarginPairsData")  # options that ccxt fetches first
_QUOTE_CURRENCY = 4  # letters of a symbol


@dataclass(frozen=True, slots=True)
class Read:
    """What a client has read.

    Attributes:
        messages: That it has handled.
        cpu_ns: CPU time of the process for them.
        waited_ns: How long it could have run meanwhile, but another process had its CPU.
        rows: Kind, instrument, id and time (ns) of all that its user got, one behind the other;
            empty if that is in the rings.
    """

    messages: int
    cpu_ns: int
    waited_ns: int
    rows: bytes


@dataclass(frozen=True, slots=True)
class Task:
    """How a client is to be run, and the pipe to the parent; `segment` is (name, run id)."""

    name: str
    cpu: int
    port: int
    segment: tuple[str, str]
    control: Connection


class _Reader:
    """Watches how many messages a client has handled, and what that took."""

    def __init__(self, control: Connection, rows: array[int]) -> None:
        self._control = control
        self._rows = rows

    async def watch(self, ready: Callable[[], bool], handled: Callable[[], int]) -> None:
        """Return when all was read."""
        while not ready():
            await asyncio.sleep(_LOOK_S)
        await asyncio.sleep(_CALM_S)  # what came with the connection
        self._control.send(READY)
        while not self._control.poll():
            await asyncio.sleep(_LOOK_S)
        self._control.recv()  # it begins
        before, cpu_before, waited_before = handled(), time.process_time_ns(), _waited_ns()
        messages, cpu, changed = before, cpu_before, time.monotonic()
        total: int | None = None
        while True:
            await asyncio.sleep(_LOOK_S)
            if (now := handled()) != messages:
                messages, cpu, changed = now, time.process_time_ns(), time.monotonic()
            if total is None and self._control.poll():
                total = self._control.recv()
            if total is not None and (
                messages - before >= total or time.monotonic() - changed > _IDLE_S
            ):
                break
        waited = _waited_ns() - waited_before
        self._control.send(Read(messages - before, cpu - cpu_before, waited, self._rows.tobytes()))


def _waited_ns() -> int:
    """Return how long this thread has been kept from running; 0 if the kernel does not tell."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError):
        return 0


def run(task: Task) -> None:
    """Be the client of that name."""
    become_worker(task.name.partition(" ")[0], (task.cpu,), os.getppid())
    asyncio.run(_CLIENTS[task.name](task))


async def _bot4(task: Task) -> None:
    """Do what the feed does: lines, decoders, arbiter, outbox, rings, a beat."""
    name, run_id = task.segment
    venue = Binance(instruments(), f"ws://{HOST}:{task.port}", f"http://{HOST}:{task.port}")
    with Segment.attach(name, run_id=run_id) as segment:
        async with reading(segment, venue) as (lines, running):
            reader = _Reader(task.control, array("q"))
            await _while(
                running,
                reader.watch(lambda: is_live(lines), lambda: lines.counts()["messages"]),
            )


class _Data(msgspec.Struct):
    """What any of the three messages says."""

    s: str
    e: str = ""
    t: int = 0
    u: int = 0
    p: str = ""
    q: str = ""
    T: int = 0
    m: bool = False
    b: str | list[tuple[str, str]] = ""
    B: str = ""
    a: str | list[tuple[str, str]] = ""
    A: str = ""


class _Message(msgspec.Struct):
    data: _Data


async def _websockets(task: Task) -> None:
    """Read as a script would that was written with care: typed messages, floats, dicts."""
    client = importlib.import_module("websockets.asyncio.client")
    rows = array("q")
    place = {symbol: index for index, symbol in enumerate(SYMBOLS)}
    quotes: list[tuple[float, float, float, float] | None] = [None] * len(SYMBOLS)
    trades: list[tuple[float, float, bool, int] | None] = [None] * len(SYMBOLS)
    books: list[tuple[dict[float, float], dict[float, float]]] = [({}, {}) for _ in SYMBOLS]
    decode = msgspec.json.Decoder(_Message).decode
    messages = 0
    connection: Any = None
    clock = time.monotonic_ns

    async def read() -> None:
        nonlocal messages, connection
        address = f"ws://{HOST}:{task.port}/stream?streams={streams()}"
        async with client.connect(address, compression=None) as connection:
            while True:
                data = decode(await connection.recv(decode=False)).data
                at = place[data.s]
                if data.e == "trade":
                    trades[at] = float(data.p), float(data.q), data.m, data.T
                    rows.extend((TRADE, at, data.t, clock()))
                elif data.e:
                    for side, levels in zip(books[at], (data.b, data.a), strict=True):
                        _apply(side, levels)
                else:
                    assert isinstance(data.b, str)
                    assert isinstance(data.a, str)
                    quotes[at] = float(data.b), float(data.B), float(data.a), float(data.A)
                    rows.extend((QUOTE, at, data.u, clock()))
                messages += 1

    reading = asyncio.create_task(read())
    reader = _Reader(task.control, rows)
    await _while(reading, reader.watch(lambda: connection is not None, lambda: messages))
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)


def _apply(side: dict[float, float], levels: str | list[tuple[str, str]]) -> None:
    assert isinstance(levels, list)
    for price, quantity in levels:
        if lots := float(quantity):
            side[float(price)] = lots
        else:
            side.pop(float(price), None)


async def _ccxt(task: Task) -> None:
    """Watch trades, best prices and books of all symbols, as ccxt.pro's users do."""
    library = importlib.import_module("ccxt.pro")
    rows = array("q")
    messages = 0

    class Watched(library.binance):  # type: ignore[misc, name-defined, unused-ignore]
        """Counts messages, and is otherwise itself."""

        def handle_message(self, client: Any, message: Any) -> None:
            nonlocal messages
            super().handle_message(client, message)
            messages += 1

    # All streams over one connection: the others share theirs, too.
    options = {"streamLimits": {"spot": 1}, **dict.fromkeys(_MARGIN, ())}
    exchange = Watched({"options": options, "enableRateLimit": False})
    exchange.urls["api"]["ws"]["spot"] = f"ws://{HOST}:{task.port}/stream"
    exchange.urls["api"]["public"] = f"http://{HOST}:{task.port}/api/v3"
    exchange.set_markets([exchange.parse_market(_listed(symbol)) for symbol in SYMBOLS])
    symbols = [exchange.markets_by_id[symbol][0]["symbol"] for symbol in SYMBOLS]
    place = {symbol: index for index, symbol in enumerate(symbols)}
    clock = time.monotonic_ns

    async def watch_trades() -> None:
        while True:
            trades = await exchange.watch_trades_for_symbols(symbols)
            now = clock()
            for trade in trades:
                rows.extend((TRADE, place[trade["symbol"]], int(trade["id"]), now))

    async def watch_quotes() -> None:
        while True:
            quotes = await exchange.watch_bids_asks(symbols)
            now = clock()
            for symbol, quote in quotes.items():
                rows.extend((QUOTE, place[symbol], int(quote["info"]["u"]), now))

    async def watch_books() -> None:
        while True:
            await exchange.watch_order_book_for_symbols(symbols)

    watching = asyncio.gather(watch_trades(), watch_quotes(), watch_books())

    def is_ready() -> bool:
        books = exchange.orderbooks
        return all(symbol in books and books[symbol]["nonce"] is not None for symbol in symbols)

    reader = _Reader(task.control, rows)
    try:
        await _while(watching, reader.watch(is_ready, lambda: messages))
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await exchange.close()


def _listed(symbol: str) -> dict[str, Any]:
    """Return a symbol as Binance's list has it."""
    return {
        "symbol": symbol,
        "status": "TRADING",
        "baseAsset": symbol[:-_QUOTE_CURRENCY],
        "quoteAsset": symbol[-_QUOTE_CURRENCY:],
        "isSpotTradingAllowed": True,
        "permissions": ["SPOT"],
        "filters": [],
    }


async def _while(other: asyncio.Future[Any], watching: Awaitable[None]) -> None:
    """Wait until the watching is over; the other one must not end before."""
    watch = asyncio.ensure_future(watching)
    await asyncio.wait((other, watch), return_when=asyncio.FIRST_COMPLETED)
    if not watch.done():
        watch.cancel()
        await other
        raise RuntimeError("the client has ended before it was told")
    await watch


BOT4, CCXT, WEBSOCKETS = "bot4", "ccxt.pro", "websockets + msgspec"

_CLIENTS: Final[dict[str, Callable[[Task], Any]]] = {
    BOT4: _bot4,
    WEBSOCKETS: _websockets,
    CCXT: _ccxt,
}

NEEDS: Final = {BOT4: "picows", WEBSOCKETS: "websockets", CCXT: "ccxt"}
"""The clients, and the distribution that each of them is about."""
