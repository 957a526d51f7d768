"""What holds after any history: limits in the worst case, flows, profits, days and crashes."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.money import notional_e8
from pipeline.vocabulary import ControlKind, ExecutionKind, Mode, Side
from tests.workers.risk.desk import ENGINES, Desk, e8, quote

DAY_NS = 86_400 * 10**9
LIMITS: dict[str, Any] = {
    "position_bp": 2000,
    "gross": "25000",
    "directional": "18000",
    "venue": "20000",
    "asset_class": "24000",
    "leverage_bp": 2400,
    "positions": 2,
    "open_orders": 4,
    "symbol_orders": 3,
    "per_symbol": 6,
}
QUOTES = (quote(99, 100), quote(99_999, 100_000))
SIZE = (1, 10**6)  # of a lot: either instrument's is worth about 100

ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(0, 1), st.sampled_from([1, -1]), st.integers(1, 250)),
        st.tuples(st.just("fill"), st.integers(0, 5), st.integers(1, 100), st.just(0)),
        st.tuples(st.just("cancel"), st.integers(0, 5), st.just(0), st.just(0)),
        st.tuples(st.just("bust"), st.integers(0, 5), st.just(0), st.just(0)),
    ),
    min_size=1,
    max_size=40,
)


Sides = list[tuple[int, int]]


def worst_cases(desk: Desk) -> Sides:
    """Derive each instrument's worst cases again, and compare all that is kept of them."""
    account = desk.account
    worst = []
    for index, instrument in enumerate(desk.stage.instruments):
        held = desk.held(index)
        position = int(held["position"])
        longs = max(0, position + int(held["reserved_buy"]))
        shorts = max(0, int(held["reserved_sell"]) - position)
        sides = (
            notional_e8(int(QUOTES[index]["ask"][0]), longs, instrument),
            notional_e8(int(QUOTES[index]["bid"][0]), shorts, instrument),
        )
        assert (held["long_e8"], held["short_e8"]) == sides
        worst.append(sides)
    gross = [max(sides) for sides in worst]
    assert account["gross_e8"] == sum(gross)
    assert account["long_e8"] == sum(longs for longs, _ in worst)
    assert account["short_e8"] == sum(shorts for _, shorts in worst)
    assert account["positions"] == sum(value > 0 for value in gross)
    # The venues in the order of their names; both instruments are of one class.
    assert desk.driver.state("venues")["gross_e8"].tolist() == gross[::-1]
    assert desk.driver.state("classes")["gross_e8"].tolist() == [sum(gross)]
    open_orders = desk.open_orders()
    assert account["open_orders"] == len(open_orders)
    for field in ("reserved_e8", "at_risk_e8"):
        assert account[field] == open_orders[field].sum()
    return worst


def assert_within_limits(desk: Desk, worst: Sides, index: int, side: int) -> None:
    """Hold all that an order could have exceeded to its limit."""
    gross = sum(max(sides) for sides in worst)
    assert gross <= e8(24_000)  # the class; gross and leverage allow as much or more
    assert sum(sides[0 if side > 0 else 1] for sides in worst) <= e8(18_000)
    assert max(worst[index]) <= e8(20_000)
    assert desk.account["open_orders"] <= 4
    assert desk.held(index)["under_way"] <= 3
    if side > 0:
        assert desk.account["reserved_e8"] <= desk.account["cash_e8"]


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=25, deadline=None)
@given(acts=ACTS)
def test_no_sequence_of_intents_and_executions_exceeds_a_limit(
    engine: str, acts: list[tuple[Any, ...]]
) -> None:
    desk = Desk(engine, **LIMITS)
    for index, market in enumerate(QUOTES):
        desk.tick(market, index)
    trades: list[dict[str, Any]] = []
    for act, first, second, third in acts:
        open_orders = desk.open_orders()
        if act == "ask":
            market = QUOTES[first]
            bid, ask = int(market["bid"][0]), int(market["ask"][0])
            far = max(1, bid // 100)
            order, _ = desk.ask(
                instrument=first,
                side=second,
                quantity=third * SIZE[first],
                limit=ask if second > 0 else bid,
                stop=ask - far if second > 0 else bid + far,
                market=market,
            )
            cells = desk.open_orders()
            if order is not None and cells[cells["order_id"] == order["order_id"]]["enters"][0]:
                assert_within_limits(desk, worst_cases(desk), first, second)
        elif act == "bust" and trades:
            # The venue takes a trade back: booked as its opposite, of nobody's order.
            trade = trades.pop(first % len(trades))
            desk.execute(**trade | {"side": -trade["side"]})
        elif act in ("fill", "cancel") and len(open_orders):
            order = open_orders[first % len(open_orders)]
            leaves, index = int(order["leaves"]), int(order["instrument"])
            done = max(1, leaves * second // 100)
            trade = {
                "instrument": index,
                "side": int(order["side"]),
                "quantity": done,
                "price": int(order["limit"]),
                "market": QUOTES[index],
            }
            ending = {"order_id": int(order["order_id"]), "leaves": leaves - done}
            if act == "fill":
                desk.execute(**trade, **ending)
                trades.append(trade)
            else:
                desk.execute(**trade | ending | {"kind": ExecutionKind.EXPIRED})
        assert desk.is_conserved()
        worst_cases(desk)


FLOWS = st.lists(st.integers(-50_000 * 10**8, 10**6 * 10**8), min_size=1, max_size=10)


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=40, deadline=None)
@given(flows=FLOWS, bid=st.integers(20, 180))
def test_deposits_and_withdrawals_never_move_the_drawdown(
    engine: str, flows: list[int], bid: int
) -> None:
    desk = Desk(engine)
    desk.execute(quantity=200, price=100)
    desk.tick(quote(bid, bid + 1))
    before = desk.account
    for flow in flows:
        if desk.account["equity_e8"] + flow <= e8(10_000):
            continue
        desk.control(ControlKind.FLOW, flow)
        desk.tick(quote(bid, bid + 1))
        after = desk.account
        assert desk.is_conserved()
        for field in ("drawdown", "killed", "mode"):
            assert after[field] == before[field]
        assert 0 <= int(after["nav_e12"]) - int(before["nav_e12"]) <= 10 * len(flows)
        assert 0 <= int(after["high_water_e12"]) - int(before["high_water_e12"]) <= 10 * len(flows)


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=40, deadline=None)
@given(prices=st.lists(st.integers(100, 10_000), min_size=1, max_size=10))
def test_profits_never_trip_a_loss_limit(engine: str, prices: list[int]) -> None:
    tight: dict[str, Any] = {
        "daily_loss": "1", "weekly_loss": "1", "monthly_loss": "1",
        "drawdown_bp": 1, "reduce_bp": 1, "losses": 1,
    }  # fmt: skip
    desk = Desk(engine, **tight)
    for price in prices:
        desk.execute(quantity=10, price=100, market=quote(100, 101))
        desk.execute(side=Side.SELL, quantity=10, price=price, market=quote(100, 101))
        desk.tick(quote(100, 101))
    account = desk.account
    assert (account["mode"], account["killed"], account["drawdown"]) == (Mode.NORMAL, 0, 0)


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=25, deadline=None)
@given(days=st.lists(st.integers(0, 800), min_size=1, max_size=10))
def test_a_new_day_never_clears_a_kill(engine: str, days: list[int]) -> None:
    desk = Desk(engine)
    desk.execute(quantity=1000, venue_ns=DAY_NS)
    desk.tick(quote(80, 81))
    desk.tick(quote(200, 201))
    for day in days:
        desk.execute(kind=ExecutionKind.EXPIRED, venue_ns=day * DAY_NS + 1)
        account = desk.account
        assert (account["mode"], account["drawdown"]) == (Mode.EMERGENCY, 1)
        assert account["killed"] != 0


def test_days_weeks_and_months_begin_by_the_venues_clock_and_only_forward(kind: str) -> None:
    desk = Desk(kind)
    first = dt.date(2024, 2, 28)
    opened = []
    for number in range(40):
        day = first + dt.timedelta(days=number)
        desk.execute(quantity=1, price=100, venue_ns=(day - dt.date(1970, 1, 1)).days * DAY_NS)
        account = desk.account
        opened.append((day, int(account["week"]), int(account["month"])))
    for (_, week, month), (day, next_week, next_month) in itertools.pairwise(opened):
        assert (next_week != week) == (day.weekday() == 0)
        assert (next_month != month) == (day.day == 1)
    before = desk.account["day"]
    desk.execute(quantity=1, price=100, venue_ns=DAY_NS)
    assert desk.account["day"] == before


def test_a_reset_is_refused_while_the_fall_stands_unless_it_is_rebased(kind: str) -> None:
    desk = Desk(kind)
    desk.execute(quantity=1000)
    desk.tick(quote(80, 81))
    desk.control(ControlKind.RESET)
    assert desk.account["mode"] == Mode.EMERGENCY
    desk.control(ControlKind.RESET, 1)
    account = desk.account
    assert (account["mode"], account["killed"], account["drawdown"]) == (Mode.NORMAL, 0, 0)
    assert account["high_water_e12"] == account["nav_e12"]


@pytest.mark.parametrize(("bid", "mode"), [(91, 0), (90, 2), (89, 2), (86, 2), (85, 3), (84, 3)])
def test_a_fall_reduces_and_then_kills(kind: str, bid: int, mode: int) -> None:
    desk = Desk(kind, reduce_bp=1000)
    desk.execute(quantity=1000)
    desk.tick(quote(bid, bid + 1))
    assert desk.account["mode"] == mode


def test_a_jump_counts_once_another_tick_confirms_it(kind: str) -> None:
    desk = Desk(kind, jump_bp=100)
    desk.execute(quantity=1000)
    desk.tick(quote(99, 100))
    desk.tick(quote(80, 81))
    assert desk.account["killed"] == 0
    desk.tick(quote(99, 100))  # it was none
    desk.tick(quote(200, 201))
    assert desk.account["high_water_e12"] == 10**12
    desk.tick(quote(201, 202))
    assert desk.account["equity_e8"] == e8(201_000)
