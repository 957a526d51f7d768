"""The headers of shm by themselves: under sanitizers, under kills, and in every meeting.

`test_native_faults` puts faults into them.
"""

from pathlib import Path

import pytest

from tests.native.programs import (
    ROOT,
    build,
    executed_lines,
    expect_covered,
    expect_success,
    figures,
)


@pytest.mark.parametrize("variant", ["release", "thread", "address"])
@pytest.mark.parametrize("program", ["rings", "structures", "waiting", "threads"])
def test_behaviour(program: str, variant: str, tmp_path: Path) -> None:
    expect_success(build(program, variant, tmp_path))


def test_nothing_is_torn_or_lost_by_a_kill_at_any_instruction(tmp_path: Path) -> None:
    output = expect_success(build("kill_steps", "release", tmp_path))
    instructions = figures(output, "instructions")
    kills = figures(output, "(?:kills|stops)")
    assert len(instructions) == len(kills) == 17
    # A kill before, and one after each instruction.
    assert all(killed > stepped > 0 for stepped, killed in zip(instructions, kills, strict=True))


def test_processes_may_meet_at_any_instruction(tmp_path: Path) -> None:
    expect_success(build("pause_steps", "release", tmp_path))


def test_nothing_is_torn_or_lost_by_random_kills(tmp_path: Path) -> None:
    output = expect_success(build("kill_storm", "release", tmp_path))
    assert sum(figures(output, "kills,")) >= 1_000


def test_the_headers_are_covered(tmp_path: Path) -> None:
    for program in ("rings", "structures", "waiting", "threads"):
        expect_success(build(program, "coverage", tmp_path))
    executed = executed_lines(tmp_path, r"shm/native/[^/]+\.hpp")
    # segment.hpp has no function, hence no line; test_breaker_native has the breakers' headers.
    assert set(executed) == {
        f"shm/native/{header.name}"
        for header in (ROOT / "shm" / "native").glob("*.hpp")
        if not header.name.startswith("breaker")
    } - {"shm/native/segment.hpp"}
    expect_covered(executed)
