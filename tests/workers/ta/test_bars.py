"""From trades to bars: where one ends, what it holds, and what is no part of it."""

from __future__ import annotations

import pytest

from pipeline.replay import Driver
from tests.workers.ta.market import (
    ENGINES,
    SECOND,
    all_rows,
    drive,
    quote,
    resync,
    rows,
    stale,
    trade,
    value,
)
from workers.ta.features import FEATURES_VERSION, WINDOWS, Feature
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
    bar = driver.state("bars")[0]
    fields = ("open", "high", "low", "close", "volume", "trades")
    assert [int(bar[field]) for field in fields] == [100, 130, 90, 110, 17, 4]
    rows(driver, [trade(1), trade(200, 4)])
    bar = driver.state("bars")[0]
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
    assert driver.state("bars")["trades"][0] == 1
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


def test_a_record_of_an_unknown_instrument_is_refused(engine: str) -> None:
    driver = drive(engine, instruments=2)
    with pytest.raises(IndexError, match="instrument was 2, must be below 2"):
        rows(driver, [trade(10, instrument=2)])


@pytest.mark.parametrize("window", WINDOWS)
def test_a_window_longer_than_what_is_kept_is_refused(engine: str, window: str) -> None:
    longest = WINDOWS[window]
    drive(engine, **{window: longest})
    for length in (0, longest + 1):
        with pytest.raises(
            ValueError, match=rf"ta\.{window} was {length}, must be in 1 \.\. {longest}"
        ):
            drive(engine, **{window: length})


def test_the_stage_emits_at_most_one_row_of_each_kind_a_market_record(engine: str) -> None:
    emits = TechnicalAnalysis.emits
    assert emits["market"] == {"features": 1, "correlations": 1, "clusters": 1}
    assert not any(outputs for source, outputs in emits.items() if source != "market")


# Bars of volume


def test_a_volume_bar_closes_with_the_trade_that_completes_it_which_is_not_split(
    engine: str,
) -> None:
    driver = drive(engine, bar="volume", lots_per_bar=10)
    assert rows(driver, [trade(100, 4), trade(101, 5)]) == []
    (row,) = rows(driver, [trade(102, 30)])
    assert (row["close"][0], value(row, Feature.OBV)) == (102, 39)
    assert rows(driver, [trade(103, 9)]) == []
    (row,) = rows(driver, [trade(104, 1)])
    assert (row["close"][0], value(row, Feature.OBV)) == (104, 49)


def test_a_volume_beyond_what_a_double_holds_is_cut(engine: str) -> None:
    driver = drive(engine, bar="tick", trades_per_bar=3)
    (row,) = rows(driver, [trade(100, (1 << 63) - 1, side=1)] * 3)
    assert value(row, Feature.OBV) == value(row, Feature.SIGNED_VOLUME) == float(1 << 53)


# Bars of time


def timed(engine: str, **settings: int) -> Driver:
    """Return a driver of one-second bars that has seen the beginning of an interval: 1000 s."""
    driver = drive(engine, bar="time", interval_ms=1000, **settings)
    assert rows(driver, [trade(500, at=999 * SECOND), trade(100, at=1000 * SECOND)]) == []
    return driver


def test_an_interval_begins_at_its_first_nanosecond_and_ends_before_that_of_the_next(
    engine: str,
) -> None:
    driver = timed(engine)
    end = 1001 * SECOND
    assert rows(driver, [trade(110, at=end - 1)]) == []
    (row,) = rows(driver, [trade(120, at=end)])
    assert [int(row[name][0]) for name in ("bar", "close", "venue_ns")] == [1, 110, end]
    assert row["received_ns"] == end + 1_000
    bar = driver.state("bars")[0]
    assert [int(bar[name]) for name in ("interval", "open", "trades")] == [1001, 120, 1]


def test_the_interval_in_which_the_first_trade_is_seen_has_no_bar(engine: str) -> None:
    driver = timed(engine)
    assert [driver.state("bars")[0][name] for name in ("bars", "open")] == [0, 100]


def test_intervals_without_trades_are_flat_bars_without_rows(engine: str) -> None:
    driver = timed(engine, flat_bars=3, fast=5)
    (row,) = rows(driver, [trade(130, at=1004 * SECOND)])
    assert (row["bar"][0], row["close"][0], row["venue_ns"][0]) == (1, 100, 1001 * SECOND)
    (row,) = rows(driver, [trade(130, at=1005 * SECOND)])
    assert (row["bar"][0], row["close"][0]) == (5, 130)
    assert value(row, Feature.SMA_FAST) == (4 * 100 + 130) / 5
    assert value(row, Feature.OBV) == 2
    assert driver.state("bars")[0]["restarts"] == 0


@pytest.mark.parametrize("flat", [0, 3])
def test_a_gap_that_is_too_long_to_be_bridged_begins_anew(engine: str, flat: int) -> None:
    driver = timed(engine, flat_bars=flat, fast=2)
    (row,) = rows(driver, [trade(101, at=(1002 + flat) * SECOND)])
    assert row["close"] == 100
    assert driver.state("bars")[0]["restarts"] == 1
    emitted = rows(driver, [trade(102 + n, at=(1003 + flat + n) * SECOND) for n in range(2)])
    assert [int(row["bar"][0]) for row in emitted] == [2, 3]
    assert [value(row, Feature.SMA_FAST) for row in emitted] == [None, 101.5]


def test_a_late_trade_is_counted_and_in_no_bar(engine: str) -> None:
    driver = timed(engine)
    assert rows(driver, [trade(900, at=1000 * SECOND - 1)]) == []
    bar = driver.state("bars")[0]
    assert [int(bar[name]) for name in ("late", "high", "trades")] == [1, 100, 1]


def test_a_trade_out_of_order_counts_in_its_interval_but_is_not_the_close(engine: str) -> None:
    driver = timed(engine)
    at = 1000 * SECOND
    rows(driver, [trade(101, 2, at=at, number=8), trade(150, 3, at=at, number=7)])
    bar = driver.state("bars")[0]
    assert [int(bar[name]) for name in ("close", "high", "volume")] == [101, 150, 6]


@pytest.mark.parametrize("kind", ["tick", "volume"])
def test_a_trade_out_of_order_is_late_where_order_makes_the_bars(engine: str, kind: str) -> None:
    driver = drive(engine, bar=kind)
    assert rows(driver, [trade(101, number=8), trade(150, number=7), trade(150, number=8)]) == []
    bar = driver.state("bars")[0]
    assert [int(bar[name]) for name in ("late", "high", "trades")] == [2, 101, 1]


def test_a_trade_without_a_date_is_of_the_interval_that_is_being_built(engine: str) -> None:
    driver = drive(engine, bar="time", interval_ms=1000)
    assert rows(driver, [trade(1)]) == []
    assert driver.state("bars")[0]["late"] == 1  # of none
    driver = timed(engine)
    rows(driver, [trade(120)])
    assert [driver.state("bars")[0][name] for name in ("high", "trades")] == [120, 2]


def test_a_clock_that_is_set_back_begins_anew(engine: str) -> None:
    driver = timed(engine, flat_bars=3)
    for at, late, restarts in ((996, 1, 0), (995, 1, 1)):
        assert rows(driver, [trade(100, at=at * SECOND)]) == []
        bar = driver.state("bars")[0]
        assert [int(bar[name]) for name in ("late", "restarts")] == [late, restarts]
    assert bar["interval"] == 995
    assert rows(driver, [trade(100, at=996 * SECOND)]) == []  # 995 was not seen from its beginning
    assert len(rows(driver, [trade(100, at=997 * SECOND)])) == 1


def test_one_wrong_date_does_not_make_all_later_trades_late(engine: str) -> None:
    driver = timed(engine)
    rows(driver, [trade(100, at=9_000_000_000 * SECOND)])
    emitted = rows(driver, [trade(100, at=(1001 + n) * SECOND) for n in range(4)])
    assert len(emitted) == 2
    assert driver.state("bars")[0]["late"] == 0


def test_dates_at_the_end_of_time_are_dates(engine: str) -> None:
    last = (1 << 63) - 10_000
    driver = drive(engine, bar="time", interval_ms=1000)
    emitted = rows(driver, [trade(1, at=last - 2 * SECOND), trade(1, at=last - SECOND)])
    emitted += rows(driver, [trade(1, at=last), trade(1, at=last)])
    assert [int(row["venue_ns"][0]) for row in emitted] == [last // SECOND * SECOND]


# What was lost

LOSSES = {"gap": 1, "silence": 4, "disconnected": 5}
BOOK_ONLY = {"checksum": 2, "crossed": 3}


@pytest.mark.parametrize("reason", LOSSES.values(), ids=LOSSES)
def test_after_lost_trades_the_bar_is_dropped_and_the_indicators_begin_anew(
    engine: str, reason: int
) -> None:
    driver = drive(engine, trades_per_bar=2, fast=2)
    assert len(rows(driver, [trade(100, number=n) for n in range(1, 6)])) == 2
    emitted = rows(driver, [stale(reason), resync(), *(trade(7, number=n) for n in range(7, 11))])
    assert [int(row["bar"][0]) for row in emitted] == [3, 4]
    assert [value(row, Feature.SMA_FAST) for row in emitted] == [None, 7]
    assert driver.state("bars")[0]["restarts"] == 1


@pytest.mark.parametrize("reason", [*LOSSES.values(), *BOOK_ONLY.values()])
def test_a_next_trade_that_bears_the_next_id_shows_that_none_is_lost(
    engine: str, reason: int
) -> None:
    driver = drive(engine, trades_per_bar=2)
    records = [trade(100, number=5), stale(reason), resync(), trade(101, number=6)]
    assert len(rows(driver, records)) == 1
    assert driver.state("bars")[0]["restarts"] == 0


@pytest.mark.parametrize("reason", BOOK_ONLY.values(), ids=BOOK_ONLY)
def test_a_book_that_is_wrong_says_nothing_of_trades(engine: str, reason: int) -> None:
    driver = drive(engine, trades_per_bar=2)
    records = [quote(9, 11), trade(100), stale(reason), resync(), trade(101)]
    (row,) = rows(driver, records)
    assert value(row, Feature.SPREAD) is None  # the quote does not hold any more


def test_after_a_loss_an_interval_is_not_seen_from_its_beginning(engine: str) -> None:
    driver = timed(engine)
    at = 1000 * SECOND
    records = [stale(5), resync(), trade(100, at=at), trade(101, at=at + SECOND)]
    assert rows(driver, records) == []
    (row,) = rows(driver, [trade(102, at=at + 2 * SECOND)])
    assert row["close"] == 101


def test_ids_that_begin_again_after_a_loss_are_in_order(engine: str) -> None:
    driver = drive(engine, trades_per_bar=2)
    records = [trade(100, number=50), stale(5), trade(100, number=1), trade(100, number=2)]
    assert len(rows(driver, records)) == 1
    assert driver.state("bars")[0]["late"] == 0


def test_the_signed_volume_is_that_of_the_bars_aggressors(engine: str) -> None:
    driver = drive(engine, trades_per_bar=3)
    (row,) = rows(driver, [trade(100, 5, side=1), trade(100, 3, side=-1), trade(100, 2)])
    assert value(row, Feature.SIGNED_VOLUME) == 2
    assert value(row, Feature.SIGNED_VOLUME_SHARE) == 0.2


@pytest.mark.parametrize("kind", ["tick", "time", "volume"])
def test_every_step_gives_one_row_at_most(engine: str, kind: str) -> None:
    driver = drive(engine, 2, bar=kind, trades_per_bar=1, flat_bars=50)
    records = [trade(1 + n, 20, n % 2, n * n * SECOND) for n in range(1, 40)]
    causes = all_rows(driver, records)["cause_step"]
    assert len(causes) == len(set(causes)) > 20
