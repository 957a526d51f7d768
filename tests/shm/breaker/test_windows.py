"""Windows of time and of calls, and the rules that are applied to them."""

from __future__ import annotations

from typing import Any

import pytest

from shm.breaker_types import BUCKETS, MOST_CALLS, Cause, Completion, State, Verdict
from tests.shm.breaker.desk import MS, SECOND, WHO, Desk

BUCKET = SECOND  # of the desk's window of 10 s
WINDOWS = pytest.mark.parametrize("window", ["time", "count"])
NO_RULE: dict[str, Any] = {"consecutive": 0, "failure_bp": 10_000, "min_calls": 10}


@WINDOWS
def test_a_new_window_is_empty(desk: Desk, window: str) -> None:
    breaker = desk.closed(window=window)
    assert breaker.counts(desk.now) == (0, 0, 0, 0, Verdict.MIN_CALLS_NOT_MET)


@WINDOWS
def test_outcomes_of_all_participants_are_one_window(desk: Desk, window: str) -> None:
    breaker = desk.closed(window=window, slow_bp=10_000, slow_ns=MS, **NO_RULE)
    for participant in range(3):
        mine = desk.breaker(participant=participant)
        desk.calls(mine)
        desk.fail(mine)
        desk.calls(mine, duration_ns=2 * MS)
    assert breaker.counts(desk.now) == (9, 3, 3, 0, Verdict.MIN_CALLS_NOT_MET)
    assert desk.breaker("orders").counts(desk.now).calls == 0


@WINDOWS
def test_participants_together_meet_a_rule(desk: Desk, window: str) -> None:
    breaker = desk.closed(window=window, consecutive=0, failure_bp=5_000, min_calls=4)
    desk.calls(breaker, 2)
    desk.fail(desk.breaker(participant=1))
    assert breaker.state == State.CLOSED
    desk.fail(desk.breaker(participant=2))
    assert breaker.state == State.OPEN


@WINDOWS
def test_a_slow_failure_is_both(desk: Desk, window: str) -> None:
    breaker = desk.closed(window=window, slow_bp=10_000, slow_ns=MS, **NO_RULE)
    desk.fail(breaker, duration_ns=2 * MS)
    assert breaker.counts(desk.now)[:4] == (1, 1, 1, 1)


@pytest.mark.parametrize("later", range(BUCKETS + 2))
def test_a_bucket_stays_for_the_length_of_the_window(desk: Desk, later: int) -> None:
    breaker = desk.closed(**NO_RULE)
    desk.now -= desk.now % BUCKET
    desk.calls(breaker, 3)
    at = desk.now + later * BUCKET
    inside = 3 if later < BUCKETS else 0
    assert breaker.counts(at).calls == inside
    assert breaker.counts(at + BUCKET - 1).calls == inside


def test_old_buckets_leave_one_by_one(desk: Desk) -> None:
    breaker = desk.closed(**NO_RULE)
    desk.now -= desk.now % BUCKET
    for _ in range(BUCKETS - 1):
        desk.calls(breaker)
        desk.now += BUCKET
    assert breaker.counts(desk.now).calls == BUCKETS - 1
    for gone in range(1, BUCKETS):
        desk.now += BUCKET
        assert breaker.counts(desk.now).calls == BUCKETS - 1 - gone


def test_a_bucket_is_used_again_after_the_window(desk: Desk) -> None:
    breaker = desk.closed(**NO_RULE)
    desk.calls(breaker, 5)
    desk.now += BUCKETS * BUCKET
    desk.calls(breaker)
    assert breaker.counts(desk.now).calls == 1


def test_a_window_of_calls_forgets_the_oldest_whatever_the_time(desk: Desk) -> None:
    breaker = desk.closed(window="count", window_calls=10, **NO_RULE)
    desk.fail(breaker, 4)
    desk.calls(breaker, 6)
    assert breaker.counts(desk.now)[:2] == (10, 4)
    desk.now += 3600 * SECOND
    desk.calls(breaker, 3)
    assert breaker.counts(desk.now)[:2] == (10, 1)
    desk.calls(breaker)
    assert breaker.counts(desk.now)[:2] == (10, 0)


def test_a_window_of_calls_may_have_all_slots(desk: Desk) -> None:
    breaker = desk.closed(
        window="count", window_calls=MOST_CALLS, min_calls=MOST_CALLS, consecutive=0, failure_bp=1
    )
    desk.fail(breaker)
    desk.calls(breaker, MOST_CALLS - 2)
    assert breaker.counts(desk.now)[:2] == (MOST_CALLS - 1, 1)
    desk.calls(breaker)
    assert breaker.state == State.OPEN


@WINDOWS
def test_a_generation_begins_with_an_empty_window(desk: Desk, window: str) -> None:
    breaker = desk.closed(window=window, **NO_RULE)
    desk.calls(breaker, 5)
    desk.fail(breaker)
    breaker.reset(desk.now, **WHO)
    assert breaker.counts(desk.now)[:4] == (0, 0, 0, 0)
    desk.calls(breaker)
    assert breaker.counts(desk.now)[:4] == (1, 0, 0, 0)


@WINDOWS
def test_recovery_begins_with_an_empty_window(desk: Desk, window: str) -> None:
    breaker = desk.closed(window=window, successes=1, probes=1)
    desk.fail(breaker, 3)
    desk.now = breaker.deadline_ns
    breaker.complete(breaker.acquire(desk.now), True, desk.now)
    assert breaker.state == State.CLOSED
    assert breaker.counts(desk.now)[:4] == (0, 0, 0, 0)
    desk.fail(breaker, 2)
    assert breaker.state == State.CLOSED


@WINDOWS
def test_below_min_calls_there_is_no_rate(desk: Desk, window: str) -> None:
    breaker = desk.closed(window=window, consecutive=0, failure_bp=1, min_calls=4)
    desk.fail(breaker, 3)
    assert breaker.state == State.CLOSED
    assert breaker.counts(desk.now).verdict == Verdict.MIN_CALLS_NOT_MET
    assert type(breaker.counts(desk.now).verdict) is Verdict
    desk.fail(breaker)
    assert breaker.state == State.OPEN


@WINDOWS
def test_a_success_that_makes_the_calls_enough_is_evaluated_too(desk: Desk, window: str) -> None:
    breaker = desk.closed(window=window, consecutive=0, failure_bp=2_500, min_calls=4)
    desk.fail(breaker)
    desk.calls(breaker, 2)
    assert breaker.state == State.CLOSED
    desk.calls(breaker)
    assert breaker.state == State.OPEN


@pytest.mark.parametrize(
    ("limit_bp", "calls", "failures", "opens"),
    [
        (5_000, 4, 2, True),
        (5_000, 5, 2, False),
        (3_333, 9, 3, True),
        (3_334, 9, 3, False),
        (10_000, 4, 4, True),
        (10_000, 5, 4, False),
        (1, 9, 1, True),
    ],
)
def test_a_rate_is_met_when_reached(
    desk: Desk, limit_bp: int, calls: int, failures: int, opens: bool
) -> None:
    breaker = desk.closed(consecutive=0, failure_bp=limit_bp, min_calls=calls)
    desk.fail(breaker, failures)
    desk.calls(breaker, calls - failures)
    assert breaker.state == (State.OPEN if opens else State.CLOSED)
    if opens:
        events = desk.events()
        assert events[["cause", "calls", "failures"]].tolist() == [
            (Cause.FAILURE_RATE, calls, failures)
        ]
    else:
        assert breaker.counts(desk.now).verdict == Verdict.PASSED


def test_failures_in_a_row_need_no_min_calls(desk: Desk) -> None:
    breaker = desk.closed(consecutive=2, failure_bp=5_000, min_calls=1000)
    desk.fail(breaker, 2)
    assert breaker.state == State.OPEN
    assert desk.events()["cause"].tolist() == [Cause.CONSECUTIVE]


def test_a_success_ends_the_row(desk: Desk) -> None:
    breaker = desk.closed(consecutive=3)
    for _ in range(3):
        desk.fail(breaker, 2)
        assert breaker.counts(desk.now).consecutive == 2
        desk.calls(desk.breaker(participant=1))
        assert breaker.counts(desk.now).consecutive == 0
    assert breaker.state == State.CLOSED


def test_a_row_has_no_time_limit(desk: Desk) -> None:
    breaker = desk.closed(consecutive=2)
    desk.fail(breaker)
    desk.now += 1000 * SECOND
    assert breaker.counts(desk.now)[:4] == (0, 0, 0, 1)
    desk.fail(breaker)
    assert breaker.state == State.OPEN


def test_the_row_comes_before_the_rates(desk: Desk) -> None:
    breaker = desk.closed(consecutive=1, failure_bp=1, min_calls=1, slow_bp=1, slow_ns=1, probes=1)
    desk.fail(breaker, duration_ns=2)
    assert desk.events()["cause"].tolist() == [Cause.CONSECUTIVE]


def test_the_rate_of_failures_comes_before_that_of_slow_calls(desk: Desk) -> None:
    breaker = desk.closed(consecutive=0, failure_bp=1, min_calls=1, slow_bp=1, slow_ns=1)
    desk.fail(breaker, duration_ns=2)
    assert desk.events()["cause"].tolist() == [Cause.FAILURE_RATE]


def test_slow_calls_open_it_although_they_succeed(desk: Desk) -> None:
    breaker = desk.closed(consecutive=0, min_calls=4, slow_bp=5_000, slow_ns=MS)
    desk.calls(breaker, 2, duration_ns=MS)
    desk.calls(breaker, 1, duration_ns=MS + 1)
    assert breaker.state == State.CLOSED
    desk.calls(breaker, 1, duration_ns=MS + 1)
    assert breaker.state == State.OPEN
    assert desk.events()[["cause", "calls", "failures", "slow"]].tolist() == [
        (Cause.SLOW_RATE, 4, 0, 2)
    ]


def test_without_a_slow_rule_nothing_is_slow(desk: Desk) -> None:
    breaker = desk.closed(slow_bp=0, slow_ns=1)
    desk.calls(breaker, 5, duration_ns=SECOND)
    assert breaker.counts(desk.now).slow == 0
    assert breaker.totals()["slow"] == 0


@pytest.mark.parametrize(("slow_bp", "state"), [(10_000, State.OPEN), (0, State.CLOSED)])
def test_a_slow_probe_has_failed_if_there_is_a_slow_rule(
    desk: Desk, slow_bp: int, state: State
) -> None:
    breaker, permit = desk.half_open(probes=1, successes=1, failures=0, slow_bp=slow_bp, slow_ns=MS)
    breaker.complete(permit, True, desk.now, 2 * MS)
    assert breaker.state == state
    # It did succeed, though.
    assert breaker.totals()["succeeded"] == 1


def test_a_death_is_one_failure_without_a_call(desk: Desk) -> None:
    breaker = desk.closed(consecutive=3)
    for _ in range(2):
        assert breaker.fail_once(desk.now) == Completion.COUNTED
    assert breaker.counts(desk.now)[:4] == (2, 2, 0, 2)
    assert breaker.fail_once(desk.now) == Completion.COUNTED
    assert breaker.state == State.OPEN
    assert breaker.fail_once(desk.now) == Completion.UNCOUNTED
    assert breaker.totals()["failed"] == 3
