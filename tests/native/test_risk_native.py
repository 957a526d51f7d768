"""Risk's kernel as a run has it: rings, cells, contexts and the stage's own loop around it."""

import shutil
from pathlib import Path

import pytest

from tests.native.test_native import expect_success, figures, run
from tests.native.test_stage_native import ROOT, build

FOLDERS = tuple(
    f"{part}/native" for part in ("shm", "pipeline", "workers/feed", "workers/risk", "workers/ta")
)


@pytest.mark.parametrize(
    ("variant", "intents"), [("release", 100_000), ("address", 10_000), ("thread", 10_000)]
)
def test_a_check_and_an_execution_allocate_nothing(
    variant: str, intents: int, tmp_path: Path
) -> None:
    output = expect_success(build("risk_allocations", variant, tmp_path), str(intents))
    [steps] = figures(output, "steps")
    [executions] = figures(output, "executions")
    assert steps >= intents + executions > 1.5 * intents
    assert figures(output, "allocations") == [0]


def test_a_check_that_allocates_is_found(tmp_path: Path) -> None:
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, tmp_path / folder)
    kernel = tmp_path / "workers/risk/native/intents.hpp"
    text = kernel.read_text(encoding="utf-8")
    right = "    Order order = reserve(ledger, intent, verdict, state);\n    detail::spend("
    assert text.count(right) == 1, "intents.hpp has changed: adapt the fault to it"
    wrong = f'    if (std::string(99, "ab"[intent.quantity & 1]) == "") return;\n  {right}'
    kernel.write_text(text.replace(right, wrong), encoding="utf-8")
    done = run(build("risk_allocations", "quick", tmp_path, tmp_path), "1000")
    assert done.returncode != 0
    assert "false: counted == 0" in done.stdout, done.stdout


@pytest.mark.parametrize("variant", ["release", "address"])
def test_division_by_1e8_is_exact(variant: str, tmp_path: Path) -> None:
    [values] = figures(expect_success(build("money", variant, tmp_path)), "values")
    assert values > 400_000
