"""`bot4 run` in a folder of its own, watched from outside until it ends."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from perf.chain.workload import SETTINGS
from perf.endurance.judged import Moment, conservation, growth, judged_growth, judged_rings
from pipeline import topology
from shm import Segment, ShmError, list_segments

EVERY_S = 1.0
"""Between two looks at the run; a twentieth of a run that is shorter than as many of them."""

_START_S = 30.0
_END_S = 30.0  # beyond the duration, for the drain

Watch = Callable[[Segment], contextlib.AbstractContextManager[None]]
"""What goes on while the run does."""


@contextlib.contextmanager
def nothing(segment: Segment) -> Iterator[None]:
    """Watch nothing else."""
    yield


def endure(
    seconds: float, given: Mapping[str, Any], *, config: str = "", watch: Watch = nothing
) -> dict[str, Any]:
    """Run a pipeline for so many seconds; return all that there is to tell, as plain data.

    Args:
        seconds: How long.
        given: Settings, over those that make it trade all the time.
        config: What stands in its config.toml.
        watch: See `Watch`.
    """
    moments: list[Moment] = []
    summary: dict[str, Any] = {}
    capacities: dict[str, int] = {}
    problems: list[str] = []
    with tempfile.TemporaryDirectory(prefix="bot4-stress-") as folder:
        log = Path(folder, "log")
        if config:
            Path(folder, "config.toml").write_text(config, encoding="utf-8")
        with _running(folder, log, seconds, given) as process:
            with _attached(process) as segment:
                if segment is not None:
                    capacities = {
                        edge.ring: _capacity(segment, edge.ring) for edge in topology.EDGES
                    }
                    with watch(segment):
                        moments = list(_look(process, segment, seconds))
            output, problem = _end(process)
        if problem:
            problems.append(problem)
        if process.returncode:
            last = log.read_text(encoding="utf-8").strip().splitlines()[-5:]
            problems.append(f"bot4 run ended with status {process.returncode}: {'; '.join(last)}")
        if output.strip():
            summary = json.loads(output)
            problems += conservation(summary)
    rise = growth(moments)
    problems += judged_growth(rise) + judged_rings(moments, capacities)
    return {
        "seconds": seconds,
        "achieved_rate": _achieved(moments),
        "growth": None if rise is None else {"mb": rise[0], "mb_per_minute": rise[1]},
        "deepest": {
            ring: max((moment.depths[ring] for moment in moments), default=None)
            for ring in capacities
        },
        "capacities": capacities,
        "samples": [
            {
                "seconds": moment.seconds,
                "records": moment.records,
                "pss_mb": moment.pss_mb,
                "own_mb": moment.own_mb,
                "depths": dict(moment.depths),
            }
            for moment in moments
        ],
        "summary": summary,
        "problems": problems,
    }


@contextlib.contextmanager
def _running(
    folder: str, log: Path, seconds: float, given: Mapping[str, Any]
) -> Iterator[subprocess.Popen[str]]:
    arguments = ["run", "--json", "--duration", str(seconds), "--name", name()]
    own = {"state_dir": folder, "supervisor.drain_s": "60"}  # what is late is not lost
    for key, value in {**dict(_flat(SETTINGS)), **own, **given}.items():
        arguments += ["--set", f"{key}={value}"]
    with started(arguments, folder, log) as process:
        yield process


@contextlib.contextmanager
def started(arguments: Sequence[str], folder: str, log: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a command of bot4 in a folder, with the configuration that is there; end it at last."""
    # Neither another config.toml nor the environment may change it.
    environ = {key: value for key, value in os.environ.items() if not key.startswith("BOT4_")}
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("bot4")), *arguments],
            cwd=folder,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        with process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.terminate()
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(_END_S)
                    process.kill()


def name() -> str:
    """Return the name of the deployment."""
    return f"perf-{os.getpid()}"


def _flat(table: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


@contextlib.contextmanager
def _attached(process: subprocess.Popen[str]) -> Iterator[Segment | None]:
    """Attach to the run's segment as soon as records come; None if it ends before."""
    deadline = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(ShmError):
            for info in list_segments(name()):
                with Segment.attach(info.name, run_id=info.run_id) as segment:
                    while process.poll() is None and time.monotonic() < deadline:
                        if segment.words("feed.words").load("first_ns"):
                            yield segment
                            return
                        time.sleep(0.05)
        time.sleep(0.05)
    yield None


def _capacity(segment: Segment, ring: str) -> int:
    spec: Any = segment.layout.regions[ring].spec
    capacity: int = spec.capacity
    return capacity


def _look(process: subprocess.Popen[str], segment: Segment, seconds: float) -> Iterator[Moment]:
    """Yield what there is to see, each second, until the run begins to end."""
    every = min(EVERY_S, seconds / 20)
    own = psutil.Process(process.pid)
    end = own.create_time() + seconds - every
    follower = segment.ring_follower("market")
    start = time.monotonic()
    turn = 0
    while process.poll() is None and time.time() < end:
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError, FileNotFoundError):
            pids = [own.pid, *(child.pid for child in own.children(recursive=True))]
            memory = [_memory_mb(pid) for pid in pids]
            yield Moment(
                round(time.monotonic() - start, 3),
                follower.published,
                round(sum(pss for pss, _ in memory), 3),
                round(sum(kept for _, kept in memory), 3),
                {edge.ring: segment.depth(edge.ring) for edge in topology.EDGES},
            )
        turn += 1
        time.sleep(max(0.0, start + turn * every - time.monotonic()))


def _memory_mb(pid: int) -> tuple[float, float]:
    """Return a process's proportional memory, and that of it which is not of files."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    kilobytes = {
        fields[0].rstrip(":"): int(fields[1])
        for fields in map(str.split, text.splitlines()[1:])
        if fields[-1] == "kB"
    }
    return kilobytes["Pss"] / 1e3, (kilobytes["Pss_Anon"] + kilobytes["Pss_Shmem"]) / 1e3


def _end(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Return what the run has printed, and what is wrong with how it ended."""
    try:
        return process.communicate(timeout=_START_S + _END_S)[0], ""
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return "", f"the run had not ended {_START_S + _END_S:g} s after its time; killed"


def _achieved(moments: Sequence[Moment]) -> float | None:
    if len(moments) < 2:
        return None
    first, last = moments[0], moments[-1]
    return round((last.records - first.records) / (last.seconds - first.seconds), 1)
