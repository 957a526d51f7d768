"""The breaker benchmark: its pure parts, and one small run."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from perf import breaker as script
from perf.calls import report, session
from perf.calls.session import CALLERS, Caller, Sample
from perf.ranks import percentiles
from shm import list_segments

NATIVE, PYTHON = Caller("bot4", "native", "time"), Caller("bot4", "python", "time")
LOCK = Caller("lock", "python", "time")


def sample(p99: int, rate: float = 1.0) -> Sample:
    return Sample(1, p99, 2 * p99, rate, 20.0)


def met(results: list[dict[str, Any]]) -> list[bool | None]:
    return [each["met"] for each in report.expectations(results)]


def test_percentiles_are_by_nearest_rank() -> None:
    ns = np.arange(1000, 0, -1, dtype=np.uint32)
    assert percentiles(ns) == (500, 990, 999)
    assert percentiles(ns[-1:]) == (1, 1, 1)


def test_a_result_has_the_medians_of_its_repeats() -> None:
    result = report.summary(NATIVE, 2, [sample(90, 3.0), sample(70, 5.0), sample(80, 4.0)])
    assert (result["name"], result["from"], result["window"]) == ("bot4", "native", "time")
    assert (result["processes"], result["repeats"]) == (2, 3)
    assert (result["p99_ns"], result["p999_ns"], result["ops_per_s"]) == (80, 160, 4)


@pytest.mark.parametrize(("p99", "expected"), [(149, True), (150, False)])
def test_a_limit_is_met_below_it(p99: int, expected: bool) -> None:
    assert met([report.summary(NATIVE, 1, [sample(p99)])]) == [expected, None, None]


@pytest.mark.parametrize(("rate", "expected"), [(500.0, True), (499.0, False)])
def test_the_locks_rate_is_that_of_as_many_processes(rate: float, expected: bool) -> None:
    results = [
        report.summary(PYTHON, 2, [sample(10, rate)]),
        report.summary(LOCK, 1, [sample(10, 1000.0)]),
        report.summary(LOCK, 2, [sample(10, 100.0)]),
    ]
    assert met(results)[2] is expected


def test_a_compiler_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "COMPILER", "no-such-compiler")
    found = script.run([NATIVE], 1, 0.01, 1)
    assert "no-such-compiler" in found["failed"]["native"]
    assert found["results"] == []


def test_a_breaker_that_does_not_exist_is_refused() -> None:
    result = CliRunner().invoke(script.main, ["--breakers", "bot4,other"])
    assert result.exit_code == 2
    assert "was other" in result.output


def test_a_small_run_measures_every_caller() -> None:
    arguments = ["--json", "--seconds", "0.02", "--repeats", "1", "--processes", "2"]
    result = CliRunner().invoke(script.main, arguments)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    measured = {
        (Caller(each["name"], each["from"], each["window"]), each["processes"])
        for each in found["results"]
    }
    expected = [caller for caller in CALLERS if caller.name not in found["skipped"]]
    assert measured == {(caller, processes) for caller in expected for processes in (1, 2)}
    for each in found["results"]:
        assert 0 < each["p50_ns"] <= each["p99_ns"] <= each["p999_ns"]
        assert each["ops_per_s"] > 0
        assert each["clock_ns"] > 0
    assert found["machine"]["cpus"]
    assert list_segments(f"perf-{os.getpid()}") == []
