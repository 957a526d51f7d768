"""A signal ends a run in order, and a second one at once."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
import pytest

from pipeline import topology
from tests.pipeline.supervisor.started import Started, until


def descendants(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def names(pid: int) -> set[str]:
    """Return which processes of a run there are."""
    found = set()
    for child in descendants(pid):
        try:
            found.add(child.name().removeprefix("bot4:"))
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_drains_and_ends_it(name: str, tmp_path: Path, number: int) -> None:
    with Started(name, tmp_path) as run:
        run.flows(20, ring="orders")
        run.process.send_signal(number)
        figures, errors = run.end()
    assert figures["exit_reason"] == "signal"
    assert figures["stages"]["feed"]["records_out"] == figures["stages"]["ta"]["records_in"]
    assert all(queue["depth"] == 0 for queue in figures["queues"].values())
    assert "Traceback" not in errors


def test_a_second_control_c_ends_it_at_once(name: str, tmp_path: Path) -> None:
    (tmp_path / "stuck.py").write_text(
        "import numpy as np\n"
        "class Stuck:\n"
        "    STATE = np.dtype([('rows', '<i8')])\n"
        "    def on_features(self, row, state):\n"
        "        while True: pass\n"
    )
    with Started(
        name,
        tmp_path,
        environ={"PYTHONPATH": str(tmp_path)},
        ml__strategy="stuck:Stuck",
        supervisor__drain_s="60",
        supervisor__heartbeat_s="60",
    ) as run:
        run.flows(1, ring="features")
        workers = descendants(run.process.pid)
        assert len(workers) == len(topology.PROCESSES)
        run.process.send_signal(signal.SIGINT)
        until(lambda: "feed" not in names(run.process.pid), "a drain")
        run.process.send_signal(signal.SIGINT)
        figures, _ = run.end(1)
    assert figures["exit_reason"] == "failed: killed by a second signal"
    assert not any(worker.is_running() for worker in workers)
