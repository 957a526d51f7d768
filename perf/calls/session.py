"""Up to four fresh processes, pinned in turn to the CPUs, that call behind one breaker at once.

They live for the whole run, each with its shard of the group; those that a measurement does not
need sleep. Their shards are looked at all the same, as those of other stages are in a real run.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from perf.calls import callers
from perf.calls.callers import NativeLoop, Timed
from perf.ranks import percentiles
from perf.transports.standard import context
from pipeline.process import become_worker
from shm import BreakerSettings, BreakersSpec, Layout, Segment, State

MOST_PROCESSES: Final = 4
GROUP: Final = "breakers"

WINDOWS: Final = {
    "time": BreakerSettings(window="time"),
    "count_100": BreakerSettings(window="count", window_calls=100),
}
"""A breaker each."""

NO_WINDOW: Final = "none"  # of a peer that counts failures in a row only

HERE = Path(__file__).parent
HEADERS = HERE.parents[1] / "shm" / "native"
COMPILER = os.environ.get("CXX", "g++")
# As CMakeLists.txt has the modules compiled.
COMPILE = ("-std=c++20", "-O3", "-DNDEBUG", "-ffp-contract=off", "-fPIC", "-shared")

_LEAD_NS = 5_000_000  # for the processes to be told, and then begin at the same time
_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Caller:
    """What is measured: whose breaker, called from where, with which window."""

    name: str
    language: str
    window: str


CALLERS: Final = (
    *(Caller("bot4", "native", window) for window in WINDOWS),
    *(Caller(name, "python", window) for window in WINDOWS for name in ("bot4", "lock")),
    Caller("pybreaker", "python", NO_WINDOW),
)
"""In an order in which those that are compared are measured one behind the other."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement of all of its processes together; percentiles of single calls."""

    p50_ns: int
    p99_ns: int
    p999_ns: int
    ops_per_s: float
    clock_ns: float


class FailedError(Exception):
    """A process hung or died, or not all calls counted."""


def compiled(directory: Path) -> Path:
    """Compile the native loop against the headers; return the library.

    Raises:
        FailedError: the compiler is missing, or refuses.
    """
    if shutil.which(COMPILER) is None:
        raise FailedError(f"the compiler {COMPILER} is missing; install it: apt-get install g++")
    library = directory / "loop.so"
    command = [COMPILER, *COMPILE, f"-I{HEADERS}", str(HERE / "loop.cpp"), "-o", str(library)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise FailedError(f"{COMPILER} refused {HERE / 'loop.cpp'}:\n{done.stderr}")
    return library


class Session:
    """The processes, and the breakers that they share."""

    def __init__(self, most: int, library: Path | None) -> None:
        """Start `most` processes; without a `library` they have no native loop."""
        self._stack = contextlib.ExitStack()
        self._most = most
        self._library = library

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            layout = Layout(BreakersSpec(GROUP, tuple(WINDOWS)))
            segment = stack.enter_context(Segment.create(f"perf-{os.getpid()}", layout))
            self._group = segment.breakers(GROUP)
            for name, settings in WINDOWS.items():
                breaker = self._group.breaker(name)
                breaker.configure(settings)
                breaker.initialise()
            lock = context.Lock()
            cpus = sorted(os.sched_getaffinity(0))
            self._workers = [
                stack.enter_context(_Worker(cpus[place % len(cpus)], segment, self._library, lock))
                for place in range(self._most)
            ]
            _answers(self._workers)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def measure(self, caller: Caller, processes: int, seconds: float) -> Sample:
        """Measure a caller in so many processes at once, for so many seconds.

        Raises:
            FailedError: a process hung or died, or not all calls counted.
        """
        before = self._begin_anew(caller)
        start_ns = time.monotonic_ns() + _LEAD_NS
        workers = self._workers[:processes]
        for worker in workers:
            worker.control.send((caller, start_ns, start_ns + round(seconds * 1e9)))
        timed = _answers(workers, seconds)
        calls = sum(each.calls for each in timed)
        if before is not None and (counted := self._counted(caller) - before) != calls:
            raise FailedError(f"of {calls:,} calls {counted:,} were counted")
        ns = np.concatenate([np.frombuffer(each.ns, np.uint32) for each in timed])
        p50, p99, p999 = percentiles(ns)
        return Sample(
            p50,
            p99,
            p999,
            sum(each.ops_per_s for each in timed),
            float(np.median([each.clock_ns for each in timed])),
        )

    def _begin_anew(self, caller: Caller) -> int | None:
        """Empty the windows; return the calls counted so far, None for a peer's breaker."""
        if caller.window == NO_WINDOW:
            return None
        self._group.breaker(caller.window).reset(actor="perf", reason="the next measurement")
        return self._counted(caller)

    def _counted(self, caller: Caller) -> int:
        breaker = self._group.breaker(caller.window)
        if breaker.state != State.CLOSED:
            raise FailedError(f"the breaker was {breaker.state.name}, must be CLOSED")
        totals = breaker.totals()
        return totals["succeeded"] + totals["failed"]


class _Worker:
    """One process, and the pipe through which it is told what to do."""

    def __init__(self, cpu: int, segment: Segment, library: Path | None, lock: Any) -> None:
        self.control, other = context.Pipe()
        self._process = context.Process(
            target=_serve,
            args=(cpu, segment.name, segment.run_id, library, lock, other),
            daemon=True,
        )
        self._process.start()
        other.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.control.close()
        self._process.kill()
        self._process.join()

    def answer(self) -> Timed:
        try:
            answer = self.control.recv()
        except (EOFError, ConnectionResetError):
            self._process.join(1.0)
            raise FailedError(f"a process died (exit code {self._process.exitcode})") from None
        if isinstance(answer, Timed):
            return answer
        raise FailedError(str(answer))


def _answers(workers: Sequence[_Worker], seconds: float = 0.0) -> list[Timed]:
    """Return what the workers answer, once all have; they take so many seconds by design."""
    deadline = time.monotonic() + seconds + _PATIENCE_S
    found: list[Timed] = []
    left = {worker.control: worker for worker in workers}
    while left:
        ready = wait(list(left), deadline - time.monotonic())
        if not ready:
            raise FailedError(
                f"{len(left)} processes have not answered within {seconds + _PATIENCE_S:g} s"
            )
        for control in ready:
            assert isinstance(control, Connection)
            found.append(left.pop(control).answer())
    return found


# From here on: what the processes do.


def _serve(
    cpu: int, deployment: str, run_id: str, library: Path | None, lock: Any, control: Connection
) -> None:
    """Call as told until the pipe is closed; say what went wrong, if anything does."""
    # Ctrl-C reaches all processes; the one that started the others ends them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    become_worker("perf", (cpu,), os.getppid())
    try:
        with Segment.attach(deployment, run_id=run_id) as segment:
            group = segment.breakers(GROUP)
            native = None if library is None else NativeLoop(library, group)
            control.send(Timed(0, 0.0, array("I"), 0.0))
            for caller, start_ns, end_ns in _orders(control):
                _sleep_until(start_ns)
                middle_ns = (start_ns + end_ns) // 2
                if caller.name == "pybreaker":
                    timed = callers.time_pybreaker(middle_ns, end_ns)
                elif caller.language == "native":
                    assert native is not None
                    timed = native.time(caller.window, end_ns)
                elif caller.name == "lock":
                    timed = callers.time_lock(group.breaker(caller.window), lock, middle_ns, end_ns)
                else:
                    timed = callers.time_bot4(group.breaker(caller.window), middle_ns, end_ns)
                control.send(timed)
    except Exception as error:
        control.send(f"{type(error).__name__}: {error}")


def _orders(control: Connection) -> Iterator[tuple[Caller, int, int]]:
    with contextlib.suppress(EOFError):
        while True:
            yield control.recv()


def _sleep_until(time_ns: int) -> None:
    if (left_ns := time_ns - time.monotonic_ns()) > 0:
        time.sleep(left_ns / 1e9)
