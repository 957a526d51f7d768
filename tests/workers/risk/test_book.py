"""Executions and what they do to money, positions and reservations; native and reference alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.records import EXECUTION
from pipeline.replay import Driver
from pipeline.vocabulary import Denial, ExecutionKind, OutcomeKind, Side
from tests.workers.risk.desk import ENGINES, NOW, Desk, codes, config, e8, quote, record_of
from workers.risk import reference
from workers.risk.stage import Risk


@pytest.mark.parametrize("first", ["intent", "execution", "tick"])
def test_the_first_step_of_any_kind_opens_the_account(kind: str, first: str) -> None:
    desk = Desk(kind, "1234.5")
    match first:
        case "intent":
            desk.ask(quantity=0)
        case "execution":
            desk.execute(kind=ExecutionKind.EXPIRED)
        case _:
            desk.tick(quote())
    account = desk.account
    for field in ("opening_e8", "cash_e8", "equity_e8", "units"):
        assert account[field] == e8(1234.5)
    assert (account["begun"], account["next_order_id"]) == (1, 1)


def test_a_buy_turns_cash_into_cost_and_a_fee(desk: Desk) -> None:
    outcome = desk.execute(quantity=10, price=100, fee=e8(1), order_id=9, intent_id=8, strategy=2)
    account, held = desk.account, desk.held()
    assert (account["cash_e8"], account["fees_e8"]) == (e8(98_999), e8(1))
    assert (account["realised_e8"], account["fills"]) == (0, 1)
    assert (held["position"], held["cost_e8"]) == (10, e8(1000))
    told = ["kind", "side", "code", "strategy", "quantity", "price", "position", "leaves"]
    assert outcome[told][0].tolist() == (OutcomeKind.FILL, 1, 0, 2, 10, 100, 10, 0)
    assert outcome[["intent_id", "order_id"]][0].tolist() == (8, 9)


def test_a_position_keeps_its_average_cost_and_realises_on_what_is_closed(desk: Desk) -> None:
    desk.execute(quantity=10, price=100)
    desk.execute(quantity=20, price=130)  # average 120
    desk.execute(side=Side.SELL, quantity=15, price=140)
    held = desk.held()
    assert (held["position"], held["cost_e8"]) == (15, e8(15 * 120))
    assert desk.account["realised_e8"] == e8(15 * 20)
    desk.execute(side=Side.SELL, quantity=15, price=110)
    held = desk.held()
    assert (held["position"], held["cost_e8"], held["value_e8"], held["mark"]) == (0, 0, 0, 0)
    assert desk.account["realised_e8"] == e8(15 * 20 - 15 * 10)
    assert desk.account["equity_e8"] == desk.account["cash_e8"] == e8(100_150)


def test_a_short_costs_minus_its_proceeds(desk: Desk) -> None:
    desk.execute(side=Side.SELL, quantity=10, price=100)
    held = desk.held()
    assert (held["position"], held["cost_e8"]) == (-10, e8(-1000))
    assert desk.account["cash_e8"] == e8(101_000)
    desk.execute(side=Side.BUY, quantity=4, price=90)
    held = desk.held()
    assert (held["position"], held["cost_e8"]) == (-6, e8(-600))
    assert desk.account["realised_e8"] == e8(40)


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_a_fill_through_zero_realises_all_and_opens_the_rest(desk: Desk, side: Side) -> None:
    desk.execute(side=side, quantity=10, price=100)
    outcome = desk.execute(side=-side, quantity=25, price=110)
    held = desk.held()
    assert (held["position"], held["cost_e8"]) == (-side * 15, e8(-side * 15 * 110))
    assert desk.account["realised_e8"] == e8(side * 100)
    assert outcome["position"] == -side * 15
    assert desk.is_conserved()


def test_what_is_rounded_is_rounded_against_us_and_once(desk: Desk) -> None:
    # Of the odd instrument a tick of a lot is worth 0.1 units of money.
    desk.execute(instrument=1, quantity=1, price=3)
    assert desk.held(1)["cost_e8"] == 1
    desk.execute(instrument=1, quantity=1, price=11)
    assert desk.held(1)["cost_e8"] == 3
    desk.execute(instrument=1, side=Side.SELL, quantity=1, price=19)
    assert desk.account["cash_e8"] == e8(100_000) - 3 + 1
    assert desk.held(1)["cost_e8"] == 2  # 1 of 3 is released for half of it, 2 remain
    desk.execute(instrument=1, side=Side.SELL, quantity=1, price=19)
    assert desk.held(1)["cost_e8"] == 0
    assert desk.account["realised_e8"] == -1
    assert desk.is_conserved()


def test_a_rebate_is_a_negative_fee(desk: Desk) -> None:
    desk.execute(fee=-5)
    assert desk.account["cash_e8"] == e8(99_000) + 5
    assert desk.account["fees_e8"] == -5
    assert desk.is_conserved()


def test_a_stop_is_booked_like_a_fill(desk: Desk) -> None:
    desk.execute(quantity=10, price=100)
    outcome = desk.execute(
        kind=ExecutionKind.STOP, side=Side.SELL, quantity=10, price=90, strategy=4
    )
    told = ["kind", "order_id", "intent_id", "strategy", "position", "code", "failed"]
    assert outcome[told][0].tolist() == (OutcomeKind.STOP, 0, 0, 4, 0, 0, 0)
    assert desk.account["realised_e8"] == e8(-100)


def test_a_fill_of_an_order_that_nobody_knows_is_booked_all_the_same(desk: Desk) -> None:
    order = desk.approve()
    desk.execute(order_id=99)
    assert desk.held()["position"] == 10
    assert desk.open_orders()["order_id"].tolist() == [order["order_id"][0]]


def test_an_order_reserves_lots_and_money_until_it_is_filled(desk: Desk) -> None:
    order = desk.approve(quantity=10)
    reserved = e8(105 * 10 * 1.001)
    assert order["reserved"] == desk.account["reserved_e8"] == reserved
    assert desk.held()["reserved_buy"] == 10
    desk.execute(order_id=1, quantity=3, leaves=7)
    assert desk.held()["reserved_buy"] == 7
    assert desk.account["reserved_e8"] == -(-reserved * 7 // 10)
    desk.execute(order_id=1, quantity=7, leaves=0)
    assert len(desk.open_orders()) == 0
    assert (desk.held()["reserved_buy"], desk.account["reserved_e8"]) == (0, 0)
    assert desk.account["open_orders"] == 0


def test_what_is_left_of_a_reservation_is_rounded_up(kind: str) -> None:
    desk = Desk(kind)
    desk.approve(instrument=1, quantity=7, limit=100, stop=97)
    reserved = int(desk.account["reserved_e8"])
    assert reserved == 70 + 1  # 0.0525 of fee
    desk.execute(instrument=1, order_id=1, quantity=4, leaves=3)
    assert desk.account["reserved_e8"] == 31  # 30.43
    desk.execute(instrument=1, order_id=1, quantity=2, leaves=1)
    assert desk.account["reserved_e8"] == 11


def test_a_sell_reserves_lots_only(desk: Desk) -> None:
    order = desk.approve(side=Side.SELL, stop=100)
    assert order["reserved"] == desk.account["reserved_e8"] == 0
    held = desk.held()
    assert (held["reserved_buy"], held["reserved_sell"]) == (0, 10)
    desk.execute(side=Side.SELL, order_id=1, quantity=10)
    assert desk.held()["reserved_sell"] == 0


@pytest.mark.parametrize(
    ("ending", "kind_told", "reason"),
    [
        (ExecutionKind.REJECTED, OutcomeKind.REJECTED, Denial.KILLED),
        (ExecutionKind.EXPIRED, OutcomeKind.EXPIRED, Denial.NONE),
    ],
)
def test_an_order_that_ends_without_a_fill_gives_everything_back(
    desk: Desk, ending: ExecutionKind, kind_told: OutcomeKind, reason: Denial
) -> None:
    desk.approve()
    outcome = desk.execute(kind=ending, order_id=1, quantity=0, price=0, reason=reason, leaves=10)
    assert outcome[["kind", "code"]][0].tolist() == (kind_told, reason)
    assert codes(outcome) == {reason} - {Denial.NONE}
    account = desk.account
    assert (account["reserved_e8"], account["open_orders"], account["unfilled"]) == (0, 0, 1)
    assert (desk.held()["reserved_buy"], account["cash_e8"]) == (0, e8(100_000))


def test_an_order_that_fills_less_and_is_over_gives_the_rest_back(desk: Desk) -> None:
    desk.approve(quantity=10)
    desk.execute(order_id=1, quantity=4, leaves=0)
    assert (desk.held()["reserved_buy"], desk.account["reserved_e8"]) == (0, 0)


def test_executions_hand_on_where_they_came_from(desk: Desk) -> None:
    outcome = desk.execute(instrument=1, received_ns=21, venue_ns=22)
    assert outcome[["instrument", "received_ns", "venue_ns"]][0].tolist() == (1, 21, 22)


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"instrument": 2}, IndexError, "execution 0: instrument was 2, must be below 2"),
        ({"kind": 0}, ValueError, r"kind was 0, must be in 1 \.\. 4"),
        ({"kind": 5}, ValueError, r"kind was 5, must be in 1 \.\. 4"),
        ({"side": 0}, ValueError, "side was 0, must be 1 or -1"),
        ({"quantity": 0}, ValueError, "quantity was 0, must be > 0"),
        ({"price": 0}, ValueError, "price was 0, must be > 0"),
        ({"price": -1}, ValueError, "price was -1, must be > 0"),
        ({"quantity": 2**40, "price": 2**40}, OverflowError, r"cash_e8 was -\d+, must fit int64"),
    ],
)
def test_what_cannot_be_booked_stops_us(
    desk: Desk, fields: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        desk.execute(**fields)


def test_money_that_is_missing_stops_us() -> None:
    stage = Risk(config())
    counts = {group: count for group, (_, count) in stage.cells().items()}

    class Embezzler(reference.Risk):
        def step(self, context: Any, event: Any, state: Any, emit: Any) -> None:
            super().step(context, None, state, emit)
            state.edit("account", 0)["cash_e8"] -= 1
            super().step(context, event, state, emit)

    embezzler = Embezzler(
        stage.opening, stage.currencies, stage.limits, stage.masks, stage.instruments, counts
    )
    driver = Driver(stage, embezzler)
    fill = record_of(EXECUTION, kind=ExecutionKind.FILL, side=1, quantity=1, price=1)
    with pytest.raises(RuntimeError, match="cash \\+ cost of positions was 9999999999999, must be"):
        driver.step("executions", fill, now_ns=NOW)


FILLS = st.lists(
    st.fixed_dictionaries(
        {
            "instrument": st.integers(0, 1),
            "side": st.sampled_from([1, -1]),
            "quantity": st.integers(1, 50),
            "price": st.integers(1, 300),
            "fee": st.integers(-20, 1000),
        }
    ),
    min_size=1,
    max_size=25,
)


@pytest.mark.parametrize("engine_kind", ENGINES)
@settings(max_examples=60)
@given(fills=FILLS)
def test_any_history_conserves_money_and_ends_flat_with_all_of_it_realised(
    engine_kind: str, fills: list[dict[str, Any]]
) -> None:
    desk = Desk(engine_kind)
    for fill in fills:
        desk.execute(**fill)
        assert desk.is_conserved()
        account = desk.account
        assert account["equity_e8"] == account["cash_e8"] + account["value_e8"]
        for index in range(2):  # cost has the position's sign, and none without a position
            held = desk.held(index)
            assert np.sign(held["cost_e8"]) in (0, np.sign(held["position"]))
            assert held["position"] != 0 or held["cost_e8"] == 0
    for index in range(2):
        if position := int(desk.held(index)["position"]):
            side = -1 if position > 0 else 1
            desk.execute(instrument=index, side=side, quantity=abs(position), price=100)
    account = desk.account
    assert [int(desk.held(index)["cost_e8"]) for index in range(2)] == [0, 0]
    assert account["value_e8"] == 0
    assert account["cash_e8"] - e8(100_000) == account["realised_e8"] - account["fees_e8"]
