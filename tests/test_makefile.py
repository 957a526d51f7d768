"""What `make` says to someone whose machine lacks something."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A Python that answers like the real one, but for the check that contains the given words.
FAKE_PYTHON = """#!/bin/sh
case "$*" in
  *{words}*) exit 1 ;;
  -V) echo "Python 3.9.2" ;;
esac
"""


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    # Without the variables of a make that may be running this very test.
    environment = {key: value for key, value in os.environ.items() if "MAKE" not in key}
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=environment,
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("version_info", "is Python 3.9.2, must be 3.11 or newer"),
        (
            "ensurepip",
            "cannot make virtual environments; install them: apt-get install python3-venv",
        ),
        ("Python.h", "is missing; install it: apt-get install python3-dev"),
    ],
)
def test_a_python_that_will_not_do_is_named_in_one_line(
    tmp_path: Path, words: str, message: str
) -> None:
    python = tmp_path / "python3"
    python.write_text(FAKE_PYTHON.format(words=words))
    python.chmod(0o755)
    done = make("tools", f"PYTHON={python}")
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if not line.startswith("make: ***")]
    assert len(said) == 1
    assert message in said[0]


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ("PYTHON=no-such-python", "no-such-python is missing; install it: apt-get install python3"),
        ("CXX=no-such-compiler", "compiler no-such-compiler is missing; install it: apt-get"),
        ("CXX=false", "false cannot compile C++20 for Linux; install g++ 11 or newer"),
    ],
)
def test_a_missing_program_is_named_in_one_line(variable: str, message: str) -> None:
    done = make("tools", variable)
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if not line.startswith("make: ***")]
    assert len(said) == 1
    assert message in said[0]


def test_help_lists_every_target() -> None:
    done = make("help")
    assert done.returncode == 0
    for target in ("run", "test", "lint", "bench", "clean"):
        assert f"make {target}" in done.stdout


def test_arguments_whose_quotes_were_lost_still_belong_to_the_command() -> None:
    for words in (["ARGS=--duration 15"], ["ARGS=--duration", "15"]):
        done = make("--dry-run", "run", *words)
        assert done.returncode == 0, done.stderr
        assert "bot4 run --duration 15" in done.stdout
    assert make("--dry-run", "no-such-target").returncode == 2
