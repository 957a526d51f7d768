"""The commands that speak to a run: status, stop and kill."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import topology
from pipeline.kill.positions import committed
from pipeline.supervisor.start import encoded
from shm import Segment
from tests.pipeline.supervisor.started import Started, bot4, until


def test_a_running_deployment_is_shown_refused_twice_and_stopped(name: str, tmp_path: Path) -> None:
    with Started(name, tmp_path) as run:
        run.flows(20, ring="orders")

        done = bot4("status", "--json", *run.flags, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        figures: dict[str, Any] = json.loads(done.stdout)
        assert figures["run_id"] == run.segment.run_id
        assert figures["halted"] is None
        assert figures["stages"]["ta"]["pid"] == run.pid("ta")
        assert figures["orders"] >= 20

        done = bot4("status", *run.flags, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert f"{name}, run {figures['run_id']}" in done.stdout
        assert re.search(r"^risk +\d+ ", done.stdout, re.MULTILINE)

        done = bot4("run", "--duration", "1", *run.flags, cwd=tmp_path)
        assert done.returncode == 1
        assert "run.lock is held by a running supervisor; stop it (bot4 stop), or" in done.stderr

        elsewhere = tmp_path / "elsewhere"
        done = bot4("run", *run.flags, "--set", f"state_dir={elsewhere}", cwd=tmp_path)
        assert done.returncode == 1
        assert f"is in use by pid {run.process.pid}; stop that run (bot4 stop)" in done.stderr

        done = bot4("stop", *run.flags, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (0, f"stopped {name}, run {figures['run_id']}\n")
        final, _ = run.end()
    assert final["exit_reason"] == "signal"
    assert all(queue["depth"] == 0 for queue in final["queues"].values())


def test_stop_says_so_if_the_end_takes_too_long(name: str, tmp_path: Path) -> None:
    with Started(name, tmp_path) as run:
        run.flows(1)
        run.process.send_signal(signal.SIGSTOP)
        done = bot4("stop", "--timeout", "0.1", *run.flags, cwd=tmp_path)
        assert done.returncode == 1
        assert "has not ended within 0.1 s; it is still draining, or kill it: bot4 kill" in (
            done.stderr
        )
        run.process.send_signal(signal.SIGCONT)
        figures, _ = run.end()
    assert figures["exit_reason"] == "signal"


def test_stop_does_not_take_the_successor_of_a_killed_run_for_its_end(
    name: str, tmp_path: Path, config: dict[str, Any]
) -> None:
    layout = topology.layout(config, config["affinity"])
    with Segment.create(name, layout, blobs={"config": encoded(config)}) as segment:
        ended = subprocess.Popen(["true"])
        ended.wait()
        for pid in (0, ended.pid):  # who has not said its own yet, in a new run or in another's
            segment.words("supervisor.words").store("pid", pid)
            done = bot4("stop", "--name", name, cwd=tmp_path)
            assert (done.returncode, done.stdout) == (1, "")
            assert f"run {segment.run_id} is just beginning; try again" in done.stderr


def test_after_a_kill_no_order_is_sent_and_the_run_ends_as_halted(
    name: str, tmp_path: Path
) -> None:
    reason = "prices [look] wrong [/b]"
    with Started(name, tmp_path, kill__flatten="false") as run:
        run.flows(20, ring="orders")
        # Else it would end the run before anybody could look at what is halted.
        run.process.send_signal(signal.SIGSTOP)
        done = bot4("kill", "--reason", reason, *run.flags, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        killed, *held, latched = done.stdout.splitlines()
        assert killed == f"killed {name}, run {run.segment.run_id}: {reason}"
        assert all(line.startswith("still held: ") for line in held)
        assert latched == "latched: no run begins until bot4 resume --reason TEXT"
        halted_ns = time.monotonic_ns()

        def denied() -> int:
            return int(committed(run.segment, "risk", "account")["denied"][0])

        before = denied()
        orders = run.published("orders")
        run.flows(100)  # the market goes on, and so do the intents
        until(lambda: denied() > before + 5, "denials")
        assert run.published("orders") == orders
        last = run.segment.ring_follower("orders")
        record = topology.edge("orders").dtype
        stamps = [int(each) for each in _copied(last, record, orders)["stamped_ns"]]
        assert max(stamps) < halted_ns
        last.close()

        done = bot4("status", *run.flags, cwd=tmp_path)
        assert done.returncode == 4
        assert f"halted: {reason} (by " in done.stdout
        done = bot4("status", "--json", *run.flags, cwd=tmp_path)
        assert done.returncode == 4
        assert json.loads(done.stdout)["halted"]["reason"] == reason

        done = bot4("kill", "--reason", "another", *run.flags, cwd=tmp_path)
        assert done.returncode == 0
        assert f"was killed: {reason} (by " in done.stdout
        run.process.send_signal(signal.SIGCONT)
        figures, errors = run.end(4)
    assert figures["exit_reason"] == f"halted: {reason}"
    assert f"halted: {reason} (by " in errors
    assert figures["orders"] == orders


def _copied(follower: Any, dtype: Any, count: int) -> Any:
    records = np.zeros(min(count, 500), dtype)
    follower.seek(count - len(records))
    copied, lost = follower.read(records)
    assert (copied, lost) == (len(records), 0)
    return records


@pytest.mark.parametrize(
    "command", [("status",), ("stop",), ("kill", "--reason", "x"), ("why", "1"), ("why",)]
)
def test_commands_to_a_deployment_that_is_not_running_have_an_exit_code_of_their_own(
    name: str, tmp_path: Path, command: tuple[str, ...]
) -> None:
    done = bot4(*command, "--name", name, cwd=tmp_path)
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr == (
        f"bot4: {name} is not running; start it (bot4 run), or give its --name\n"
    )
