from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from pipeline.stage import StageError
from tests.workers.ta.market import ENGINES, SECOND, Array, config, drive, quote, stale, trade
from workers.ta.correlation import correlation_of
from workers.ta.reference.sampling import MANY_LATE, MOST
from workers.ta.stage import TechnicalAnalysis

START = 1_700_000_000
ONE_S = {"correlation_ms": 1_000, "bar": "time", "interval_ms": 3_600_000}


def _samples(engine: str, instruments: int, records: list[Array]) -> tuple[Any, list[Array]]:
    driver = drive(engine, instruments, **ONE_S)
    emitted = []
    for now, record in enumerate(records, start=1):
        outputs = driver.step("market", record, now_ns=now)
        sent = dict(outputs)
        assert len(sent) == len(outputs)
        if "correlations" in sent:
            emitted.append(sent["correlations"])
            twin = sent["clusters"].copy()
            twin["cause_index"] -= 1
            assert twin.tobytes() == emitted[-1].tobytes()
    return driver, emitted


def _at(second: float) -> int:
    return round((START + second) * SECOND)


def _walk(instruments: int, seconds: int, *, seed: int = 3) -> list[Array]:
    """Return a trade of each instrument in each second; the odd ones go against the even ones."""
    rng = random.Random(seed)
    prices = [100_000] * instruments
    records = []
    for second in range(seconds):
        common = rng.randint(-500, 500)
        for index in range(instruments):
            prices[index] += (-1) ** index * common + rng.randint(-200, 200)
            records.append(trade(prices[index], 1, index, _at(second), number=second + 1))
    return records


@pytest.mark.parametrize("engine", ENGINES)
def test_the_returns_of_whole_intervals_are_correlated(engine: str) -> None:
    market = _walk(3, 60)
    _, emitted = _samples(engine, 3, market)
    closes = np.array([int(record["price"][0]) for record in market]).reshape(60, 3)
    returns = closes[1:-1] / closes[:-2] - 1.0  # the first interval has no beginning
    latest = {int(row["instrument"][0]): row[0] for row in emitted}
    assert sorted(latest) == [0, 1, 2]
    for own, row in latest.items():
        assert row["count"] == 3
        used = int(row["sample"]) - 1
        assert set(row["samples"][:3]) == {used}
        for other in range(3):
            true = correlation_of(list(returns[:used, own]), list(returns[:used, other])).value
            assert abs(row["value"][other] - 10_000 * true) <= 1
    assert latest[0]["value"][1] < -5_000
    assert latest[0]["value"][2] > 5_000


@pytest.mark.parametrize("engine", ENGINES)
def test_each_record_publishes_one_row_until_all_are_out(engine: str) -> None:
    instruments = MOST + 2
    market = [trade(100, 1, index, _at(0), number=1) for index in range(instruments)]
    market += [trade(101, 1, 0, _at(second), number=second + 1) for second in (1, 2)]
    market += [quote(1, 2) for _ in range(3 * instruments)]
    _, emitted = _samples(engine, instruments, market)
    # From the sample at second 1, one row; then those of the sample at second 2, from the first on.
    rows = [
        (int(row["sample"][0]), int(row["instrument"][0]), int(row["first"][0])) for row in emitted
    ]
    assert rows[0] == (1, 0, 0)
    assert rows[1:] == [(2, index, first) for index in range(instruments) for first in (0, MOST)]
    assert {int(row["count"][0]) for row in emitted} == {MOST, 2}
    assert {int(row["venue_ns"][0]) for row in emitted} == {_at(1), _at(2)}


@pytest.mark.parametrize("engine", ENGINES)
def test_an_instrument_that_may_have_lost_trades_has_no_return(engine: str) -> None:
    market = _walk(2, 30)
    market[20:20] = [stale(1, 1)]
    _, emitted = _samples(engine, 2, market)
    last = {int(row["instrument"][0]): row[0] for row in emitted}
    assert last[0]["samples"][0] == int(last[0]["sample"]) - 1
    # Neither the interval in which it was in doubt nor the one that begins there.
    assert int(last[0]["samples"][0]) - int(last[0]["samples"][1]) in (1, 2)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_interval_without_any_record_has_no_sample(engine: str) -> None:
    walk = _walk(2, 20)
    market = [record for record in walk if not _at(5) <= record["venue_ns"][0] < _at(8)]
    assert len(market) == len(walk) - 6
    _, emitted = _samples(engine, 2, market)
    assert max(int(row["sample"][0]) for row in emitted) == 19 - 4


@pytest.mark.parametrize("engine", ENGINES)
def test_a_record_that_is_late_ends_no_interval(engine: str) -> None:
    on_time = _walk(2, 10)
    late = [*on_time[:12], trade(1, 1, 0, _at(1), number=1), *on_time[12:]]
    first, second = (_samples(engine, 2, market)[1] for market in (on_time, late))
    assert [row["sample"][0] for row in first] == [row["sample"][0] for row in second]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_date_in_a_far_future_does_not_end_the_samples(engine: str) -> None:
    walk = _walk(2, MANY_LATE // 2 + 30)
    wrong = trade(100_000, 1, 0, 2 * _at(0))
    driver, emitted = _samples(engine, 2, [*walk[:20], wrong, *walk[20:]])
    # One in each second, from the second on, but while all others are late.
    assert emitted[-1]["sample"][0] == 9 + 20
    assert driver.state("clock")["late"][0] == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_late_records_of_one_venue_do_not_set_the_clock_back(engine: str) -> None:
    walk = _walk(1, MANY_LATE + 10)
    market = [each for record in walk for each in (record, quote(1, 2, instrument=1))]
    for record in market[1::2]:
        record["venue_ns"] = _at(-3_600)
    driver, emitted = _samples(engine, 2, market)
    assert emitted[-1]["sample"][0] == MANY_LATE + 9
    assert driver.state("clock")["late"][0] == 1


@pytest.mark.parametrize("engine", ENGINES)
def test_a_return_beyond_what_correlations_take_is_none(engine: str) -> None:
    prices = (1, 10**12, 1, 10**12 + 1, 1, 10**12 + 2, 1)
    market = [
        trade(price, 1, 0, _at(second), number=second + 1) for second, price in enumerate(prices)
    ]
    _, emitted = _samples(engine, 1, [*market, quote(1, 2), quote(1, 2)])
    used = [int(row["samples"][0, 0]) for row in emitted]
    assert [int(row["sample"][0]) for row in emitted] == [1, 2, 3, 4, 5, 6]
    assert used == [0, 0, 2, 3, 4, 4]  # one alone has no correlation


def test_both_engines_publish_the_same_bytes() -> None:
    market = _walk(5, 300, seed=9)
    market[700:700] = [stale(1, 3)]
    (native, rows), (reference, same) = (_samples(engine, 5, market) for engine in ENGINES)
    assert [row.tobytes() for row in rows] == [row.tobytes() for row in same]
    for group in ("clock", "samples", "correlation"):
        assert native.state(group).tobytes() == reference.state(group).tobytes()


def test_what_comes_later_changes_no_row() -> None:
    market = _walk(3, 40)
    whole = _samples("native", 3, market)[1]
    for cut in (30, 77):
        part = _samples("native", 3, market[:cut])[1]
        assert [row.tobytes() for row in part] == [row.tobytes() for row in whole[: len(part)]]
        assert part
    samples = [int(row["sample"][0]) for row in whole]
    assert all(after >= before for before, after in pairwise(samples))


def test_too_many_instruments_are_refused() -> None:
    with pytest.raises(StageError, match="instruments were 513, must be at most 512"):
        TechnicalAnalysis(config(513))
