"""From trades to bars: where one ends, what it holds, and what is no part of it."""

from __future__ import annotations

import pytest

from tests.workers.ta.market import ENGINES, drive, quote, rows, trade, value
from workers.ta.features import FEATURE_NAMES, FEATURES_VERSION, Feature
from workers.ta.stage import TechnicalAnalysis

pytestmark = pytest.mark.parametrize("engine", ENGINES)


def test_a_bar_closes_with_its_last_trade_and_no_earlier(engine: str) -> None:
    driver = drive(engine, trades_per_bar=3)
    assert [len(rows(driver, [trade(price)])) for price in (7, 8, 9, 5, 6, 4)] == [0, 0, 1, 0, 0, 1]


def test_a_bar_of_one_trade_closes_with_each(engine: str) -> None:
    emitted = rows(drive(engine, trades_per_bar=1), [trade(7), trade(8)])
    assert [(row["bar"][0], row["close"][0]) for row in emitted] == [(1, 7), (2, 8)]


def test_a_row_bears_the_header_of_the_trade_that_closed_its_bar(engine: str) -> None:
    driver = drive(engine, instruments=3, trades_per_bar=2)
    (row,) = rows(driver, [trade(100, instrument=2, at=50), trade(90, instrument=2, at=60)])
    header = [row[field][0] for field in ("instrument", "venue_ns", "received_ns")]
    assert header == [2, 60, 1_060]
    assert [row[field][0] for field in ("version", "bar", "close")] == [FEATURES_VERSION, 1, 90]


def test_a_bar_holds_first_last_highest_lowest_and_the_volume(engine: str) -> None:
    driver = drive(engine, trades_per_bar=5)
    for price, quantity in ((100, 2), (130, 3), (90, 5), (110, 7)):
        assert rows(driver, [trade(price, quantity)]) == []
    bar = driver.state("instruments")[0]
    fields = ("open", "high", "low", "close", "volume", "trades")
    assert [int(bar[field]) for field in fields] == [100, 130, 90, 110, 17, 4]
    rows(driver, [trade(1), trade(200, 4)])
    bar = driver.state("instruments")[0]
    assert [int(bar[field]) for field in fields] == [200, 200, 200, 200, 4, 1]


def test_instruments_have_bars_of_their_own(engine: str) -> None:
    driver = drive(engine, instruments=2, trades_per_bar=2)
    emitted = rows(driver, [trade(10), trade(20, instrument=1), trade(11), trade(21, instrument=1)])
    assert [(row["instrument"][0], row["close"][0], row["bar"][0]) for row in emitted] == [
        (0, 11, 1),
        (1, 21, 1),
    ]


def test_quotes_ticks_and_impossible_trades_are_no_part_of_a_bar(engine: str) -> None:
    driver = drive(engine, trades_per_bar=2)
    unknown = trade(10)
    unknown["kind"] = 9
    others = [quote(9, 11), trade(0), trade(-5), trade(10, 0), trade(10, -1), unknown]
    assert rows(driver, [trade(10), *others]) == []
    assert driver.step("tick", None, now_ns=1) == []
    assert driver.state("instruments")["trades"][0] == 1
    (row,) = rows(driver, [trade(11)])
    assert row["close"] == 11


def test_spread_and_imbalance_are_those_of_the_latest_quote(engine: str) -> None:
    driver = drive(engine, trades_per_bar=1)
    (row,) = rows(driver, [quote(1, 2), quote(999, 1_001, (30, 10)), trade(1_000)])
    assert value(row, Feature.SPREAD) == 2 / 1_000
    assert value(row, Feature.IMBALANCE) == 0.5
    (row,) = rows(driver, [trade(1_000)])
    assert value(row, Feature.SPREAD) == 2 / 1_000


@pytest.mark.parametrize(
    ("bid", "ask", "sizes"),
    [(10, 10, (1, 1)), (11, 10, (1, 1)), (0, 10, (1, 1)), (9, 10, (0, 1)), (9, 10, (1, 0))],
    ids=["locked", "crossed", "no bid", "no bid quantity", "no ask quantity"],
)
def test_a_quote_without_two_sides_in_order_gives_neither_spread_nor_imbalance(
    engine: str, bid: int, ask: int, sizes: tuple[int, int]
) -> None:
    driver = drive(engine, trades_per_bar=1)
    (row,) = rows(driver, [quote(9, 11), quote(bid, ask, sizes), trade(10)])
    assert value(row, Feature.SPREAD) is None
    assert value(row, Feature.IMBALANCE) is None


def test_before_the_first_quote_there_is_no_spread(engine: str) -> None:
    (row,) = rows(drive(engine, trades_per_bar=1), [trade(10)])
    assert value(row, Feature.SPREAD) is None


def test_features_become_valid_when_their_windows_are_full(engine: str) -> None:
    driver = drive(engine, trades_per_bar=1, fast=2, slow=5, rsi=4, atr=3)
    emitted = rows(driver, [quote(9, 11), *(trade(10 + i % 3) for i in range(8))])
    first_bar = {
        name: next(n for n, row in enumerate(emitted, 1) if value(row, Feature(place)) is not None)
        for place, name in enumerate(FEATURE_NAMES)
    }
    assert first_bar == {
        "sma_fast": 2,
        "sma_slow": 5,
        "ema_slow": 5,
        "rsi": 4,
        "atr": 3,
        "return": 2,
        "spread": 1,
        "imbalance": 1,
    }
    assert int(emitted[-1]["valid"][0]) == (1 << len(FEATURE_NAMES)) - 1


def test_a_record_of_an_unknown_instrument_is_refused(engine: str) -> None:
    driver = drive(engine, instruments=2)
    with pytest.raises(IndexError, match="instrument was 2, must be below 2"):
        rows(driver, [trade(10, instrument=2)])


@pytest.mark.parametrize("window", ["fast", "slow", "rsi", "atr"])
def test_a_window_longer_than_what_is_kept_is_refused(engine: str, window: str) -> None:
    drive(engine, **{window: 256})
    for length in (0, 257):
        with pytest.raises(ValueError, match=rf"ta\.{window} was {length}, must be in 1 \.\. 256"):
            drive(engine, **{window: length})


def test_the_stage_emits_at_most_one_row_a_market_record(engine: str) -> None:
    assert TechnicalAnalysis.emits["market"] == {"features": 1}
    assert sum(len(outputs) for ring, outputs in TechnicalAnalysis.emits.items()) == 1
