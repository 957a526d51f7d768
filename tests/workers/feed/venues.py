"""The three venues as the simulator plays them, and what a feed makes of them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np

from pipeline.instruments import Instrument
from pipeline.records import MARKET, Array
from pipeline.vocabulary import MarketKind
from tests.workers.exchange.samples import until
from workers._native import Recorder
from workers.exchange.faults import Fault
from workers.exchange.listing import Listing
from workers.exchange.server import ExchangeServer
from workers.feed.binance import Binance
from workers.feed.coinbase import Coinbase
from workers.feed.kraken import Kraken
from workers.feed.lines import Lines
from workers.feed.venue import Allowance, Venue

NAMES = ("binance", "kraken", "coinbase")
_CLASSES: dict[str, type[Venue]] = {"binance": Binance, "kraken": Kraken, "coinbase": Coinbase}
_PATHS = {"binance": "", "kraken": "/v2", "coinbase": "/coinbase"}
_BETWEEN = {"binance": "", "kraken": "/", "coinbase": "-"}
_LISTINGS = tuple(
    Listing(f"{base}USDT", 1_000_000, lot, price, base=base, quote="USDT")
    for base, lot, price in (("BTC", 1_000, 6_000_000), ("ETH", 10_000, 300_000))
)
COUNT = len(_LISTINGS)


def instruments_of(venue: str) -> list[Instrument]:
    between = _BETWEEN[venue]
    return [
        Instrument(
            between.join(listing.pair), venue, *listing.pair, listing.tick_e8, listing.lot_e8,
            0, 0, 0, index,
        )
        for index, listing in enumerate(_LISTINGS)
    ]  # fmt: skip


class Kept(Recorder):
    """An outbox that always has room."""

    kept = 0
    position = 0


class Desk:
    """A simulator and a feed that reads one of its venues."""

    def __init__(
        self,
        venue: str,
        links: int,
        rate: int,
        lifetime: float | None,
        overlap_s: float = 30.0,
        position: int = 0,
    ) -> None:
        self.ahead_s = 0.0  # by which the venue's clock is
        self.server = ExchangeServer(
            _LISTINGS,
            seed=1,
            volatility_bp=2,
            rate=rate,
            position=position,
            clock=lambda: time.monotonic_ns() + round(self.ahead_s * 1e9),
        )
        self.venue = venue
        self.out = Kept()
        self.lines: Lines
        self._links = links
        self._lifetime = lifetime
        self._overlap_s = overlap_s
        self._records = np.zeros(0, MARKET)

    def make(self, port: int) -> Venue:
        made = _CLASSES[self.venue](
            instruments_of(self.venue),
            f"ws://127.0.0.1:{port}{_PATHS[self.venue]}",
            f"http://127.0.0.1:{port}",
        )
        # Soon, that tests are short; everything else is as it is.
        made.timing = replace(made.timing, dial_every=0.2)
        made.limits = replace(made.limits, lifetime=self._lifetime)
        made.settling = 0.1
        made.trades_requests = Allowance(1000, 1.0)  # Kraken's would take half a minute
        return made

    async def start(self) -> asyncio.Task[None]:
        self.lines = Lines(
            self.make(await self.server.start()),
            self.out,  # type: ignore[arg-type]
            COUNT,
            links=self._links,
            settle=lambda: None,
            overlap_s=self._overlap_s,
        )
        return asyncio.create_task(self.lines.run())

    @property
    def records(self) -> Array:
        """All that was told so far."""
        new = np.frombuffer(self.out.take(), MARKET)
        self._records = np.concatenate((self._records, new))
        return self._records

    def of(self, kind: MarketKind, instrument: int | None = None) -> Array:
        records = self.records
        chosen = records["kind"] == kind
        if instrument is not None:
            chosen &= records["instrument"] == instrument
        found: Array = records[chosen]
        return found

    def fault(self, text: str) -> None:
        self.server.faults.begin(Fault.parse(text))

    async def miss(self, seconds: float) -> None:
        """Let the connection be lost, so much of the venue's time pass, and another one be made."""
        connects = self.lines.connections[0].session.counts.connects
        self.ahead_s += seconds
        self.fault("reset")
        await until(lambda: self.lines.connections[0].session.counts.connects > connects)

    def is_whole(self) -> bool:
        """Tell whether no trade is missing between the first and the last."""
        for index in range(COUNT):
            ids = self.of(MarketKind.TRADE, index)["venue_sequence"]
            if len(ids) != int(ids.max() - ids.min()) + 1:
                return False
        return True

    async def live(self) -> None:
        await until(
            lambda: (
                bool(self.lines.connections)
                and all(connection.is_live for connection in self.lines.connections)
            )
        )

    async def seen(self, more: Callable[[], bool]) -> None:
        await until(more)

    async def quoted(self) -> None:
        """Wait for another quote of each instrument."""
        before = [len(self.of(MarketKind.QUOTE, index)) for index in range(COUNT)]
        await until(
            lambda: all(
                len(self.of(MarketKind.QUOTE, index)) > count for index, count in enumerate(before)
            )
        )

    def check_whole(self, *, complete: bool = True) -> None:
        """No trade twice; none missing, but for the last ones; STALE and RESYNC in turn."""
        for index in range(COUNT):
            ids = self.of(MarketKind.TRADE, index)["venue_sequence"]
            assert len(ids) > 3
            assert len(np.unique(ids)) == len(ids)
            if complete:
                assert len(ids) == int(ids.max() - ids.min()) + 1
            records = self.records
            states = records[(records["instrument"] == index) & (records["kind"] >= 3)]["kind"]
            assert states.tolist() == [3, 4] * (len(states) // 2)
            self._check_prices(index)

    def _check_prices(self, index: int) -> None:
        """Each trade and quote is the market's."""
        market = self.server.exchange.market
        last = int(self.server.exchange.position()) + 5_000
        events = market.events(1, last)
        events = events[events["instrument"] == index]
        trades = {
            int(event["trade_id"]): tuple(
                int(event[name]) for name in ("price", "quantity", "aggressor")
            )
            for event in events[events["kind"] == 1]
        }
        for trade in self.of(MarketKind.TRADE, index):
            found = (int(trade["price"]), int(trade["quantity"]), int(trade["aggressor"]))
            assert trades[int(trade["venue_sequence"])] == found
        names = ["bid", "bid_quantity", "ask", "ask_quantity"]
        tops = {tuple(int(event[name]) for name in names) for event in events[events["kind"] == 2]}
        for quote in self.of(MarketKind.QUOTE, index)[1:]:
            assert tuple(int(quote[name]) for name in names) in tops


@contextlib.asynccontextmanager
async def desk(
    venue: str,
    *,
    links: int = 1,
    rate: int = 1000,
    lifetime: float | None = None,
    overlap_s: float = 30.0,
    position: int = 0,
) -> AsyncIterator[Desk]:
    """A feed that is live from its first snapshot on."""
    async with started(Desk(venue, links, rate, lifetime, overlap_s, position)) as made:
        yield made


AnyDesk = TypeVar("AnyDesk", bound=Desk)


@contextlib.asynccontextmanager
async def started(made: AnyDesk) -> AsyncIterator[AnyDesk]:
    """A desk whose feed is live."""
    running = await made.start()
    try:
        live = asyncio.create_task(made.live())
        await asyncio.wait((live, running), return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            live.cancel()
            running.result()
        yield made
        made.lines.stop()
        await running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await made.server.close()
