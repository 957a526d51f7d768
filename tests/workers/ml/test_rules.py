"""When an entry is worth it and how large it is, and the books of the ways to score."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline.vocabulary import BOOKS, OutcomeKind, Side
from tests.workers.ml.signals import ENGINES, Array, drive, features, hear, outcome, scored, see
from workers.ta.features import Feature

pytestmark = pytest.mark.parametrize("engine", ENGINES)

# All of the score is technical analysis's; 1 % of range, so 3 % to the stop and 6 % to the target.
ALONE: dict[str, Any] = {
    "strategy": "blend",
    "weight_bp": 10_000,
    "enter_bp": 3_000,
    "leave_bp": 1_000,
}


def with_spread(row: Array, spread: float) -> Array:
    row["value"][0, Feature.SPREAD] = spread
    row["valid"] |= np.uint64(1 << Feature.SPREAD)
    return row


def quantity(engine: str, row: Array, **settings: Any) -> int:
    """Return the size of the entry with which a row is answered."""
    intent = see(drive(engine, **{**ALONE, **settings}), row)
    return 0 if intent is None else int(intent["quantity"][0])


@pytest.mark.parametrize(
    ("values", "score"),
    [
        ((2.0, 0.25, 0.4, 1.0, 0.30), 1.0),  # trend alone, all clamped
        ((9.0, 9.0, 0.0, 0.0, 0.99), 1.0),
        ((1.0, 0.0, 0.0, 0.0, 0.50), 0.25),
        ((2.0, 0.25, -0.4, -1.0, 0.15), 1.0),  # no trend: against the swing
        ((-2.0, -0.25, -0.2, -0.5, 0.10), 0.5),
        ((2.0, 0.25, 0.4, 1.0, 0.225), 0.0),  # in between they cancel out
    ],
)
def test_blend_goes_with_a_trend_and_against_a_swing(
    engine: str, values: tuple[float, ...], score: float
) -> None:
    names = (
        *(Feature.EMA_SLOW_DISTANCE, Feature.MACD_HISTOGRAM_SCALED, Feature.RSI_BALANCE),
        *(Feature.BOLLINGER_POSITION, Feature.ADX_SHARE),
    )
    row = features({**dict(zip(names, values, strict=True)), Feature.ATR: 100.0})
    driver = drive(engine, **ALONE | {"enter_bp": 1, "leave_bp": 0})
    intent = see(driver, row)
    found = 0.0 if intent is None else float(intent["score"][0])
    assert found == pytest.approx(score, abs=1e-12)
    lacking = row.copy()
    lacking["valid"] &= ~np.uint64(1 << names[0])
    assert see(drive(engine, **ALONE | {"enter_bp": 1}), lacking) is None


def test_between_entry_and_leaving_nothing_changes(engine: str) -> None:
    driver = drive(engine, **ALONE)
    assert see(driver, scored(0.29)) is None
    assert see(driver, scored(0.3)) is not None
    hear(driver, outcome(OutcomeKind.FILL, 1, position=5))
    assert [see(driver, scored(score)) for score in (0.9, 0.29, 0.11)] == [None] * 3
    leaving = see(driver, scored(0.1))
    assert leaving is not None
    assert (leaving["side"][0], leaving["quantity"][0]) == (Side.SELL, 5)


def test_after_its_stop_or_target_a_score_must_fall_before_it_enters_again(engine: str) -> None:
    driver = drive(engine, **ALONE)
    assert see(driver, scored(0.5)) is not None
    hear(driver, outcome(OutcomeKind.FILL, 1, position=5))
    hear(driver, outcome(OutcomeKind.STOP, 0, Side.SELL))
    assert [see(driver, scored(score)) for score in (0.5, 0.9, 0.29)] == [None] * 3
    assert see(driver, scored(0.5)) is not None


@pytest.mark.parametrize(
    ("score", "spread", "margin_bp", "is_worth"),
    [
        # The move is 4.5 % of the score, the costs 0.2 % and the spread.
        (0.4, 0.0, 90_000, True),
        (0.399, 0.0, 90_000, False),
        (0.4, 0.001, 90_000, False),
        (0.4, 0.001, 60_000, True),
        (0.4, 0.015, 10_000, True),
        (0.4, 0.017, 10_000, False),
        (0.4, 0.5, 0, True),
    ],
)
def test_a_move_must_be_worth_its_costs(
    engine: str, score: float, spread: float, margin_bp: int, is_worth: bool
) -> None:
    row = with_spread(scored(score), spread)
    assert (quantity(engine, row, cost_margin_bp=margin_bp) > 0) == is_worth


@pytest.mark.parametrize(
    ("target_bp", "atr", "lots"),
    [
        (0, 100.0, 10_000),
        (1, 100.0, 10_000),  # 10 of 100,000 by 1 %: the cap of 1,000
        (1, 200.0, 5_000),
        (1, 400.0, 2_500),
        (3, 1_000.0, 3_000),
    ],
)
def test_the_wilder_the_market_the_smaller_the_entry(
    engine: str, target_bp: int, atr: float, lots: int
) -> None:
    found = quantity(engine, scored(0.9, atr=atr), volatility_target_bp=target_bp)
    assert found == pytest.approx(lots, abs=1)


def test_an_entry_is_a_fraction_of_kellys_bet(engine: str) -> None:
    # Of 6 % and 3 %, 0.2 % less and more: the chance is a third and half of the score.
    def kelly(score: float) -> float:
        chance = 1 / 3 + score / 2
        return chance / 0.032 - (1 - chance) / 0.058

    for score in (0.3, 0.5, 1.0):
        most = 100_000 * 0.0001 * kelly(score) / 0.1
        lots = quantity(engine, scored(score), kelly_bp=1, cost_margin_bp=0)
        assert lots == pytest.approx(min(most, 10_000), abs=1)
    assert quantity(engine, scored(0.3), kelly_bp=1) < quantity(engine, scored(0.5), kelly_bp=1)


@pytest.mark.parametrize("spread", [0.011, 0.5])
def test_there_is_no_bet_without_an_edge(engine: str, spread: float) -> None:
    row = with_spread(scored(0.3), spread)  # a move of 1.35 %
    assert (quantity(engine, row, kelly_bp=10_000) > 0) == (spread < 0.0115)


@pytest.mark.parametrize(
    ("notional", "lots"), [("5.01", 50), ("5", 50), ("4.99", 0), ("0.1", 0), ("0.05", 0)]
)
def test_what_the_venue_does_not_take_is_not_asked_for(
    engine: str, notional: str, lots: int
) -> None:
    assert quantity(engine, scored(0.9), order_notional=notional) == lots


def test_what_was_not_worth_it_is_not_wanted_any_more(engine: str) -> None:
    driver = drive(engine, **ALONE, cost_margin_bp=90_000)
    assert see(driver, scored(0.35)) is None
    assert driver.state("instruments")["wanted"] == 0
    assert see(driver, scored(0.45)) is not None


@pytest.mark.parametrize(
    ("close", "atr", "target"),
    [
        (10_000, 20.0, 10_120),
        (10_000, 20.1, 10_121),
        (10_000, 0.0, 10_001),
        (10_000, 1e300, 2**62),
    ],
)
def test_a_target_is_a_tick_above_the_close_or_more(
    engine: str, close: int, atr: float, target: int
) -> None:
    intent = see(drive(engine, **ALONE), scored(0.9, atr=atr, close=close))
    assert intent is not None
    assert intent["target"] == target


# Books


def book(driver: Any, name: str, instrument: int = 0) -> dict[str, Any]:
    cell = driver.state("books")[instrument * len(BOOKS) + BOOKS.index(name)]
    return {field: cell[field].item() for field in cell.dtype.names}


def test_a_book_enters_and_leaves_by_the_rules_at_closes_and_pays_for_it(engine: str) -> None:
    driver = drive(engine, instruments=2, **ALONE | {"weight_bp": 5_000})
    see(driver, scored(0.4, instrument=1))
    assert book(driver, "ta", 1) == {
        "position": 1,
        "entered": 10_000,
        "stop": 9_700,
        "target": 10_600,
        "spent": 0,
        "trades": 0,
        "result_bp": 0.0,
        "open_bp": -20.0,
    }
    # Its half alone is not enough to enter.
    assert book(driver, "blend", 1)["position"] == book(driver, "ml", 1)["position"] == 0
    see(driver, scored(0.2, close=10_100, instrument=1))
    assert book(driver, "ta", 1)["open_bp"] == pytest.approx(80.0)
    see(driver, with_spread(scored(0.1, close=10_200, instrument=1), 0.001))
    left = book(driver, "ta", 1)
    assert left["result_bp"] == pytest.approx(200.0 - 20.0 - 10.0)
    assert (left["trades"], left["position"], left["open_bp"]) == (1, 0, 0.0)
    assert book(driver, "ta", 0)["trades"] == 0


@pytest.mark.parametrize(("close", "result"), [(9_700, -320.0), (10_650, 630.0)])
def test_a_book_that_was_stopped_waits_for_the_score_to_fall(
    engine: str, close: int, result: float
) -> None:
    driver = drive(engine, **ALONE)
    for row in (scored(0.9), scored(0.9, close=close), scored(0.9), scored(0.9)):
        see(driver, row)
    held = book(driver, "ta")
    assert (held["trades"], held["position"], held["spent"]) == (1, 0, 1)
    assert held["result_bp"] == pytest.approx(result)
    see(driver, scored(0.2))
    see(driver, scored(0.9))
    assert book(driver, "ta")["position"] == 1


def test_the_books_are_kept_whatever_becomes_of_the_intents(engine: str) -> None:
    driver = drive(engine, **ALONE)
    intent = see(driver, scored(0.9))
    assert intent is not None
    hear(driver, outcome(OutcomeKind.DENIED, int(intent["intent_id"][0])))
    for score in (0.0, 0.9, 0.0):
        see(driver, scored(score))
    assert book(driver, "ta")["trades"] == book(driver, "blend")["trades"] == 2


def test_a_row_without_a_price_is_in_no_book(engine: str) -> None:
    driver = drive(engine, **ALONE)
    see(driver, scored(0.9, close=0))
    assert book(driver, "ta")["position"] == 0
