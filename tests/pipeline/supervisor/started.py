"""A run of the whole pipeline, started as a user starts it, for a test that looks or breaks it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pipeline import topology
from pipeline.chaos.victim import OPEN_ONLY_FOR_WHAT_LASTS, TRADES_ALL_THE_TIME
from shm import Segment, SegmentNotFoundError, list_segments, reap

BOT4 = str(Path(sys.executable).with_name("bot4"))
PATIENCE_S = 100.0

SETTINGS: Mapping[str, str] = {
    # Orders from the first hundred records on, and small rings: creation zeroes them.
    "ta.trades_per_bar": "2",
    "ta.fast": "2",
    "ta.slow": "5",
    "ml.strategy": "moving-average",
    "ml.model": "",
    "ml.cost_margin_bp": "0",
    "ml.kelly_bp": "0",
    "ml.target_atr_bp": "1000000",
    "equity": "100000000",
    # None at all, also not on a machine on which a run takes over a minute: nobody counts them.
    "ta.correlation_ms": "3600000",
    **TRADES_ALL_THE_TIME,
    **OPEN_ONLY_FOR_WHAT_LASTS,
    # What is late is not lost, and who is late has not died; tests of that set their own.
    "supervisor.drain_s": "60",
    "supervisor.heartbeat_s": "20",
    # Enough for orders all the time; each record costs every process something, which others miss.
    "exchange.rate": "1000",
    "pipeline.market_capacity": "4096",
    "pipeline.capacity": "1024",
}


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment without anything that would configure a run."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("BOT4_")}
    return {**clean, "COLUMNS": "110", **more}


def bot4(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [BOT4, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env=environment(),
        cwd=cwd,
    )


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition that something else brings about."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come to be in {PATIENCE_S:g} s"
        time.sleep(0.002)


class Started:
    """A `bot4 run --json` in a folder of its own.

    As a context manager it is killed, and what it left is removed, if the test has failed or has
    not waited for its end.
    """

    def __init__(
        self,
        name: str,
        state_dir: Path,
        *arguments: str,
        environ: Mapping[str, str] | None = None,
        **settings: str,
    ) -> None:
        """Start it; in the names of settings, dots are written as two underlines."""
        self.name = name
        self.state_dir = state_dir
        chosen = {key.replace("__", "."): value for key, value in settings.items()}
        self.flags = ["--name", name, "--set", f"state_dir={state_dir}"]
        for key, value in {**SETTINGS, **chosen}.items():
            self.flags += ["--set", f"{key}={value}"]
        self.process = subprocess.Popen(
            [BOT4, "run", "--json", *self.flags, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(**(environ or {})),
            cwd=state_dir,
        )
        self._segment: Segment | None = None

    @property
    def segment(self) -> Segment:
        """Its segment, attached as soon as there is one."""
        if self._segment is None:
            until(self._attach, "the segment")
            assert self._segment is not None
        return self._segment

    def _attach(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"the run has ended: {self.process.communicate()[1]}")
        for info in list_segments(self.name):
            # Its creator's process is the lock's holder only if it is this run.
            if info.state == "running":
                with contextlib.suppress(SegmentNotFoundError):
                    self._segment = Segment.attach(self.name, run_id=info.run_id)
        return self._segment is not None

    def word(self, process: str, word: str) -> int:
        """Return a word of a process."""
        return self.segment.words(f"{process}.words").load(word)

    def pid(self, process: str) -> int:
        """Return the pid of a process once it beats."""
        until(lambda: self.word(process, "beat"), f"a heartbeat of {process}")
        return self.word(process, "pid")

    def published(self, ring: str = "market") -> int:
        """Return how many records a ring has had."""
        follower = self.segment.ring_follower(ring)
        try:
            return follower.position
        finally:
            follower.close()

    def flows(self, records: int = 1, ring: str = "market") -> None:
        """Wait until all processes beat, and so many more records have come through a ring."""
        for process in topology.PROCESSES:
            self.pid(process)
        goal = self.published(ring) + records

        def is_there() -> bool:
            assert self.process.poll() is None, f"the run has ended before record {goal} of {ring}"
            return self.published(ring) >= goal

        try:
            until(is_there, f"record {goal} of {ring}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.shown()}") from None

    def shown(self) -> str:
        """Return what an operator would look at: how it is, and its last decisions."""
        commands = (("status", "--name", self.name), ("why", "--name", self.name))
        return "\n".join(bot4(*command).stdout for command in commands)

    def strike(self, process: str, number: int = signal.SIGKILL) -> int:
        """Send a process of the run a signal; return its pid."""
        pid = self.pid(process)
        os.kill(pid, number)
        return pid

    def replaced(self, process: str, pid: int) -> None:
        """Wait until a process other than `pid` beats in its place."""
        until(lambda: self.pid(process) != pid, f"a successor of {process}")

    def children(self) -> dict[str, int]:
        """Return the processes that the supervisor has started, by name: pidfds, to be closed."""
        return {process: os.pidfd_open(self.pid(process)) for process in topology.PROCESSES}

    def end(self, code: int | None = 0) -> tuple[dict[str, Any], str]:
        """Wait for the end; return what it printed: the object and the messages."""
        out, errors = self.process.communicate(timeout=PATIENCE_S)
        assert code is None or self.process.returncode == code, errors
        self._let_go()
        return (json.loads(out) if out else {}), errors

    def stop(self) -> tuple[dict[str, Any], str]:
        """Have it drained and ended; return as `end`."""
        self.process.send_signal(signal.SIGTERM)
        return self.end()

    def kill(self) -> None:
        """Kill the supervisor, and wait until its processes have gone with it."""
        children = self.children()
        self.process.kill()
        self.process.communicate()
        for pidfd in children.values():
            assert ended(pidfd)
            os.close(pidfd)
        self._let_go()

    def _let_go(self) -> None:
        if self._segment is not None:
            self._segment.close()
            self._segment = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        abandoned = self.process.poll() is None
        if abandoned:
            self.process.kill()
            self.process.communicate()
        self._let_go()
        if abandoned or error is not None:
            until(
                lambda: all(info.state != "orphaned" for info in list_segments(self.name)),
                "the end of the run's processes",
            )
            reap(self.name)


def ended(pidfd: int) -> bool:
    """Wait for the end of a process."""
    return bool(select.select([pidfd], [], [], PATIENCE_S)[0])
