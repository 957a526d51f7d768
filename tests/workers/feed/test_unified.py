"""A venue that ccxt reads, over real sockets, whatever goes wrong with it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from pipeline.instruments import Instrument
from pipeline.vocabulary import MarketKind
from tests.workers.exchange.samples import run, until
from tests.workers.feed.venues import COUNT, Desk, instruments_of, started
from workers.exchange.script import begin, entry_of
from workers.feed.decoding import StaleReason
from workers.feed.unified import TIMING, CcxtVenue, Unified

VENUE = "binanceus"  # whose protocol the simulator speaks, and which is not read natively


class CcxtDesk(Desk):
    """A simulator and a feed that reads it through ccxt."""

    lines: Unified  # type: ignore[assignment]

    def __init__(self, rate: int = 300, instruments: list[Instrument] | None = None) -> None:
        super().__init__(VENUE, 1, rate, None)
        self.port = 0
        self.connects = 0
        self.instruments = instruments or [
            replace(each, venue=VENUE, symbol=f"{each.base}/{each.quote}")
            for each in instruments_of("binance")
        ]

    def connected(self) -> None:
        self.connects += 1

    async def start(self) -> asyncio.Task[None]:
        self.port = self.port or await self.server.start()
        self.lines = Unified(
            CcxtVenue(
                VENUE,
                tuple(self.instruments),
                f"ws://127.0.0.1:{self.port}",
                f"http://127.0.0.1:{self.port}",
            ),
            self.out,  # type: ignore[arg-type]
            COUNT,
            settle=lambda: None,
            connected=self.connected,
            # Dials soon, that tests are short; everything else is as it is.
            timing=replace(TIMING, dial_every=0.2),
        )
        return asyncio.create_task(self.lines.run())

    async def live(self) -> None:
        await until(lambda: self.lines.is_live)

    def fault_for(self, name: str, seconds: float | None = None) -> None:
        entry: dict[str, object] = {"fault": name}
        begin(self.server.faults, entry_of(entry if seconds is None else {**entry, "for": seconds}))

    def missing(self) -> int:
        """How many trades were not told although later ones were."""
        count = 0
        for index in range(COUNT):
            ids = self.of(MarketKind.TRADE, index)["venue_sequence"]
            count += int(ids.max() - ids.min()) + 1 - len(ids)
        return count

    async def traded(self, more: int = 5) -> None:
        before = [len(self.of(MarketKind.TRADE, index)) for index in range(COUNT)]
        await until(
            lambda: all(
                len(self.of(MarketKind.TRADE, index)) >= count + more
                for index, count in enumerate(before)
            )
        )


def test_trades_and_quotes_are_those_that_the_venue_sent() -> None:
    async def test() -> None:
        async with started(CcxtDesk()) as feed:
            await feed.traded(30)
            feed.check_whole()
            counts = feed.lines.counts()
            assert counts["trades"] == len(feed.of(MarketKind.TRADE))
            assert counts["quotes"] == len(feed.of(MarketKind.QUOTE))
            assert counts["messages"] >= counts["trades"]
            assert counts["malformed"] == counts["stales"] == counts["gaps"] == 0
            assert feed.connects == 1
            assert feed.lines.heard_ns > 0

    run(test())


@pytest.mark.parametrize(
    ("fault", "lasts", "reason"),
    [
        ("reset", None, StaleReason.DISCONNECTED),
        ("half-open", None, StaleReason.SILENCE),
        ("black-hole", 4.0, StaleReason.SILENCE),
        ("restart", 0.3, StaleReason.DISCONNECTED),
    ],
)
def test_what_a_lost_venue_has_said_is_stale_and_what_was_missed_is_told(
    fault: str, lasts: float | None, reason: StaleReason
) -> None:
    async def test() -> None:
        async with started(CcxtDesk(rate=100)) as feed:
            await feed.traded()
            # What answers PINGs is known to be dead when it does not.
            clients = feed.lines._exchange.clients
            await until(lambda: all(client.lastPong for client in clients.values()))
            feed.fault_for(fault, lasts)
            await until(lambda: len(feed.of(MarketKind.STALE)) == COUNT)
            assert set(feed.of(MarketKind.STALE)["venue_sequence"]) == {reason}
            await until(lambda: len(feed.of(MarketKind.RESYNC)) == COUNT)
            await feed.traded()
            assert feed.missing() == 0
            feed.check_whole()
            assert feed.connects >= 2

    run(test())
