"""The correlation benchmark: its pure parts, and one small run."""

from __future__ import annotations

import numpy as np
import pytest

from perf import correlation as script


def result(case: str, p50: float) -> script.Result:
    return {"case": case, "p50_us": p50}


@pytest.mark.parametrize(("recompute", "expected"), [(10.0, True), (10.1, False)])
def test_a_recompute_is_held_against_the_scalar_loop(recompute: float, expected: bool) -> None:
    results = [result("N=50 scalar", 30.0), result("N=50 recompute", recompute)]
    assert [each["met"] for each in script.expectations(results)] == [expected, None]


@pytest.mark.parametrize(("rank1", "expected"), [(5.0, True), (5.1, False)])
def test_rank1_is_held_against_numpy_at_200(rank1: float, expected: bool) -> None:
    results = [result("N=200", 100.0), result("N=200 rank1", rank1)]
    assert [each["met"] for each in script.expectations(results)] == [None, expected]


def test_the_exact_correlations_are_numpys() -> None:
    rows = np.random.default_rng(1).normal(0, 1, (5, 256))
    assert np.abs(script.exact(rows) - np.corrcoef(rows)).max() < 1e-14


def test_a_small_run_is_right_in_all_cases() -> None:
    found = script.run(0.001, 1, sizes=(50,))
    assert found["failed"] == {}
    assert [(each["name"], each["case"]) for each in found["results"]] == [
        ("bot4", "N=50 scalar"),
        ("bot4", "N=50 recompute"),
        ("bot4", "N=50 rank1"),
        ("bot4", "N=50 rank1 matrix"),
        ("numpy.corrcoef", "N=50"),
    ]
    for each in found["results"]:
        assert 0 < each["p50_us"] <= each["p99_us"]
        assert each["max_abs_diff"] < 1e-12
