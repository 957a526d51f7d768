"""Why an intent was refused, as a user reads it: of each code, by what both kernels compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from pipeline.money import INT64_MAX, INT64_MIN
from pipeline.rules import RULES, Unit
from pipeline.vocabulary import CHECKS, Denial, Mode, Side
from pipeline.why import Decision, DecisionError, decisions, find, limit_of
from shm import GlobalState
from tests.workers.risk.desk import Desk, bits, quote
from tests.workers.risk.test_codes import CASES, lose, prepared
from workers.native import layouts

# What is said of each intent that test_codes.py has refused, without repetitions.
SAID: Mapping[Denial, tuple[str, ...]] = {
    Denial.BAD_FIELD: (
        "quantity was 0",
        "quantity was -1",
        "side was 0",
        "stop was -1",
        "target was -1",
    ),
    Denial.UNKNOWN_INSTRUMENT: ("instrument 2 is not one of the 2 that are configured",),
    Denial.HALTED: ("ONEUSDT is not trading",),
    Denial.RESTRICTED: (
        "strategy 8 is unknown",
        "strategy 2 is off",
        "strategy 3 may not trade ONEUSDT",
    ),
    Denial.KILLED: ("the run is halted",),
    Denial.NOT_RECONCILED: ("what the venue holds is not yet reconciled",),
    Denial.MODE_PAUSED: ("the mode is paused",),
    Denial.MODE_REDUCE_ONLY: ("the mode is reduced",),
    Denial.REDUCE_ONLY_INCREASES: (
        "with what is under way on its side 10 ONE, not within the position of 0 ONE",
    ),
    Denial.BREAKER_OPEN: ("the global breaker is open; not closed: none of its own",),
    Denial.STATE_STALE: ("the last tick of risk's clock was 250.000001 ms ago, at most 250 ms",),
    Denial.INTENT_EXPIRED: ("it was 1,000.000001 ms old, at most 1,000 ms",),
    Denial.BAD_TICK: (
        "price 97 is no multiple of 2",
        "price 99 is no multiple of 2",
        "price 103 is no multiple of 2",
    ),
    Denial.BAD_LOT: (
        "quantity 8 ONE is no multiple of 3 ONE",
        "quantity 10 ONE is no multiple of 3 ONE",
    ),
    Denial.QTY_MIN: ("quantity 1 ONE, at least 2 ONE",),
    Denial.QTY_MAX: ("quantity 10 ONE, at most 9 ONE",),
    Denial.MD_STALE: (
        "the last word from the link was 3,000.000001 ms ago, at most 3,000 ms",
        "the feed has taken back what it said of it",
    ),
    Denial.MD_CROSSED: (
        "bid 100, ask 100",
        "bid 101, ask 100",
        "bid 0, ask 100",
    ),
    Denial.SPREAD_WIDE: ("the spread was 7.04 % of the mid price, at most 6 %",),
    Denial.PRICE_COLLAR: ("limit 106, at worst 105",),
    Denial.PASSIVE_COLLAR: ("limit 49, at farthest 50",),
    Denial.NOTIONAL_MIN: ("worth 99.00 USDT, at least 100.00 USDT",),
    Denial.NOTIONAL_MAX: (
        "worth 1,100.00 USDT, at most 1,000.00 USDT",
        "worth 600.00 USDT, at most 500.00 USDT",
    ),
    Denial.ORDER_QTY_MAX: ("quantity 11 ONE, at most 10 ONE",),
    Denial.ADV: ("quantity 11 ONE, at most 10 ONE",),
    Denial.SLIPPAGE: ("the mean price would be 0.8 % worse than the quote, at most 0.5 %",),
    Denial.DUP_ECONOMIC: (
        "equal orders approved within 1000 ms: 1, must be below 1",
        "equal orders approved within 1000 ms: 2, must be below 2",
    ),
    Denial.SELF_TRADE: (
        "limit 100 crosses our open order at 100",
        "limit 101 crosses our open order at 100",
        "limit 105 crosses our open order at 100",
        "limit 99 crosses our open order at 99",
        "limit 95 crosses our open order at 99",
    ),
    Denial.RATE_STRATEGY: (
        "one in 100 ms on average; it would pass after 100 ms",
        "one in 100 ms on average; it would pass after 0.000001 ms",
    ),
    Denial.RATE_SYMBOL: (
        "one in 100 ms on average; it would pass after 100 ms",
        "one in 100 ms on average; it would pass after 0.000001 ms",
    ),
    Denial.RATE_VENUE: (
        "one in 100 ms on average; it would pass after 100 ms",
        "one in 100 ms on average; it would pass after 0.000001 ms",
    ),
    Denial.RATE_GLOBAL: (
        "one in 100 ms on average; it would pass after 100 ms",
        "one in 100 ms on average; it would pass after 0.000001 ms",
    ),
    Denial.REPEATED_EXEC: (
        "orders in a row on this side: 2, must be below 2; bot4 resume counts anew",
        "orders in a row on this side: 3, must be below 2; bot4 resume counts anew",
    ),
    Denial.OPEN_ORDERS: ("orders open: 2, must be below 2", "orders open: 3, must be below 2"),
    Denial.POSITION_SIZE: (
        "the position would be worth 2,100.00 USDT, at most 2,000.00 USDT",
        "the position would be worth 600.00 USDT, at most 500.00 USDT",
        "the position would be worth 1,100.00 USDT, at most 1,000.00 USDT",
    ),
    Denial.GROSS: ("all worst cases would be 1,100.00 USDT, at most 1,000.00 USDT",),
    Denial.DIRECTIONAL: ("worst cases on its side would be 1,100.00 USDT, at most 1,000.00 USDT",),
    Denial.VENUE: ("worst cases at sim would be 1,100.00 USDT, at most 1,000.00 USDT",),
    Denial.ASSET_CLASS: ("worst cases in its class would be 1,100.00 USDT, at most 1,000.00 USDT",),
    Denial.LEVERAGE: ("all worst cases would be 1,100.00 USDT, at most 1,000.00 USDT",),
    Denial.CONCENTRATION: ("the position would be worth 1,100.00 USDT, at most 1,000.00 USDT",),
    Denial.MARGIN: ("shorts would need 1,584.00 USDT, the equity is 1,485.00 USDT",),
    Denial.MAX_POSITIONS: ("instruments held or under way: 1, must be below 1",),
    Denial.PER_SYMBOL: ("entries since flat: 2, must be below 2",),
    Denial.BUYING_POWER: ("it costs 100,200.10 USDT at most, 100,100.00 USDT is free",),
    Denial.CORRELATION: ("instruments held that move with it: 1, must be below 1",),
    Denial.STOP_REQUIRED: ("it has no stop",),
    Denial.WRONG_SIDE: (
        "stop 100 is on the wrong side of the quote, 100",
        "stop 101 is on the wrong side of the quote, 100",
        "target 100 is on the wrong side of the quote, 100",
        "target 99 is on the wrong side of the quote, 100",
    ),
    Denial.STOP_TOO_FAR: ("stop 95, at farthest 96",),
    Denial.RISK_PER_TRADE: ("35.17 USDT would be lost at the stop, at most 31.97 USDT",),
    Denial.DAILY: (
        "the day's result would be -100.00 USDT at the stops, must be above -100.00 USDT",
        "the day's result would be -103.00 USDT at the stops, must be above -100.00 USDT",
    ),
    Denial.WEEKLY: (
        "the week's result would be -100.00 USDT at the stops, must be above -100.00 USDT",
        "the week's result would be -103.00 USDT at the stops, must be above -100.00 USDT",
    ),
    Denial.MONTHLY: (
        "the month's result would be -100.00 USDT at the stops, must be above -100.00 USDT",
        "the month's result would be -103.00 USDT at the stops, must be above -100.00 USDT",
    ),
    Denial.COOLDOWN: (
        "no new risk in ONEUSDT for another 1,000 ms",
        "no new risk in ONEUSDT for another 0.000001 ms",
        "no new risk in ONEUSDT for another 300 s",
    ),
}


def resolved(desk: Desk) -> dict[str, Any]:
    """The configuration that a segment would have of it."""
    return {**desk.settings, "currency": "USDT"}


def last(desk: Desk) -> Decision:
    """What was decided last."""
    return decisions(desk.driver.state("decisions"), resolved(desk))[-1]


def made(code: Denial, value: int = 0, bound: int = 0, **fields: int) -> Decision:
    """A decision with these numbers, of the usual instruments."""
    cell = np.zeros(1, layouts["RiskDecision"])
    sound = {"intent_id": 1, "side": 1, "quantity": 10, "reference": 100}
    failed = 1 << CHECKS.index(code) if code else 0
    numbers = {"code": code, "failed": failed, "value": value, "bound": bound}
    for name, each in {**sound, **numbers, **fields}.items():
        cell[name] = each
    return decisions(cell, resolved(Desk("reference")))[0]


@pytest.mark.parametrize("code", SAID, ids=lambda code: code.name)
def test_a_refusal_is_explained_by_the_numbers_that_were_compared(kind: str, code: Denial) -> None:
    said = []
    for case in (case for case in CASES if case.code is code):
        for asked in case.refused:
            desk = prepared(kind, case)
            desk.ask(**asked)
            one = last(desk)
            assert one.failed == (code,)
            said.append(one.because())
            assert one.limit_of(code) is None or str(one.limit_of(code))
    assert tuple(dict.fromkeys(said)) == SAID[code]


def test_every_code_is_explained_here() -> None:
    # The second decision on an id is not kept: its first one is what is explained.
    below = {Denial.DUP_ID, Denial.DRAWDOWN, Denial.CONSEC_LOSSES}
    assert SAID.keys() | below == set(CHECKS)
    assert made(Denial.DUP_ID).because() == "its id was used before"


def test_losses_in_a_row_and_the_mode_they_led_to_are_explained(kind: str) -> None:
    desk = Desk(kind, losses=2, losses_cooldown_s=5)
    lose(99, 99)(desk)
    desk.ask()
    one = last(desk)
    assert one.failed == (Denial.MODE_PAUSED, Denial.CONSEC_LOSSES)
    assert one.because() == "the mode is paused: 809 CONSEC_LOSSES"
    assert str(one.limit_of(Denial.CONSEC_LOSSES)) == "risk.losses = 2"
    of_losses = made(Denial.CONSEC_LOSSES, 2, 2).because()
    assert of_losses == "losing round trips in a row: 2, must be below 2"


def test_a_drawdown_is_explained_by_how_deep_it_is_now(kind: str) -> None:
    desk = Desk(kind, equity="1000", position_bp=10_000)
    lose(84)(desk)
    desk.ask(quantity=1)
    one = last(desk)
    assert one.because() == "the mode is emergency: 808 DRAWDOWN"
    assert Denial.DRAWDOWN in one.failed
    assert desk.account["max_drawdown_e6"] == 160_000
    text = made(Denial.DRAWDOWN, 150_001, 150_000).because()
    assert text == "the account had been 15 % below its high-water mark; it was 15.0001 %"


def test_the_deepest_drawdown_stays_when_the_account_recovers(kind: str) -> None:
    desk = Desk(kind, equity="1000")
    lose(99)(desk)
    lose(110)(desk)
    assert desk.account["max_drawdown_e6"] == 20_000
    lose(109)(desk)
    assert desk.account["max_drawdown_e6"] == 20_000


def test_breakers_that_stop_an_order_are_named(kind: str) -> None:
    desk = Desk(kind)
    desk.ask(breakers={"global": GlobalState.CLOSED, "blocked": bits("orders.sim", "ta")})
    said = "the global breaker is closed; not closed: orders.sim, ta"
    assert last(desk).because() == said
    desk.ask(breakers={"global": GlobalState.CLOSED, "blocked": bits("orders.far", "ml")})
    assert last(desk).because() == "the global breaker is closed; not closed: ml"
    desk.ask(breakers={"global": 77})
    assert last(desk).because().startswith("the global breaker is unknown (77); ")


def test_without_a_quote_that_is_what_is_said(kind: str) -> None:
    desk = Desk(kind)
    desk.ask(market=quote(0, 0, received_ns=0))
    assert last(desk).because() == "there is no ask to go by"
    desk.ask(market=quote(0, 0, received_ns=0), side=Side.SELL)
    assert last(desk).because() == "there is no bid to go by"


def test_open_orders_of_one_instrument_are_told_by_its_own_limit(kind: str) -> None:
    desk = Desk(kind, symbol_orders=2, open_orders=5)
    for _ in range(2):
        desk.approve(quantity=1)
    desk.ask(quantity=1)
    assert last(desk).because() == "orders open: 2, must be below 2"
    text = made(Denial.OPEN_ORDERS, 3, 5).because()
    assert text == "no cell is free for another order"


def test_of_an_approved_order_the_worst_case_the_reference_and_the_reserve_are_kept(
    kind: str,
) -> None:
    desk = Desk(kind)
    desk.execute(quantity=5)
    order = desk.approve(quantity=10)
    one = last(desk)
    assert (one.answer, one.failed) == ("approved as order 1", ())
    assert one.compared == (1500 * 10**8, int(desk.account["equity_e8"]))
    assert one.cell["reference"] == 100
    assert one.reserved_e8 == order["reserved"][0] == 105_105_000_000
    desk.approve(side=Side.SELL, quantity=5, stop=0)
    one = last(desk)  # it reduces: no new exposure, and money comes in
    assert (one.compared, one.reserved_e8, one.cell["reference"]) == ((0, 0), 0, 99)


@pytest.mark.parametrize(
    ("unit", "value", "bound", "texts"),
    [
        (
            Unit.MONEY,
            200_000_000_001,
            200_000_000_000,
            ("2,000.00000001 USDT", "2,000.00000000 USDT"),
        ),
        (Unit.MONEY, 200_100_000_000, 200_000_000_000, ("2,001.00 USDT", "2,000.00 USDT")),
        (Unit.MONEY, 10, 10, ("0.0000001 USDT", "0.0000001 USDT")),
        (Unit.MONEY, INT64_MAX, 0, ("92,233,720,368.55 USDT or more", "0.00 USDT")),
        (Unit.MONEY, INT64_MIN, 0, ("-92,233,720,368.55 USDT or less", "0.00 USDT")),
        (Unit.TIME, 1_200_000, 0, ("1.2 ms", "0 ms")),
        (Unit.TIME, 1, 0, ("0.000001 ms", "0 ms")),
        (Unit.TIME, 9_870_000_001_000, 0, ("9,870 s", "0 s")),
        (Unit.SHARE, 100, 3, ("0.01 %", "0.0003 %")),
        (Unit.SHARE, 150_001, 150_000, ("15.0001 %", "15 %")),
        (Unit.PRICE, 12_345_678, 12_345_000, ("123.45678", "123.45000")),
        (Unit.QUANTITY, 15, 20, ("0.0015 ODD", "0.0020 ODD")),
        (Unit.COUNT, 3, 2, ("3", "2")),
        (Unit.MODE, Mode.EMERGENCY, Denial.DRAWDOWN, ("emergency", "808 DRAWDOWN")),
        (Unit.MODE, 99, 1, ("emergency", "halted")),
    ],
)
def test_numbers_have_as_many_places_as_keep_them_apart(
    unit: Unit, value: int, bound: int, texts: tuple[str, str]
) -> None:
    assert made(Denial.GROSS, instrument=1).texts(unit, value, bound) == texts


@pytest.mark.parametrize("code", CHECKS, ids=lambda code: code.name)
@pytest.mark.parametrize("instrument", [0, 7])
def test_every_code_renders_whatever_the_numbers_are(code: Denial, instrument: int) -> None:
    for value, bound in ((0, 0), (3, 2), (-5, 5), (INT64_MAX, INT64_MIN)):
        one = made(code, value, bound, instrument=instrument, strategy=2**32 - 1, side=-1)
        assert "{" not in one.because()
        assert one.answer == f"denied: {code.value} {code.name}"
        assert str(one.limit_of(code))


def test_the_limit_is_that_of_the_instrument_or_the_strategy_if_it_has_one() -> None:
    config = resolved(
        Desk(
            "reference",
            instruments={"ONEUSDT": {"position_bp": 50, "order_notional": "70"}},
            strategies={"2": {"risk_bp": 7, "order_notional": "80"}},
        )
    )
    one = decisions(made(Denial.GROSS).cell.reshape(1), config)[0].instrument

    def said(code: Denial, strategy: int = 0) -> str:
        return str(limit_of(code, config, one, strategy))

    assert said(Denial.POSITION_SIZE) == "risk.instruments.ONEUSDT.position_bp = 50 (0.5 %)"
    assert said(Denial.RISK_PER_TRADE, 2) == "risk.strategies.2.risk_bp = 7 (0.07 %)"
    assert said(Denial.RISK_PER_TRADE) == "risk.risk_bp = 0 (0 %)"
    assert said(Denial.NOTIONAL_MAX, 2) == "risk.instruments.ONEUSDT.order_notional = 70"
    assert said(Denial.STOP_REQUIRED) == "risk.stop_required = true"
    assert limit_of(Denial.MD_CROSSED, config, one, 0) is None


def test_an_id_that_is_not_kept_is_refused_with_those_that_are() -> None:
    desk = Desk("reference")
    cells = desk.driver.state("decisions")
    config = resolved(desk)
    with pytest.raises(DecisionError, match="intent was 9, but none has been decided yet"):
        find(cells, config, 9)
    for intent_id in (5000, 5001, 904):
        desk.ask(intent_id=intent_id, quantity=1)
    cells = desk.driver.state("decisions")
    assert find(cells, config, 5001).cell["intent_id"] == 5001
    wanted = r"intent was 905, must be one of the last 4,096 that were decided, 5000 to 5001"
    with pytest.raises(DecisionError, match=wanted):
        find(cells, config, 905)
    with pytest.raises(DecisionError, match=str(2**64 - 1)):
        find(cells, config, 2**64 - 1)
    assert [int(one.cell["intent_id"]) for one in decisions(cells, config)] == [5000, 5001]


def test_the_rules_have_a_unit_if_and_only_if_they_tell_of_numbers() -> None:
    for code, rule in RULES.items():
        told = {"{value}", "{bound}"} & {
            f"{{{word}}}" for word in ("value", "bound") if f"{{{word}}}" in rule.said
        }
        assert bool(told) == (rule.unit is not Unit.NONE), code
