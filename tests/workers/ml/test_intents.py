"""When the ml stage asks for what: signals, sizes, stops, and one intent at a time."""

from __future__ import annotations

import pytest

from pipeline.vocabulary import OutcomeKind, Side
from tests.workers.ml.signals import (
    ENGINES,
    NOW,
    above,
    below,
    drive,
    enter,
    features,
    hear,
    hold,
    means,
    outcome,
    see,
)
from workers.ml.stage import Strategies
from workers.ta.features import Feature

pytestmark = pytest.mark.parametrize("engine", ENGINES)

REFUSALS = [OutcomeKind.DENIED, OutcomeKind.REJECTED, OutcomeKind.EXPIRED]


def test_crossing_upwards_buys_at_the_market_with_a_stop(engine: str) -> None:
    driver = drive(engine, instruments=2)
    assert see(driver, below(instrument=1)) is None
    intent = see(driver, above(instrument=1, close=10_000, atr=20.0))
    assert intent is not None
    assert {name: intent[name][0].item() for name in intent.dtype.names or ()} == {
        "sequence": 0,
        "cause_step": 2,
        "cause_index": 0,
        "instrument": 1,
        "venue_ns": 60,
        "received_ns": 1_060,
        "stamped_ns": NOW,
        "intent_id": 1,
        "strategy": 0,
        "side": Side.BUY,
        "reduce_only": 0,
        "quantity": 10_000,  # 1,000 at 0.10 a lot
        "limit": 0,
        "stop": 9_940,  # three ranges below the close
        "created_ns": NOW,
        "ttl_ns": 1_000_000_000,
        "score": 0.5,
        "target": 10_120,  # six above it
    }


def test_crossing_downwards_sells_all_that_is_held(engine: str) -> None:
    driver = drive(engine)
    hold(driver, position=7)
    intent = see(driver, below())
    assert intent is not None
    fields = ("intent_id", "side", "reduce_only", "quantity", "limit", "stop", "score")
    assert [intent[field][0] for field in fields] == [2, Side.SELL, 1, 7, 0, 0, -0.5]


def test_with_nothing_held_crossing_downwards_asks_for_nothing(engine: str) -> None:
    driver = drive(engine)
    assert see(driver, above()) is None
    assert see(driver, below()) is None


def test_the_first_sign_is_no_crossing(engine: str) -> None:
    assert see(drive(engine), above()) is None


def test_means_that_touch_have_not_crossed(engine: str) -> None:
    driver = drive(engine)
    rows = [means(100, 100), below(), means(100, 100), below(), means(100, 100)]
    assert [see(driver, row) for row in rows] == [None] * 5
    assert see(driver, above()) is not None


@pytest.mark.parametrize("missing", [Feature.SMA_FAST, Feature.SMA_SLOW, Feature.ATR])
def test_rows_without_a_mean_or_a_range_are_passed_over(engine: str, missing: Feature) -> None:
    driver = drive(engine)
    values = {Feature.SMA_FAST: 101.0, Feature.SMA_SLOW: 100.0, Feature.ATR: 20.0}
    del values[missing]
    see(driver, below())
    assert see(driver, features(values)) is None
    assert see(driver, above()) is not None


def test_a_tick_asks_for_nothing(engine: str) -> None:
    driver = drive(engine)
    see(driver, below())
    assert driver.step("tick", None, now_ns=NOW) == []


@pytest.mark.parametrize(("threshold_bp", "is_signal"), [(2_500, True), (2_501, False), (1, True)])
def test_a_score_as_high_as_the_threshold_is_a_signal(
    engine: str, threshold_bp: int, is_signal: bool
) -> None:
    driver = drive(engine, weight_bp=2_500, enter_bp=threshold_bp)
    see(driver, below())
    assert (see(driver, above()) is not None) == is_signal


def test_without_weight_a_strategy_has_no_say(engine: str) -> None:
    driver = drive(engine, weight_bp=0, enter_bp=1)
    assert [see(driver, row) for row in (below(), above())] == [None, None]
    hear(driver, outcome(OutcomeKind.FILL, 0, position=7))
    assert see(driver, below()) is None


@pytest.mark.parametrize(
    ("notional", "close", "lots"),
    [
        ("1000", 10_000, 10_000),
        ("1000.09", 10_000, 10_000),
        ("999.99", 10_000, 9_999),
        ("92233720368.54775807", 1, 2**63 // 10**3),
    ],
    ids=["exact", "not quite a lot more", "not quite another lot", "the most"],
)
def test_an_entry_is_of_whole_lots_within_the_notional(
    engine: str, notional: str, close: int, lots: int
) -> None:
    driver = drive(engine, order_notional=notional)
    see(driver, below())
    intent = see(driver, above(close=close))
    assert intent is not None
    assert intent["quantity"] == lots


def test_a_quantity_is_never_more_than_a_record_can_say(engine: str) -> None:
    least = "0.00000001"
    driver = drive(engine, tick=least, lot=least, order_notional="1000")
    see(driver, below())
    intent = see(driver, above(close=1))
    assert intent is not None
    assert intent["quantity"] == 2**63 - 1


@pytest.mark.parametrize(
    ("close", "atr", "stop"),
    [
        (10_000, 20.0, 9_940),
        (10_000, 20.1, 9_939),
        (10_000, 0.0, 9_999),
        (10_000, 3_333.0, 1),
        (10_000, 1e300, 1),
        (2, 0.0, 1),
        (1, 0.0, 1),
    ],
)
def test_a_stop_is_a_tick_below_the_close_or_more_and_never_below_one(
    engine: str, close: int, atr: float, stop: int
) -> None:
    driver = drive(engine)
    see(driver, below())
    intent = see(driver, above(close=close, atr=atr))
    assert intent is not None
    assert intent["stop"] == stop


def test_a_row_without_a_price_is_not_traded_upon(engine: str) -> None:
    driver = drive(engine)
    see(driver, below())
    assert see(driver, above(close=0)) is None
    assert see(driver, above()) is not None


def test_while_an_intent_is_pending_there_is_no_other(engine: str) -> None:
    driver = drive(engine)
    intent = enter(driver)
    hear(driver, outcome(OutcomeKind.APPROVED, intent))
    hear(driver, outcome(OutcomeKind.FILL, intent, position=3, leaves=4))
    assert [see(driver, row) for row in (below(), above(), below())] == [None] * 3
    hear(driver, outcome(OutcomeKind.FILL, intent, position=7, leaves=0))
    exit_ = see(driver, below())
    assert exit_ is not None
    assert (exit_["side"][0], exit_["quantity"][0]) == (Side.SELL, 7)


def test_outcomes_of_other_intents_do_not_end_the_pending_one(engine: str) -> None:
    driver = drive(engine)
    intent = enter(driver)
    for kind in (*REFUSALS, OutcomeKind.FILL):
        hear(driver, outcome(kind, intent + 1))
    (own,) = driver.state("instruments")
    assert (own["pending"], own["wanted"]) == (intent, 1)


@pytest.mark.parametrize("kind", REFUSALS)
def test_an_entry_that_was_refused_waits_for_the_next_signal(
    engine: str, kind: OutcomeKind
) -> None:
    driver = drive(engine)
    hear(driver, outcome(kind, enter(driver)))
    assert see(driver, above()) is None
    assert see(driver, below()) is None
    assert see(driver, above()) is not None


@pytest.mark.parametrize("kind", REFUSALS)
def test_an_exit_that_was_refused_is_tried_again(engine: str, kind: OutcomeKind) -> None:
    driver = drive(engine)
    hold(driver)
    for _ in range(3):
        intent = see(driver, below())
        assert intent is not None
        assert (intent["side"][0], intent["score"][0]) == (Side.SELL, -0.5)
        hear(driver, outcome(kind, int(intent["intent_id"][0]), Side.SELL))


@pytest.mark.parametrize("kind", [OutcomeKind.STOP, OutcomeKind.FILL])
def test_a_position_that_others_have_ended_is_not_opened_again_before_a_signal(
    engine: str, kind: OutcomeKind
) -> None:
    # A fill of no intent is one of risk's own: it flattens.
    driver = drive(engine)
    hold(driver)
    hear(driver, outcome(kind, 0, Side.SELL, position=0))
    assert driver.state("instruments")["position"] == 0
    assert see(driver, above()) is None
    assert see(driver, below()) is None
    assert see(driver, above()) is not None


def test_a_signal_to_leave_during_an_entry_is_acted_upon_when_that_is_over(engine: str) -> None:
    driver = drive(engine)
    intent = enter(driver)
    assert see(driver, below()) is None
    hear(driver, outcome(OutcomeKind.FILL, intent, position=7))
    exit_ = see(driver, below())  # no crossing of its own
    assert exit_ is not None
    assert exit_["side"] == Side.SELL


def test_a_signal_to_enter_during_an_exit_is_acted_upon_when_that_is_over(engine: str) -> None:
    driver = drive(engine)
    hold(driver)
    exit_ = see(driver, below())
    assert exit_ is not None
    assert see(driver, above()) is None
    hear(driver, outcome(OutcomeKind.FILL, int(exit_["intent_id"][0]), Side.SELL, position=0))
    entry = see(driver, above())
    assert entry is not None
    assert (entry["side"][0], entry["score"][0]) == (Side.BUY, 0.5)


def test_instruments_have_positions_of_their_own_and_share_the_numbers_of_intents(
    engine: str,
) -> None:
    driver = drive(engine, instruments=3)
    assert [enter(driver, instrument) for instrument in (2, 0, 1)] == [1, 2, 3]
    assert driver.state("instruments")["pending"].tolist() == [2, 3, 1]
    assert driver.state("stage")["last_intent_id"] == 3


def test_records_of_unknown_instruments_are_refused(engine: str) -> None:
    driver = drive(engine)
    with pytest.raises(IndexError, match="features row 0: instrument was 1, must be below 1"):
        see(driver, below(instrument=1))
    with pytest.raises(IndexError, match="outcome 0: instrument was 1, must be below 1"):
        hear(driver, outcome(OutcomeKind.FILL, 1, instrument=1))


def test_rows_of_another_version_are_refused(engine: str) -> None:
    row = below()
    row["version"] = 99
    with pytest.raises(ValueError, match="features row 0: version was 99, must be 2"):
        see(drive(engine), row)


def test_the_stage_answers_outcomes_with_nothing(engine: str) -> None:
    assert Strategies.emits["outcomes"] == {}
    assert list(Strategies.emits)[:2] == ["outcomes", "features"]  # what leads back comes first
