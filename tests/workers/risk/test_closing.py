"""The slices in which positions are closed, and what REDUCED may leave; both kernels alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.records import Array
from pipeline.vocabulary import ExecutionKind, Mode, Side
from tests.workers.risk.desk import ENGINES, INSTRUMENTS, Desk, config, quote
from tests.workers.risk.test_control import change, number_of
from tests.workers.risk.test_currencies import ETHBTC, desk_of, market_of

EMERGENCY = {"mode": Mode.EMERGENCY}


def desk_with(
    kind: str, venue: Mapping[str, str] | None = None, equity: str = "100000", **risk: Any
) -> Desk:
    """A desk whose first instrument has other bounds at its venue."""
    first, *others = INSTRUMENTS
    return Desk(
        kind,
        settings=config(equity, **risk) | {"instruments": [first | dict(venue or {}), *others]},
    )


def closed(
    desk: Desk, lots: int, side: int = Side.BUY, breakers: Mapping[str, int] | None = None
) -> list[int]:
    """Open a position and close it; return the orders that it takes, each filled whole."""
    desk.execute(side=side, quantity=lots)
    desk.tick(quote())
    slices = []
    while (order := desk.flatten(breakers=breakers or {})) is not None:
        assert order[["side", "reduce_only", "intent_id"]][0].tolist() == (-side, 1, 0)
        assert desk.flatten(breakers=breakers or {}) is None  # while it is under way
        slices.append(fill(desk, order))
    return slices


def fill(desk: Desk, order: Array) -> int:
    """Fill an order at 100; return its quantity."""
    [quantity] = order["quantity"].tolist()
    desk.execute(side=int(order["side"][0]), quantity=quantity, order_id=int(order["order_id"][0]))
    return int(quantity)


# At its limit, 95, a lot is worth 95; the venue takes 100, so 2 lots.
@pytest.mark.parametrize(
    ("venue", "risk", "lots", "slices"),
    [
        ({}, {"order_notional": "0"}, 25, [25]),
        ({}, {"order_notional": "949"}, 25, [9, 9, 7]),
        ({}, {"order_notional": "950"}, 25, [10, 10, 5]),
        ({}, {"order_notional": "950"}, 10, [10]),
        ({}, {"order_notional": "1", "instruments": {"ONEUSDT": {"order_notional": "950"}}}, 20,
         [10, 10]),
        ({"max_quantity": "7"}, {}, 25, [7, 7, 7, 4]),
        ({"max_quantity": "7"}, {"order_notional": "475"}, 12, [5, 5, 2]),
        ({}, {"instruments": {"ONEUSDT": {"order_quantity": "8"}}}, 20, [8, 8, 4]),
        ({}, {"adv_bp": 100, "instruments": {"ONEUSDT": {"adv": "999"}}}, 20, [9, 9, 2]),
        ({}, {"order_notional": "950", "instruments": {"ONEUSDT": {"quantity_step": 3}}}, 21,
         [9, 9, 3]),
    ],
)  # fmt: skip
def test_a_slice_is_as_large_as_may_be(
    kind: str, venue: dict[str, str], risk: dict[str, Any], lots: int, slices: list[int]
) -> None:
    assert closed(desk_with(kind, venue, **risk), lots) == slices


@pytest.mark.parametrize(
    ("venue", "most", "lots", "slices"),
    [
        ({}, "190", 5, [2, 3]),  # not 2, 2, 1; nor less than the venue takes: whole
        ({}, "94", 4, [2, 2]),  # as much as the venue takes, though that is more than may be
        ({}, "950", 21, [10, 9, 2]),  # smaller, so that 2 are left
        ({}, "950", 11, [9, 2]),
        ({"min_quantity": "6"}, "665", 8, [8]),  # 7 would leave 1, and 2 are no order
        ({"min_quantity": "6"}, "665", 15, [7, 8]),
        ({"min_quantity": "6", "max_quantity": "7"}, "0", 8, [7, 1]),  # nothing is taken whole
        ({"min_notional": "0"}, "94", 3, [1, 1, 1]),
        ({}, "950", 1, [1]),  # less than the venue takes is tried
    ],
)
def test_neither_a_slice_nor_what_is_left_is_less_than_the_venue_takes(
    kind: str, venue: dict[str, str], most: str, lots: int, slices: list[int]
) -> None:
    assert closed(desk_with(kind, venue, order_notional=most), lots) == slices


def test_an_emergency_and_a_short_are_closed_in_slices_too(kind: str) -> None:
    assert closed(desk_with(kind, order_notional="950"), 25, breakers=EMERGENCY) == [10, 10, 5]
    # Bought at 105: 9 are 945.
    assert closed(desk_with(kind, order_notional="950"), 25, Side.SELL) == [9, 9, 7]


def test_a_slice_that_came_to_nothing_is_tried_again(kind: str) -> None:
    desk = desk_with(kind, order_notional="950")
    desk.execute(quantity=25)
    for order_id in (1, 2):
        order = desk.flatten()
        assert order is not None
        assert order[["order_id", "quantity"]][0].tolist() == (order_id, 10)
        desk.execute(
            kind=ExecutionKind.EXPIRED, side=Side.SELL, order_id=order_id, quantity=0, price=0
        )


@pytest.mark.parametrize(
    ("most", "lots"), [("300", 99), ("3000", 999), ("3000.001", 1000), ("0", 2000)]
)
def test_a_slice_in_another_currency_is_held_to_the_limit_in_the_accounts(
    kind: str, most: str, lots: int
) -> None:
    desk = desk_of(kind, order_notional=most, collar_bp=1)
    desk.execute(instrument=ETHBTC, quantity=2000, price=5000, market=market_of(ETHBTC))
    order = desk.flatten(market_of(ETHBTC), ETHBTC)
    assert order is not None
    # A lot is worth 0.00005 BTC, each of them 60,000.02 USDT.
    assert order[["limit", "quantity"]][0].tolist() == (5000, lots)


@settings(max_examples=60, deadline=None)
@given(
    lots=st.integers(1, 80),
    step=st.integers(1, 4),
    least=st.integers(0, 8),
    beyond=st.integers(0, 20),
    most=st.integers(1, 20),
)
def test_every_position_is_closed_by_orders_that_the_venue_takes(
    lots: int, step: int, least: int, beyond: int, most: int
) -> None:
    least_taken = -(-max(least, 1) // step) * step
    largest = 2 * least_taken + step + beyond
    venue = {"min_notional": "0", "min_quantity": str(least), "max_quantity": str(largest)}
    own = {"ONEUSDT": {"quantity_step": step, "order_quantity": str(most)}}
    both = [closed(desk_with(engine, venue, instruments=own), lots) for engine in ENGINES]
    assert both[0] == both[1]
    slices = both[0]
    assert sum(slices) == lots
    if lots < least_taken:
        assert slices == [lots]
        return
    assert all(least_taken <= each <= largest for each in slices)
    assert all(each % step == 0 for each in slices[:-1])
    # What is more than may be is not less than the venue takes, or has to be.
    assert all(each <= max(most, least_taken) for each in slices[:-1])
    assert slices[-1] <= max(most, 2 * least_taken + step)


# What REDUCED leaves. Marked at 99, the position has lost 1 a lot by then; its value is by the ask.


@pytest.mark.parametrize(
    ("equity", "lots", "most", "slices"),
    [
        ("100030", 30, "0", [10]),  # of 100,000 then: 20 lots at 100 are 200 bp
        ("100029", 30, "0", [11]),
        ("100040", 40, "950", [10, 10]),
        ("100020", 20, "0", []),
        ("100021", 21, "0", []),  # one lot is less than the venue takes
        ("100022", 22, "0", [2]),
    ],
)
def test_reduced_leaves_a_share_of_equity(
    kind: str, equity: str, lots: int, most: str, slices: list[int]
) -> None:
    desk = desk_with(kind, equity=equity, reduced_bp=200, order_notional=most)
    assert closed(desk, lots) == slices
    assert desk.held()["position"] == lots - sum(slices)


def test_of_a_short_it_leaves_a_share_by_the_bid(kind: str) -> None:
    desk = desk_with(kind, equity="99000", reduced_bp=200)  # 20 lots at 99
    assert closed(desk, 31, Side.SELL) == [11]


def test_what_stays_is_what_the_limit_of_a_position_lets_pass(kind: str) -> None:
    desk = desk_with(kind, equity="100031", reduced_bp=200, position_bp=200)
    assert closed(desk, 31) == [11]
    desk.execute(side=Side.SELL, quantity=20, price=99, fee=11 * 10**8)  # 100,000 are left
    assert desk.ask(quantity=21)[0] is None
    desk.approve(quantity=20)


def test_what_would_be_left_and_is_less_than_the_venue_takes_goes_too(kind: str) -> None:
    assert closed(desk_with(kind, reduced_bp=15), 5) == [5]  # of which 1 lot might stay


@pytest.mark.parametrize(("reduced_bp", "slices"), [(0, [1]), (1, [])])
def test_a_position_that_the_venue_would_not_take_is_left_if_a_share_may_stay(
    kind: str, reduced_bp: int, slices: list[int]
) -> None:
    assert closed(desk_with(kind, reduced_bp=reduced_bp), 1) == slices


def test_an_emergency_leaves_nothing(kind: str) -> None:
    desk = desk_with(kind, reduced_bp=200)
    assert closed(desk, 30, breakers=EMERGENCY) == [30]


def test_the_share_may_be_changed_in_a_run(kind: str) -> None:
    desk = desk_with(kind, equity="100030", reduced_bp=400)
    assert closed(desk, 30) == []
    change(desk, 1, {number_of(desk, "reduced_bp"): 200})
    order = desk.flatten()
    assert order is not None
    assert fill(desk, order) == 10
    change(desk, 2, {number_of(desk, "reduced_bp"): 0})
    order = desk.flatten()
    assert order is not None
    assert fill(desk, order) == 20
