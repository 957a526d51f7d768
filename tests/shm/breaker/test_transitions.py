"""The table of transitions, cell by cell."""

from __future__ import annotations

import pytest

from shm import BreakerError
from shm.breaker_types import Cause, EventKind, GlobalState, Rejection, State
from tests.shm.breaker.desk import START, WHO, Desk, One, settings

S = State
ILLEGAL = "illegal"
STAYS = "stays"

# What each act by hand makes of each state.
BY_HAND = {
    # from: (trip, force_open, reset, disable, metrics_only, initialise)
    S.CLOSED: (S.OPEN, S.FORCED_OPEN, S.CLOSED, S.DISABLED, S.METRICS_ONLY, STAYS),
    S.OPEN: (STAYS, S.FORCED_OPEN, S.CLOSED, S.DISABLED, S.METRICS_ONLY, STAYS),
    S.HALF_OPEN: (S.OPEN, S.FORCED_OPEN, S.CLOSED, S.DISABLED, S.METRICS_ONLY, STAYS),
    S.FORCED_OPEN: (ILLEGAL, STAYS, S.CLOSED, ILLEGAL, ILLEGAL, STAYS),
    S.DISABLED: (S.OPEN, S.FORCED_OPEN, S.CLOSED, STAYS, S.METRICS_ONLY, STAYS),
    S.METRICS_ONLY: (S.OPEN, S.FORCED_OPEN, S.CLOSED, S.DISABLED, STAYS, STAYS),
    S.UNINIT: (ILLEGAL, S.FORCED_OPEN, S.CLOSED, ILLEGAL, ILLEGAL, S.CLOSED),
}
ACTS = {
    "trip": Cause.TRIPPED,
    "force_open": Cause.FORCED_OPEN,
    "reset": Cause.RESET,
    "disable": Cause.DISABLED,
    "metrics_only": Cause.METRICS_ONLY,
    "initialise": Cause.INITIALISED,
}
CELLS = [
    pytest.param(state, act, expected, id=f"{state.name}-{act}")
    for state, row in BY_HAND.items()
    for act, expected in zip(ACTS, row, strict=True)
]


def _do(desk: Desk, breaker: One, act: str) -> bool:
    who = {} if act == "initialise" else WHO
    answer = getattr(breaker, act)(desk.now, **who)
    assert type(answer) is bool
    return answer


@pytest.mark.parametrize(("state", "act", "expected"), CELLS)
def test_an_act_by_hand(desk: Desk, state: State, act: str, expected: State | str) -> None:
    breaker = desk.in_state(state)
    before, generation = breaker.word, breaker.generation
    if expected is ILLEGAL:
        with pytest.raises(BreakerError, match=r"'feed'.*reset it first"):
            _do(desk, breaker, act)
    else:
        assert _do(desk, breaker, act) is (expected is not STAYS)
    events = desk.events()
    if not isinstance(expected, State):
        assert breaker.word == before
        assert len(events) == 0
        return
    assert (breaker.state, breaker.generation) == (expected, generation + 1)
    assert events[["before", "after", "kind", "cause"]].tolist() == [
        (before, breaker.word, EventKind.TRANSITION, ACTS[act])
    ]
    actor = b"" if act == "initialise" else WHO["actor"].encode()
    assert events["actor"][0] == actor


@pytest.mark.parametrize("state", [*BY_HAND, "invalid"])
def test_who_asks_for_a_permit(desk: Desk, state: State | str) -> None:
    admitted = {S.CLOSED: True, S.METRICS_ONLY: True, S.DISABLED: False}
    rejections = {
        S.OPEN: Rejection.OPEN,
        S.FORCED_OPEN: Rejection.FORCED_OPEN,
        S.UNINIT: Rejection.UNINIT,
        "invalid": Rejection.UNINIT,
    }
    if state == "invalid":
        breaker = desk.closed()
        desk.put_word(S.INVALID << 61 | breaker.word)
        assert breaker.state == S.INVALID
    else:
        assert isinstance(state, State)
        breaker = desk.in_state(state)
    permit = breaker.acquire(desk.now)
    if state == S.HALF_OPEN:
        assert (bool(permit), permit.index) == (True, 1)
    elif state in admitted:
        assert permit
        assert (permit.index, permit.counted) == (-1, admitted[state])
        assert permit.rejection == Rejection.NONE
    else:
        assert not permit
        assert permit.rejection == rejections[state]
    assert (permit.generation, permit.issued_ns) == (breaker.generation, desk.now)


@pytest.mark.parametrize("late", [0, 1, 10**12])
def test_open_lets_the_first_probe_through_at_its_deadline(desk: Desk, late: int) -> None:
    breaker = desk.opened()
    generation, attempt = breaker.generation, breaker.attempt
    desk.now = breaker.deadline_ns - 1
    assert breaker.acquire(desk.now).rejection == Rejection.OPEN
    desk.now += 1 + late
    permit = breaker.acquire(desk.now)
    assert permit
    assert (permit.index, permit.generation) == (0, generation + 1)
    assert (breaker.state, breaker.attempt) == (S.HALF_OPEN, attempt)
    assert breaker.probes() == (1, 0, 0, 0)
    assert desk.events()["cause"].tolist() == [Cause.COOLDOWN_OVER]


def test_closed_opens_when_its_rule_is_met(desk: Desk) -> None:
    breaker = desk.closed()
    desk.fail(breaker, 2)
    assert breaker.state == S.CLOSED
    desk.fail(breaker)
    assert (breaker.state, breaker.attempt, breaker.generation) == (S.OPEN, 0, 2)
    assert desk.events()[["cause", "consecutive"]].tolist() == [(Cause.CONSECUTIVE, 3)]


@pytest.mark.parametrize("state", [S.OPEN, S.FORCED_OPEN, S.UNINIT])
def test_what_admits_nobody_does_not_trip(desk: Desk, state: State) -> None:
    breaker = desk.in_state(state)
    before = breaker.word
    for _ in range(5):
        breaker.fail_once(desk.now)
        breaker.reap(desk.now)
    assert breaker.word == before


def test_enough_successes_close_half_open(desk: Desk) -> None:
    breaker, permit = desk.half_open(successes=2, failures=1)
    breaker.complete(permit, True, desk.now)
    assert (breaker.state, breaker.probes()) == (S.HALF_OPEN, (1, 1, 1, 0))
    breaker.complete(breaker.acquire(desk.now), True, desk.now)
    assert (breaker.state, breaker.attempt) == (S.CLOSED, 0)
    assert desk.events()[["cause", "calls", "failures"]].tolist() == [
        (Cause.PROBES_SUCCEEDED, 2, 0)
    ]


def test_one_failure_more_than_allowed_opens_half_open_again(desk: Desk) -> None:
    breaker, permit = desk.half_open(successes=2, failures=1)
    breaker.complete(permit, False, desk.now)
    assert breaker.state == S.HALF_OPEN
    breaker.complete(breaker.acquire(desk.now), False, desk.now)
    assert (breaker.state, breaker.attempt) == (S.OPEN, 1)
    assert desk.events()[["cause", "calls", "failures"]].tolist() == [(Cause.PROBES_FAILED, 2, 2)]


def test_no_failure_may_be_allowed_at_all(desk: Desk) -> None:
    breaker, permit = desk.half_open(successes=2, failures=0)
    breaker.complete(permit, False, desk.now)
    assert (breaker.state, breaker.attempt) == (S.OPEN, 1)


def test_a_trip_of_half_open_is_one_more_attempt(desk: Desk) -> None:
    breaker, _ = desk.half_open()
    assert breaker.trip(desk.now, **WHO)
    assert (breaker.state, breaker.attempt) == (S.OPEN, 1)


def test_a_later_trip_of_open_puts_its_deadline_off(desk: Desk) -> None:
    breaker = desk.opened()
    deadline, generation = breaker.deadline_ns, breaker.generation
    desk.now += 10**9
    assert breaker.trip(desk.now, **WHO)
    assert breaker.deadline_ns > deadline
    assert (breaker.attempt, breaker.generation) == (0, generation + 1)
    assert breaker.trip(desk.now, **WHO) is False


def test_a_trip_never_makes_open_shorter(desk: Desk) -> None:
    breaker = desk.opened()
    breaker.configure(settings(cooldown_ns=10**9, window_ns=10**9), desk.now)
    before = breaker.word
    assert breaker.trip(desk.now, **WHO) is False
    assert breaker.word == before


@pytest.mark.parametrize("act", ["disable", "metrics_only"])
@pytest.mark.parametrize(
    ("critical", "live", "refused"),
    [(True, True, True), (True, False, False), (False, True, False)],
)
def test_critical_components_count_in_live_mode(
    desk: Desk, act: str, critical: bool, live: bool, refused: bool
) -> None:
    breaker = desk.closed(critical=critical)
    desk.group().limits(1, 5000, 3500, live=live)
    if refused:
        with pytest.raises(BreakerError, match=r"critical.*halt the run instead"):
            _do(desk, breaker, act)
        assert breaker.state == S.CLOSED
    else:
        assert _do(desk, breaker, act)


@pytest.mark.parametrize("act", [act for act in ACTS if act != "force_open"])
def test_without_settings_only_force_open_is_possible(desk: Desk, act: str) -> None:
    breaker = desk.breaker()
    with pytest.raises(BreakerError, match=r"'feed'.*settings.*configure it first"):
        _do(desk, breaker, act)
    assert _do(desk, breaker, "force_open")
    assert breaker.state == S.FORCED_OPEN


def test_initialised_is_generation_one(desk: Desk) -> None:
    breaker = desk.closed()
    assert (breaker.state, breaker.generation, breaker.attempt) == (S.CLOSED, 1, 0)
    assert breaker.since_ns == START
    assert desk.group().derive(desk.now) == GlobalState.OPEN  # the two others are not yet


def test_the_generation_begins_again_after_the_last(desk: Desk) -> None:
    breaker = desk.closed()
    desk.put_word(breaker.word | ((1 << 20) - 1) << 37)
    assert breaker.generation == (1 << 20) - 1
    assert breaker.reset(desk.now, **WHO)
    assert (breaker.state, breaker.generation) == (S.CLOSED, 0)


def test_a_change_that_was_not_told_leaves_no_reason_behind(desk: Desk) -> None:
    """Killed right after the change of the word."""
    breaker = desk.closed()
    last = breaker.last()
    assert last is not None
    assert last["cause"] == Cause.INITIALISED
    desk.put_word(breaker.word + (1 << 37))
    assert breaker.last() is None
    assert breaker.since_ns == 0
    breaker.reap(desk.now + 10**9)
    assert breaker.since_ns == (desk.now + 10**9) >> 20 << 20
