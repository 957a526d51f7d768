"""Each code of the contract: just inside its limit, at it and just outside, of both kernels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pytest

from pipeline.vocabulary import CHECKS, ControlKind, Denial, ExecutionKind, Mode, Side
from shm.breaker_types import GlobalState
from tests.workers.risk.desk import DEFAULTS, INSTRUMENTS, NOW, Desk, codes, config, quote
from workers.risk.verdict import Verdict

MS, S = 10**6, 10**9
Ask = Mapping[str, Any]


def nothing(desk: Desk) -> None:
    """Prepare nothing."""


class Case(NamedTuple):
    """What passes, what is refused for this one reason, and under which limits."""

    code: Denial
    passes: tuple[Ask, ...]
    refused: tuple[Ask, ...]
    limits: Mapping[str, Any] = {}
    prepare: Callable[[Desk], Any] = nothing
    equity: str = "100000"


def reconcile(known: int) -> Callable[[Desk], None]:
    return lambda desk: desk.control(ControlKind.RECONCILED, known)


def after(ns: int) -> Callable[[Desk], None]:
    def wait(desk: Desk) -> None:
        desk.tick(quote(link_ns=10**15))
        desk.now += ns

    return wait


def lose_and_wait(ns: int) -> Callable[[Desk], None]:
    def wait(desk: Desk) -> None:
        lose(99, kind=ExecutionKind.STOP)(desk)
        desk.now += ns
        desk.tick(quote(link_ns=10**15))

    return wait


def reduce(side: int, count: int, limit: int) -> Callable[[Desk], None]:
    """Orders that close what is held, each of one lot: they are held to no limit of numbers."""

    def close(desk: Desk) -> None:
        desk.execute(side=-side, quantity=count)
        for _ in range(count):
            desk.approve(side=side, quantity=1, limit=limit, stop=0)

    return close


def approve(*asks: Ask, wait: int = 0) -> Callable[[Desk], None]:
    def ask(desk: Desk) -> None:
        for each in asks:
            desk.approve(**each)
        desk.now += wait

    return ask


def lose(*prices: int, kind: ExecutionKind = ExecutionKind.FILL) -> Callable[[Desk], None]:
    """Round trips of 10 lots that began at 100."""

    def trade(desk: Desk) -> None:
        for price in prices:
            desk.execute(quantity=10, price=100)
            desk.execute(side=Side.SELL, quantity=10, price=price, kind=kind)

    return trade


def correlated(rho: int, samples: int, side: int) -> Callable[[Desk], None]:
    """A position in the other instrument, with which this one is correlated."""

    def hold(desk: Desk) -> None:
        desk.correlate(0, [0, rho], samples)
        desk.execute(instrument=1, quantity=1000, price=1000, side=side)

    return hold


def spreads(desk: Desk) -> None:
    for _ in range(15):
        desk.tick(quote(99, 101))  # 2 % of the mid price


SMALL: Ask = {"quantity": 1}
OTHER: Ask = {"instrument": 1, "quantity": 1000, "limit": 100, "stop": 99}
RATES = {"strategy_rate": 10, "strategy_burst": 2}
AT_100_MS = 100 * MS
IN_MODE: Mapping[Mode, Ask] = {mode: {"breakers": {"mode": mode}} for mode in Mode}
FAR = {"market": quote(link_ns=10**15)}

CASES = [
    Case(
        Denial.BAD_FIELD,
        (SMALL,),
        ({"quantity": 0}, {"quantity": -1}, {"side": 0}, {"stop": -1}, {"target": -1}),
    ),
    Case(Denial.UNKNOWN_INSTRUMENT, ({"instrument": 0},), ({"instrument": 2},)),
    Case(Denial.HALTED, (), ({},), {"instruments": {"ONEUSDT": {"halted": True}}}),
    Case(Denial.RESTRICTED, ({"strategy": 7},), ({"strategy": 8},)),
    Case(
        Denial.RESTRICTED,
        ({"strategy": 1},),
        ({"strategy": 2}, {"strategy": 3}),
        {"strategies": {"2": {"halted": True}, "3": {"instruments": ["ODDUSDT"]}}},
    ),
    Case(Denial.KILLED, ({"halted": 0},), ({"halted": 1},)),
    Case(Denial.NOT_RECONCILED, (), ({},), prepare=reconcile(0)),
    Case(Denial.NOT_RECONCILED, ({},), (), prepare=reconcile(1)),
    Case(Denial.MODE_PAUSED, ({"breakers": {"mode": Mode.NORMAL}},), (IN_MODE[Mode.PAUSED],)),
    Case(Denial.MODE_REDUCE_ONLY, ({},), (IN_MODE[Mode.REDUCED],)),
    Case(Denial.REDUCE_ONLY_INCREASES, ({"reduce_only": 0},), ({"reduce_only": 1},)),
    Case(
        Denial.BREAKER_OPEN,
        ({"breakers": {"global": GlobalState.DEGRADED}},),
        ({"breakers": {"global": GlobalState.OPEN}},),
    ),
    Case(Denial.STATE_STALE, (FAR,), (), prepare=after(250 * MS)),
    Case(Denial.STATE_STALE, (FAR,), (), prepare=after(250 * MS - 1)),
    Case(Denial.STATE_STALE, (), (FAR,), prepare=after(250 * MS + 1)),
    Case(
        Denial.INTENT_EXPIRED,
        ({"created_ns": NOW - S}, {"created_ns": NOW - S + 1}),
        ({"created_ns": NOW - S - 1},),
    ),
    Case(
        Denial.BAD_TICK,
        ({"stop": 98}, {"stop": 98, "limit": 100}, {"stop": 98, "target": 102}),
        ({"stop": 97}, {"stop": 98, "limit": 99}, {"stop": 98, "target": 103}),
        {"instruments": {"ONEUSDT": {"price_step": 2}}},
    ),
    Case(
        Denial.BAD_LOT,
        ({"quantity": 9},),
        ({"quantity": 8}, {"quantity": 10}),
        {"instruments": {"ONEUSDT": {"quantity_step": 3}}},
    ),
    Case(Denial.QTY_MIN, ({"quantity": 3}, {"quantity": 2}), ({"quantity": 1},), {"least": "2"}),
    Case(Denial.QTY_MAX, ({"quantity": 8}, {"quantity": 9}), ({"quantity": 10},), {"most": "9"}),
    Case(
        Denial.MD_STALE,
        ({"market": quote(link_ns=NOW - 3 * S)}, {"market": quote(link_ns=NOW - 3 * S + 1)}),
        ({"market": quote(link_ns=NOW - 3 * S - 1)}, {"market": quote(stale=1)}),
    ),
    Case(
        Denial.MD_CROSSED,
        ({"market": quote(99, 100)},),
        ({"market": quote(100, 100)}, {"market": quote(101, 100)}, {"market": quote(0, 100)}),
    ),
    Case(
        Denial.SPREAD_WIDE,
        ({"market": quote(98, 102), "stop": 99}, {"market": quote(97, 103), "stop": 100}),
        ({"market": quote(96, 103), "stop": 100},),
        {"spread_factor": 3},
        spreads,
    ),
    Case(Denial.PRICE_COLLAR, ({"limit": 104}, {"limit": 105}), ({"limit": 106},)),
    Case(
        Denial.PASSIVE_COLLAR,
        ({"limit": 51}, {"limit": 50}),
        ({"limit": 49},),
        {"passive_collar_bp": 5000},
    ),
    Case(
        Denial.NOTIONAL_MIN,
        ({"market": quote(99, 100), **SMALL}, {"market": quote(99, 101), **SMALL}),
        ({"market": quote(98, 99), **SMALL},),
    ),
    Case(
        Denial.NOTIONAL_MAX,
        ({"quantity": 9}, {"quantity": 10}),
        ({"quantity": 11},),
        {"order_notional": "1000"},
    ),
    Case(
        Denial.NOTIONAL_MAX,  # the tighter of two
        ({"quantity": 5},),
        ({"quantity": 6},),
        {"order_notional": "1000", "strategies": {"0": {"order_notional": "500"}}},
    ),
    Case(
        Denial.ORDER_QTY_MAX,
        ({"quantity": 9}, {"quantity": 10}),
        ({"quantity": 11},),
        {"instruments": {"ONEUSDT": {"order_quantity": "10"}}},
    ),
    Case(
        Denial.ADV,
        ({"quantity": 9}, {"quantity": 10}),
        ({"quantity": 11},),
        {"instruments": {"ONEUSDT": {"adv": "1000"}}},  # 1 % of it
    ),
    Case(
        Denial.SLIPPAGE,  # of 10 lots five a tick behind the top: 50 bp
        ({"market": quote(size=6)}, {"market": quote(size=5)}, {"market": quote(size=0)}),
        ({"market": quote(size=4)},),
        {"slippage_bp": 50},
    ),
    Case(
        Denial.DUP_ID,
        ({"intent_id": 8}, {"intent_id": 7}),  # the same again is answered as before
        ({"intent_id": 7, "quantity": 9}, {"intent_id": 7, "stop": 98}),
        prepare=approve({"intent_id": 7}),
    ),
    Case(
        Denial.DUP_ID,  # forgotten: its cell has been used again
        ({"intent_id": 4103 + 4096},),
        ({"intent_id": 7},),
        prepare=approve({"intent_id": 4103}),
    ),
    *(
        Case(
            Denial.DUP_ECONOMIC,
            ({"quantity": 9}, {"limit": 100}, {"strategy": 1}),
            ({"quantity": 5},),
            {"dup_count": count},
            approve(*[{"quantity": 5}] * count),
        )
        for count in (1, 2)
    ),
    Case(Denial.DUP_ECONOMIC, ({"quantity": 5},), (), {"dup_count": 2}, approve({"quantity": 5})),
    Case(
        Denial.SELF_TRADE,
        ({"limit": 99},),
        ({"limit": 100}, {"limit": 101}, {}),
        prepare=approve({"side": -1, "limit": 100, "stop": 101}),
    ),
    Case(
        Denial.SELF_TRADE,
        ({"side": -1, "stop": 101, "limit": 100},),
        ({"side": -1, "stop": 101, "limit": 99}, {"side": -1, "stop": 101}),
        prepare=approve({"limit": 99}),
    ),
    *(
        Case(
            code,
            ({**SMALL, "strategy": 7},) if code == Denial.RATE_STRATEGY else (),
            (SMALL,),
            {f"{name}_rate": 10, f"{name}_burst": burst},
            approve(SMALL, SMALL, wait=wait),
        )
        for code, name, burst in (
            (Denial.RATE_STRATEGY, "strategy", 2),
            (Denial.RATE_SYMBOL, "symbol", 2),
            (Denial.RATE_VENUE, "venue", 3),  # a fifth of it is for reducing orders
            (Denial.RATE_GLOBAL, "global", 2),
        )
        for wait in (0, AT_100_MS - 1)
    ),
    *(
        Case(code, (SMALL,), (), {f"{name}_rate": 10, f"{name}_burst": burst}, prepare)
        for code, name, burst in (
            (Denial.RATE_STRATEGY, "strategy", 2),
            (Denial.RATE_SYMBOL, "symbol", 2),
            (Denial.RATE_VENUE, "venue", 3),
            (Denial.RATE_GLOBAL, "global", 2),
        )
        for prepare in (
            approve(SMALL),
            approve(SMALL, SMALL, wait=AT_100_MS),
            approve(SMALL, SMALL, wait=AT_100_MS + 1),
        )
    ),
    Case(
        Denial.REPEATED_EXEC,
        ({**SMALL, "strategy": 1},),
        (SMALL,),
        {"repeated": 2},
        approve(SMALL, SMALL),
    ),
    Case(Denial.REPEATED_EXEC, (SMALL,), (), {"repeated": 2}, approve(SMALL)),
    Case(Denial.REPEATED_EXEC, (), (SMALL,), {"repeated": 2}, reduce(1, 3, 99)),
    Case(Denial.OPEN_ORDERS, (), (SMALL,), {"open_orders": 2}, approve(SMALL, SMALL)),
    Case(Denial.OPEN_ORDERS, (SMALL,), (), {"open_orders": 2}, approve(SMALL)),
    Case(
        Denial.OPEN_ORDERS,
        (),
        ({**SMALL, "limit": 99},),
        {"open_orders": 2},
        reduce(-1, 3, 104),
    ),
    Case(Denial.OPEN_ORDERS, (OTHER,), (SMALL,), {"symbol_orders": 2}, approve(SMALL, SMALL)),
    Case(Denial.OPEN_ORDERS, (SMALL,), (), {"symbol_orders": 2}, approve(SMALL)),
    Case(Denial.POSITION_SIZE, ({"quantity": 19}, {"quantity": 20}), ({"quantity": 21},)),
    Case(
        Denial.POSITION_SIZE,
        ({"quantity": 5},),
        ({"quantity": 6},),
        {"instruments": {"ONEUSDT": {"position_bp": 50}}},
    ),
    Case(
        Denial.POSITION_SIZE, ({"quantity": 10},), ({"quantity": 11},), {"preset": "conservative"}
    ),
    *(
        Case(code, ({"quantity": 4}, {"quantity": 5}), ({"quantity": 6},), limits, prepare)
        for code, limits, prepare in (
            (Denial.GROSS, {"gross": "1000"}, approve({"quantity": 5})),
            (Denial.DIRECTIONAL, {"directional": "1000"}, approve({"quantity": 5})),
            (Denial.VENUE, {"venue": "1000"}, approve({"quantity": 5})),
            (Denial.ASSET_CLASS, {"asset_class": "1000"}, approve({"quantity": 5})),
            (Denial.LEVERAGE, {"leverage_bp": 100}, approve({"quantity": 5})),
            (
                Denial.CONCENTRATION,
                {"gross": "100000", "concentration_bp": 100},
                approve({"quantity": 5}),
            ),
        )
    ),
    Case(
        Denial.MARGIN,
        (*({"side": -1, "stop": 101, "quantity": lots} for lots in (9, 10)), {"quantity": 11}),
        ({"side": -1, "stop": 101, "quantity": 11},),
        {"margin_bp": 10_000, "position_bp": 10_000},
        equity="1485",
        prepare=lambda desk: desk.execute(  # worth 495
            instrument=1, side=Side.SELL, quantity=5 * 10**9, price=100
        ),
    ),
    Case(Denial.MAX_POSITIONS, (SMALL,), (OTHER,), {"positions": 1}, approve(SMALL)),
    Case(Denial.MAX_POSITIONS, (OTHER,), (), {"positions": 2}, approve(SMALL)),
    Case(Denial.PER_SYMBOL, (OTHER,), (SMALL,), {"per_symbol": 2}, approve(SMALL, SMALL)),
    Case(Denial.PER_SYMBOL, (SMALL,), (), {"per_symbol": 3}, approve(SMALL, SMALL)),
    Case(
        Denial.BUYING_POWER,
        ({"quantity": 999, "limit": 100}, {"quantity": 1000, "limit": 100}),
        ({"quantity": 1001, "limit": 100},),
        {"position_bp": 10_000},
        equity="100100",
    ),
    *(
        Case(
            Denial.CORRELATION,
            () if refused else (SMALL,),
            (SMALL,) if refused else (),
            {"correlated": 1},
            correlated(rho, samples, other),
        )
        for rho, samples, other, refused in (
            (7001, 20, 1, True),
            (7000, 20, 1, False),
            (6999, 20, 1, False),
            (7001, 19, 1, False),
            (7001, 21, 1, True),
            (-7001, 20, 1, False),
            (-7001, 20, -1, True),
            (7001, 20, -1, False),
        )
    ),
    Case(Denial.STOP_REQUIRED, ({"stop": 97},), ({"stop": 0},)),
    Case(Denial.STOP_REQUIRED, ({"stop": 0},), (), {"stop_required": False}),
    Case(Denial.WRONG_SIDE, ({"stop": 99},), ({"stop": 100}, {"stop": 101})),
    Case(Denial.WRONG_SIDE, ({"target": 101},), ({"target": 100}, {"target": 99})),
    Case(Denial.STOP_TOO_FAR, ({"stop": 97}, {"stop": 96}), ({"stop": 95},)),
    Case(
        Denial.RISK_PER_TRADE,  # 10 * 3 and fees of 1 and 0.97: 31.97
        ({"quantity": 9}, {"quantity": 10}),
        ({"quantity": 11},),
        {"risk_bp": 1},
        equity="319700",
    ),
    *(
        Case(
            code,
            ({"quantity": 9},),  # 70 of 100 are lost, 27 at risk
            ({"quantity": 10}, {"quantity": 11}),
            {limit: "100"},
            lose(93),
        )
        for code, limit in (
            (Denial.DAILY, "daily_loss"),
            (Denial.WEEKLY, "weekly_loss"),
            (Denial.MONTHLY, "monthly_loss"),
        )
    ),
    Case(
        Denial.COOLDOWN,
        (OTHER,),
        (SMALL,),
        {"stop_cooldown_s": 1},
        lose(99, kind=ExecutionKind.STOP),
    ),
    Case(Denial.COOLDOWN, (SMALL,), (), {"stop_cooldown_s": 1}, lose(99)),
    Case(Denial.COOLDOWN, (), (SMALL,), {"stop_cooldown_s": 1}, lose_and_wait(S - 1)),
    Case(Denial.COOLDOWN, (SMALL,), (), {"stop_cooldown_s": 1}, lose_and_wait(S)),
    Case(Denial.COOLDOWN, (SMALL,), (), {"stop_cooldown_s": 1}, lose_and_wait(S + 1)),
    Case(  # a target that was hit, and a stop that lost nothing
        Denial.COOLDOWN,
        (SMALL,),
        (),
        {"stop_cooldown_s": 1},
        lose(101, 100, kind=ExecutionKind.STOP),
    ),
    Case(
        Denial.COOLDOWN,
        (OTHER,),
        (SMALL,),
        {"low_profit_trips": 2, "low_profit": "1"},
        lose(100, 100),
    ),
    Case(
        Denial.COOLDOWN, (SMALL,), (), {"low_profit_trips": 2, "low_profit": "10"}, lose(100, 101)
    ),
]


def prepared(kind: str, case: Case) -> Desk:
    limits = dict(case.limits)
    filters = {"min_quantity": limits.pop("least", "0"), "max_quantity": limits.pop("most", "0")}
    settings = config(case.equity, **limits)
    settings["instruments"] = [INSTRUMENTS[0] | filters, INSTRUMENTS[1]]
    desk = Desk(kind, settings=settings)
    case.prepare(desk)
    return desk


@pytest.mark.parametrize(
    ("case", "asked", "is_refused"),
    [
        pytest.param(case, asked, refused, id=f"{case.code.name}-{number}-{refused}-{place}")
        for number, case in enumerate(CASES)
        for refused, asks in ((False, case.passes), (True, case.refused))
        for place, asked in enumerate(asks)
    ],
)
def test_an_intent_is_refused_beyond_a_limit_for_that_reason_alone(
    kind: str, case: Case, asked: Ask, is_refused: bool
) -> None:
    desk = prepared(kind, case)
    reserved = int(desk.account["open_orders"])
    order, outcome = desk.ask(**asked)
    assert codes(outcome) == ({case.code} if is_refused else set())
    assert outcome["code"] == (case.code if is_refused else Denial.NONE)
    if is_refused:
        assert order is None
        assert desk.account["open_orders"] == reserved
        counts = desk.driver.state("codes")["count"][0]
        assert counts[CHECKS.index(case.code)] == 1


def test_every_code_has_a_case() -> None:
    # Those with a history of their own are below.
    below = {Denial.DRAWDOWN, Denial.CONSEC_LOSSES}
    assert {case.code for case in CASES if case.refused} | below == set(CHECKS)


# What is one thing or the other, and has no limit that one could be near.
YES_OR_NO = {
    *(Denial.BAD_FIELD, Denial.UNKNOWN_INSTRUMENT, Denial.HALTED, Denial.RESTRICTED),
    *(Denial.KILLED, Denial.NOT_RECONCILED, Denial.MODE_PAUSED, Denial.MODE_REDUCE_ONLY),
    *(Denial.REDUCE_ONLY_INCREASES, Denial.BREAKER_OPEN, Denial.BAD_TICK, Denial.BAD_LOT),
    *(Denial.DUP_ID, Denial.STOP_REQUIRED),
}
# An order that would be one too many is refused, whatever it is: nothing gets beyond the limit.
COUNTED = {Denial.DUP_ECONOMIC, Denial.MAX_POSITIONS, Denial.PER_SYMBOL, Denial.CORRELATION}
# Judged by the clock: a nanosecond before, at the instant, and one after are cases above.
TIMED = {
    *(Denial.RATE_STRATEGY, Denial.RATE_SYMBOL, Denial.RATE_VENUE, Denial.RATE_GLOBAL),
    Denial.COOLDOWN,
}


def test_every_limit_has_a_case_below_it_at_it_and_beyond(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: dict[Denial, tuple[int, int]] = {}
    check = Verdict.check

    def note(verdict: Verdict, code: Denial, failing: bool, value: int = 0, bound: int = 0) -> None:
        compared[code] = (int(value), int(bound))
        check(verdict, code, failing, value, bound)

    monkeypatch.setattr(Verdict, "check", note)
    seen: dict[Denial, set[int]] = {case.code: set() for case in CASES}
    asks: dict[Denial, int] = Counter()
    for case in CASES:
        for asked in (*case.passes, *case.refused):
            desk = prepared("reference", case)
            compared.clear()
            desk.ask(**asked)
            value, bound = compared.get(case.code, (0, 0))
            seen[case.code].add((value > bound) - (value < bound))
            asks[case.code] += 1
    for code, sides in seen.items():
        if code in TIMED:
            assert asks[code] >= 3, code.name
        elif code not in YES_OR_NO:
            assert sides >= ({-1, 0} if code in COUNTED else {-1, 0, 1}), code.name


@pytest.mark.parametrize(("losses", "refused"), [(1, False), (2, True), (3, True)])
def test_losses_in_a_row_pause_until_their_cooldown_is_over(
    kind: str, losses: int, refused: bool
) -> None:
    desk = Desk(kind, losses=2, losses_cooldown_s=5, losses_resume=True)
    lose(*[99] * losses)(desk)
    _, outcome = desk.ask()
    assert codes(outcome) == ({Denial.CONSEC_LOSSES, Denial.MODE_PAUSED} if refused else set())
    desk.now += 5 * S - 1
    fresh = quote(link_ns=10**15)
    desk.tick(fresh)
    assert desk.account["mode"] == (Mode.PAUSED if refused else Mode.NORMAL)
    desk.now += 1
    desk.tick(fresh)
    assert desk.account["mode"] == Mode.NORMAL
    desk.approve(market=fresh, quantity=1)


def test_a_win_ends_a_row_of_losses(kind: str) -> None:
    desk = Desk(kind, losses=2)
    lose(99, 101, 99)(desk)
    desk.approve()


def test_without_leave_to_resume_an_operator_must_and_only_after_the_cooldown(kind: str) -> None:
    desk = Desk(kind, losses=1, losses_cooldown_s=5, losses_resume=False)
    lose(99)(desk)
    fresh = quote(link_ns=10**15)
    desk.now += 10 * S
    desk.tick(fresh)
    assert desk.account["mode"] == Mode.PAUSED
    desk.control(ControlKind.RESUME)
    assert (desk.account["mode"], desk.account["losses"]) == (Mode.NORMAL, 0)
    lose(99)(desk)
    desk.control(ControlKind.RESUME)  # too early: it counts once the cooldown is over
    assert desk.account["mode"] == Mode.PAUSED
    desk.now += 5 * S
    desk.tick(fresh)
    assert desk.account["mode"] == Mode.NORMAL


def test_the_same_intent_again_is_answered_as_before_and_reserves_nothing(kind: str) -> None:
    desk = Desk(kind)
    order, first = desk.ask(intent_id=9)
    again, second = desk.ask(intent_id=9)
    assert order is not None and again is None
    told = ["intent_id", "order_id", "kind", "code", "failed", "price", "leaves"]
    assert second[told].tolist() == first[told].tolist()
    assert (desk.account["open_orders"], desk.account["repeated"]) == (1, 1)
    _, denied = desk.ask(intent_id=10, quantity=21)
    _, once_more = desk.ask(intent_id=10, quantity=21)
    assert once_more[told].tolist() == denied[told].tolist()
    assert desk.account["denied"] == 1


def test_a_decision_keeps_what_its_first_failing_check_compared(kind: str) -> None:
    desk = Desk(kind)
    desk.ask(intent_id=9, quantity=21)
    decision = desk.driver.state("decisions")[9]
    assert decision["code"] == Denial.POSITION_SIZE
    assert decision["value"] == 2100 * 10**8
    assert decision["bound"] == 2000 * 10**8


def test_reducing_orders_use_the_budget_of_a_venue_that_others_may_not(kind: str) -> None:
    desk = Desk(kind, venue_rate=1, venue_burst=5)
    desk.execute(quantity=10)
    for _ in range(4):
        desk.approve(quantity=1)
    _, outcome = desk.ask(quantity=1)
    assert codes(outcome) == {Denial.RATE_VENUE}
    desk.approve(side=Side.SELL, quantity=1, stop=0)


def test_the_defaults_are_those_of_the_specification() -> None:
    assert {key: DEFAULTS[key] for key in ("position_bp", "drawdown_bp", "leverage_bp")} == {
        "position_bp": 200,
        "drawdown_bp": 1500,
        "leverage_bp": 30_000,
    }
    assert (DEFAULTS["correlation_bp"], DEFAULTS["stop_required"]) == (7000, True)
    losses = [DEFAULTS[f"{period}_loss"] for period in ("daily", "weekly", "monthly")]
    assert losses == ["2000", "5000", "10000"]
