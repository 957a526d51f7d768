"""The kill path with real processes, while everything else does not work."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline import topology
from pipeline.kill.latch import LatchFile
from pipeline.kill.positions import executor_cells
from pipeline.vocabulary import Mode
from shm import list_segments, reap
from tests.pipeline.supervisor.started import BOT4, PATIENCE_S, Started, bot4, environment, until

WATCHED: Mapping[str, Any] = {"supervisor__heartbeat_s": "2"}  # as by default


def positions(run: Started) -> list[int]:
    """What the executor holds of each instrument, in lots."""
    return [int(position) for position in executor_cells(run.segment)["position"]]


def trades(run: Started) -> None:
    """Wait until something is held."""
    run.flows(20, ring="orders")
    until(lambda: any(positions(run)), "a position")


def holds(run: Started) -> None:
    """Have it hold something while nothing moves: its supervisor and its feed are stopped."""
    while True:
        trades(run)
        run.process.send_signal(signal.SIGSTOP)
        feed = run.strike("feed", signal.SIGSTOP)
        until(lambda: all(run.segment.depth(edge.ring) == 0 for edge in topology.EDGES), "rest")
        if any(positions(run)):
            return
        os.kill(feed, signal.SIGCONT)
        run.process.send_signal(signal.SIGCONT)


def kill(run: Started, reason: str = "a test", code: int = 0) -> dict[str, Any]:
    """Kill it as an operator does; return what was printed."""
    done = bot4("kill", "--json", "--reason", reason, *run.flags, cwd=run.state_dir)
    assert done.returncode == code, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return {**document, "said": done.stderr}


def closed_by_itself(
    name: str, folder: Path, prepare: Callable[[Started], object] = lambda run: None
) -> tuple[Started, dict[str, Any], dict[str, Any], str]:
    """Have a run trade, `prepare` it, kill it, and wait until it has ended as halted.

    Once more if the machine stood still for a second: then `bot4 kill` trusts nobody any more and
    closes what is held alone, which other tests are about.

    Returns:
        The run, what the kill printed, and what the run did at its end: object and messages.
    """
    for attempt in range(4):
        state_dir = folder / f"state-{attempt}"
        state_dir.mkdir()
        with Started(name, state_dir) as run:
            trades(run)
            prepare(run)
            done = kill(run)
            if run.process.wait(PATIENCE_S) != -signal.SIGKILL:
                break
    figures, errors = run.end(4)
    return run, done, figures, errors


def latched(run: Started, reason: str = "a test") -> None:
    """Check that the latch is set, and says why."""
    held = LatchFile(run.state_dir).read()
    assert (held.is_killed, held.reason, held.trip) == (True, reason, "manual")


def reset(run: Started, reason: str = "a test") -> None:
    """Check that no run begins until an operator has reset the latch."""
    refused = bot4("run", "--duration", "1", *run.flags, cwd=run.state_dir)
    assert refused.returncode == 4
    assert f"bot4: killed: {reason} (by " in refused.stderr
    done = bot4("resume", "--reason", "looked at it", *run.flags, cwd=run.state_dir)
    assert (done.returncode, done.stdout) == (0, f"resumed {run.name}: mode emergency -> normal\n")


def test_a_run_that_works_closes_all_positions_and_ends(name: str, tmp_path: Path) -> None:
    run, done, figures, errors = closed_by_itself(name, tmp_path)
    assert (done["run_id"], done["held"], done["alone"]) == (figures["run_id"], {}, False)
    assert done["first"]["reason"] == "a test"
    assert figures["exit_reason"] == "halted: a test"
    assert "killed: nothing is held any more\n" in errors
    latched(run)
    reset(run)
    text = (run.state_dir / "breakers.jsonl").read_text()
    trail = [json.loads(line) for line in text.splitlines()]
    acts = [(each["kind"], each["to"]) for each in trail if each["breaker"] == "mode"]
    assert acts == [("done", "emergency"), ("intent", "normal"), ("done", "normal")]


def test_with_the_supervisor_dead_the_executor_alone_closes_all_positions(
    name: str, tmp_path: Path
) -> None:
    with Started(name, tmp_path, **WATCHED) as run:
        holds(run)
        run.kill()
        assert [info.state for info in list_segments(name)] == ["stale"]
        done = kill(run)
    assert (done["held"], done["alone"]) == ({}, True)
    assert "the executor alone closes " in done["said"]
    assert list_segments(name) == []
    latched(run)


def test_with_the_supervisor_stopped_it_is_ended(name: str, tmp_path: Path) -> None:
    with Started(name, tmp_path, **WATCHED) as run:
        trades(run)
        run.process.send_signal(signal.SIGSTOP)
        done = kill(run)
        assert "no supervisor has beaten for 2 s\n" in done["said"]
        run.process.communicate()
        assert run.process.returncode == -signal.SIGKILL
    assert done["held"] == {}
    latched(run)


def test_with_risk_dead_and_nobody_to_start_it_again(name: str, tmp_path: Path) -> None:
    with Started(name, tmp_path, **WATCHED) as run:
        trades(run)
        run.process.send_signal(signal.SIGSTOP)
        run.strike("risk")
        done = kill(run)
        run.process.communicate()
    assert (done["held"], done["alone"]) == ({}, True)
    latched(run)


def test_with_risk_dead_the_run_starts_it_again_and_closes(name: str, tmp_path: Path) -> None:
    _, done, figures, _ = closed_by_itself(name, tmp_path, lambda run: run.strike("risk"))
    assert (done["held"], done["alone"]) == ({}, False)
    assert figures["stages"]["risk"]["restarts"] == 1


@pytest.mark.parametrize("process", ["feed", "ta", "ml", "risk", "executor"])
def test_with_a_stage_stopped(name: str, tmp_path: Path, process: str) -> None:
    with Started(name, tmp_path, **WATCHED) as run:
        trades(run)
        run.strike(process, signal.SIGSTOP)
        done = kill(run)
        run.process.communicate()
    assert done["held"] == {}
    assert LatchFile(tmp_path).read().is_killed


def test_with_the_executor_stopped_and_nobody_to_notice(name: str, tmp_path: Path) -> None:
    with Started(name, tmp_path, **WATCHED) as run:
        trades(run)
        run.process.send_signal(signal.SIGSTOP)
        run.strike("executor", signal.SIGSTOP)
        done = kill(run)
        run.process.communicate()
    assert "no executor has beaten for 1 s\n" in done["said"]
    assert (done["held"], done["alone"]) == ({}, True)
    assert list_segments(name) == []


@contextlib.contextmanager
def full_disk(folder: Path) -> Iterator[Path]:
    """A file system of its own that has no room; skips the test where nobody may mount one."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> None:
    """Leave not a byte on it."""
    with (folder / "ballast").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4096):
            pass


def test_with_the_disk_full(name: str, tmp_path: Path) -> None:
    with full_disk(tmp_path / "state") as folder, Started(name, folder, **WATCHED) as run:
        trades(run)
        fill(folder)
        assert os.statvfs(folder).f_bavail == 0
        done = kill(run)
        run.end(None)  # 4, unless the machine stood still for a second: then it was ended
        assert done["held"] == {}
        assert done["latch"]["mode"] == Mode.EMERGENCY.label
        held = LatchFile(folder).read()
        assert held.is_killed
        refused = bot4("run", "--duration", "1", *run.flags, cwd=tmp_path)
        assert refused.returncode == 4
        (folder / "ballast").unlink()
        resumed = bot4("resume", "--reason", "made room", *run.flags, cwd=tmp_path)
        assert resumed.returncode == 0, resumed.stderr


def test_a_limit_on_the_size_of_files_does_not_keep_it_from_killing(
    name: str, tmp_path: Path
) -> None:
    with Started(name, tmp_path, **WATCHED) as run:
        trades(run)
        # Its supervisor, who has no such limit, must not write the latch for it.
        run.process.send_signal(signal.SIGSTOP)
        command = [BOT4, "kill", "--json", "--reason", "x", *run.flags]
        done = subprocess.run(
            ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh", *command],
            capture_output=True,
            text=True,
            timeout=60,
            env=environment(),
            cwd=tmp_path,
        )
        run.process.communicate()
    assert done.returncode == 0, done.stderr
    assert "it is empty, so no run begins, but it does not say why\n" in done.stderr
    assert json.loads(done.stdout)["held"] == {}
    assert LatchFile(tmp_path).read().is_killed
    assert (tmp_path / "latch.json").stat().st_size == 0


def test_killing_twice_changes_nothing(name: str, tmp_path: Path) -> None:
    with Started(name, tmp_path, **WATCHED) as run:
        trades(run)
        run.kill()
        kill(run, "first")
        again = kill(run, "second")
    assert (again["run_id"], again["held"], again["latch"]["reason"]) == (None, {}, "first")
    latched(run, "first")


def test_what_cannot_be_closed_is_kept_and_said(name: str, tmp_path: Path) -> None:
    with Started(name, tmp_path, **WATCHED) as run:
        holds(run)
        group = run.segment.breakers("breakers")
        group.breaker("orders.sim").force_open(actor="anna", reason="a test")
        group.close()
        done = kill(run, code=1)
        run.process.communicate()
    assert done["held"]
    assert done["latch"]["mode"] == "emergency"
    # Nothing is forgotten: it can be repeated, and is not resumed before.
    refused = bot4("resume", "--reason", "x", *run.flags, cwd=tmp_path)
    assert refused.returncode == 1
    assert "was killed and has not ended, still held: " in refused.stderr
    assert kill(run, code=1)["held"] == done["held"]
    reap(name)
