"""The closing of all positions, on ticks; native and reference alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pipeline.records import Array
from pipeline.vocabulary import Denial, ExecutionKind, OutcomeKind, Side
from shm.breaker_types import GlobalState
from tests.workers.risk.desk import NOW, STALE_MS, Desk, bits, codes, e8, quote

OLDEST = NOW - STALE_MS * 1_000_000


def closing(order: Array | None) -> Any:
    """What an order of the closing says."""
    assert order is not None
    fields = ["order_id", "intent_id", "side", "reduce_only", "quantity", "limit", "stop"]
    return order[fields][0].tolist()


@pytest.mark.parametrize(
    ("side", "market", "limit"),
    [(Side.BUY, quote(99, 100), 95), (Side.SELL, quote(99, 100), 105)],
)
def test_a_position_is_closed_whole_at_the_collar_reduce_only_and_for_no_intent(
    desk: Desk, side: Side, market: Array, limit: int
) -> None:
    desk.execute(side=side, quantity=10)
    order = desk.flatten(market)
    assert closing(order) == (1, 0, -side, 1, 10, limit, 0)
    assert order is not None
    # Its way begins with the tick: no record of the market led to it.
    origin = ["instrument", "received_ns", "venue_ns", "strategy", "cause_index"]
    assert order[origin][0].tolist() == (0, NOW, 0, 0, 0)


def test_each_position_is_closed_by_a_tick_of_its_own(desk: Desk) -> None:
    desk.execute(quantity=10)
    desk.execute(instrument=1, side=Side.SELL, quantity=7)
    short = desk.flatten(instrument=1)
    assert closing(short) == (1, 0, Side.BUY, 1, 7, 105, 0)
    assert short is not None
    assert short["instrument"] == 1
    assert closing(desk.flatten()) == (2, 0, Side.SELL, 1, 10, 95, 0)
    assert desk.account["open_orders"] == 2


def test_nothing_is_closed_unless_told_to(desk: Desk) -> None:
    desk.execute(quantity=10)
    desk.tick(quote())  # asserts that it orders nothing


def test_no_position_needs_no_order(desk: Desk) -> None:
    assert desk.flatten() is None
    assert desk.account["next_order_id"] == 1


def test_a_position_is_closed_once(desk: Desk) -> None:
    desk.execute(quantity=10)
    assert desk.flatten() is not None
    assert desk.flatten() is None
    outcome = desk.execute(side=Side.SELL, quantity=10, price=99, order_id=1)
    told = ["kind", "intent_id", "order_id", "position"]
    assert outcome[told][0].tolist() == (OutcomeKind.FILL, 0, 1, 0)
    assert desk.flatten() is None
    assert (desk.account["open_orders"], desk.account["reserved_e8"]) == (0, 0)


def test_lots_are_reserved_so_that_nobody_reduces_twice(desk: Desk) -> None:
    desk.execute(quantity=10)
    desk.flatten()
    assert desk.held()[["reserved_buy", "reserved_sell"]].tolist() == (0, 10)
    _, outcome = desk.ask(side=Side.SELL, quantity=1, reduce_only=1, stop=0)
    assert Denial.REDUCE_ONLY_INCREASES in codes(outcome)


@pytest.mark.parametrize("ending", [ExecutionKind.REJECTED, ExecutionKind.EXPIRED])
def test_what_came_to_nothing_is_tried_again_at_the_next_tick(
    desk: Desk, ending: ExecutionKind
) -> None:
    desk.execute(quantity=10)
    for order_id in (1, 2, 3):
        assert closing(desk.flatten())[0] == order_id
        desk.execute(kind=ending, side=Side.SELL, order_id=order_id, quantity=0, price=0)


def test_what_was_not_filled_is_closed_by_the_next_one(desk: Desk) -> None:
    desk.execute(quantity=10)
    desk.flatten()
    desk.execute(side=Side.SELL, quantity=4, price=99, order_id=1, leaves=6)
    assert desk.flatten() is None  # the rest is still under way
    desk.execute(kind=ExecutionKind.EXPIRED, side=Side.SELL, order_id=1, quantity=0, price=0)
    assert closing(desk.flatten()) == (2, 0, Side.SELL, 1, 6, 95, 0)


def test_it_waits_for_what_already_reduces_and_not_for_what_opens(desk: Desk) -> None:
    desk.execute(quantity=5)
    desk.approve(quantity=1)
    reducing = desk.approve(side=Side.SELL, quantity=2, reduce_only=1, stop=0)
    assert desk.flatten() is None
    order_id = int(reducing["order_id"][0])
    desk.execute(side=Side.SELL, quantity=2, price=99, order_id=order_id)
    assert closing(desk.flatten()) == (3, 0, Side.SELL, 1, 3, 95, 0)


@pytest.mark.parametrize(
    "why_not",
    [
        {"market": quote(link_ns=OLDEST - 1)},
        {"market": quote(received_ns=0)},
        {"market": quote(100, 100)},
        {"market": quote(99, 0)},
        {"market": quote(0, 100)},
        {"halted": 1},
        {"breakers": {"forced": bits("feed.sim")}},
        {"breakers": {"forced": bits("orders.sim"), "blocked": bits("orders.sim")}},
    ],
)
@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_it_waits_while_nothing_may_be_sent_or_nobody_knows_the_price(
    desk: Desk, side: Side, why_not: Mapping[str, Any]
) -> None:
    desk.execute(side=side, quantity=10)
    assert desk.flatten(**why_not) is None
    assert desk.account["next_order_id"] == 1
    assert desk.flatten(quote(link_ns=OLDEST)) is not None


@pytest.mark.parametrize(
    "breakers",
    [
        {"global": GlobalState.OPEN},
        {"global": GlobalState.UNKNOWN},
        {"blocked": bits("feed.sim", "orders.sim", "ta", "ml")},
        {"forced": bits("feed.far", "orders.far", "ta", "ml", "risk")},
    ],
)
def test_open_breakers_do_not_keep_us_in(desk: Desk, breakers: Mapping[str, int]) -> None:
    desk.execute(quantity=10)
    assert desk.flatten(breakers=breakers) is not None


def test_covering_a_short_reserves_money_that_need_not_be_there(kind: str) -> None:
    desk = Desk(kind, "1000")
    desk.execute(side=Side.SELL, quantity=10, price=1)
    assert desk.flatten(quote(190, 200)) is not None  # 210 each, of an account of 1010
    assert desk.account["reserved_e8"] == e8(2100 * 1.001)
    assert desk.open_orders()["reserved_e8"].tolist() == [e8(2100 * 1.001)]
    desk.execute(quantity=10, price=200, order_id=1)
    assert (desk.account["reserved_e8"], desk.held()["position"]) == (0, 0)


def test_a_sale_reserves_no_money(desk: Desk) -> None:
    desk.execute(quantity=10)
    order = desk.flatten()
    assert order is not None
    assert (order["reserved"][0], desk.account["reserved_e8"]) == (0, 0)


def test_it_waits_for_a_free_cell(kind: str) -> None:
    desk = Desk(kind, open_orders=1)
    desk.execute(quantity=5)
    desk.execute(instrument=1, quantity=5)
    desk.approve(quantity=1)
    reduce: dict[str, Any] = {"instrument": 1, "side": Side.SELL, "reduce_only": 1, "stop": 0}
    for _ in range(2):
        desk.approve(**reduce, quantity=1)
    assert desk.flatten() is None
    desk.execute(kind=ExecutionKind.EXPIRED, order_id=1, quantity=0, price=0)
    assert desk.flatten() is not None


def test_the_mark_is_taken_as_ever(desk: Desk) -> None:
    desk.execute(quantity=10)
    desk.flatten(quote(110, 112))
    assert desk.held()["mark"] == 110
    assert desk.account["equity_e8"] == e8(100_100)
    assert desk.account["high_water_e12"] == 1001 * 10**9


def test_a_whole_account_is_flat_after_a_tick_of_each(desk: Desk) -> None:
    for instrument, side in ((0, Side.BUY), (1, Side.SELL)):
        desk.execute(instrument=instrument, side=side, quantity=10)
    for instrument in (0, 1):
        order = desk.flatten(instrument=instrument)
        assert order is not None
        desk.execute(
            instrument=instrument,
            side=int(order["side"][0]),
            quantity=int(order["quantity"][0]),
            order_id=int(order["order_id"][0]),
        )
    assert [int(desk.held(index)["position"]) for index in (0, 1)] == [0, 0]
    assert desk.is_conserved()
    assert desk.account["approved"] == 2
