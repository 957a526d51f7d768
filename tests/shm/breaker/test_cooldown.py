"""How long a breaker stays open."""

from __future__ import annotations

import pytest

from shm.breaker_settings import LONGEST_NS
from shm.breaker_types import MOST_ATTEMPTS, TICK_NS, State
from tests.shm.breaker.desk import START, WHO, Desk, One, settings

BASE = 1000 * TICK_NS


def _fail_a_probe(desk: Desk, breaker: One) -> int:
    """Let one episode of probes fail at the deadline; return the ticks until the next one."""
    desk.now = breaker.deadline_ns
    breaker.complete(breaker.acquire(desk.now), False, desk.now)
    assert breaker.state == State.OPEN
    stay: int = (breaker.deadline_ns - desk.now) // TICK_NS
    return stay


@pytest.mark.parametrize("offset", [0, 1, TICK_NS // 2, TICK_NS - 1])
def test_the_deadline_is_rounded_up_to_a_tick(desk: Desk, offset: int) -> None:
    desk.now += offset
    breaker = desk.opened()
    assert breaker.deadline_ns % TICK_NS == 0
    assert 0 <= breaker.deadline_ns - (desk.now + BASE) < TICK_NS


def test_only_open_has_a_deadline(desk: Desk) -> None:
    breaker = desk.closed()
    assert breaker.deadline_ns == 0
    breaker.force_open(desk.now, **WHO)
    assert breaker.deadline_ns == 0


def test_it_doubles_with_each_failed_episode_up_to_its_maximum(desk: Desk) -> None:
    breaker = desk.opened(probes=1, successes=1, failures=0)
    assert breaker.deadline_ns == START + BASE
    stays = [_fail_a_probe(desk, breaker) for _ in range(5)]
    assert stays == [2000, 4000, 8000, 8000, 8000]
    assert breaker.attempt == 5


def test_a_factor_need_not_be_whole(desk: Desk) -> None:
    breaker = desk.opened(probes=1, successes=1, failures=0, cooldown_factor_bp=15_000)
    assert [_fail_a_probe(desk, breaker) for _ in range(3)] == [1500, 2250, 3375]


def test_the_last_step_ends_at_the_maximum(desk: Desk) -> None:
    breaker = desk.opened(probes=1, successes=1, failures=0, cooldown_factor_bp=30_000)
    assert [_fail_a_probe(desk, breaker) for _ in range(3)] == [3000, 8000, 8000]


def test_it_may_stay_the_same(desk: Desk) -> None:
    breaker = desk.opened(probes=1, successes=1, failures=0, cooldown_factor_bp=10_000)
    assert [_fail_a_probe(desk, breaker) for _ in range(3)] == [1000, 1000, 1000]


def test_the_attempt_saturates(desk: Desk) -> None:
    breaker = desk.opened(probes=1, successes=1, failures=0)
    for attempt in range(1, 20):
        _fail_a_probe(desk, breaker)
        assert breaker.attempt == min(attempt, MOST_ATTEMPTS)


def test_the_largest_settings_do_not_overflow(desk: Desk) -> None:
    most = LONGEST_NS
    breaker = desk.opened(
        probes=1,
        successes=1,
        failures=0,
        cooldown_ns=most,
        cooldown_max_ns=most,
        cooldown_factor_bp=1_000_000,
        jitter_bp=5_000,
    )
    for _ in range(3):
        assert breaker.deadline_ns - desk.now >= most // 2
        assert breaker.deadline_ns - desk.now <= most + most // 2 + TICK_NS
        _fail_a_probe(desk, breaker)


def test_recovery_makes_the_next_one_short_again(desk: Desk) -> None:
    breaker = desk.opened(probes=1, successes=1, failures=0)
    _fail_a_probe(desk, breaker)
    desk.now = breaker.deadline_ns
    breaker.complete(breaker.acquire(desk.now), True, desk.now)
    assert breaker.state == State.CLOSED
    breaker.trip(desk.now, **WHO)
    assert breaker.deadline_ns == desk.now + BASE


def test_jitter_stays_within_its_bounds_and_varies(desk: Desk) -> None:
    breaker = desk.opened(jitter_bp=2_000)
    stays = []
    for _ in range(200):
        breaker.reset(desk.now, **WHO)
        breaker.trip(desk.now, **WHO)
        stays.append(breaker.deadline_ns - desk.now)
    assert all(BASE * 8 // 10 <= stay <= BASE * 12 // 10 + TICK_NS for stay in stays)
    assert min(stays) < BASE * 85 // 100
    assert max(stays) > BASE * 115 // 100
    assert len(set(stays)) > 100


def test_jitter_follows_from_seed_and_generation_alone(desk: Desk) -> None:
    names = ("feed", "orders", "ta")
    stays = []
    for name, seed in zip(names, (7, 7, 8), strict=True):
        breaker = desk.breaker(name)
        breaker.configure(settings(jitter_bp=5_000, seed=seed), desk.now)
        breaker.initialise(desk.now)
        breaker.trip(desk.now, **WHO)
        stays.append(breaker.deadline_ns - desk.now)
    assert stays[0] == stays[1] != stays[2]
