"""Each venue over real sockets, whatever goes wrong with it."""

from __future__ import annotations

import pytest

from pipeline.vocabulary import MarketKind
from tests.workers.exchange.samples import run, until
from tests.workers.feed.venues import COUNT, NAMES, desk
from workers.exchange import binance_rest
from workers.exchange.script import begin, entry_of
from workers.feed.decoding import StaleReason
from workers.feed.venue import Allowance


@pytest.mark.parametrize("venue", NAMES)
def test_a_venue_is_live_from_its_snapshot_on(venue: str) -> None:
    async def test() -> None:
        async with desk(venue) as feed:
            await feed.quoted()
            assert all(feed.lines.arbiter.last_trade(index) >= 0 for index in range(COUNT))
            await until(lambda: len(feed.of(MarketKind.TRADE)) > 50)
            feed.check_whole()
            counts = feed.lines.connections[0].decoder.counts()
        assert not len(feed.of(MarketKind.STALE))
        assert counts["malformed"] == counts["gaps"] == counts["trade_gaps"] == 0
        assert (counts["checksum_ok"] > 0) == (venue == "kraken")

    run(test())


def test_trades_from_before_the_first_connection_are_not_told() -> None:
    async def test() -> None:
        for venue in NAMES:
            async with desk(venue) as feed:
                await until(lambda: len(feed.of(MarketKind.TRADE)) > 20)
                begun = feed.server.exchange.started_ns
                assert feed.records["received_ns"].min() > begun
                # The simulator's snapshots hold its first trades.
                known = feed.lines.connections[0].decoder.counts()
                assert known["trades"] >= len(feed.of(MarketKind.TRADE))
                feed.check_whole()

    run(test())


@pytest.mark.parametrize("venue", NAMES)
@pytest.mark.parametrize(
    ("fault", "lasts", "reason"),
    [
        ("reset", None, StaleReason.DISCONNECTED),
        ("half-open", None, StaleReason.SILENCE),
        ("black-hole", 2.0, StaleReason.SILENCE),
        ("restart", 0.3, StaleReason.DISCONNECTED),
    ],
)
def test_what_a_lost_link_has_said_is_stale_until_there_is_another(
    venue: str, fault: str, lasts: float | None, reason: StaleReason
) -> None:
    async def test() -> None:
        async with desk(venue, rate=200) as feed:
            await feed.quoted()
            await until(lambda: all(len(feed.of(MarketKind.TRADE, i)) > 3 for i in range(COUNT)))
            entry: dict[str, object] = {"fault": fault}
            begin(feed.server.faults, entry_of(entry if lasts is None else {**entry, "for": lasts}))
            await until(lambda: len(feed.of(MarketKind.STALE)) == COUNT)
            assert set(feed.of(MarketKind.STALE)["venue_sequence"]) == {reason}
            await until(lambda: len(feed.of(MarketKind.RESYNC)) == COUNT)
            await feed.live()
            await feed.quoted()
            # What the venue could still tell was told: first later ones, then those from REST.
            await until(feed.is_whole)
            feed.check_whole()

    run(test())


@pytest.mark.parametrize(
    ("venue", "fault", "reason"),
    [
        ("binance", "sequence-gap=0.2", StaleReason.GAP),
        ("coinbase", "sequence-gap=0.05", StaleReason.GAP),
        ("kraken", "sequence-gap=0.2", StaleReason.CHECKSUM),
        ("kraken", "bad-checksum=0.2", StaleReason.CHECKSUM),
        ("coinbase", "reorder=0.1", StaleReason.GAP),
    ],
)
def test_a_book_that_cannot_be_right_is_stale_until_a_new_snapshot(
    venue: str, fault: str, reason: StaleReason
) -> None:
    async def test() -> None:
        async with desk(venue) as feed:
            await feed.quoted()
            feed.fault(fault)
            await until(lambda: len(feed.of(MarketKind.STALE)) > 0)
            feed.server.faults.clear()
            assert reason in set(feed.of(MarketKind.STALE)["venue_sequence"])
            await feed.live()
            await feed.quoted()
            assert len(feed.of(MarketKind.RESYNC)) == len(feed.of(MarketKind.STALE))
            feed.check_whole(complete=False)
            assert feed.lines.connections[0].session.counts.connects == 1

    run(test())


@pytest.mark.parametrize("venue", NAMES)
def test_malformed_messages_are_counted_and_shown_once(
    venue: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with desk(venue) as feed:
            feed.fault("malformed=0.3")
            await until(lambda: feed.lines.counts()["malformed"] > 20)
            feed.server.faults.clear()
            await feed.live()
            await feed.quoted()
            feed.check_whole(complete=False)

    run(test())
    assert sum("a message could not be read" in text for text in caplog.messages) == 1


@pytest.mark.parametrize("fault", ["5xx", "429=1s"])
def test_a_snapshot_that_is_refused_is_asked_for_again(
    fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with desk("binance") as feed:
            await feed.quoted()
            feed.fault(fault)
            feed.fault("sequence-gap=0.3")
            await until(lambda: len(feed.of(MarketKind.STALE)) > 0)
            await until(lambda: any("was answered with" in text for text in caplog.messages))
            feed.server.faults.clear()
            await feed.live()
            await feed.quoted()
            assert len(feed.of(MarketKind.RESYNC)) == len(feed.of(MarketKind.STALE))
            assert feed.lines.connections[0].session.counts.connects == 1

    run(test())


@pytest.mark.parametrize("venue", NAMES)
def test_after_a_long_outage_the_trades_of_all_pages_are_told(venue: str) -> None:
    async def test() -> None:
        async with desk(venue, rate=200) as feed:
            await until(lambda: all(len(feed.of(MarketKind.TRADE, i)) > 3 for i in range(COUNT)))
            await feed.miss(60.0)
            await until(
                lambda: all(len(feed.of(MarketKind.TRADE, i)) > 2_900 for i in range(COUNT))
            )
            await until(feed.is_whole)
            await feed.live()
            feed.check_whole()

    run(test())


@pytest.mark.parametrize("venue", ["binance", "kraken"])
def test_a_market_without_a_trade_before_its_first_outage_misses_none_of_it(venue: str) -> None:
    async def test() -> None:
        # Trade 96 of the first market was event 382, and the next one is 24 s later.
        async with desk(venue, rate=1, position=382) as feed:
            await until(lambda: all(map(feed.lines.arbiter.last_trade, range(COUNT))))
            assert feed.lines.arbiter.last_trade(0) == 96
            assert not len(feed.of(MarketKind.TRADE, 0))
            await feed.miss(60.0)
            feed.ahead_s += 60.0  # Binance's are missed at the next one
            await until(lambda: all(len(feed.of(MarketKind.TRADE, i)) > 3 for i in range(COUNT)))
            await until(lambda: feed.of(MarketKind.TRADE, 0)["venue_sequence"].min() == 97)
            await until(feed.is_whole)
            await feed.live()
            feed.check_whole()

    run(test())


def test_a_replay_that_was_cut_off_goes_on_over_the_next_connection() -> None:
    async def test() -> None:
        for venue in NAMES:
            async with desk(venue, rate=200) as feed:
                await until(lambda: len(feed.of(MarketKind.TRADE, 0)) > 3)
                for _ in range(2):
                    await feed.miss(2.0)
                    feed.fault("5xx")  # of the requests that follow
                    told = len(feed.of(MarketKind.TRADE))
                    await until(lambda: len(feed.of(MarketKind.TRADE)) > told)  # noqa: B023
                    assert not feed.is_whole()
                    feed.server.faults.clear()
                await until(feed.is_whole)
                await feed.live()
                feed.check_whole()

    run(test())


@pytest.mark.parametrize("venue", NAMES)
def test_a_replay_that_was_cut_off_goes_on_over_the_line_that_takes_over(venue: str) -> None:
    async def test() -> None:
        async with desk(venue, rate=200, lifetime=0.5) as feed:
            await until(lambda: all(len(feed.of(MarketKind.TRADE, i)) > 3 for i in range(COUNT)))
            feed.lines.venue.trades_requests = Allowance(1, 1e6)
            assert feed.lines.venue.trades_requests.wait() == 0  # there is no other one
            feed.ahead_s += 10.0
            feed.fault("reset")
            await until(lambda: not feed.is_whole())
            first = feed.lines.connections[0]
            await until(lambda: first not in feed.lines.connections)
            assert not feed.is_whole()
            feed.lines.venue.trades_requests = Allowance(1000, 1.0)
            first = feed.lines.connections[0]
            await until(lambda: first not in feed.lines.connections)
            await until(feed.is_whole)
            feed.check_whole()

    run(test())


def test_pages_that_the_venue_has_not_are_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delitem(binance_rest.ROUTES, "/api/v3/historicalTrades")

    async def test() -> None:
        async with desk("binance", rate=200) as feed:
            await until(lambda: all(len(feed.of(MarketKind.TRADE, i)) > 3 for i in range(COUNT)))
            await feed.miss(60.0)
            await until(lambda: any("was answered with 404" in text for text in caplog.messages))
            await until(lambda: len(feed.of(MarketKind.TRADE)) > 2 * 1_000)
            await feed.live()
            feed.check_whole(complete=False)
            assert not feed.is_whole()

    run(test())


def test_of_two_links_either_is_enough() -> None:
    async def test() -> None:
        for venue in NAMES:
            async with desk(venue, links=2) as feed:
                await feed.quoted()
                for connection in feed.lines.connections:
                    lost = connection.session.counts.disconnects
                    connection.session.drop("the test wants it")
                    await until(lambda: connection.session.counts.disconnects > lost)  # noqa: B023
                    await feed.quoted()
                    await feed.live()
                await until(
                    lambda: all(len(feed.of(MarketKind.TRADE, i)) > 3 for i in range(COUNT))
                )
                assert not len(feed.of(MarketKind.STALE))
                await until(feed.is_whole)  # one may have been read before the other
                feed.check_whole()
                assert feed.lines.arbiter.counts()["repeated"] > 0
                feed.fault("reset")
                await until(lambda: len(feed.of(MarketKind.STALE)) == COUNT)
                await feed.live()
                await feed.quoted()
                assert len(feed.of(MarketKind.RESYNC)) == COUNT

    run(test())


def test_a_line_is_replaced_by_one_that_is_live_before_it_goes() -> None:
    async def test() -> None:
        for venue in NAMES:
            async with desk(venue, lifetime=0.5) as feed:
                first = feed.lines.connections[0]
                await until(lambda: first not in feed.lines.connections)  # noqa: B023
                assert feed.server.connections() >= 1
                await feed.quoted()
                assert not len(feed.of(MarketKind.STALE))
                # What the old line had not yet been read of came from the new one, or from REST.
                await until(feed.is_whole)
                feed.check_whole()

    run(test())


def test_a_line_stays_if_none_can_be_made_to_replace_it(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with desk("kraken", lifetime=0.3, overlap_s=0.2) as feed:
            feed.fault("refuse")
            said = "no new connection to replace the old one"
            await until(lambda: any(said in text for text in caplog.messages))
            feed.server.faults.clear()
            first = feed.lines.connections[0]
            await until(lambda: first not in feed.lines.connections)
            await feed.quoted()
            assert not len(feed.of(MarketKind.STALE))
            await until(feed.is_whole)
            feed.check_whole()

    run(test())
