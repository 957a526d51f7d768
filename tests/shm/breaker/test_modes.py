"""DISABLED, METRICS_ONLY and FORCED_OPEN."""

from __future__ import annotations

import pytest

from shm import BreakerError
from shm.breaker_types import Cause, Completion, EventKind, Rejection, State
from tests.shm.breaker.desk import SECOND, WHO, Desk


def test_disabled_admits_all_and_counts_nothing(desk: Desk) -> None:
    breaker = desk.in_state(State.DISABLED)
    for _ in range(10):
        permit = breaker.acquire(desk.now)
        assert permit
        assert not permit.counted
        assert breaker.complete(permit, False, desk.now) == Completion.UNCOUNTED
        assert breaker.fail_once(desk.now) == Completion.UNCOUNTED
    assert breaker.state == State.DISABLED
    assert breaker.counts(desk.now)[:4] == (0, 0, 0, 0)
    totals = breaker.totals()
    assert (totals["uncounted"], totals["failed"], totals["admitted"]) == (20, 0, 10)


def test_a_call_of_disabled_that_ends_later_is_stale(desk: Desk) -> None:
    breaker = desk.in_state(State.DISABLED)
    permit = breaker.acquire(desk.now)
    breaker.reset(desk.now, **WHO)
    assert breaker.complete(permit, False, desk.now) == Completion.STALE
    assert breaker.counts(desk.now).calls == 0


def test_a_call_that_ends_in_disabled_is_stale(desk: Desk) -> None:
    breaker = desk.closed()
    permit = breaker.acquire(desk.now)
    breaker.disable(desk.now, **WHO)
    assert breaker.complete(permit, False, desk.now) == Completion.STALE


def test_metrics_only_counts_and_does_not_trip(desk: Desk) -> None:
    breaker = desk.in_state(State.METRICS_ONLY)
    desk.fail(breaker, 10)
    assert breaker.state == State.METRICS_ONLY
    assert breaker.counts(desk.now)[:4] == (10, 10, 0, 10)


def test_metrics_only_tells_once_that_it_would_trip(desk: Desk) -> None:
    breaker = desk.in_state(State.METRICS_ONLY)
    desk.fail(breaker, 2)
    assert len(desk.events()) == 0
    desk.fail(breaker, 5)
    desk.fail(desk.breaker(participant=1), 5)
    breaker.reap(desk.now)
    events = desk.events()
    assert events[["kind", "cause", "before", "after", "consecutive"]].tolist() == [
        (EventKind.WOULD_TRIP, Cause.CONSECUTIVE, breaker.word, breaker.word, 3)
    ]


def test_metrics_only_tells_again_in_its_next_generation(desk: Desk) -> None:
    breaker = desk.in_state(State.METRICS_ONLY)
    desk.fail(breaker, 3)
    breaker.reset(desk.now, **WHO)
    breaker.metrics_only(desk.now, **WHO)
    desk.events()
    desk.fail(breaker, 3)
    assert desk.events()["kind"].tolist() == [EventKind.WOULD_TRIP]


def test_metrics_only_tells_of_a_rate_too(desk: Desk) -> None:
    breaker = desk.in_state(State.METRICS_ONLY, consecutive=0, failure_bp=5_000, min_calls=2)
    desk.calls(breaker)
    desk.fail(breaker)
    assert desk.events()[["kind", "cause"]].tolist() == [(EventKind.WOULD_TRIP, Cause.FAILURE_RATE)]


def test_forced_open_stays_until_it_is_reset(desk: Desk) -> None:
    breaker = desk.in_state(State.FORCED_OPEN)
    before = breaker.word
    for _ in range(5):
        desk.now += 10_000 * SECOND
        assert breaker.acquire(desk.now).rejection == Rejection.FORCED_OPEN
        breaker.reap(desk.now)
    assert breaker.word == before
    assert breaker.reset(desk.now, **WHO)
    assert breaker.acquire(desk.now)


def test_forced_open_takes_all_permits_away(desk: Desk) -> None:
    breaker, permit = desk.half_open()
    breaker.force_open(desk.now, **WHO)
    assert breaker.complete(permit, True, desk.now) == Completion.STALE
    assert breaker.in_flight == 0
    assert breaker.probes() is None


@pytest.mark.parametrize("act", ["reset", "trip", "force_open", "disable", "metrics_only"])
@pytest.mark.parametrize("empty", ["actor", "reason"])
def test_an_act_by_hand_needs_an_actor_and_a_reason(desk: Desk, act: str, empty: str) -> None:
    breaker = desk.closed()
    before = breaker.word
    with pytest.raises(BreakerError, match=empty):
        getattr(breaker, act)(desk.now, **(WHO | {empty: ""}))
    with pytest.raises(TypeError):
        getattr(breaker, act)(desk.now)
    assert breaker.word == before


def test_long_texts_are_cut(desk: Desk) -> None:
    breaker = desk.closed()
    breaker.reset(desk.now, actor="a" * 100, reason="r" * 200)
    event = desk.events()[0]
    assert event["actor"] == b"a" * 32
    assert event["reason"] == b"r" * 96
    assert desk.closed("ta") is not None
    desk.breaker("ta").reset(desk.now, actor="Zoë", reason="ä" * 60)
    event = desk.events()[0]
    assert event["actor"].decode() == "Zoë"
    assert event["reason"] == ("ä" * 48).encode()
