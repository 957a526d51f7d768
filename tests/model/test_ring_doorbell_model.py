"""Exhaustive search of the ring and doorbell protocol with the model checker spin.

The model proves the protocol only as far as it can fail, so each ordering and each look that the
protocol rests on is also dropped in turn, and the search has to find the consequence.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

MODEL = Path(__file__).with_name("ring_doorbell.pml")

SLEEPS_FOREVER = "invalid end state"
WRONG_RECORD = "assertion violated"

# Records enough to fill both rings; or fewer, and a doorbell that is rung twice.
BOUNDS = [("MSGS=3", "RINGS=1"), ("MSGS=2", "RINGS=2")]

VARIANTS = {
    "RELAXED_SLEEP_FLAG": SLEEPS_FOREVER,
    "RELAXED_TAIL": SLEEPS_FOREVER,
    "RELAXED_HEAD": SLEEPS_FOREVER,
    "NO_RECHECK": SLEEPS_FOREVER,
    "RECHECK_ONE_RING": SLEEPS_FOREVER,
    "BELL_NOT_RECHECKED": SLEEPS_FOREVER,
    "HEARD_PER_WAIT": SLEEPS_FOREVER,
    "RING_AFTER_CLAIM": SLEEPS_FOREVER,
    "WAKE_BEFORE_CLAIM": SLEEPS_FOREVER,
    "EPOCH_FUTEX": SLEEPS_FOREVER,
    "PUBLISH_FIRST": WRONG_RECORD,
    "COMMIT_FIRST": WRONG_RECORD,
}

# Generous, because the tests may share a slow machine with others.
TOOL_TIMEOUT_S = 60
SEARCH_TIMEOUT_S = 180


def require_tools() -> None:
    missing = [tool for tool in ("spin", "gcc") if shutil.which(tool) is None]
    if missing:
        message = f"not on PATH: {', '.join(missing)}"
        if os.environ.get("BOT4_REQUIRE_TOOLS") == "1":
            pytest.fail(message)
        pytest.skip(message)


def run(command: list[str], cwd: Path, timeout: float) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        timeout=timeout,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command} returned {done.returncode}:\n{done.stdout}"
    return done.stdout


def search(directory: Path, *macros: str) -> str:
    """Search the model with the given macros set; return the report of the search."""
    require_tools()
    # A copy, because spin and its verifier write next to the model they are given.
    shutil.copy(MODEL, directory)
    run(["spin", "-a", *(f"-D{macro}" for macro in macros), MODEL.name], directory, TOOL_TIMEOUT_S)
    # SAFETY leaves out the search for cycles, COLLAPSE keeps the states under 300 MB.
    run(["gcc", "-O2", "-DSAFETY", "-DCOLLAPSE", "-o", "pan", "pan.c"], directory, TOOL_TIMEOUT_S)
    return run(["./pan", "-m100000", "-w22"], directory, SEARCH_TIMEOUT_S)


def errors(report: str) -> int:
    found = re.search(r"errors: (\d+)", report)
    assert found, report
    return int(found[1])


@pytest.mark.parametrize("bounds", BOUNDS, ids="-".join)
def test_no_wakeup_is_lost_and_no_record_overwritten(
    bounds: tuple[str, str], tmp_path: Path
) -> None:
    report = search(tmp_path, *bounds)
    assert errors(report) == 0, report
    for truncation in ("max search depth too small", "Search not completed", "out of memory"):
        assert truncation not in report, report
    # A statement never reached would be one about which the search says nothing.
    for process in ("producer", "consumer", "supervisor"):
        assert re.search(rf"unreached in proctype {process}\n\t\(0 of \d+ states\)", report), report


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_search_finds_what_a_variant_breaks(variant: str, tmp_path: Path) -> None:
    report = search(tmp_path, variant)
    assert errors(report) == 1, report
    assert f"pan:1: {VARIANTS[variant]}" in report, report


def test_every_variant_of_the_model_is_searched() -> None:
    conditions = re.findall(r"^#(?:el)?if.*$", MODEL.read_text(encoding="utf-8"), re.MULTILINE)
    names = {name for line in conditions for name in re.findall(r"\b[A-Z][A-Z_]+\b", line)}
    assert names - {"MSGS"} == set(VARIANTS)
