"""What operators ask of risk: done once, refused as a whole, and the same in both kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.records import CONTROL
from pipeline.vocabulary import ControlKind, Denial, ExecutionKind, Mode
from tests.workers.risk.desk import ENGINES, Desk, codes, config, e8, quote, record_of
from workers import native
from workers.risk.settings import (
    InstrumentLimits,
    RiskLimits,
    RiskOpening,
    RiskSettings,
    StrategyLimits,
)


def ask(desk: Desk, request: int, kind: ControlKind, amount: int = 0, index: int = 0) -> None:
    """Hand on a part of a request."""
    record = record_of(CONTROL, kind=kind, amount=amount, index=index, request=request)
    assert desk.driver.step("control", record, now_ns=desk.now) == []


def number_of(desk: Desk, field: str, instrument: int | None = None) -> int:
    """Return the number of a limit: of the account, or of an instrument."""
    names, of_instrument, _ = native.risk_limit_names()
    if instrument is None:
        return names.index(field)
    return len(names) + instrument * len(of_instrument) + of_instrument.index(field)


def change(desk: Desk, request: int, changes: Mapping[int, int]) -> None:
    """Hand on a whole request that changes limits."""
    for index, value in changes.items():
        ask(desk, request, ControlKind.SET, value, index)
    ask(desk, request, ControlKind.APPLY)


def done(desk: Desk) -> tuple[int, int]:
    """The last request that was dealt with, and whether it was refused."""
    return int(desk.account["request"]), int(desk.account["refused"])


def test_a_request_is_dealt_with_once(kind: str) -> None:
    desk = Desk(kind)
    for _ in range(2):
        ask(desk, 1, ControlKind.FLOW, e8(1000))
    assert desk.account["flows_e8"] == e8(1000)
    ask(desk, 3, ControlKind.FLOW, e8(-1000))
    ask(desk, 2, ControlKind.FLOW, e8(7))  # older than what was dealt with
    assert (desk.account["flows_e8"], done(desk)) == (0, (3, 0))


@pytest.mark.parametrize(
    "amount", [e8(-100_000), e8(-100_001), -(2**63), 2**63 - 1], ids=["all", "more", "min", "max"]
)
def test_a_flow_that_cannot_be_is_refused_and_nothing_is_booked(kind: str, amount: int) -> None:
    desk = Desk(kind)
    desk.tick(quote())
    before = desk.account
    ask(desk, 1, ControlKind.FLOW, amount)
    assert done(desk) == (1, 1)
    for field in ("cash_e8", "equity_e8", "units", "flows_e8", "day_open_e8", "nav_e12"):
        assert desk.account[field] == before[field]


@pytest.mark.parametrize(
    ("limits", "equity"),
    [
        ({"daily_loss": "1000"}, 99_000),
        ({"weekly_loss": "1000"}, 99_000),
        ({"monthly_loss": "1000"}, 99_000),
        ({"reduce_bp": 100}, 99_000),
        ({"drawdown_bp": 100}, 99_000),
    ],
    ids=["daily", "weekly", "monthly", "reduce", "drawdown"],
)
def test_a_reset_is_refused_at_a_limit_and_done_just_below_it(
    kind: str, limits: dict[str, Any], equity: int
) -> None:
    desk = Desk(kind, **limits)
    desk.execute(quantity=1000, price=100)
    desk.tick(quote(99, 100))
    assert desk.account["equity_e8"] == e8(equity)
    mode = int(desk.account["mode"])
    assert mode > 0
    ask(desk, 1, ControlKind.RESET)
    assert (done(desk), int(desk.account["mode"])) == ((1, 1), mode)
    desk.execute(quantity=1, price=99, side=-1, fee=-(10**6))  # a rebate of a cent
    ask(desk, 2, ControlKind.RESET)
    assert (done(desk), int(desk.account["mode"])) == ((2, 0), Mode.NORMAL)


def test_a_rebase_counts_from_what_is_there(kind: str) -> None:
    desk = Desk(kind, daily_loss="1000")
    desk.execute(quantity=1000, price=100)
    desk.tick(quote(98, 99))
    ask(desk, 1, ControlKind.RESET, 1)
    account = desk.account
    assert (done(desk), int(account["mode"])) == ((1, 0), Mode.NORMAL)
    assert account["high_water_e12"] == account["nav_e12"] < 10**12
    assert account["day_open_e8"] == account["equity_e8"] == e8(98_000)
    desk.tick(quote(97, 98))
    assert desk.account["mode"] == Mode.PAUSED


# Orders in a row


def repeats(desk: Desk) -> bool:
    """Whether a strategy that repeats itself is stopped."""
    order, _ = desk.ask(quantity=1)
    return order is None


@pytest.mark.parametrize("kind_of_control", [ControlKind.RESUME, ControlKind.RESET])
def test_an_operator_has_orders_in_a_row_counted_anew(
    kind: str, kind_of_control: ControlKind
) -> None:
    desk = Desk(kind, repeated=2, position_bp=10_000)
    assert [repeats(desk) for _ in range(3)] == [False, False, True]
    desk.control(kind_of_control)
    assert not desk.driver.state("signals")["count"].any()
    assert [repeats(desk) for _ in range(3)] == [False, False, True]


def test_a_reset_that_is_refused_lets_nobody_repeat_itself(kind: str) -> None:
    desk = Desk(kind, repeated=2, position_bp=10_000, daily_loss="100")
    assert [repeats(desk) for _ in range(3)] == [False, False, True]
    desk.execute(quantity=1, price=300)
    desk.tick(quote())
    desk.control(ControlKind.RESET)
    assert desk.account["mode"] == Mode.PAUSED
    assert desk.driver.state("signals")["count"].sum() == 2


def test_resuming_in_normal_acknowledges_no_pause_that_is_to_come(kind: str) -> None:
    desk = Desk(kind, daily_loss="100")
    desk.control(ControlKind.RESUME)
    desk.execute(quantity=1, price=300)
    for _ in range(2):
        desk.tick(quote())
        assert desk.account["mode"] == Mode.PAUSED


# Limits


def test_the_numbers_of_limits_are_those_of_the_kernel() -> None:
    fields = [list(each._fields) for each in (RiskSettings, InstrumentLimits, StrategyLimits)]
    assert fields[2].pop() == "trades"
    assert native.risk_limit_names() == fields
    limits = RiskLimits.of(config())
    flat = limits.flat()
    assert len(flat) == len(fields[0]) + 2 * len(fields[1]) + 8 * len(fields[2])
    assert limits.changed({}) == limits
    assert limits.changed(dict(enumerate(range(len(flat))))).flat() == list(range(len(flat)))


def test_a_limit_is_in_force_once_its_request_is_applied(kind: str) -> None:
    desk = Desk(kind)
    position = {number_of(desk, "position_bp", 0): 50}
    desk.approve(quantity=5)
    ask(desk, 1, ControlKind.SET, 50, *position)
    desk.approve(quantity=5)  # not yet
    ask(desk, 1, ControlKind.APPLY)
    _, outcome = desk.ask(quantity=5)
    assert codes(outcome) == {Denial.POSITION_SIZE}
    change(desk, 2, {number_of(desk, "position_bp", 0): 200})
    desk.approve(quantity=5)
    assert (done(desk), int(desk.account["limits"])) == ((2, 0), 2)


def test_what_another_request_has_set_is_not_applied(kind: str) -> None:
    desk = Desk(kind)
    ask(desk, 1, ControlKind.SET, 0, number_of(desk, "position_bp", 0))
    ask(desk, 2, ControlKind.APPLY)
    desk.approve()
    assert not desk.driver.state("limits")["changed"].any()


def test_a_request_that_is_handed_on_in_part_and_then_again_counts_once(kind: str) -> None:
    desk = Desk(kind)
    gross, venue = number_of(desk, "gross_e8"), number_of(desk, "venue_e8")
    ask(desk, 1, ControlKind.SET, e8(500), gross)
    change(desk, 1, {gross: e8(500), venue: e8(600)})
    change(desk, 1, {gross: e8(9), venue: e8(9)})
    cells = desk.driver.state("limits")
    assert cells["value"][[gross, venue]].tolist() == [e8(500), e8(600)]
    assert np.flatnonzero(cells["changed"]).tolist() == sorted([gross, venue])
    assert not cells["request"].any()
    assert desk.account["limits"] == 1


def test_a_limit_without_a_number_stops_us(kind: str) -> None:
    desk = Desk(kind)
    with pytest.raises(ValueError, match=r"index was 10000, must be below \d+"):
        ask(desk, 1, ControlKind.SET, 1, 10_000)


def test_a_kind_that_is_none_stops_us(kind: str) -> None:
    desk = Desk(kind)
    with pytest.raises(ValueError, match=r"kind was 7, must be in 1 \.\. 6"):
        desk.driver.step("control", record_of(CONTROL, kind=7), now_ns=desk.now)


@pytest.mark.parametrize("which", [*RiskSettings._fields, *InstrumentLimits._fields])
def test_both_kernels_take_each_limit_for_the_same(which: str) -> None:
    """A limit at 1 changes what is denied, or not; in both kernels likewise."""
    if which in ("venue", "asset_class"):
        return  # places, which nobody changes
    found = []
    for engine in ENGINES:
        desk = Desk(engine)
        instrument = None if which in RiskSettings._fields else 0
        change(desk, 1, {number_of(desk, which, instrument): 1})
        desk.tick(quote())
        _, outcome = desk.ask(quantity=30, market=quote(size=20))
        desk.execute(quantity=10, price=100)
        desk.execute(quantity=10, price=90, side=-1, kind=ExecutionKind.STOP)
        _, second = desk.ask(quantity=30, stop=0, market=quote(size=20))
        mode = int(desk.account["mode"])
        found.append((codes(outcome), codes(second), mode, int(desk.held()["cooldown_until_ns"])))
    assert found[0] == found[1]


CHANGES = st.lists(st.tuples(st.integers(0, 70), st.integers(0, 2**40)), min_size=1, max_size=6)
ACTS = st.lists(st.one_of(CHANGES, st.just("loss"), st.just("tick")), min_size=1, max_size=12)


@settings(max_examples=40, deadline=None)
@given(acts=ACTS)
@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_but_a_request_changes_a_limit(
    engine: str, acts: Sequence[str | list[tuple[int, int]]]
) -> None:
    """Protections, modes and losses tighten what may be done, but never touch a limit."""
    desk = Desk(engine, losses=1, daily_loss="10", stop_cooldown_s=5, low_profit_trips=1)
    expected = RiskLimits.of(config())
    changed: dict[int, int] = {}
    request = 0
    places = {number_of(desk, field, i) for field in ("venue", "asset_class") for i in (0, 1)}
    for act in acts:
        if act == "loss":
            desk.execute(quantity=10, price=100)
            desk.execute(quantity=10, price=90, side=-1, kind=ExecutionKind.STOP)
        elif act == "tick":
            desk.tick(quote(90, 91))
        elif not isinstance(act, str):
            request += 1
            new = {index: value for index, value in act if index not in places}
            change(desk, request, new)
            changed |= new
        cells = desk.driver.state("limits")
        now = {int(i): int(cells["value"][i]) for i in np.flatnonzero(cells["changed"])}
        assert now == changed
        assert expected.changed(now).flat() == [
            changed.get(i, value) for i, value in enumerate(expected.flat())
        ]


# The account of an earlier run


def opening(**fields: int) -> dict[str, Any]:
    """A configuration with an account that has a past."""
    kept = RiskOpening.of(config())._asdict() | fields
    return {**config(daily_loss="1000"), "run": {"account": kept}}


def test_an_account_goes_on_where_it_was(kind: str) -> None:
    past = {"equity_e8": e8(90_000), "high_water_e12": 11 * 10**11, "day_open_e8": e8(90_500)}
    desk = Desk(kind, settings=opening(**past, day=20_000, week=2857, month=24_297, losses=2))
    desk.tick(quote())
    account = desk.account
    assert account["equity_e8"] == account["cash_e8"] == account["opening_e8"] == e8(90_000)
    assert (account["nav_e12"], account["high_water_e12"]) == (9 * 10**11, 11 * 10**11)
    assert (account["day_open_e8"], account["losses"]) == (e8(90_500), 2)
    assert desk.is_conserved()


def test_a_loss_of_the_day_counts_across_runs(kind: str) -> None:
    desk = Desk(kind, settings=opening(equity_e8=e8(99_010), day=20_000))
    desk.execute(quantity=10, price=100, fee=e8(10), venue_ns=19_999 * 86_400 * 10**9)
    assert desk.account["mode"] == Mode.PAUSED
    assert desk.account["mode_code"] == Denial.DAILY


def test_a_new_day_begins_with_what_the_last_run_has_left(kind: str) -> None:
    desk = Desk(kind, settings=opening(equity_e8=e8(99_010), day=20_000))
    desk.execute(quantity=10, price=100, fee=e8(10), venue_ns=20_000 * 86_400 * 10**9)
    assert desk.account["mode"] == Mode.NORMAL
    assert desk.account["day_open_e8"] == e8(99_010)


def test_modes_and_flags_outlive_a_run(kind: str) -> None:
    past = {"mode": Mode.EMERGENCY, "mode_code": Denial.DRAWDOWN, "killed": 808, "drawdown": 1}
    desk = Desk(kind, settings=opening(**past))
    _, outcome = desk.ask()
    assert {Denial.KILLED, Denial.DRAWDOWN} <= codes(outcome)


def test_the_cooldown_after_losses_in_a_row_begins_again(kind: str) -> None:
    past = {"mode": Mode.PAUSED, "mode_code": Denial.CONSEC_LOSSES, "losses": 5}
    settings_of = opening(**past)
    settings_of["risk"] |= {"losses": 5, "losses_cooldown_s": 10, "losses_resume": True}
    desk = Desk(kind, settings=settings_of)
    desk.tick(quote())
    assert desk.account["mode"] == Mode.PAUSED
    desk.now += 10 * 10**9
    desk.tick(quote(link_ns=desk.now))
    assert desk.account["mode"] == Mode.NORMAL
