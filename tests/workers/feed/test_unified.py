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

    def settle(self) -> None:
        """Have what was told published; nobody reads here."""

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
            settle=self.settle,
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


def test_without_rest_what_was_missed_is_a_gap_and_trades_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        async with started(CcxtDesk(rate=100)) as feed:
            await feed.traded()
            feed.lines.venue = replace(feed.lines.venue, rest_url="http://127.0.0.1:1")
            feed.fault_for("restart", 0.3)
            await until(lambda: len(feed.of(MarketKind.RESYNC)) == COUNT)
            await feed.traded()
            feed.check_whole(complete=False)
            assert feed.lines.counts()["gaps"] == COUNT
            assert feed.lines.counts()["trades"] == len(feed.of(MarketKind.TRADE))

    run(test())
    assert any("trades that were missed are not to be had" in text for text in caplog.messages)


def test_what_is_no_multiple_of_the_tick_is_counted_and_shown_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        desk = CcxtDesk()
        # Ten times the steps that the market has.
        desk.instruments[1] = replace(desk.instruments[1], tick_e8=10 * desk.instruments[1].tick_e8)
        running = await desk.start()
        await until(lambda: desk.lines.counts()["malformed"] > 20)
        await until(lambda: len(desk.of(MarketKind.TRADE, 0)) > 5)
        desk.lines.stop()
        await running
        await desk.server.close()

    run(test())
    assert sum("a trade could not be read" in text for text in caplog.messages) == 1
    assert sum("a quote could not be read" in text for text in caplog.messages) <= 1


def test_an_instrument_that_the_venue_does_not_have_is_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        desk = CcxtDesk()
        desk.instruments[1] = replace(desk.instruments[1], symbol="XYZ/USDT")
        # By the venue's own name, too.
        desk.instruments[0] = replace(desk.instruments[0], symbol="BTCUSDT")
        running = await desk.start()
        await until(lambda: len(desk.of(MarketKind.TRADE, 0)) > 5)
        desk.lines.stop()
        await running
        await desk.server.close()

    run(test())
    assert any("XYZ/USDT is not traded" in text for text in caplog.messages)


def test_a_successor_tells_what_was_missed_since_the_last_trade() -> None:
    async def test() -> None:
        desk = CcxtDesk(rate=100)
        running = await desk.start()
        await until(lambda: all(len(desk.of(MarketKind.TRADE, i)) > 3 for i in range(COUNT)))
        desk.lines.stop()
        await running
        last = [desk.lines.arbiter.last_trade(index) for index in range(COUNT)]
        # Another process, in which nothing is known but that.
        running = await desk.start()
        for index in range(COUNT):
            desk.lines.arbiter.resume(index, last[index], stale=True)
        await desk.live()
        await desk.traded()
        assert desk.missing() == 0
        assert len(desk.of(MarketKind.RESYNC)) == COUNT
        desk.lines.stop()
        await running
        await desk.server.close()

    run(test())


def test_a_venue_that_is_not_there_is_dialled_until_it_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        desk = CcxtDesk()
        desk.port = await desk.server.start()
        await desk.server.close()
        running = await desk.start()
        await until(lambda: any("connection was lost" in text for text in caplog.messages))
        desk.lines.stop()
        await running

    run(test())


def test_what_the_feed_raises_itself_ends_it() -> None:
    class FullError(Exception):
        pass

    def refuse() -> None:
        raise FullError

    async def test() -> None:
        desk = CcxtDesk()
        desk.settle = refuse  # type: ignore[method-assign]
        running = await desk.start()
        desk.out.kept = 1
        with pytest.raises(FullError):
            await running
        await desk.server.close()

    run(test())
