"""From samples to results, from these to what was expected, and all of it in tables."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from perf import machine, script
from perf.calls.callers import FAIL_EVERY, SAMPLES
from perf.calls.session import Caller, Sample

METHOD = f"""\
One call is acquire and complete, which records its outcome; between the two nothing is done. The
processes begin at the same time, each pinned, and call as fast as they can: all behind one breaker,
which stays closed, though every {FAIL_EVERY}th call fails. ops_per_s is of all processes together,
percentiles are of the last {SAMPLES:,} calls of each. A call contains two readings of the clock, by
acquire and by complete; a timed one from Python another one and a half. Nothing is subtracted:
clock_ns is what one takes. Native: rate and percentiles are of the same calls; from Python the
calls of the first half are not timed, and make the rate.
More processes than CPUs take turns, and p99.9 says so.
bot4: the breaker in shared memory; each process has a shard of its own. time: a window of 10 s,
count_100: of the last 100 calls. Native: compiled of the headers, as a stage in C++ calls it.
lock: the same breaker object, and each acquire and each complete under one multiprocessing.Lock: so
the difference is the lock alone.
pybreaker: CircuitBreaker.call of a function that does nothing, or raises; in memory, so that each
process has a breaker of its own, and nothing to contend for. It has no window: it counts failures
in a row.
Repeats are interleaved, figures are their medians. Excluded: starting, attaching."""

NATIVE_P99_NS, PYTHON_P99_NS, LOCK_TIMES = 150, 1_000, 5

Result = dict[str, Any]
Key = tuple[str, str, str, int]

_FIGURES = ("p50_ns", "p99_ns", "p999_ns", "ops_per_s", "clock_ns")


def summary(caller: Caller, processes: int, samples: Sequence[Sample]) -> Result:
    """Return the medians of the repeats of one measurement."""
    result: Result = {
        "name": caller.name,
        "from": caller.language,
        "window": caller.window,
        "processes": processes,
    }
    for figure in _FIGURES:
        median = statistics.median(getattr(sample, figure) for sample in samples)
        result[figure] = round(median, 1) if figure == "clock_ns" else round(median)
    result["repeats"] = len(samples)
    return result


def expectations(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return what was expected and what was measured; `met` is None if a figure is missing."""
    figures = _by_key(results)
    native = figures.get(("bot4", "native", "time", 1))
    python = figures.get(("bot4", "python", "time", 1))
    gains = [
        gain
        for (name, language, window, processes), result in figures.items()
        if (name, language) == ("bot4", "python") and processes > 1
        if (gain := _gain(figures, result, "lock", window)) is not None
    ]
    return [
        _below("native, window of time, one process: p99", native, NATIVE_P99_NS),
        _below("from Python, window of time, one process: p99", python, PYTHON_P99_NS),
        {
            "expected": f"contended, from Python: at least {LOCK_TIMES} times the lock's rate",
            "measured": f"{min(gains):.1f} .. {max(gains):.1f} times" if gains else None,
            "met": min(gains) >= LOCK_TIMES if gains else None,
        },
    ]


def show(report: Mapping[str, Any], console: Console) -> None:
    """Print a report for a reader."""
    console.print(machine.in_words(report["machine"]))
    console.print(f"{report['date']}\n\n{METHOD}\n")
    figures = _by_key(report["results"])
    repeats = sorted({each["repeats"] for each in report["results"]})
    table = Table(
        title=f"{' or '.join(map(str, repeats))} repeats, each measurement {report['seconds']} s",
        title_justify="left",
    )
    for column in ("breaker", "from", "window"):
        table.add_column(column, no_wrap=True)
    columns = ("p50", "p99", "p99.9", "calls/s", "times\nlock", "times\npybreaker")
    for column in ("pro-\ncesses", *columns):
        table.add_column(column, justify="right", no_wrap=True)
    before = None
    for each in report["results"]:
        if before not in (None, (each["name"], each["from"], each["window"])):
            table.add_section()
        before = each["name"], each["from"], each["window"]
        table.add_row(
            *before,
            str(each["processes"]),
            *(_time(each[figure]) for figure in ("p50_ns", "p99_ns", "p999_ns")),
            f"{each['ops_per_s'] / 1e6:.2f} M",
            _times(_gain(figures, each, "lock", each["window"])),
            _times(_gain(figures, each, "pybreaker", "none")),
            style="bold" if each["name"] == "bot4" else "",
        )
    console.print(table)
    for language in ("native", "python"):
        clocks = [each["clock_ns"] for each in report["results"] if each["from"] == language]
        if clocks:
            console.print(f"A reading of the clock, {language}: {statistics.median(clocks):.0f} ns")
    console.print()
    script.show_end(report, console)


def _by_key(results: Sequence[Result]) -> dict[Key, Result]:
    return {
        (each["name"], each["from"], each["window"], each["processes"]): each for each in results
    }


def _gain(figures: Mapping[Key, Result], result: Result, peer: str, window: str) -> float | None:
    """Return how many times a peer's rate with as many processes; None if that is not known."""
    other = figures.get((peer, "python", window, result["processes"]))
    if result["name"] == peer or other is None:
        return None
    return float(result["ops_per_s"] / other["ops_per_s"])


def _below(what: str, result: Result | None, limit: int) -> dict[str, Any]:
    return {
        "expected": f"{what} < {limit:,} ns",
        "measured": f"{result['p99_ns']:,} ns" if result else None,
        "met": result["p99_ns"] < limit if result else None,
    }


def _time(ns: int) -> str:
    if ns >= 1_000_000:
        return f"{ns / 1e6:.1f} ms"
    return f"{ns / 1e3:.1f} us" if ns >= 1_000 else f"{ns} ns"


def _times(gain: float | None) -> str:
    return "" if gain is None else f"{gain:.{0 if gain >= 10 else 1}f}"
