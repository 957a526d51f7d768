"""The reaper: what becomes of permits whose owners do not come back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from shm.breaker_types import (
    ORPHAN_NS,
    PROBES,
    TICK_NS,
    Cause,
    Completion,
    EventKind,
    Rejection,
    State,
)
from tests.shm.breaker.desk import ALIVE, DEAD, SECOND, Desk, settings

OTHER = (12345, 678)


def _lives(*owners: tuple[int, int]) -> Callable[[int, int], bool]:
    return lambda pid, started: (pid, started) in owners


def _kinds(desk: Desk) -> list[Any]:
    return desk.events()[["kind", "cause"]].tolist()  # type: ignore[no-any-return]


def test_a_dead_owners_permit_is_given_back_neutrally(desk: Desk) -> None:
    breaker, _ = desk.half_open(probes=2)
    assert breaker.acquire(desk.now, OTHER)
    assert breaker.reap(desk.now, _lives(ALIVE)) == 1
    assert breaker.probes() == (2, 0b10, 0, 0)
    assert breaker.in_flight == 1
    assert _kinds(desk) == [(EventKind.OWNER_DIED, Cause.NONE)]


def test_a_pid_that_is_used_again_is_another_process(desk: Desk) -> None:
    breaker, _ = desk.half_open(probes=2)
    breaker.acquire(desk.now, (ALIVE[0], ALIVE[1] + 1))
    assert breaker.reap(desk.now) == 1


def test_by_default_the_machine_is_asked_who_lives(desk: Desk) -> None:
    breaker, _ = desk.half_open(probes=3)
    breaker.acquire(desk.now, DEAD)
    breaker.acquire(desk.now, ALIVE)
    assert breaker.reap(desk.now) == 1
    assert breaker.probes() == (3, 0b010, 0, 0)


def test_the_dead_owners_outcome_comes_too_late(desk: Desk) -> None:
    breaker, permit = desk.half_open()
    assert breaker.reap(desk.now, _lives()) == 1
    assert breaker.complete(permit, True, desk.now) == Completion.STALE
    assert breaker.probes() == (1, 1, 0, 0)


def test_a_live_owner_that_outlives_its_lease_has_failed(desk: Desk) -> None:
    breaker, permit = desk.half_open(probes=2, lease_ns=SECOND)
    assert breaker.reap(desk.now + SECOND) == 0
    assert breaker.reap(desk.now + SECOND + 1) == 1
    assert breaker.probes() == (1, 1, 0, 1)
    assert _kinds(desk) == [(EventKind.LEASE_EXPIRED, Cause.NONE)]
    assert breaker.complete(permit, True, desk.now) == Completion.STALE


def test_expired_leases_decide(desk: Desk) -> None:
    breaker, _ = desk.half_open(probes=3, successes=3, failures=1, lease_ns=SECOND)
    breaker.acquire(desk.now)
    breaker.acquire(desk.now)
    desk.now += SECOND + 1
    assert breaker.reap(desk.now) == 2
    assert (breaker.state, breaker.attempt) == (State.OPEN, 1)
    # What led to it is told first, and the third permit was never taken back: it ended with
    # the episode.
    assert _kinds(desk) == [
        (EventKind.LEASE_EXPIRED, Cause.NONE),
        (EventKind.LEASE_EXPIRED, Cause.NONE),
        (EventKind.TRANSITION, Cause.PROBES_FAILED),
    ]


def test_a_permit_without_owner_is_given_back_after_a_while(desk: Desk) -> None:
    """Its process was killed between taking the permit and saying so."""
    breaker, _ = desk.half_open()
    desk.forget_owner(0)
    assert breaker.reap(desk.now) == 0  # found
    assert breaker.reap(desk.now + ORPHAN_NS - TICK_NS) == 0
    assert breaker.reap(desk.now + ORPHAN_NS + 2 * TICK_NS) == 1
    assert breaker.probes() == (1, 1, 0, 0)
    assert len(desk.events()) == 0


def test_an_owner_of_an_earlier_generation_is_no_owner(desk: Desk) -> None:
    """Whoever took the permit was killed before its record replaced the last one's."""
    breaker, _ = desk.half_open()
    desk.put_word(breaker.word + (1 << 37))
    assert breaker.reap(desk.now, _lives()) == 0
    assert breaker.reap(desk.now + 2 * ORPHAN_NS, _lives(ALIVE)) == 1
    assert breaker.probes() == (1, 1, 0, 0)
    assert len(desk.events()) == 0


def test_half_open_does_not_last_for_ever(desk: Desk) -> None:
    breaker, _ = desk.half_open(max_stay_ns=100 * TICK_NS, lease_ns=60 * SECOND)
    begun = breaker.since_ns
    assert begun == desk.now
    breaker.reap(begun + 101 * TICK_NS - 1)
    assert breaker.state == State.HALF_OPEN
    desk.now = begun + 101 * TICK_NS
    assert breaker.reap(desk.now) == 0
    assert (breaker.state, breaker.attempt) == (State.OPEN, 1)
    assert _kinds(desk) == [(EventKind.TRANSITION, Cause.MAX_STAY)]


def test_no_instant_max_stay_after_a_kill_before_the_beginning_was_noted(desk: Desk) -> None:
    breaker, _ = desk.half_open(max_stay_ns=100 * TICK_NS, lease_ns=60 * SECOND)
    # As if that had been another generation, whose beginning nobody noted.
    desk.put_word(breaker.word + (1 << 37))
    desk.now += 1000 * SECOND
    breaker.reap(desk.now)
    assert breaker.state == State.HALF_OPEN
    assert breaker.since_ns == desk.now >> 20 << 20
    desk.now += 102 * TICK_NS
    breaker.reap(desk.now)
    assert breaker.state == State.OPEN


def test_when_all_probes_are_used_up_undecided_it_opens_again(desk: Desk) -> None:
    breaker, _ = desk.half_open(probes=1, successes=12, failures=4)
    for _ in range(PROBES - 1):
        assert breaker.reap(desk.now, _lives()) == 1
        assert breaker.acquire(desk.now)
    desk.events()
    assert breaker.reap(desk.now, _lives()) == 1
    assert (breaker.state, breaker.attempt) == (State.OPEN, 1)
    assert _kinds(desk) == [
        (EventKind.OWNER_DIED, Cause.NONE),
        (EventKind.TRANSITION, Cause.NO_PROBES_LEFT),
    ]


def test_the_last_outcome_itself_finds_that_no_probes_are_left(desk: Desk) -> None:
    breaker, _ = desk.half_open(probes=1, successes=12, failures=4)
    for _ in range(PROBES - 1):
        breaker.reap(desk.now, _lives())
        permit = breaker.acquire(desk.now)
    assert breaker.complete(permit, True, desk.now) == Completion.COUNTED
    assert (breaker.state, breaker.attempt) == (State.OPEN, 1)
    assert breaker.last()["cause"] == Cause.NO_PROBES_LEFT


def test_who_finds_all_probes_taken_looks_for_dead_owners(desk: Desk) -> None:
    breaker, _ = desk.half_open(probes=2, lease_ns=60 * SECOND)
    breaker.acquire(desk.now, DEAD)
    permit = breaker.acquire(desk.now)
    assert permit
    assert permit.index == 2
    assert breaker.probes() == (3, 0b010, 0, 0)


def test_but_not_at_each_call(desk: Desk) -> None:
    breaker, _ = desk.half_open(probes=2, lease_ns=60 * SECOND)
    breaker.acquire(desk.now)
    assert breaker.acquire(desk.now).rejection == Rejection.EXHAUSTED
    breaker.complete(desk.permit(0), True, desk.now)
    breaker.acquire(desk.now, DEAD)
    assert breaker.acquire(desk.now + ORPHAN_NS - 1).rejection == Rejection.EXHAUSTED
    assert breaker.acquire(desk.now + ORPHAN_NS).index == 3


def test_who_finds_the_last_lease_expired_is_told_that_it_is_open(desk: Desk) -> None:
    breaker, _ = desk.half_open(probes=1, successes=1, failures=0, lease_ns=SECOND)
    desk.now += SECOND + 1
    assert breaker.acquire(desk.now).rejection == Rejection.OPEN
    assert breaker.state == State.OPEN


@pytest.mark.parametrize("state", [State.OPEN, State.FORCED_OPEN, State.DISABLED, State.UNINIT])
def test_the_reaper_leaves_other_states_alone(desk: Desk, state: State) -> None:
    breaker = desk.in_state(state)
    before = breaker.word
    assert breaker.reap(desk.now + 10**12) == 0
    assert breaker.word == before


def test_without_settings_there_is_nothing_to_reap(desk: Desk) -> None:
    assert desk.breaker().reap(desk.now) == 0


def test_the_reaper_applies_the_rules_for_who_was_killed_before(desk: Desk) -> None:
    """An outcome was stored, and its process killed before it looked at the rules."""
    breaker = desk.closed(consecutive=0, failure_bp=5_000, min_calls=2)
    desk.fail(breaker)
    desk.now += SECOND
    # A change of the limits stands for that: nothing has evaluated what is in the window.
    breaker.configure(settings(consecutive=0, failure_bp=5_000, min_calls=1), desk.now)
    assert breaker.state == State.CLOSED
    breaker.reap(desk.now)
    assert breaker.state == State.OPEN
