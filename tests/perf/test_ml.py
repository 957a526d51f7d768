"""The benchmark of models: its pure parts, and one small run."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from perf import ml as script
from perf.asked import CASE
from perf.ml import KINDS


def result(case: str, p99_us: float, max_abs_diff: float = 0.0, name: str = "bot4") -> Any:
    return {"name": name, "case": case, "p99_us": p99_us, "max_abs_diff": max_abs_diff}


@pytest.mark.parametrize(
    ("measured", "met"),
    [
        ([result("hgb 1 row", 49.9)], [True, True]),
        ([result("hgb 1 row", 50.0, 1e-17)], [False, False]),
        ([result("hgb 1 row", 1.0, name="other")], [None, None]),
    ],
)
def test_limits_are_of_the_projects_own_figures(measured: Any, met: list[bool | None]) -> None:
    assert [each["met"] for each in script.expectations(measured)[:2]] == met


def test_a_linear_model_may_differ_a_little() -> None:
    found = script.expectations([result("lr 1 row", 1.0, 1e-12)])
    assert [each["met"] for each in found] == [None] * 4 + [True, True, None]


def test_a_small_run_measures_every_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "TREES", 5)
    monkeypatch.setattr(script, "TRAINING_ROWS", 500)
    monkeypatch.setattr(script, "LEAST_CALLS", 5)
    # Its converter warns of what it is built on.
    monkeypatch.setattr(script, "_onnx", _missing)
    run = CliRunner().invoke(script.main, ["--json", "--seconds", "0.001", "--repeats", "1"])
    assert run.exit_code == 0, run.output
    found = json.loads(run.stdout)
    assert {(each["name"], each["case"]) for each in found["results"]} == {
        (name, f"{kind} {rows}")
        for name in ("bot4", "scikit-learn")
        for kind in KINDS
        for rows in ("1 row", "20 rows")
    } | {("bot4", CASE)}
    for each in found["results"]:
        assert 0 < each["p50_us"] <= each["p99_us"]
        assert each["max_abs_diff"] <= (0.0 if each["case"].startswith(("hgb", "rf")) else 1e-12)
    assert found["skipped"] == {
        f"onnxruntime {kind}": "ModuleNotFoundError: onnxruntime" for kind in KINDS
    }


def _missing(*_: Any) -> Any:
    raise ModuleNotFoundError("onnxruntime")
