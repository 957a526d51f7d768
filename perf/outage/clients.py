"""Who is cut off: the feed as it is, and ccxt.pro as its users run it; each is a process.

What a client tells becomes rows: kind, instrument, id, time in ns of CLOCK_MONOTONIC, and of a
trade price and quantity, of a quote the best bid and ask, in ticks and lots.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import signal
import time
from abc import ABC, abstractmethod
from array import array
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from typing import Any, Final, Self
from urllib.parse import urlsplit

import numpy as np

from perf.outage.venue import HOST, LISTINGS, FailedError, Place, instruments, pairs
from perf.receiver import layout, reading
from perf.transports.standard import context
from pipeline.process import become_worker
from pipeline.vocabulary import MarketKind
from shm import Segment
from workers.feed.binance import Binance
from workers.feed.coinbase import Coinbase
from workers.feed.kraken import Kraken
from workers.feed.venue import Venue

Ints = np.ndarray[Any, np.dtype[np.int64]]

BOT4, CCXT = "bot4", "ccxt.pro"
NEEDS: Final = {BOT4: "picows", CCXT: "ccxt"}
"""Each client, and the distribution that it needs."""

COLUMNS: Final = 6
_CAPACITY = 1 << 16
_SEND_S = 0.02
_E8 = 100_000_000
_VENUES: Final[dict[str, type[Venue]]] = {each.name: each for each in (Binance, Kraken, Coinbase)}


class Client(ABC):
    """A client's process, and what it has told."""

    def __init__(self, label: str, target: Callable[..., None], *arguments: Any) -> None:
        """Start it; its end of the pipe is added to the arguments of `target`."""
        self.label = label
        self._control, other = context.Pipe()
        task = (*arguments, other)
        self._process = context.Process(target=target, args=task, name=label, daemon=True)
        self._process.start()
        other.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.join()
        self._process.close()
        self._control.close()

    def take(self) -> Ints:
        """Return the rows since the last call, of shape (COLUMNS, n).

        Raises:
            FailedError: the process has died.
        """
        if not self._process.is_alive():
            raise FailedError(f"{self.label} has died; see what it printed")
        return self._take()

    @abstractmethod
    def _take(self) -> Ints:
        """Return the rows since the last call."""


class Bot4(Client):
    """The feed's lines, decoder, arbiter and outbox; the rows are the records in its ring."""

    def __init__(self, place: Place, label: str) -> None:
        name = f"perf-{os.getpid()}-{place.port}"
        self._segment = Segment.create(name, layout(len(LISTINGS), _CAPACITY))
        self._rings = self._segment.consumer("market"), self._segment.consumer("ticks")
        super().__init__(label, _bot4, place, (name, self._segment.run_id))

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self._segment.close()

    def _take(self) -> Ints:
        market, ticks = self._rings
        parts = []
        while len(view := market.view()):
            is_trade = view["kind"] == MarketKind.TRADE
            columns = (
                *(view[name] for name in ("kind", "instrument", "venue_sequence", "stamped_ns")),
                np.where(is_trade, view["price"], view["bid"]),
                np.where(is_trade, view["quantity"], view["ask"]),
            )
            parts.append(np.array([column.astype(np.int64) for column in columns]))
            market.commit()
        while len(ticks.view()):
            ticks.commit()
        return np.concatenate(parts, axis=1) if parts else _none()


class Ccxt(Client):
    """ccxt.pro; the rows come over a pipe."""

    def __init__(self, place: Place, label: str) -> None:
        super().__init__(label, _ccxt, place)

    def _take(self) -> Ints:
        parts = []
        try:
            while self._control.poll():
                parts.append(
                    np.frombuffer(self._control.recv_bytes(), np.int64).reshape(-1, COLUMNS)
                )
        except (EOFError, ConnectionResetError):
            raise FailedError(f"{self.label} has died; see what it printed") from None
        return np.concatenate(parts).T if parts else _none()


CLIENTS: Final[dict[str, Callable[[Place, str], Client]]] = {BOT4: Bot4, CCXT: Ccxt}


def _none() -> Ints:
    return np.empty((COLUMNS, 0), np.int64)


def _begin(name: str) -> None:
    become_worker(name, os.sched_getaffinity(0), os.getppid())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it


def _bot4(place: Place, segment: tuple[str, str], control: Connection) -> None:
    """Read until killed."""
    _begin("feed")
    logging.getLogger("bot4.feed").setLevel(logging.ERROR)  # of what is done to it on purpose
    asyncio.run(_read(place, *segment))


async def _read(place: Place, name: str, run_id: str) -> None:
    venue = _VENUES[place.name](instruments(place.name), place.url, place.rest_url)
    with Segment.attach(name, run_id=run_id) as segment:
        async with reading(segment, venue) as (_, running):
            await running


def _ccxt(place: Place, control: Connection) -> None:
    """Watch until killed."""
    _begin("ccxt")
    asyncio.run(_watch(place, control))


async def _watch(place: Place, control: Connection) -> None:
    """Watch the books and trades of all pairs, as ccxt.pro's users do."""
    library = importlib.import_module("ccxt.pro")
    # Its defaults, but for the pause between requests of REST, which would only delay its start.
    exchange = getattr(library, place.name)({"enableRateLimit": False})
    _point(exchange.urls["api"], place)
    rows = array("q")
    clock = time.monotonic_ns
    markets = await exchange.load_markets()
    assert set(pairs()) <= set(markets)

    def ticks(index: int, price: float) -> int:
        return round(price * _E8 / LISTINGS[index].tick_e8)

    def lots(index: int, amount: float) -> int:
        return round(amount * _E8 / LISTINGS[index].lot_e8)

    async def watch_book(index: int, pair: str) -> None:
        book = await exchange.watch_order_book(pair)
        now = clock()
        if book["bids"] and book["asks"]:
            best = ticks(index, book["bids"][0][0]), ticks(index, book["asks"][0][0])
            rows.extend((MarketKind.QUOTE, index, 0, now, *best))

    async def watch_trades(index: int, pair: str) -> None:
        trades = await exchange.watch_trades(pair)
        now = clock()
        for trade in trades:
            what = ticks(index, trade["price"]), lots(index, trade["amount"])
            rows.extend((MarketKind.TRADE, index, int(trade["id"]), now, *what))

    async def again(watch: Callable[[int, str], Awaitable[None]], index: int, pair: str) -> None:
        while True:
            try:
                await watch(index, pair)
            except library.NetworkError:
                continue

    async def send() -> None:
        while True:
            await asyncio.sleep(_SEND_S)
            if rows:
                control.send_bytes(rows.tobytes())
                del rows[:]

    watching = [
        again(watch, index, pair)
        for index, pair in enumerate(pairs())
        for watch in (watch_book, watch_trades)
    ]
    try:
        await asyncio.gather(send(), *watching)
    finally:
        await exchange.close()


def _point(urls: dict[str, Any], place: Place) -> None:
    """Let all addresses be the simulator's."""
    for key, value in urls.items():
        if isinstance(value, dict):
            _point(value, place)
        elif value.startswith("wss:"):
            urls[key] = f"{place.url}/ws" if place.name == "binance" else place.url
        else:
            urls[key] = f"http://{HOST}:{place.port}{urlsplit(value).path}"
