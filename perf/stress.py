"""The whole pipeline, saturated for minutes: `bot4 run` with all the events that it can take.

Prints a table, or --json. Ends with 1 if memory grows, a ring stays full, or a record is lost.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

sys.path.append(str(Path(__file__).resolve().parent.parent))  # for: python perf/stress.py

from perf import machine
from perf.chain.workload import SETTINGS
from pipeline import topology
from shm import Segment, ShmError, list_segments

EVERY_S = 1.0
"""Between two looks at the run; a twentieth of a run that is shorter than as many of them."""

WARM_UP_S = 10.0
"""Before memory is judged; the first half of a run that is shorter than twice that."""

GROWTH_MB = 4.0
GROWTH_MB_PER_MINUTE = 1.0
"""Memory grows if the line through its samples rises by more than both, in all and in a minute."""

FULL_SAMPLES = 5
"""A ring stays full if it is so in as many samples one behind the other."""

_HIGHEST_RATE = 1_000_000
_START_S = 30.0
_END_S = 30.0  # beyond the duration, for the drain

METHOD = f"""\
`bot4 run` with its simulated exchange, over WebSocket on loopback, in a configuration that trades
all the time (perf/chain/workload.py). Each second: the rings' depths, and the memory of all
processes. Fails if
- the processes' own memory and the segment (proportional, as smaps_rollup has it; files are left
  out, for their share depends on who else maps them) rise by more than {GROWTH_MB:g} MB and
  {GROWTH_MB_PER_MINUTE:g} MB a minute after a warm-up, by the least-squares line;
- a ring is full in {FULL_SAMPLES} samples in a row;
- after the drain anything is left, a process was started again, or what one process took is not
  what another published. (Each stage checks the sequence of every record, and ends if it is not
  the next one.)"""


@dataclass(frozen=True, slots=True)
class Moment:
    """One look at a run.

    Attributes:
        seconds: Since the first look.
        records: Market records published.
        pss_mb: Proportional memory of all processes.
        own_mb: The part of it that is not of files.
        depths: Records waiting in each ring.
    """

    seconds: float
    records: int
    pss_mb: float
    own_mb: float
    depths: Mapping[str, int]


@click.command(help=__doc__)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--minutes",
    type=click.FloatRange(0, min_open=True),
    default=5.0,
    show_default=True,
    help="How long.",
)
@click.option(
    "--rate",
    type=click.IntRange(1, _HIGHEST_RATE),
    default=_HIGHEST_RATE,
    show_default=True,
    help="Market events a second; more than can be taken saturates.",
)
def main(as_json: bool, minutes: float, rate: int) -> None:
    """Run, print, and exit."""
    # By way of SystemExit, so that the run is ended and its directory removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    found = run(60 * minutes, rate)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        width = None if sys.stdout.isatty() else 110
        _show(found, Console(width=width, highlight=False, markup=False))
    sys.exit(1 if found["problems"] else 0)


def run(seconds: float, rate: int) -> dict[str, Any]:
    """Saturate a pipeline for so many seconds; return all that there is to tell, as plain data."""
    about = machine.describe()
    moments: list[Moment] = []
    summary: dict[str, Any] = {}
    capacities: dict[str, int] = {}
    problems: list[str] = []
    with tempfile.TemporaryDirectory(prefix="bot4-stress-") as folder:
        log = Path(folder, "log")
        with _running(folder, log, seconds, rate) as process:
            with _attached(process) as segment:
                if segment is not None:
                    capacities = {
                        edge.ring: _capacity(segment, edge.ring) for edge in topology.EDGES
                    }
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
        "machine": about,
        "method": METHOD,
        "seconds": seconds,
        "rate": rate,
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


# What is judged.


def growth(moments: Sequence[Moment]) -> tuple[float, float] | None:
    """Return by how many MB memory rose after the warm-up, and by how many a minute.

    None with too few samples to draw a line through.
    """
    if not moments:
        return None
    warm = min(WARM_UP_S, moments[-1].seconds / 2)
    judged = [moment for moment in moments if moment.seconds >= warm]
    if len(judged) < 3:
        return None
    times = np.array([moment.seconds for moment in judged])
    slope = float(np.polyfit(times - times[0], [moment.own_mb for moment in judged], 1)[0])
    return round(slope * float(times[-1] - times[0]), 2), round(slope * 60, 2)


def judged_growth(rise: tuple[float, float] | None) -> list[str]:
    """Return what is wrong with a growth of memory."""
    if rise is None:
        return ["memory was not sampled often enough to judge; run for some more seconds"]
    if rise[0] <= GROWTH_MB or rise[1] <= GROWTH_MB_PER_MINUTE:
        return []
    grown = (
        f"memory grew by {rise[0]:g} MB, {rise[1]:g} MB a minute, must be at most "
        f"{GROWTH_MB:g} MB or {GROWTH_MB_PER_MINUTE:g} MB a minute"
    )
    return [grown]


def judged_rings(moments: Sequence[Moment], capacities: Mapping[str, int]) -> list[str]:
    """Return which rings stay full."""
    problems = []
    for ring, capacity in capacities.items():
        longest = in_a_row = 0
        for moment in moments:
            in_a_row = in_a_row + 1 if moment.depths[ring] >= capacity else 0
            longest = max(longest, in_a_row)
        if longest >= FULL_SAMPLES:
            problems.append(
                f"ring {ring} had all of its {capacity:,} records waiting in {longest} samples in "
                f"a row, must be fewer than {FULL_SAMPLES}: its consumer does not keep up"
            )
    return problems


def conservation(summary: Mapping[str, Any]) -> list[str]:
    """Return where, by what `bot4 run --json` says at its end, records were lost or made up."""
    stages = summary["stages"]
    into = {name: stages[name]["records_in"] for name in topology.PIPELINE}
    out = {name: stages[name]["records_out"] for name in topology.PIPELINE}
    orders, denied = summary["orders"], summary["denied"]
    equal = [
        ("market records that ta took", into["ta"], "that feed published", out["feed"]),
        (
            "rows and outcomes that ml took",
            into["ml"],
            "that ta and risk published",
            out["ta"] + out["risk"] - orders,
        ),
        (
            "intents and executions that risk took",
            into["risk"],
            "that ml and executor published",
            out["ml"] + out["executor"],
        ),
        (
            "market records and orders that executor took",
            into["executor"],
            "that feed and risk published",
            out["feed"] + orders,
        ),
        ("intents", out["ml"], "decisions", orders + denied),
    ]
    problems = [
        f"{what} were {count:,}, must be the {other:,} {of}"
        for what, count, of, other in equal
        if count != other
    ]
    problems += [
        f"ring {ring} had {queue['depth']:,} records left after the drain, must have none"
        for ring, queue in summary["queues"].items()
        if queue["depth"]
    ]
    problems += [
        f"{name} was started again {stages[name]['restarts']} times, must never be"
        for name in topology.PIPELINE
        if stages[name]["restarts"]
    ]
    if out["feed"] == 0:
        problems.append("market records were none, must be some")
    return problems


# The run.


@contextlib.contextmanager
def _running(folder: str, log: Path, seconds: float, rate: int) -> Iterator[subprocess.Popen[str]]:
    command = [str(Path(sys.executable).with_name("bot4")), "run", "--json"]
    command += ["--duration", str(seconds), "--name", _name()]
    settings = {**dict(_flat(SETTINGS)), "state_dir": folder, "exchange.rate": rate}
    for key, value in settings.items():
        command += ["--set", f"{key}={value}"]
    # The configuration is this file's: neither a config.toml nor the environment may change it.
    environ = {key: value for key, value in os.environ.items() if not key.startswith("BOT4_")}
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(
            command, cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=errors, text=True
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


def _name() -> str:
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
            for info in list_segments(_name()):
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


def _show(report: Mapping[str, Any], console: Console) -> None:
    console.print(f"{machine.in_words(report['machine'])}\n\n{METHOD}\n")
    samples = report["samples"]
    table = Table(title="the run", title_justify="left")
    rings = list(report["capacities"])
    for column in ("s", "records", "PSS MB", "own MB", *rings):
        table.add_column(column, justify="right")
    # Twenty rows at most, whatever the duration.
    step = max(1, -(-len(samples) // 20))
    for each in samples[::step]:
        table.add_row(
            f"{each['seconds']:.0f}",
            f"{each['records']:,}",
            f"{each['pss_mb']:.1f}",
            f"{each['own_mb']:.1f}",
            *(f"{each['depths'][ring]:,}" for ring in rings),
        )
    console.print(table, "")
    rate, rise = report["achieved_rate"], report["growth"]
    if rate is not None:
        console.print(f"{rate:,.0f} market records a second, of {report['rate']:,} offered")
    if summary := report["summary"]:
        latency = summary["tick_to_order"]
        console.print(
            f"{summary['orders']:,} orders, {summary['fills']:,} fills, {summary['denied']:,} "
            f"denied; tick to order p50 {latency['p50_us']}, p99 {latency['p99_us']} us"
        )
    if rise is not None:
        console.print(
            f"memory: {rise['mb']:+g} MB after the warm-up, {rise['mb_per_minute']:+g} MB a minute"
        )
    for problem in report["problems"]:
        console.print(f"FAILED: {problem}", style="bold red")
    if not report["problems"]:
        console.print("nothing grew, nothing was lost")


if __name__ == "__main__":
    main()
