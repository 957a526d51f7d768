"""The benchmark of outages: what it calls valid, lost and doubled; and one small run."""

from __future__ import annotations

import json
import os
import threading
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from perf import recovery as script
from perf.outage import report, series, venue
from perf.outage.clients import BOT4, CCXT, NEEDS, Ints
from perf.outage.ledger import Books, Tops, Trades
from perf.outage.series import Outcome, Plan, StoppedError
from perf.outage.venue import JITTER, LISTINGS, OUTAGES, REPLAYED, FailedError
from pipeline.vocabulary import MarketKind
from shm import list_segments

COUNT = len(LISTINGS)
MARKET = venue.market()
EVENTS = MARKET.events(1, 30_000)


def rows(*told: tuple[int, int, int, int, int, int]) -> Ints:
    return np.array(told, np.int64).T


def trades(index: int = 0, first: int = 1) -> Ints:
    """An instrument's trades as a client tells them that misses none."""
    own = EVENTS[(EVENTS["instrument"] == index) & (EVENTS["kind"] == MarketKind.TRADE)]
    own = own[own["trade_id"] >= first]
    columns = [own["kind"], own["instrument"], own["trade_id"], own["index"]]
    return np.array([*columns, own["price"], own["quantity"]]).astype(np.int64)


def ledger(told: Ints, *resumed: int) -> Trades:
    found = Trades(MARKET)
    found.add(told)
    for position in resumed:
        found.resumed(position)
    return found


def event_of(trade_id: int) -> int:
    """The event of the first instrument's trade with that id."""
    told = trades()
    return int(told[3, told[2] == trade_id][0])


def test_who_tells_all_has_lost_nothing() -> None:
    found = ledger(trades(first=20), event_of(500))
    assert (found.lost, found.duplicated) == (0, 0)
    found.check()


def test_trades_that_are_missing_are_lost() -> None:
    told = np.delete(trades(), slice(100, 110), axis=1)
    assert ledger(told, event_of(200)).lost == 10


def test_trades_that_come_late_are_not_lost() -> None:
    told = trades()
    found = ledger(np.delete(told, slice(100, 110), axis=1), event_of(200))
    found.add(told[:, 105:110])
    assert found.lost == 5


def test_trades_that_never_come_again_are_lost() -> None:
    # Books are back, and no trade is: nothing later shows that these are missing.
    assert ledger(trades()[:, :100], event_of(130)).lost == 30


def test_trades_that_the_venue_could_not_tell_any_more_are_not_lost() -> None:
    back = 50 + REPLAYED
    told = np.delete(trades(), slice(40, back), axis=1)  # ids 41 .. 1050
    assert ledger(told, event_of(back)).lost == REPLAYED
    assert ledger(told, event_of(45), event_of(back)).lost == REPLAYED + 5


def test_trades_that_are_told_again_are_duplicated() -> None:
    told = trades()
    assert ledger(np.concatenate((told, told[:, 3:6]), axis=1)).duplicated == 3


@pytest.mark.parametrize(("column", "value"), [(4, 1), (5, 7), (2, 0)])
def test_a_trade_that_never_was_is_a_failure(column: int, value: int) -> None:
    told = trades()
    told[column, 5] = value
    with pytest.raises(FailedError, match="BTCUSDT was told that never was"):
        ledger(told).check()


def quotes(*, now: int = 10) -> list[tuple[int, int, int, int, int, int]]:
    return [(MarketKind.QUOTE, index, 0, now + index, 1, 2) for index in range(COUNT)]


def test_books_are_valid_when_the_last_of_them_is() -> None:
    books = Books()
    books.forget(0)
    told = quotes()
    books.add(rows(*told[:-1]), lambda *quote: True)
    assert books.valid_ns is None
    books.add(rows(*told, *quotes(now=100)), lambda *quote: True)
    assert books.valid_ns == 10 + COUNT - 1


def test_a_book_is_not_valid_while_it_is_stale_or_wrong_or_old() -> None:
    stale, back = (rows((kind, 1, 0, 5, 0, 0)) for kind in (MarketKind.STALE, MarketKind.RESYNC))
    books = Books()
    books.add(stale)  # during the outage
    books.forget(0)
    books.add(rows(*quotes()), lambda *quote: True)
    assert books.valid_ns is None
    books.add(back, lambda *quote: True)
    books.add(rows(*quotes(now=20)), lambda *quote: False)
    assert books.valid_ns is None
    books.add(rows(*quotes(now=30)), lambda *quote: True)
    assert books.valid_ns == 31
    books.add(stale, lambda *quote: True)
    assert books.valid_ns is None
    books.forget(50)
    books.add(back)
    books.add(rows(*quotes(now=40)), lambda *quote: True)
    assert books.valid_ns is None


def test_best_prices_are_known_from_an_event_on() -> None:
    own = EVENTS[(EVENTS["instrument"] == 0) & (EVENTS["kind"] == MarketKind.QUOTE)]

    def top(at: int) -> tuple[int, int, int]:
        return 0, int(own["bid"][at]), int(own["ask"][at])

    after = int(own["index"][3000])
    tops = Tops(MARKET, after)
    assert tops.has(*top(3000), after)
    assert not tops.has(*top(1), after)
    assert not tops.has(*top(3100), after)
    assert tops.has(*top(3100), int(own["index"][3100]))


def plan(client: str = BOT4, outage: str = "reset") -> Plan:
    return Plan(client, "binance", outage, (0.5,), 30.0)


def test_a_percentile_among_those_who_did_not_recover_is_none() -> None:
    found = report.summary(Outcome(plan(CCXT), (2.0, None, 1.0), 3, 4))
    assert (found["p50_s"], found["p99_s"], found["max_s"]) == (2.0, None, None)
    assert (found["count"], found["not_recovered"]) == (3, 1)
    assert (found["lost"], found["duplicated"], found["limit_s"]) == (3, 4, 30.0)


@pytest.mark.parametrize(
    ("recovery", "lost", "duplicated", "met"),
    [
        (1.99, 0, 0, True),
        (2.0, 0, 0, False),
        (1.0, 1, 0, False),
        (1.0, 0, 1, False),
        (None, 0, 0, False),
    ],
)
def test_expectations_are_met_or_not_or_not_measured(
    recovery: float | None, lost: int, duplicated: int, met: bool
) -> None:
    for outage in (*OUTAGES, JITTER):
        outcome = Outcome(plan(outage=outage), (recovery,), lost, duplicated)
        found = report.expectations([report.summary(outcome)])
        verdicts = {each["expected"].partition(":")[0]: each["met"] for each in found}
        assert verdicts.pop(outage) is met
        assert set(verdicts.values()) <= {None}


def test_lengths_are_the_same_for_the_same_seed() -> None:
    first = series.lengths(1, "reset", 30, 5.0)
    assert first == series.lengths(1, "reset", 30, 5.0)
    assert first != series.lengths(2, "reset", 30, 5.0)
    assert min(first) >= series.SHORTEST_S
    assert max(first) <= 5.0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--clients", "bot4,other"], "was other"), (["--outages", "flood"], "was flood")],
)
def test_what_cannot_be_measured_is_refused(arguments: list[str], said: str) -> None:
    found = CliRunner().invoke(script.main, arguments)
    assert found.exit_code == 2
    assert said in found.output


def test_a_peer_that_is_missing_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NEEDS, CCXT, "no_such_module")
    found = script.run([plan(CCXT)])
    assert "bot4[perf]" in found["skipped"][CCXT]
    assert (found["results"], found["failed"]) == ([], {})


def test_a_run_can_be_stopped() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppedError):
        series.run(plan(), stop)
    assert list_segments(f"perf-{os.getpid()}") == []


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine takes its time, which is not what is tested."""
    monkeypatch.setattr(series, "SETTLE_S", 120.0)


def measured(*arguments: str) -> list[dict[str, Any]]:
    done = CliRunner().invoke(script.main, ["--json", "--limit", "120", *arguments])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["failed"] == {}
    for each in found["results"]:
        assert 0 < each["p50_s"] <= each["p99_s"] <= each["max_s"]
        if each["client"] == BOT4:
            assert (each["not_recovered"], each["lost"], each["duplicated"]) == (0, 0, 0), each
    results: list[dict[str, Any]] = found["results"]
    return results


@pytest.mark.usefixtures("patience")
def test_a_small_run_measures_every_kind_of_outage() -> None:
    found = measured("--count", "1", "--longest", "0.5", "--clients", BOT4)
    assert [(each["client"], each["outage"], each["count"]) for each in found] == [
        (BOT4, outage, 1) for outage in OUTAGES
    ]
    assert list_segments(f"perf-{os.getpid()}") == []


def test_a_small_run_measures_the_peer() -> None:
    pytest.importorskip("ccxt.pro", reason="needs ccxt", exc_type=ImportError)
    (found,) = measured(
        "--count", "1", "--longest", "0.5", "--clients", CCXT, "--outages", "black_hole"
    )
    assert (found["client"], found["count"]) == (CCXT, 1)


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize("name", venue.VENUES)
def test_nothing_is_lost_with_latency_jitter_and_lost_messages(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "JITTER_S", 2.0)
    (found,) = measured("--jitter", "--clients", BOT4, "--venue", name)
    assert (found["outage"], found["venue"]) == (JITTER, name)
