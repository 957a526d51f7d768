"""The operator's command, with real ones, each with its own way to fail."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from pathlib import Path

import pytest

from pipeline.notify.command import PASSED_ON, told

PATIENCE_S = 30.0
DOCUMENT = {"text": "tést\ud800", "figures": {}}


def shell(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


def gone(pid: int) -> bool:
    """Whether a process ends; it may be nobody's child any more."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([pidfd], [], [], PATIENCE_S)[0])
    finally:
        os.close(pidfd)


def test_it_is_given_one_object_on_a_line_and_says_something(tmp_path: Path) -> None:
    answer = told(shell(f"cat > {tmp_path}/told; echo one; echo ' \033[31mtwo' >&2"), DOCUMENT, 30)
    assert (answer.failure, answer.exit_status, answer.lines) == ("", 0, ("one", "[31mtwo"))
    (line,) = (tmp_path / "told").read_text().splitlines()
    assert json.loads(line) == DOCUMENT


def test_of_the_environment_it_is_given_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KRAKEN_SECRET", "x")
    monkeypatch.setenv("BOT4_NAME", "x")
    monkeypatch.setenv("https_proxy", "http://proxy")
    told(["/usr/bin/env"], {}, 30)
    told(shell(f"env > {tmp_path}/env; pwd > {tmp_path}/pwd"), {}, 30)
    given = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines())
    assert given["https_proxy"] == "http://proxy"
    assert given.keys() <= {*PASSED_ON, "PWD", "OLDPWD", "SHLVL", "_"}
    assert (tmp_path / "pwd").read_text() == "/\n"


def test_one_that_does_not_read_is_not_waited_for() -> None:
    assert told(["true"], {"text": "x" * (1 << 20)}, 30).failure == ""


@pytest.mark.parametrize(
    ("command", "failure", "status"),
    [
        (["no-such-program"], "cannot be started (No such file or directory)", None),
        (["/"], "cannot be started (Permission denied)", None),
        (shell("echo no >&2; exit 3"), "exit status 3", 3),
        (shell("kill -TERM $$"), "signal SIGTERM", -15),
    ],
)
def test_how_it_fails_is_said(command: list[str], failure: str, status: int | None) -> None:
    answer = told(command, DOCUMENT, 30)
    assert (answer.failure, answer.exit_status) == (failure, status)
    assert answer.lines == (("no",) if status == 3 else ())


def test_one_that_hangs_is_killed_with_all_that_it_has_started(tmp_path: Path) -> None:
    script = f"sleep 600 & echo $! > {tmp_path}/pid; echo hangs; wait"
    answer = told(shell(script), DOCUMENT, 1.0)
    assert answer.failure.startswith("has not ended, killed after ")
    assert (answer.exit_status, answer.lines) == (None, ("hangs",))
    assert gone(int((tmp_path / "pid").read_text()))


def test_nothing_goes_on_beyond_the_end() -> None:
    end = time.monotonic() + 0.1
    assert told(["sleep", "600"], DOCUMENT, 600, lambda: end).failure.startswith("has not ended")


def test_what_it_leaves_running_is_not_waited_for(tmp_path: Path) -> None:
    answer = told(shell(f"echo left; sleep 600 & echo $! > {tmp_path}/pid"), DOCUMENT, 30)
    pid = int((tmp_path / "pid").read_text())
    os.kill(pid, signal.SIGKILL)
    assert (answer.failure, answer.lines) == ("", ("left",))
    assert gone(pid)


def test_of_a_megabyte_the_beginning_is_kept() -> None:
    answer = told(shell("yes told | head -c 1000000"), DOCUMENT, 30)
    assert (answer.failure, answer.exit_status) == ("", 0)
    assert set(answer.lines[:-1]) == {"told"}
    assert sum(len(line) + 1 for line in answer.lines) <= 2049


def test_one_that_prints_without_end_is_killed() -> None:
    answer = told(["yes"], DOCUMENT, 30)
    assert answer.failure.startswith("has printed more than 16 MiB, killed after ")
