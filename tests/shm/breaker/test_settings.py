"""Settings: what is refused, and in which words."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from shm import BreakerError, BreakerSettings, ShmError
from shm.breaker_settings import LONGEST_NS
from shm.breaker_types import LARGEST_LEASE_NS, BreakerOpenError, BreakerSettingsError, Rejection
from tests.shm.breaker.desk import Desk, settings

INTEGERS = [
    *("window_ns", "window_calls", "min_calls", "failure_bp", "slow_bp", "slow_ns", "consecutive"),
    *("cooldown_ns", "cooldown_factor_bp", "cooldown_max_ns", "jitter_bp", "probes", "successes"),
    *("failures", "max_stay_ns", "lease_ns", "weight", "seed"),
]


def test_the_defaults_are_valid_and_in_the_documented_order() -> None:
    second = 10**9
    assert BreakerSettings().words() == (
        *(0, 10 * second, 100, 10, 5_000, 0, 0, 5),
        *(30 * second, 20_000, 300 * second, 2_000),
        *(3, 3, 1, 60 * second, 10 * second, 1, 0, 0),
    )


def test_words_are_plain_integers() -> None:
    words = BreakerSettings(window="count", critical=True, seed=(1 << 64) - 1).words()
    assert all(type(word) is int for word in words)
    assert (words[0], words[-2], words[-1]) == (1, 1, (1 << 64) - 1)


@pytest.mark.parametrize(
    ("wrong", "field", "message"),
    [
        ({"window": "calls"}, "window", 'window was \'calls\', must be "time" or "count"'),
        ({"window_ns": 9}, "window_ns", "window_ns was 9, must be >= 10"),
        ({"window": "count", "window_calls": 1025}, "window_calls", "in 0 .. 1024"),
        ({"window": "count", "window_calls": 3}, "window_calls", "must be >= min_calls, 4"),
        ({"min_calls": 0}, "min_calls", "min_calls was 0, must be in 1 .. "),
        ({"failure_bp": 10_001}, "failure_bp", "in 0 .. 10000"),
        ({"failure_bp": -1}, "failure_bp", "in 0 .. 10000"),
        ({"slow_bp": 10_001}, "slow_bp", "in 0 .. 10000"),
        ({"slow_bp": 1, "slow_ns": 0}, "slow_ns", "must be > 0 if slow_bp is"),
        ({"consecutive": 0}, "failure_bp", "were all 0, must be > 0 for at least one"),
        ({"consecutive": -1}, "consecutive", "consecutive was -1"),
        ({"cooldown_ns": 0}, "cooldown_ns", "cooldown_ns was 0"),
        ({"cooldown_ns": 999_999_999}, "cooldown_ns", "must be >= 1000000000, a bucket"),
        ({"cooldown_ns": 1 << 40}, "cooldown_max_ns", "must be >= cooldown_ns"),
        ({"cooldown_max_ns": LONGEST_NS + 1}, "cooldown_max_ns", "cooldown_max_ns was"),
        ({"cooldown_factor_bp": 9_999}, "cooldown_factor_bp", "in 10000 .. "),
        ({"jitter_bp": 5_001}, "jitter_bp", "jitter_bp was 5001, must be in 0 .. 5000"),
        ({"successes": 0}, "successes", "successes was 0, must be in 1 .. 16"),
        ({"failures": -1}, "failures", "failures was -1"),
        ({"successes": 14, "failures": 3}, "successes", "were 17, must be <= 16"),
        ({"probes": 0}, "probes", "probes was 0"),
        ({"probes": 5}, "probes", "must be <= successes + failures, 4"),
        ({"max_stay_ns": 0}, "max_stay_ns", "max_stay_ns was 0"),
        ({"lease_ns": 0}, "lease_ns", "lease_ns was 0"),
        ({"lease_ns": LARGEST_LEASE_NS + 1}, "lease_ns", f"in 1 .. {LARGEST_LEASE_NS}"),
        ({"weight": 0}, "weight", "weight was 0"),
        ({"critical": 1}, "critical", "critical was 1, must be True or False"),
        ({"seed": 1 << 64}, "seed", "seed was"),
    ],
)
def test_what_is_wrong_is_refused(wrong: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(BreakerSettingsError) as refused:
        settings(**wrong)
    assert list(refused.value.problems) == [field]
    assert message in refused.value.problems[field]
    assert message in str(refused.value)


@pytest.mark.parametrize("field", INTEGERS)
@pytest.mark.parametrize("value", [1.0, math.nan, "1", None, True, np.int64(1)], ids=repr)
def test_what_is_no_integer_is_refused(field: str, value: object) -> None:
    with pytest.raises(BreakerSettingsError, match=rf"{field} was .*, must be an integer"):
        settings(**{field: value})


def test_everything_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(BreakerSettingsError) as refused:
        settings(min_calls=0, jitter_bp=math.nan, weight=-1)
    assert set(refused.value.problems) == {"min_calls", "jitter_bp", "weight"}
    with pytest.raises(BreakerSettingsError) as refused:
        settings(consecutive=0, probes=9, cooldown_ns=1)
    assert set(refused.value.problems) == {"failure_bp", "probes", "cooldown_ns"}


@pytest.mark.parametrize(
    "edge",
    [
        {"failure_bp": 10_000, "consecutive": 0},
        {"slow_bp": 1, "slow_ns": 1, "consecutive": 0},
        {"successes": 16, "failures": 0, "probes": 16},
        {"successes": 1, "failures": 0, "probes": 1},
        {"jitter_bp": 5_000},
        {"lease_ns": LARGEST_LEASE_NS},
        {"window": "count", "window_ns": 0, "window_calls": 4, "cooldown_ns": 1},
        {"window_calls": 0},
        {"window_ns": 10, "cooldown_ns": 1},
    ],
)
def test_the_edges_are_allowed(edge: dict[str, Any]) -> None:
    settings(**edge)


def test_refused_settings_leave_the_old_ones(desk: Desk) -> None:
    breaker = desk.closed(consecutive=2)
    with pytest.raises(BreakerError):
        breaker.configure(settings(consecutive=-1), desk.now)
    desk.fail(breaker, 2)
    assert not breaker.acquire(desk.now)
    assert desk.events()["settings_version"].tolist() == [1]


def test_errors_are_the_packages_own() -> None:
    assert issubclass(BreakerSettingsError, BreakerError)
    assert issubclass(BreakerError, ShmError)
    error = BreakerOpenError("orders.sim", Rejection.EXHAUSTED)
    assert isinstance(error, ShmError)
    assert (error.breaker, error.rejection) == ("orders.sim", Rejection.EXHAUSTED)
    assert "'orders.sim'" in str(error)
    assert "EXHAUSTED" in str(error)
