"""New settings for breakers that are in use."""

from __future__ import annotations

from typing import Any

import pytest

from shm.breaker_types import Cause, EventKind, State
from tests.shm.breaker.desk import MS, SECOND, WHO, Desk, settings

LATE: dict[str, Any] = {"consecutive": 0, "failure_bp": 5_000, "min_calls": 10}


def test_it_reaches_every_participant_at_once(desk: Desk) -> None:
    breaker = desk.closed(consecutive=3)
    other = desk.breaker(participant=1)
    desk.fail(other)
    breaker.configure(settings(consecutive=2), desk.now)
    desk.fail(other)
    assert other.state == State.OPEN


def test_it_is_told(desk: Desk) -> None:
    breaker = desk.closed()
    desk.now += SECOND
    desk.breaker(participant=1).configure(settings(min_calls=7), desk.now)
    (event,) = desk.events()
    assert (event["kind"], event["cause"]) == (EventKind.RELOADED, Cause.RELOADED)
    assert (event["before"], event["after"]) == (breaker.word, breaker.word)
    assert (event["settings_version"], event["time_ns"]) == (2, desk.now)


@pytest.mark.parametrize("state", [state for state in State if state != State.INVALID])
def test_it_changes_no_state(desk: Desk, state: State) -> None:
    breaker = desk.in_state(state)
    before = breaker.word
    breaker.configure(settings(consecutive=1, cooldown_ns=2 * SECOND), desk.now)
    assert breaker.word == before


def test_what_the_window_holds_stays(desk: Desk) -> None:
    breaker = desk.closed(**LATE)
    desk.fail(breaker, 3)
    breaker.configure(settings(**LATE | {"failure_bp": 6_000}), desk.now)
    assert breaker.counts(desk.now)[:2] == (3, 3)


@pytest.mark.parametrize(
    "change", [{"window": "count"}, {"window_ns": 5 * SECOND}, {"window_calls": 20}]
)
def test_another_window_begins_anew(desk: Desk, change: dict[str, object]) -> None:
    breaker = desk.closed(**LATE)
    desk.fail(breaker, 3)
    breaker.configure(settings(**LATE | change), desk.now)
    assert breaker.counts(desk.now)[:2] == (0, 0)
    # The failures in a row are no window.
    assert breaker.counts(desk.now).consecutive == 3
    desk.fail(desk.breaker(participant=1))
    assert breaker.counts(desk.now)[:2] == (1, 1)


def test_a_window_that_comes_back_is_empty(desk: Desk) -> None:
    breaker = desk.closed(**LATE)
    desk.fail(breaker, 3)
    for window_ns in (5 * SECOND, 10 * SECOND):
        breaker.configure(settings(**LATE, window_ns=window_ns), desk.now)
    assert breaker.counts(desk.now)[:2] == (0, 0)


def test_an_episode_of_probes_goes_on_by_the_new_settings(desk: Desk) -> None:
    breaker, first = desk.half_open(probes=2, successes=3)
    breaker.configure(settings(probes=3, successes=2), desk.now)
    second, third = breaker.acquire(desk.now), breaker.acquire(desk.now)
    assert third
    breaker.complete(first, True, desk.now)
    breaker.complete(second, True, desk.now)
    assert breaker.state == State.CLOSED


def test_a_deadline_that_runs_stays(desk: Desk) -> None:
    breaker = desk.opened()
    deadline = breaker.deadline_ns
    breaker.configure(settings(cooldown_ns=2 * SECOND), desk.now)
    assert breaker.deadline_ns == deadline
    breaker.reset(desk.now, **WHO)
    breaker.trip(desk.now, **WHO)
    assert 0 <= breaker.deadline_ns - desk.now - 2 * SECOND < 2 * MS


def test_uninit_stays_until_it_is_initialised(desk: Desk) -> None:
    breaker = desk.breaker()
    breaker.configure(settings(), desk.now)
    breaker.configure(settings(), desk.now)
    assert (breaker.state, breaker.word) == (State.UNINIT, 0)
    assert not breaker.acquire(desk.now)


def test_each_breaker_has_settings_of_its_own(desk: Desk) -> None:
    one, other = desk.closed("feed", consecutive=1), desk.closed("ta", consecutive=2)
    desk.fail(one)
    desk.fail(other)
    assert (one.state, other.state) == (State.OPEN, State.CLOSED)
