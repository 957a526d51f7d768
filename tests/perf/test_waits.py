"""The comparison of wait strategies: its rule, and one small run."""

from __future__ import annotations

import os

import pytest

from perf import waits
from perf.chain.hops import NAMES, Waits
from shm import STRATEGIES, list_segments

SHARED = dict.fromkeys(NAMES, (0,))
APART = {name: (cpu,) for cpu, name in enumerate(NAMES)}


def result(name: str, p50: float, idle_cpu: float = 0.0, lost: int = 0) -> waits.Result:
    figures = {1000: p50}
    return waits.Result(name, 0, 0, "sleep", 1, idle_cpu, figures, figures, figures, figures, lost)


def test_the_best_strategy_is_recommended_if_it_is_clearly_better() -> None:
    results = [result("futex", 10.0), result("yield-futex", 14.0)]
    assert waits.recommended(results, "yield-futex") == "futex"


def test_the_default_is_kept_if_others_are_hardly_better() -> None:
    results = [result("futex", 10.0), result("yield-futex", 13.0)]
    assert waits.recommended(results, "yield-futex") == "yield-futex"


def test_who_uses_the_cpu_while_idle_is_not_recommended() -> None:
    results = [result("yield", 1.0, idle_cpu=1.0), result("futex", 10.0)]
    assert waits.recommended(results, "yield-futex") == "futex"


def test_who_loses_records_is_not_recommended() -> None:
    assert waits.recommended([result("futex", 1.0, lost=1)], "futex") is None


def test_spinning_for_ever_is_refused_on_a_shared_core_and_says_why() -> None:
    assert "shares a core" in (waits.why_refused(STRATEGIES["spin"], SHARED) or "")
    assert waits.why_refused(STRATEGIES["spin"], APART) is None


def test_other_numbers_of_spins_need_a_core_each() -> None:
    (few,) = [each for each in waits.candidates() if each.name == "spin-futex (2000)"]
    assert waits.why_refused(few, SHARED) is not None
    assert waits.why_refused(few, APART) is None


def test_a_summary_has_medians_by_rate_and_all_that_was_lost() -> None:
    repeats = [
        Waits(cpu, {1000: (p50, 2 * p50)}, {1000: (4 * p50, 8 * p50)}, 1)
        for cpu, p50 in ((0.1, 3), (0.2, 1), (0.3, 2))
    ]
    found = waits.summary(STRATEGIES["futex"], repeats)
    assert (found.idle_cpu, found.p50_us, found.p99_us) == (0.2, {1000: 2}, {1000: 4})
    assert (found.busy_p50_us, found.busy_p99_us) == ({1000: 8}, {1000: 16})
    assert (found.lost, found.finally_) == (3, "sleep")
    assert found.score == pytest.approx((2 * 4 * 8 * 16) ** 0.25)


@pytest.mark.parametrize("name", ["futex", "yield-futex"])
def test_a_small_run_loses_nothing(name: str) -> None:
    found = waits.run(0.2, 1, rates=(500,), strategies=[STRATEGIES[name]])
    assert found["failed"] == {}
    (only,) = found["results"]
    assert (only["strategy"], only["lost"]) == (name, 0)
    assert 0 < only["p50_us"][500] <= only["p99_us"][500]
    assert list_segments(f"perf-{os.getpid()}") == []
