"""Processes of a run are killed, stopped and starved; it goes on, and nothing is lost."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from pipeline import topology
from shm import list_segments
from tests.pipeline.supervisor.started import Started, ended, until

EVENTS = 6000


def conserved(figures: dict[str, Any], events: int | None = None) -> None:
    """Check that what one process put out is what the next one took, once."""
    stages = figures["stages"]
    events = events or stages["feed"]["records_out"]
    assert stages["feed"]["records_out"] == events
    assert stages["ta"]["records_in"] == events
    executions = stages["executor"]["records_out"]
    intents = stages["ml"]["records_out"]
    assert stages["risk"]["records_in"] == intents + executions
    assert figures["orders"] + figures["denied"] == intents
    assert stages["executor"]["records_in"] == events + figures["orders"]
    # A decision on each intent, and a word of each execution; features beside them to ml.
    outcomes = intents + executions
    assert stages["risk"]["records_out"] == outcomes + figures["orders"]
    assert stages["ml"]["records_in"] == stages["ta"]["records_out"] + outcomes
    assert all(queue["depth"] == 0 for queue in figures["queues"].values())


def test_every_process_may_be_killed_and_the_run_ends_clean(name: str, tmp_path: Path) -> None:
    with Started(name, tmp_path) as run:
        for process in topology.PROCESSES:
            run.flows(100)
            run.replaced(process, run.strike(process))
        run.flows(100)
        figures, errors = run.stop()
    assert figures["exit_reason"] == "signal"
    conserved(figures)
    assert {stage["restarts"] for stage in figures["stages"].values()} == {1}
    for process in topology.PROCESSES:
        assert errors.count(f"{process} (pid ") == 1
    assert errors.count("ended: signal SIGKILL; starting it again\n") == len(topology.PROCESSES)
    assert figures["orders"] > 0


def test_an_exchange_that_is_killed_comes_back_and_no_event_is_missed(
    name: str, tmp_path: Path
) -> None:
    with Started(name, tmp_path, "--events", str(EVENTS), exchange__rate="2000") as run:
        run.flows(100)
        connects = run.segment.counters("feed.counters")["connects"]
        run.replaced("exchange", run.strike("exchange"))
        until(
            lambda: run.segment.counters("feed.counters")["connects"] > connects, "a new connection"
        )
        figures, errors = run.end()
    assert figures["exit_reason"] == "events"
    # Each of the three instruments was stale, and then no longer.
    conserved(figures, EVENTS + 2 * 3)
    assert figures["stages"]["feed"]["restarts"] == 0
    assert "the venue's connection was lost" in errors


def test_a_signal_that_comes_while_it_begins_drains_it_too(name: str, tmp_path: Path) -> None:
    with Started(name, tmp_path) as run:
        run.flows(1)
        run.stop()
    with Started(name, tmp_path) as run:
        assert run.process.stderr is not None
        # Said before there is a segment, or a process to be drained.
        said = iter(run.process.stderr.readline, "")
        assert any(line.startswith("the account goes on") for line in said)
        figures, _ = run.stop()
    assert figures["exit_reason"] == "signal"


def test_a_stage_that_stands_still_is_killed_and_replaced(name: str, tmp_path: Path) -> None:
    with Started(name, tmp_path, supervisor__heartbeat_s="2") as run:
        run.flows(100)
        run.replaced("ml", run.strike("ml", signal.SIGSTOP))
        figures, errors = run.stop()
    conserved(figures)
    assert figures["stages"]["ml"]["restarts"] == 1
    assert errors.count("has not beaten for 2 s; killing it") == 1
    assert [figures["stages"][each]["restarts"] for each in ("feed", "ta", "risk")] == [0, 0, 0]


def test_a_supervisor_that_stood_still_kills_nobody(name: str, tmp_path: Path) -> None:
    with Started(name, tmp_path, supervisor__heartbeat_s="2") as run:
        run.flows(100)
        everyone = [run.process.pid, *map(run.pid, topology.PROCESSES)]
        # The whole machine stands still for longer than a heartbeat may take.
        for pid in everyone:
            os.kill(pid, signal.SIGSTOP)
        enough = time.monotonic() + 2.2
        until(lambda: time.monotonic() > enough, "enough time")
        for pid in everyone:
            os.kill(pid, signal.SIGCONT)
        run.flows(100)
        figures, errors = run.stop()
    conserved(figures)
    assert {stage["restarts"] for stage in figures["stages"].values()} == {0}
    assert "killing it" not in errors


CRASH_LOOP = """
import os
import sys
import numpy as np

if sys.argv[0].endswith("workers/ml/__main__.py"):  # the supervisor loads it, too
    os._exit(9)

class Unstartable:
    STATE = np.dtype([("rows", "<i8")])

    def on_features(self, row, state):
        return None
"""


def test_a_stage_that_dies_at_every_start_halts_the_run(name: str, tmp_path: Path) -> None:
    (tmp_path / "strategies.py").write_text(CRASH_LOOP)
    with Started(
        name,
        tmp_path,
        environ={"PYTHONPATH": str(tmp_path)},
        ml__strategy="strategies:Unstartable",
        supervisor__restart_budget="2",
        supervisor__backoff_s="0.1",
    ) as run:
        figures, errors = run.end(4)
    why = (
        "ml died 3 times within 60 s (exit status 9 the last time), more than the budget of 2 "
        "(supervisor.restart_budget)"
    )
    assert f"halted: {why} (by supervisor)" in errors
    assert figures["exit_reason"] == f"halted: {why}"
    assert figures["stages"]["ml"]["restarts"] == 2
    again = [line for line in errors.splitlines() if line.startswith("ml (pid ")]
    assert [bool(re.search(r"again in 0\.\d\d s$", line)) for line in again] == [False, True]


POISON = """
import numpy as np

class Poisoned:
    STATE = np.dtype([("rows", "<i8")])

    def on_features(self, row, state):
        state["rows"] += 1
        if row.instrument == 0 and row.bar == 5:
            raise RuntimeError("the fifth row is poison")
        return None
"""


def test_a_record_that_kills_its_stage_three_times_halts_the_run_and_is_saved(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / "strategies.py").write_text(POISON)
    with Started(
        name,
        tmp_path,
        environ={"PYTHONPATH": str(tmp_path)},
        ml__strategy="strategies:Poisoned",
        supervisor__drain_s="0.2",
    ) as run:
        figures, errors = run.end(4)
    [saved] = tmp_path.glob("poison-*-ml-*.json")
    assert saved.stat().st_mode & 0o777 == 0o600
    assert '"bar": 5' in saved.read_text()
    step = saved.stem.split("-")[-1]
    what = f"ml died 3 times at step {step}, on a record of 'features'"
    assert f"{what}: {{'sequence': " in errors
    assert f"saved in {saved}" in errors
    assert figures["exit_reason"] == f"halted: {what}"
    assert errors.count("RuntimeError: the fifth row is poison") == 3
    assert figures["stages"]["ml"]["restarts"] == 2


def test_a_halt_while_the_end_is_drained_is_told(name: str, tmp_path: Path) -> None:
    (tmp_path / "strategies.py").write_text(POISON.replace("raise", "import os; os._exit(3) #"))
    with Started(
        name,
        tmp_path,
        "--events",
        "200",
        environ={"PYTHONPATH": str(tmp_path)},
        ml__strategy="strategies:Poisoned",
        exchange__rate="100000",
        supervisor__drain_s="30",
        supervisor__restart_budget="0",
    ) as run:
        figures, errors = run.end(4)
    assert figures["exit_reason"].startswith("halted: ml died 1 times within 60 s (exit status 3")
    assert "a halted run is over, so they are dropped" in errors


@contextmanager
def meddler(port: int, frames: bytes) -> Iterator[int]:
    """Pass connections on to a venue, with frames of our own before its first."""
    listener = socket.create_server(("127.0.0.1", 0))
    sockets = [listener]
    threads = []

    def pass_on(source: socket.socket, target: socket.socket, between: bytes = b"") -> None:
        try:
            while data := source.recv(65536):
                if between and b"\r\n\r\n" in data:
                    end = data.index(b"\r\n\r\n") + 4
                    data, between = data[:end] + between + data[end:], b""
                target.sendall(data)
        except OSError:
            pass  # one of the two has gone, as they may at any time
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            venue = socket.create_connection(("127.0.0.1", port))
            sockets.extend((client, venue))
            for arguments in ((client, venue), (venue, client, frames)):
                threads.append(threading.Thread(target=pass_on, args=arguments))
                threads[-1].start()

    threads.append(threading.Thread(target=accept))
    threads[0].start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        threads[0].join()
        for each in sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
        for each in sockets:
            each.close()


MALFORMED = (
    b"",
    b"{",
    b"[1, 2]",
    b'{"stream":"btcusdt@trade","data":{"e":"trade"}}',
    b'{"stream":"btcusdt@trade","data":{"e":"trade","s":"BTCUSDT","p":"NaN","q":"-1"}}',
    b"\xff\xfe not even text",
)


def test_messages_that_cannot_be_read_do_not_stop_the_feed(name: str, tmp_path: Path) -> None:
    frames = b"".join(b"\x81" + bytes([len(each)]) + each for each in MALFORMED)
    with Started(name, tmp_path) as run:
        run.flows(10)
        words = run.segment.words("exchange.words")
        with meddler(words.load("port"), frames) as port:
            words.store("port", port)
            run.replaced("feed", run.strike("feed"))
            counters = "feed.counters"
            until(
                lambda: (
                    sum(run.segment.counters(counters)[each] for each in ("malformed", "unknown"))
                    == len(MALFORMED)
                ),
                "a count of what was malformed",
            )
            assert run.segment.counters(counters)["malformed"] > 0
            run.flows(1000)
            figures, errors = run.stop()
    conserved(figures)
    assert figures["stages"]["feed"]["restarts"] == 1
    assert "a message could not be read" in errors


def test_nothing_of_a_supervisor_that_is_killed_goes_on_and_the_next_one_resumes(
    name: str, tmp_path: Path
) -> None:
    with Started(name, tmp_path, "--events", str(EVENTS), exchange__rate="2000") as run:
        run.flows(10, ring="orders")
        run_id = run.segment.run_id
        run.kill()  # waits for the end of each of its processes
        assert [info.state for info in list_segments(name)] == ["stale"]
        with Started(name, tmp_path, "--events", str(EVENTS), exchange__rate="2000") as successor:
            figures, errors = successor.end()
    assert f"going on with run {run_id}, which was killed: /dev/shm/bot4.{name}.{run_id}" in errors
    assert figures["run_id"] == run_id
    conserved(figures, EVENTS)
    assert {stage["restarts"] for stage in figures["stages"].values()} == {1}


@pytest.mark.parametrize("changed", ["another configuration", "another layout"])
def test_a_killed_run_that_cannot_be_gone_on_with_is_removed_with_the_reason(
    name: str, tmp_path: Path, changed: str
) -> None:
    configuration = changed == "another configuration"
    with Started(name, tmp_path) as run:
        run.flows(1)
        run_id = run.segment.run_id
        run.kill()
        with Started(
            name,
            tmp_path,
            "--events",
            "500",
            ml__enter_bp="2000" if configuration else "2500",
            pipeline__capacity="1024" if configuration else "512",
        ) as successor:
            figures, errors = successor.end()
    assert figures["run_id"] != run_id
    assert f"run {run_id} cannot be gone on with: " in errors
    assert f"removed /dev/shm/bot4.{name}.{run_id}" in errors
    if configuration:
        assert "its configuration was another" in errors
    else:
        assert "layout" in errors
    conserved(figures, 500)


SLOW = """
import time
import numpy as np

class Slow:
    STATE = np.dtype([("rows", "<i8")])

    def on_features(self, row, state):
        time.sleep(0.01)
        return None
"""


def test_what_cannot_be_drained_in_time_is_kept_for_the_next_run(name: str, tmp_path: Path) -> None:
    (tmp_path / "strategies.py").write_text(SLOW)

    def start(*arguments: str) -> Started:
        return Started(
            name,
            tmp_path,
            *arguments,
            environ={"PYTHONPATH": str(tmp_path)},
            ml__strategy="strategies:Slow",
            supervisor__drain_s="0.1",
        )

    with start() as run:
        run.flows(0)
        gone = {process: run.pid(process) for process in topology.PROCESSES}
        # At 10 ms a row, these take ten times as long as the drain may.
        until(lambda: run.segment.depth("features") > 100, "a queue before ml")
        run.process.send_signal(signal.SIGTERM)
        figures, errors = run.end(1)
        assert figures["exit_reason"].startswith("failed: not everything could be drained: ")
        assert "records in features" in errors
        assert "is kept, the next run goes on with it" in errors
        assert [info.run_id for info in list_segments(name)] == [figures["run_id"]]
        with start() as successor:
            assert successor.segment.run_id == figures["run_id"]
            for process, pid in gone.items():
                successor.replaced(process, pid)
            children = successor.children()
            # Twice is at once: nothing is drained, and nothing kept.
            successor.process.send_signal(signal.SIGINT)
            successor.process.send_signal(signal.SIGTERM)
            figures, _ = successor.end(1)
            for pidfd in children.values():
                assert ended(pidfd)
                os.close(pidfd)
    assert figures["exit_reason"] == "failed: killed by a second signal"
