"""When a process that died is started again, and when that is given up."""

from __future__ import annotations

import random
import signal

import pytest

from pipeline.supervisor.child import describe_exit
from pipeline.supervisor.poison import DEATHS, Poison
from pipeline.supervisor.restart import RestartPolicy, Restarts
from pipeline.supervisor.watch import Heartbeats

POLICY = RestartPolicy(budget=5, window_s=60.0, backoff_s=1.0, backoff_max_s=5.0)
S = 1_000_000_000


def restarts(policy: RestartPolicy = POLICY) -> Restarts:
    return Restarts(policy, random.Random(1))


def test_a_process_that_had_worked_is_started_again_at_once_however_often() -> None:
    history = restarts()
    delays = [history.died(now, had_worked=True) for now in range(5)]
    assert delays == [0.0] * 5


def test_one_that_does_nothing_waits_twice_as_long_each_time_up_to_the_longest() -> None:
    policy = RestartPolicy(budget=100, window_s=60.0, backoff_s=1.0, backoff_max_s=5.0)
    history = restarts(policy)
    delays = [history.died(now, had_worked=False) for now in range(6)]
    assert delays[0] == 0.0
    for delay, longest in zip(delays[1:], (1.0, 2.0, 4.0, 5.0, 5.0), strict=True):
        assert delay is not None
        assert longest / 2 <= delay <= longest


def test_delays_are_jittered() -> None:
    policy = RestartPolicy(budget=100, window_s=60.0, backoff_s=1.0, backoff_max_s=1.0)
    history = restarts(policy)
    assert len({history.died(now, had_worked=False) for now in range(10)}) == 10


def test_work_in_between_makes_a_crash_of_a_crash_loop() -> None:
    history = restarts()
    assert history.died(0, had_worked=False) == 0.0
    assert history.died(1, had_worked=False) != 0.0
    assert history.died(2, had_worked=True) == 0.0
    assert history.died(3, had_worked=False) == 0.0


def test_one_death_more_than_the_budget_is_not_restarted() -> None:
    history = restarts()
    for now in range(5):
        assert history.died(now, had_worked=True) is not None
    assert history.died(5, had_worked=True) is None
    assert history.recent == 6


def test_a_budget_of_none_restarts_nothing() -> None:
    policy = RestartPolicy(budget=0, window_s=60.0, backoff_s=1.0, backoff_max_s=5.0)
    assert restarts(policy).died(0, had_worked=True) is None


def test_deaths_before_the_window_do_not_count() -> None:
    history = restarts()
    for now in range(5):
        history.died(now, had_worked=True)
    assert history.died(60.5, had_worked=True) is not None  # that at 0 is 60.5 s ago
    assert history.recent == 5
    assert history.died(60.75, had_worked=True) is None


def test_a_process_that_beats_is_not_late() -> None:
    beats = Heartbeats(2 * S)
    for look in range(0, 10 * S, S // 2):
        assert beats.late(look, {"ta": look - S // 10}) == []


def test_one_that_has_not_beaten_for_longer_than_the_limit_is() -> None:
    beats = Heartbeats(2 * S)
    late = [(look, beats.late(look, {"ta": look, "ml": S})) for look in range(S, 4 * S + 1, S // 2)]
    assert [names for look, names in late if look <= 3 * S] == [[]] * 5
    assert [names for look, names in late if look > 3 * S] == [["ml"]] * 2


def test_a_supervisor_that_overslept_judges_nobody() -> None:
    beats = Heartbeats(2 * S)
    assert beats.late(0, {"ta": 0}) == []
    # The whole machine stood still for a minute: everyone's beat is old.
    assert beats.late(60 * S, {"ta": 0}) == []
    for look in (60.5, 61, 61.5, 62):
        assert beats.late(int(look * S), {"ta": 0}) == []
    assert beats.late(int(62.5 * S), {"ta": 0}) == ["ta"]


def test_the_first_look_judges_nobody() -> None:
    assert Heartbeats(2 * S).late(100 * S, {"ta": 1}) == []


def test_three_deaths_at_one_step_are_poison() -> None:
    poison = Poison()
    assert [poison.died_at(7) for _ in range(DEATHS)] == [False, False, True]


def test_deaths_at_different_steps_are_not() -> None:
    poison = Poison()
    assert not any(poison.died_at(step) for step in (7, 7, 8, 8, 7, 7))


def test_a_death_between_steps_is_no_steps_fault() -> None:
    poison = Poison()
    assert not any(poison.died_at(step) for step in (0, 0, 0, 0, 7, 7, 0, 7, 7))


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (0, "exit status 0"),
        (78, "exit status 78"),
        (-signal.SIGKILL, "signal SIGKILL"),
        (-signal.SIGSEGV, "signal SIGSEGV"),
        (-200, "signal 200"),
    ],
)
def test_an_end_is_described(status: int, said: str) -> None:
    assert describe_exit(status) == said
