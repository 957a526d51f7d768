"""The global state: a function of the components, the latch, and itself before."""

from __future__ import annotations

from typing import Any

import pytest

from shm import BreakerError, ShmError
from shm.breaker_types import GLOBAL_AGE_NS, SILENT_NS, Cause, EventKind, GlobalState, State
from tests.shm.breaker.conftest import NewDesk
from tests.shm.breaker.desk import MS, SECOND, WHO, Desk, settings

G = GlobalState
FOUR = ("a", "b", "c", "d")


def _closed(desk: Desk, **of_each: dict[str, Any]) -> None:
    """Close all breakers, with settings of their own."""
    for name in desk.names:
        breaker = desk.breaker(name)
        breaker.configure(settings(**of_each.get(name, {})), desk.now)
        breaker.initialise(desk.now)


def _open(desk: Desk, *names: str) -> None:
    for name in names:
        desk.breaker(name).trip(desk.now, **WHO)


def _reset(desk: Desk, *names: str) -> None:
    for name in names:
        desk.breaker(name).reset(desk.now, **WHO)


@pytest.fixture
def four(new_desk: NewDesk) -> Desk:
    """Four breakers, all closed."""
    desk = new_desk(FOUR)
    _closed(desk)
    desk.group().limits(1, 5_000, 2_500)
    return desk


def _derived(desk: Desk) -> GlobalState:
    return GlobalState(desk.group().derive(desk.now))


def test_it_is_closed_when_all_are(four: Desk) -> None:
    assert _derived(four) == G.CLOSED


@pytest.mark.parametrize(
    ("act", "state"),
    [
        ("trip", G.DEGRADED),
        ("force_open", G.DEGRADED),
        ("disable", G.CLOSED),
        ("metrics_only", G.CLOSED),
    ],
)
def test_one_of_many_degrades_it_or_does_not(four: Desk, act: str, state: GlobalState) -> None:
    getattr(four.breaker("a"), act)(four.now, **WHO)
    assert _derived(four) == state


def test_half_open_degrades_it_and_does_not_weigh(four: Desk) -> None:
    for name in FOUR:
        _open(four, name)
    for name in FOUR:
        four.now = max(four.now, four.breaker(name).deadline_ns)
        assert four.breaker(name).acquire(four.now)
    assert _derived(four) == G.DEGRADED


@pytest.mark.parametrize("act", ["trip", "force_open"])
def test_a_critical_component_opens_it_alone(new_desk: NewDesk, act: str) -> None:
    desk = new_desk(FOUR)
    _closed(desk, b={"critical": True}, c={"critical": True})
    desk.group().limits(1, 10_000, 1)
    assert _derived(desk) == G.CLOSED
    getattr(desk.breaker("b"), act)(desk.now, **WHO)
    assert _derived(desk) == G.OPEN
    _reset(desk, "b")
    assert _derived(desk) == G.CLOSED


def test_a_critical_component_that_is_probed_does_not_hold_it_open(new_desk: NewDesk) -> None:
    desk = new_desk(FOUR)
    _closed(desk, a={"critical": True})
    _open(desk, "a")
    assert _derived(desk) == G.OPEN
    desk.now = desk.breaker("a").deadline_ns
    assert desk.breaker("a").acquire(desk.now)
    assert _derived(desk) == G.DEGRADED


@pytest.mark.parametrize(("critical", "state"), [(True, G.OPEN), (False, G.DEGRADED)])
def test_uninit_weighs_as_open(new_desk: NewDesk, critical: bool, state: GlobalState) -> None:
    desk = new_desk(FOUR)
    for name in FOUR:
        desk.breaker(name).configure(settings(critical=critical and name == "a"), desk.now)
    for name in FOUR[1:]:
        desk.breaker(name).initialise(desk.now)
    assert _derived(desk) == state
    desk.put_word(State.INVALID << 61)
    assert _derived(desk) == state


def test_uninit_components_reach_the_ratio(new_desk: NewDesk) -> None:
    desk = new_desk(FOUR)
    for name in FOUR:
        desk.breaker(name).configure(settings(), desk.now)
    for name in FOUR[2:]:
        desk.breaker(name).initialise(desk.now)
    assert _derived(desk) == G.OPEN


def test_one_that_nobody_has_configured_opens_it(new_desk: NewDesk) -> None:
    desk = new_desk(FOUR)
    for name in FOUR[1:]:
        desk.breaker(name).configure(settings(), desk.now)
        desk.breaker(name).initialise(desk.now)
    assert _derived(desk) == G.OPEN


def test_the_ratio_opens_it_and_a_lower_one_closes_it(four: Desk) -> None:
    _open(four, "a")
    assert _derived(four) == G.DEGRADED
    _open(four, "b")  # 50 %
    assert _derived(four) == G.OPEN
    four.group().limits(1, 5_000, 2_400)
    _reset(four, "a")  # 25 %: neither enough to open, nor to close
    assert _derived(four) == G.OPEN
    four.group().limits(1, 5_000, 2_500)
    assert _derived(four) == G.DEGRADED
    four.group().limits(1, 5_000, 2_400)
    assert _derived(four) == G.DEGRADED


def test_weights_make_some_count_for_more(new_desk: NewDesk) -> None:
    desk = new_desk(FOUR)
    _closed(desk, a={"weight": 3})
    desk.group().limits(1, 5_000, 3_500)
    _open(desk, "b", "c")  # 2 of 6
    assert _derived(desk) == G.DEGRADED
    _reset(desk, "b", "c")
    _open(desk, "a")  # 3 of 6
    assert _derived(desk) == G.OPEN


def test_disabled_components_leave_the_denominator(four: Desk) -> None:
    _open(four, "a")
    assert _derived(four) == G.DEGRADED
    for name in ("b", "c"):
        four.breaker(name).disable(four.now, **WHO)
    assert _derived(four) == G.OPEN  # 1 of 2
    for name in ("a", "d"):
        four.breaker(name).disable(four.now, **WHO)
    assert _derived(four) == G.CLOSED


def test_a_disabled_critical_component_does_not_open_it(new_desk: NewDesk) -> None:
    desk = new_desk(FOUR)
    _closed(desk, a={"critical": True})
    _open(desk, "a")
    assert _derived(desk) == G.OPEN
    desk.breaker("a").disable(desk.now, **WHO)
    assert _derived(desk) == G.CLOSED


def test_the_ratio_means_nothing_with_too_few_components(four: Desk) -> None:
    four.group().limits(5, 5_000, 3_500)
    _open(four, *FOUR)
    assert _derived(four) == G.DEGRADED
    four.group().limits(4, 5_000, 3_500)
    assert _derived(four) == G.OPEN
    four.breaker("a").disable(four.now, **WHO)
    assert _derived(four) == G.DEGRADED


def test_the_latch_opens_it_whatever_the_components(four: Desk) -> None:
    group = four.group()
    assert group.latch is False
    _derived(four)
    four.events()
    group.set_latch(True)
    assert four.group(1).latch is True
    assert _derived(four) == G.OPEN
    (event,) = four.events()
    assert (event["kind"], event["cause"]) == (EventKind.GLOBAL, Cause.TRIPPED)
    four.now += 3600 * SECOND
    assert _derived(four) == G.OPEN
    group.set_latch(False)
    assert _derived(four) == G.CLOSED


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ((0, 5_000, 3_500), "min_components was 0"),
        ((1, 10_001, 3_500), "open_bp was 10001"),
        ((1, 0, 0), "open_bp was 0"),
        ((1, 5_000, 0), "close_bp was 0"),
        ((1, 5_000, 5_000), "close_bp was 5000, must be in 1 .. 4999"),
        ((1, 3_000, 5_000), "close_bp was 5000"),
    ],
)
def test_wrong_limits_are_refused_and_the_old_ones_stay(
    four: Desk, limits: tuple[int, int, int], message: str
) -> None:
    with pytest.raises(BreakerError, match=message):
        four.group().limits(*limits)
    _open(four, "a")
    assert _derived(four) == G.DEGRADED
    _open(four, "b")
    assert _derived(four) == G.OPEN


def test_the_cached_state_serves_for_50_ms(four: Desk) -> None:
    group = four.group()
    assert group.derive(four.now) == G.CLOSED
    _open(four, *FOUR)
    assert group.state(four.now) == G.CLOSED
    assert group.state(four.now + GLOBAL_AGE_NS) == G.CLOSED
    assert group.state(four.now + GLOBAL_AGE_NS + 1) == G.OPEN


def test_an_old_one_is_derived_by_whoever_reads_it(four: Desk) -> None:
    """So it is never later than that, also when the process that caused the change was killed."""
    four.group().derive(four.now)
    _open(four, *FOUR)
    observer = four.observer()
    assert observer.state(four.now + 51 * MS) == G.OPEN
    assert four.group().state(four.now + 60 * MS) == G.OPEN


def test_one_that_was_never_derived_is_derived_at_once(four: Desk) -> None:
    assert four.observer().state(four.now) == G.CLOSED


def test_the_view_has_a_bit_for_each_breaker(four: Desk) -> None:
    group = four.group()
    assert group.view(four.now) == (G.CLOSED, 0, 0)
    _open(four, "b")
    four.breaker("c").force_open(four.now, **WHO)
    four.breaker("d").disable(four.now, **WHO)
    assert group.view(four.now) == (G.OPEN, 0b0110, 0b0100)


def test_the_view_shows_a_change_at_once(four: Desk) -> None:
    looks = (four.group(1), four.observer())
    for name, state in (("a", G.DEGRADED), ("b", G.OPEN), ("c", G.OPEN)):
        for each in (*looks, *looks):  # until nothing is new
            each.view(four.now)
        breaker = four.breaker(name)
        breaker.trip(four.now, **WHO)
        for each in looks:
            assert each.view(four.now)[0] == state
            assert each.view(four.now)[1] >> breaker.index & 1


def test_the_view_is_never_older_than_50_ms(four: Desk) -> None:
    """Also if the process that made a change was killed before it said so."""
    group = four.group()
    for _ in range(3):
        assert group.view(four.now) == (G.CLOSED, 0, 0)
    four.put_word(State.FORCED_OPEN << 61)
    assert group.view(four.now + GLOBAL_AGE_NS + 1) == (G.DEGRADED, 0b0001, 0b0001)


def test_half_open_is_blocked_for_all_but_probes(four: Desk) -> None:
    _open(four, "a")
    four.now = four.breaker("a").deadline_ns
    four.breaker("a").acquire(four.now)
    assert four.group().view(four.now) == (G.DEGRADED, 0b0001, 0)


def test_all_open_recovers_without_help(four: Desk) -> None:
    """Nobody does anything by hand: calls go on, and whatever is let through succeeds."""
    group = four.group()
    for name in FOUR:
        four.fail(four.breaker(name), 3)
    seen = [GlobalState(group.state(four.now))]
    for _ in range(100):
        four.now += 50 * MS
        for name in FOUR:
            breaker = four.breaker(name)
            permit = breaker.acquire(four.now)
            if permit:
                breaker.complete(permit, True, four.now)
            breaker.reap(four.now)
        state = GlobalState(group.state(four.now))
        if state != seen[-1]:
            seen.append(state)
    assert seen == [G.OPEN, G.DEGRADED, G.CLOSED]
    assert {four.breaker(name).state for name in FOUR} == {State.CLOSED}


def test_states_are_what_the_events_say(four: Desk) -> None:
    _derived(four)
    _open(four, "a", "b")
    four.now += MS
    _derived(four)
    events = four.events()
    changes = events[events["kind"] == EventKind.GLOBAL]
    assert changes[["before", "after", "time_ns"]].tolist() == [
        (G.UNKNOWN, G.CLOSED, four.now - MS),
        (G.CLOSED, G.OPEN, four.now),
    ]


def test_it_is_open_when_whoever_judged_the_components_has_fallen_silent(four: Desk) -> None:
    four.group().fed(four.now)
    four.now += SILENT_NS
    assert _derived(four) == G.CLOSED
    four.now += 1
    assert _derived(four) == G.OPEN
    assert four.observer().view(four.now) == (G.OPEN, 0, 0)
    four.group().fed(four.now)
    assert _derived(four) == G.CLOSED


def test_it_does_not_wait_for_one_who_was_never_there(four: Desk) -> None:
    four.now += 100 * SILENT_NS
    assert _derived(four) == G.CLOSED


def test_all_are_configured_together_or_none_is(four: Desk) -> None:
    group = four.group()
    fresh = settings(consecutive=7)
    group.configure({"a": fresh, "d": fresh}, (2, 6_000, 1_000, False), four.now)
    assert [four.breaker(name).settings == fresh for name in FOUR] == [True, False, False, True]
    assert group.current_limits == (2, 6_000, 1_000, False)
    other = settings(consecutive=8)
    with pytest.raises(ShmError):
        group.configure({"a": other, "nobody": other}, None, four.now)
    with pytest.raises(BreakerError, match="close_bp was 9000"):
        group.configure({"a": other}, (2, 6_000, 9_000, False), four.now)
    assert four.breaker("a").settings == fresh
