"""Permits: which outcomes count, and which come too late."""

from __future__ import annotations

import pytest

from shm.breaker_types import LARGEST_LEASE_NS, PROBES, Completion, Rejection, State
from tests.shm.breaker.desk import SECOND, WHO, Desk


def test_a_permit_is_true_iff_it_was_given(desk: Desk) -> None:
    breaker = desk.closed()
    permit = breaker.acquire(desk.now)
    assert permit
    assert (permit.generation, permit.index, permit.issued_ns) == (1, -1, desk.now)
    assert (permit.rejection, permit.counted) == (Rejection.NONE, True)
    breaker.force_open(desk.now, **WHO)
    refused = breaker.acquire(desk.now)
    assert not refused
    assert refused.counted is False


def test_a_permit_can_be_made_from_its_figures(desk: Desk) -> None:
    breaker = desk.closed()
    assert breaker.acquire(desk.now)
    same = desk.permit(-1)
    assert same
    assert (same.index, same.issued_ns, same.rejection) == (-1, desk.now, Rejection.NONE)
    assert breaker.complete(same, True, desk.now) == Completion.COUNTED


def test_an_outcome_counts_in_the_generation_of_its_permit(desk: Desk) -> None:
    breaker = desk.closed()
    assert breaker.complete(breaker.acquire(desk.now), False, desk.now) == Completion.COUNTED
    assert breaker.counts(desk.now)[:4] == (1, 1, 0, 1)


def test_an_outcome_of_an_earlier_generation_is_stale(desk: Desk) -> None:
    breaker = desk.closed()
    permit = breaker.acquire(desk.now)
    breaker.reset(desk.now, **WHO)
    assert breaker.complete(permit, False, desk.now) == Completion.STALE
    assert breaker.counts(desk.now)[:4] == (0, 0, 0, 0)
    assert breaker.totals()["stale"] == 1


@pytest.mark.parametrize("ok", [True, False])
def test_a_call_of_closed_that_ends_in_half_open_decides_nothing(desk: Desk, ok: bool) -> None:
    breaker = desk.closed(probes=1, successes=1, failures=0)
    permit = breaker.acquire(desk.now)
    breaker.trip(desk.now, **WHO)
    desk.now = breaker.deadline_ns
    assert breaker.acquire(desk.now)
    before = breaker.word
    assert breaker.complete(permit, ok, desk.now) == Completion.STALE
    assert breaker.word == before


def test_a_probe_is_given_back_once(desk: Desk) -> None:
    breaker, permit = desk.half_open()
    assert breaker.complete(permit, True, desk.now) == Completion.COUNTED
    before = breaker.word
    for ok in (True, False):
        assert breaker.complete(permit, ok, desk.now) == Completion.STALE
    assert breaker.word == before
    assert breaker.totals()["stale"] == 2


def test_a_probe_of_an_earlier_episode_is_stale(desk: Desk) -> None:
    breaker, permit = desk.half_open(probes=1, successes=1, failures=0)
    breaker.trip(desk.now, **WHO)
    desk.now = breaker.deadline_ns
    second = breaker.acquire(desk.now)
    assert second.index == permit.index == 0
    assert breaker.complete(permit, True, desk.now) == Completion.STALE
    assert breaker.complete(second, True, desk.now) == Completion.COUNTED
    assert breaker.state == State.CLOSED


@pytest.mark.parametrize("index", [-2, -1, 1, 15, 16, 1000])
def test_a_probe_that_was_never_given_is_stale(desk: Desk, index: int) -> None:
    breaker, _ = desk.half_open()
    made_up = desk.permit(index)
    before = breaker.word
    assert breaker.complete(made_up, False, desk.now) == Completion.STALE
    assert breaker.word == before


def test_a_probe_number_means_nothing_when_closed(desk: Desk) -> None:
    breaker = desk.closed()
    made_up = desk.permit(0)
    assert breaker.complete(made_up, False, desk.now) == Completion.STALE
    assert breaker.counts(desk.now).calls == 0


def test_a_permit_older_than_any_lease_is_stale_even_in_its_generation(desk: Desk) -> None:
    breaker = desk.closed()
    permits = [breaker.acquire(desk.now) for _ in range(2)]
    desk.now += LARGEST_LEASE_NS
    assert breaker.complete(permits[0], False, desk.now) == Completion.COUNTED
    assert breaker.complete(permits[1], False, desk.now + 1) == Completion.STALE


def test_a_refused_permit_cannot_be_completed(desk: Desk) -> None:
    breaker = desk.opened()
    refused = breaker.acquire(desk.now)
    assert breaker.complete(refused, True, desk.now) == Completion.STALE
    assert breaker.totals()["succeeded"] == 0


def test_one_participant_may_complete_what_another_acquired(desk: Desk) -> None:
    breaker, permit = desk.half_open(probes=1, successes=1, failures=0)
    other = desk.breaker(participant=1)
    assert other.complete(permit, True, desk.now) == Completion.COUNTED
    assert breaker.state == State.CLOSED


def test_only_so_many_probes_are_out_at_once(desk: Desk) -> None:
    breaker, first = desk.half_open(probes=2, successes=3, failures=1)
    second = breaker.acquire(desk.now)
    assert (second.index, breaker.in_flight) == (1, 2)
    third = breaker.acquire(desk.now)
    assert not third
    assert third.rejection == Rejection.EXHAUSTED
    breaker.complete(first, True, desk.now)
    assert (breaker.in_flight, breaker.acquire(desk.now).index) == (1, 2)


def test_an_index_is_not_used_twice_in_an_episode(desk: Desk) -> None:
    breaker, permit = desk.half_open(probes=1, successes=12, failures=4)
    seen = []
    while breaker.state == State.HALF_OPEN:
        seen.append(permit.index)
        breaker.complete(permit, True, desk.now)
        permit = breaker.acquire(desk.now)
    assert seen == list(range(12))
    assert breaker.state == State.CLOSED


def test_after_the_last_index_nobody_is_admitted(desk: Desk) -> None:
    breaker, first = desk.half_open(probes=16, successes=16, failures=0)
    permits = [first, *(breaker.acquire(desk.now) for _ in range(PROBES - 1))]
    assert [permit.index for permit in permits] == list(range(PROBES))
    assert breaker.acquire(desk.now).rejection == Rejection.EXHAUSTED
    breaker.complete(permits[3], True, desk.now)
    assert breaker.acquire(desk.now).rejection == Rejection.EXHAUSTED
    assert breaker.probes() == (16, 1 << 3, 1, 0)


def test_an_outcome_says_how_long_it_took_or_the_permit_does(desk: Desk) -> None:
    breaker = desk.closed(slow_bp=10_000, slow_ns=SECOND, min_calls=8)
    for duration, slow in ((SECOND, 0), (SECOND + 1, 1)):
        breaker.complete(breaker.acquire(desk.now), True, desk.now, duration)
        assert breaker.counts(desk.now).slow == slow
    permit = breaker.acquire(desk.now)
    breaker.complete(permit, True, desk.now + SECOND + 1)
    assert breaker.counts(desk.now).slow == 2


def test_totals_count_everything_since_the_beginning(desk: Desk) -> None:
    breaker = desk.closed(slow_bp=10_000, slow_ns=1, min_calls=8)
    desk.calls(breaker, 2)
    desk.calls(desk.breaker(participant=1), 1, duration_ns=5)
    desk.fail(breaker, 2)
    breaker.force_open(desk.now, **WHO)
    breaker.acquire(desk.now)
    breaker.fail_once(desk.now)
    assert breaker.totals() == {
        "admitted": 5,
        "rejected": 1,
        "succeeded": 3,
        "failed": 2,
        "slow": 1,
        "stale": 0,
        "uncounted": 1,
    }
    assert desk.breaker("orders").totals()["admitted"] == 0
