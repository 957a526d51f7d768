"""Risk's kernel as a run has it: rings, cells, contexts and the stage's own loop around it."""

from pathlib import Path

import pytest

from tests.native.faults import Fault, expect_found
from tests.native.programs import build, expect_success, figures


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
    header = "workers/risk/native/intents.hpp"
    right = "    Order order = reserve(ledger, intent, verdict, state);\n    detail::spend("
    wrong = f'    if (std::string(99, "ab"[intent.quantity & 1]) == "") return;\n  {right}'
    evidence = "false: counted == 0"
    fault = Fault(header, {right: wrong}, "risk_allocations", ("1000",), evidence)
    expect_found(fault, tmp_path)


@pytest.mark.parametrize("variant", ["release", "address"])
def test_division_by_1e8_is_exact(variant: str, tmp_path: Path) -> None:
    [values] = figures(expect_success(build("money", variant, tmp_path)), "values")
    assert values > 400_000
