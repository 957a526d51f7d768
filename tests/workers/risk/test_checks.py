"""Each check at, just inside and just outside its limit, native and reference alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pipeline.money import INT64_MAX
from pipeline.vocabulary import CHECKS, Denial, ExecutionKind, Mode, OutcomeKind, Side
from shm.breaker_types import GlobalState
from tests.workers.risk.desk import NOW, STALE_MS, TTL, Desk, bits, codes, e8, quote

OTHERS = bits("feed.far", "orders.far", "risk", "storage")
OLDEST = NOW - STALE_MS * 1_000_000

# (what is asked, the checks that must fail, all of them)
LIMITS: list[tuple[Mapping[str, Any], set[Denial]]] = [
    ({}, set()),
    ({"quantity": 1}, set()),
    ({"quantity": 0}, {Denial.BAD_FIELD}),
    ({"quantity": -1}, {Denial.BAD_FIELD}),
    ({"side": 0}, {Denial.BAD_FIELD}),
    ({"side": 2}, {Denial.BAD_FIELD}),
    ({"side": -2}, {Denial.BAD_FIELD}),
    ({"limit": 1}, set()),
    ({"limit": -1}, {Denial.BAD_FIELD}),
    ({"stop": -1}, {Denial.BAD_FIELD}),
    ({"reduce_only": 2}, {Denial.BAD_FIELD}),
    ({"reduce_only": 1}, {Denial.REDUCE_ONLY_INCREASES}),
    ({"instrument": 2}, {Denial.UNKNOWN_INSTRUMENT}),
    ({"halted": 1}, {Denial.KILLED}),
    ({"breakers": {"mode": Mode.PAUSED}}, {Denial.MODE_PAUSED}),
    ({"breakers": {"mode": Mode.REDUCED}}, {Denial.MODE_REDUCE_ONLY}),
    ({"breakers": {"mode": Mode.EMERGENCY}}, {Denial.KILLED, Denial.MODE_REDUCE_ONLY}),
    ({"breakers": {"mode": 4}}, {Denial.KILLED, Denial.MODE_REDUCE_ONLY}),  # whatever that is
    ({"breakers": {"global": GlobalState.DEGRADED}}, set()),
    ({"breakers": {"global": GlobalState.OPEN}}, {Denial.BREAKER_OPEN}),
    ({"breakers": {"global": GlobalState.UNKNOWN}}, {Denial.BREAKER_OPEN}),
    ({"breakers": {"global": 4}}, {Denial.BREAKER_OPEN}),  # whatever that is
    ({"breakers": {"global": 2**32 + 1}}, {Denial.BREAKER_OPEN}),
    *(
        ({"breakers": {"blocked": bits(name)}}, {Denial.BREAKER_OPEN})
        for name in ("feed.sim", "orders.sim", "ta", "ml")
    ),
    ({"breakers": {"forced": bits("feed.sim")}}, {Denial.BREAKER_OPEN}),
    ({"breakers": {"forced": bits("orders.sim")}}, {Denial.BREAKER_OPEN}),
    # Of others: another venue's, and those that matter by way of the global state.
    ({"breakers": {"blocked": OTHERS}}, set()),
    ({"breakers": {"blocked": OTHERS, "forced": OTHERS}}, set()),
    (
        {"breakers": {"mode": Mode.REDUCED, "global": GlobalState.OPEN}, "reduce_only": 1},
        {Denial.MODE_REDUCE_ONLY, Denial.REDUCE_ONLY_INCREASES, Denial.BREAKER_OPEN},
    ),
    ({"created_ns": NOW - TTL + 1}, set()),
    ({"created_ns": NOW - TTL}, set()),
    ({"created_ns": NOW - TTL - 1}, {Denial.INTENT_EXPIRED}),
    ({"market": quote(link_ns=OLDEST + 1)}, set()),
    ({"market": quote(link_ns=OLDEST)}, set()),
    ({"market": quote(link_ns=OLDEST - 1)}, {Denial.MD_STALE}),
    ({"market": quote(stale=1)}, {Denial.MD_STALE}),
    ({"market": quote(received_ns=0)}, {Denial.MD_STALE}),
    ({"market": quote(received_ns=1)}, set()),  # a quiet market is not a stale one
    ({"market": quote(0, 0, received_ns=0)}, {Denial.MD_STALE, Denial.MD_CROSSED}),
    ({"market": quote(100, 100)}, {Denial.MD_CROSSED}),
    ({"market": quote(101, 100)}, {Denial.MD_CROSSED}),
    ({"market": quote(0, 100)}, {Denial.MD_CROSSED}),
    ({"market": quote(99, 0)}, {Denial.MD_CROSSED}),
    ({"market": quote(98, 99), "quantity": 1}, {Denial.NOTIONAL_MIN}),
    ({"market": quote(99, 101), "quantity": 1}, set()),
    ({"quantity": 19}, set()),
    ({"quantity": 20}, set()),  # 2 % of the equity
    ({"quantity": 21}, {Denial.POSITION_SIZE}),
    ({"stop": 0}, {Denial.STOP_REQUIRED}),
    ({"stop": 99}, set()),
    ({"stop": 100}, {Denial.WRONG_SIDE}),
    ({"stop": 101}, {Denial.WRONG_SIDE}),
    ({"stop": 96}, set()),  # 4 %
    ({"stop": 95}, {Denial.STOP_TOO_FAR}),
    # A short: its reference is the bid.
    ({"side": -1, "stop": 100}, set()),
    ({"side": -1, "stop": 99}, {Denial.WRONG_SIDE}),
    ({"side": -1, "stop": 98}, {Denial.WRONG_SIDE}),
    ({"side": -1, "stop": 102}, set()),
    ({"side": -1, "stop": 103}, {Denial.STOP_TOO_FAR}),
    ({"target": 102}, set()),
    ({"target": 101}, set()),
    ({"target": 100}, {Denial.WRONG_SIDE}),
    ({"target": 1}, {Denial.WRONG_SIDE}),
    ({"target": 2**63 - 1}, set()),
    ({"side": -1, "stop": 100, "target": 98}, set()),
    ({"side": -1, "stop": 100, "target": 99}, {Denial.WRONG_SIDE}),
    ({"side": -1, "stop": 100, "target": 2**63 - 1}, {Denial.WRONG_SIDE}),
    ({"stop": 101, "target": 100}, {Denial.WRONG_SIDE}),
    ({"side": -1, "stop": 100, "quantity": 20}, set()),
    ({"side": -1, "stop": 100, "quantity": 21}, {Denial.POSITION_SIZE}),
    # Absurd sizes fail the checks for size, and nothing wraps around.
    ({"quantity": 2**63 - 1}, {Denial.POSITION_SIZE, Denial.BUYING_POWER}),
    ({"limit": 2**63 - 1}, {Denial.PRICE_COLLAR, Denial.PASSIVE_COLLAR, Denial.BUYING_POWER}),
    (
        {"market": quote(2**63 - 2, 2**63 - 1), "stop": 2**63 - 2},
        {Denial.POSITION_SIZE, Denial.BUYING_POWER},
    ),
    ({"created_ns": -(2**63), "ttl_ns": 2**63 - 1}, {Denial.INTENT_EXPIRED}),
]


@pytest.mark.parametrize(("asked", "failing"), LIMITS)
def test_an_intent_is_refused_beyond_a_limit_and_not_at_it(
    desk: Desk, asked: Mapping[str, Any], failing: set[Denial]
) -> None:
    order, outcome = desk.ask(**asked)
    assert codes(outcome) == failing
    assert outcome["code"] == next((code for code in CHECKS if code in failing), Denial.NONE)
    assert outcome["kind"] == (OutcomeKind.DENIED if failing else OutcomeKind.APPROVED)
    assert (order is None) == bool(failing)


def test_a_limit_that_a_preset_raises_beyond_all_money_is_all_money(kind: str) -> None:
    desk = Desk(kind, preset="aggressive", gross="92233720368", order_notional="92233720368")
    limits = desk.stage.limits
    assert limits.settings.gross_e8 == limits.instruments[0].order_notional_e8 == INT64_MAX
    desk.approve()


def test_a_refusal_names_the_first_failing_check_and_all_others(desk: Desk) -> None:
    order, outcome = desk.ask(
        quantity=30, stop=90, created_ns=0, market=quote(200, 100, link_ns=0), strategy=3
    )
    assert order is None
    assert codes(outcome) == {
        Denial.INTENT_EXPIRED,
        Denial.MD_STALE,
        Denial.MD_CROSSED,
        Denial.POSITION_SIZE,
        Denial.STOP_TOO_FAR,
    }
    assert outcome["code"] == Denial.INTENT_EXPIRED
    assert outcome[["intent_id", "order_id", "strategy", "quantity", "leaves"]][0].tolist() == (
        7,
        0,
        3,
        30,
        0,
    )
    assert desk.account["denied"] == 1
    assert desk.account["next_order_id"] == 1


def test_money_for_a_buy_at_its_limit_with_the_fee_must_be_there_to_the_last_unit(
    kind: str,
) -> None:
    wide: dict[str, Any] = {"position_bp": 20_000}
    asked: dict[str, Any] = {"quantity": 1000, "limit": 100}  # costs 100,000 and a fee of 100
    assert Desk(kind, "100100", **wide).ask(**asked)[0] is not None
    assert Desk(kind, "100100.00000001", **wide).ask(**asked)[0] is not None
    _, outcome = Desk(kind, "100099.99999999", **wide).ask(**asked)
    assert codes(outcome) == {Denial.BUYING_POWER}


def test_a_buy_at_the_market_needs_money_for_the_collar(kind: str) -> None:
    needed = 105 * 10 * 1.001
    enough, short = f"{needed:.8f}", f"{needed - 1e-8:.8f}"
    assert Desk(kind, enough, position_bp=10_000).approve()["reserved"] == e8(needed)
    _, outcome = Desk(kind, short, position_bp=10_000).ask()
    assert codes(outcome) == {Denial.BUYING_POWER}


@pytest.mark.parametrize(
    ("side", "market", "limit"),
    [
        (Side.BUY, quote(99, 100), 105),
        (Side.BUY, quote(110, 111), 116),  # 116.55, rounded down
        (Side.SELL, quote(99, 100), 95),  # 94.05, rounded up
        (Side.SELL, quote(100, 101), 95),
        (Side.SELL, quote(1, 2), 1),
    ],
)
def test_a_market_order_gets_a_collar_of_five_per_cent_rounded_inward(
    kind: str, side: Side, market: Any, limit: int
) -> None:
    desk = Desk(kind)
    desk.execute(side=-side, quantity=1000, price=1)  # so that it reduces, and has no other limits
    reduce: dict[str, Any] = {"side": side, "quantity": 1, "reduce_only": 1, "stop": 0}
    assert desk.approve(market=market, **reduce)["limit"] == limit


def test_an_intents_own_limit_is_the_orders(desk: Desk) -> None:
    order = desk.approve(limit=101, strategy=5, received_ns=11, venue_ns=12)
    named = [
        "order_id",
        "intent_id",
        "strategy",
        "side",
        "reduce_only",
        "quantity",
        "limit",
        "stop",
    ]
    assert order[named][0].tolist() == (1, 7, 5, 1, 0, 10, 101, 97)
    assert order[["instrument", "received_ns", "venue_ns", "cause_index"]][0].tolist() == (
        0,
        11,
        12,
        0,
    )


def test_open_orders_are_limited_but_for_reducing_ones(kind: str) -> None:
    desk = Desk(kind, open_orders=2)
    desk.execute(quantity=5)
    for _ in range(2):
        desk.approve(quantity=1)
    _, outcome = desk.ask(quantity=1)
    assert codes(outcome) == {Denial.OPEN_ORDERS}
    for _ in range(2):  # one an instrument: what there are cells for
        desk.approve(side=Side.SELL, quantity=1, reduce_only=1, stop=0)
    _, outcome = desk.ask(side=Side.SELL, quantity=1, reduce_only=1)
    assert codes(outcome) == {Denial.OPEN_ORDERS}
    assert desk.account["open_orders"] == len(desk.open_orders()) == 4
    for order_id in (3, 1, 2):
        desk.execute(kind=ExecutionKind.EXPIRED, order_id=order_id)
    # Below our own sell, which is still open.
    assert desk.approve(quantity=1, limit=94)["order_id"] == 5  # ids are never used again


def test_an_account_that_has_fallen_from_its_height_may_only_reduce(kind: str) -> None:
    desk = Desk(kind)
    desk.execute(quantity=1000)
    desk.tick(quote(86, 87))
    _, outcome = desk.ask(stop=84, market=quote(86, 87))
    assert Denial.DRAWDOWN not in codes(outcome)
    desk.tick(quote(85, 86))  # 15 % of the height, and that much is refused
    _, outcome = desk.ask(stop=84, market=quote(85, 86))
    assert codes(outcome) == {
        Denial.KILLED,
        Denial.MODE_REDUCE_ONLY,
        Denial.POSITION_SIZE,
        Denial.BUYING_POWER,
        Denial.DRAWDOWN,
    }
    assert (desk.account["killed"], desk.account["mode"]) == (Denial.DRAWDOWN, Mode.EMERGENCY)
    desk.tick(quote(200, 201))  # nothing but an operator takes it back
    _, outcome = desk.ask(stop=199, market=quote(200, 201))
    assert Denial.DRAWDOWN in codes(outcome)
    desk.approve(side=Side.SELL, quantity=1000, reduce_only=1, stop=0, market=quote(200, 201))


def test_a_reducing_order_skips_what_would_keep_a_position_from_shrinking(desk: Desk) -> None:
    desk.execute(quantity=100)  # 10 % of the equity, far beyond the limit of a position
    order, outcome = desk.ask(side=Side.SELL, quantity=1, stop=0, market=quote(98, 99))
    assert order is not None, codes(outcome)  # no stop, below the minimum, the rest still too large


REFUSED_ALL_THE_SAME: list[tuple[Mapping[str, Any], Denial]] = [
    ({"quantity": 0}, Denial.BAD_FIELD),
    ({"halted": 1}, Denial.KILLED),
    ({"created_ns": 0}, Denial.INTENT_EXPIRED),
    ({"market": quote(link_ns=0)}, Denial.MD_STALE),
    ({"market": quote(0, 100)}, Denial.MD_CROSSED),
    ({"breakers": {"forced": bits("feed.sim")}}, Denial.BREAKER_OPEN),
    ({"breakers": {"forced": bits("orders.sim")}}, Denial.BREAKER_OPEN),
]


@pytest.mark.parametrize(("asked", "failing"), REFUSED_ALL_THE_SAME)
def test_a_reducing_order_is_held_to_the_rest(
    desk: Desk, asked: Mapping[str, Any], failing: Denial
) -> None:
    desk.execute(quantity=10)
    _, outcome = desk.ask(**{"side": Side.SELL, "reduce_only": 1, "stop": 0, **asked})
    assert codes(outcome) == {failing}


@pytest.mark.parametrize(
    "breakers",
    [
        {"mode": Mode.PAUSED},
        {"mode": Mode.REDUCED},
        {"global": GlobalState.OPEN},
        {"global": GlobalState.UNKNOWN},
        {"blocked": bits("feed.sim", "orders.sim", "ta", "ml")},
        {"forced": bits("ta", "ml") | OTHERS, "blocked": bits("ta", "ml") | OTHERS},
    ],
)
@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_a_reducing_order_passes_open_breakers(
    desk: Desk, side: Side, breakers: Mapping[str, int]
) -> None:
    desk.execute(side=-side, quantity=10)
    reduce: dict[str, Any] = {"side": side, "stop": 0, "breakers": breakers}
    desk.approve(**reduce, quantity=4)
    desk.approve(**reduce, quantity=6, reduce_only=1)
    _, outcome = desk.ask(**reduce, quantity=1)  # beyond what is held: new risk
    assert codes(outcome) & {
        Denial.BREAKER_OPEN,
        Denial.MODE_PAUSED,
        Denial.MODE_REDUCE_ONLY,
    }


def test_in_an_emergency_only_what_is_flagged_may_reduce(desk: Desk) -> None:
    desk.execute(quantity=10)
    asked: dict[str, Any] = {"side": Side.SELL, "stop": 0, "breakers": {"mode": Mode.EMERGENCY}}
    _, outcome = desk.ask(**asked, quantity=4)
    assert codes(outcome) == {Denial.KILLED}
    desk.approve(**asked, quantity=4, reduce_only=1)
    _, outcome = desk.ask(**asked, quantity=4, reduce_only=1, halted=1)
    assert codes(outcome) == {Denial.KILLED}


def test_each_instrument_is_held_to_the_breakers_of_its_own_venue(desk: Desk) -> None:
    breakers = {"blocked": bits("orders.far"), "forced": bits("orders.far")}
    desk.approve(breakers=breakers)
    _, outcome = desk.ask(instrument=1, breakers=breakers)
    assert codes(outcome) == {Denial.BREAKER_OPEN}


@pytest.mark.parametrize("asked", [{"quantity": 0}, {"instrument": 2}])
def test_what_is_no_sound_intent_is_not_held_to_the_breakers_too(
    desk: Desk, asked: Mapping[str, Any]
) -> None:
    _, outcome = desk.ask(**asked, breakers={"mode": Mode.REDUCED, "global": GlobalState.OPEN})
    assert len(codes(outcome)) == 1


def test_covering_a_short_needs_the_money(kind: str) -> None:
    desk = Desk(kind, "1000")
    desk.execute(side=Side.SELL, quantity=10)
    assert desk.account["cash_e8"] == e8(2000)
    _, outcome = desk.ask(reduce_only=1, stop=0, limit=200, market=quote(190, 200))
    assert codes(outcome) == {Denial.BUYING_POWER}
    desk.approve(reduce_only=1, stop=0, limit=199, market=quote(190, 199))


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_reducing_ends_where_orders_under_way_would_turn_the_position(
    desk: Desk, side: Side
) -> None:
    desk.execute(side=-side, quantity=10)
    reduce: dict[str, Any] = {"side": side, "reduce_only": 1, "stop": 0}
    _, outcome = desk.ask(**reduce, quantity=11)
    assert Denial.REDUCE_ONLY_INCREASES in codes(outcome)
    desk.approve(**reduce, quantity=4)
    desk.approve(**reduce, quantity=6)
    _, outcome = desk.ask(**reduce, quantity=1)
    assert Denial.REDUCE_ONLY_INCREASES in codes(outcome)
    assert Denial.STOP_REQUIRED in codes(outcome)  # it is no reducing order any more


def test_two_orders_that_together_break_a_limit_are_not_both_approved(kind: str) -> None:
    desk = Desk(kind)
    desk.approve(quantity=12)
    _, outcome = desk.ask(quantity=9)
    assert codes(outcome) == {Denial.POSITION_SIZE}
    desk.approve(quantity=8)

    poor = Desk(kind, "2000", position_bp=10_000)
    poor.approve(quantity=10)
    _, outcome = poor.ask(quantity=10)
    assert codes(outcome) == {Denial.BUYING_POWER}


def test_orders_of_the_other_side_do_not_excuse_a_position(desk: Desk) -> None:
    desk.approve(side=Side.SELL, quantity=20, stop=100, limit=100)
    desk.approve(side=Side.BUY, quantity=20, limit=99)
    _, outcome = desk.ask(side=Side.BUY, quantity=1, limit=99)
    assert Denial.POSITION_SIZE in codes(outcome)
