"""What the correlations of all instruments cost, kept up by a sample or computed anew; and numpy's.

Prints a table, or --json. Ends with 1 if a correlation was wrong, and with 0 whatever the figures
are.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

if __name__ == "__main__":  # before numpy is there: its threads only wait for each other on 2 CPUs
    os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

sys.path.append(str(Path(__file__).resolve().parent.parent))  # for: python perf/correlation.py

from perf import machine, script
from perf.ranks import percentiles
from workers import native
from workers.ta.correlation import WINDOW

SIZES = (50, 200, 500)
SECONDS, REPEATS = 0.4, 7
QUICK_SECONDS, QUICK_REPEATS = 0.1, 5

LARGEST_DIFFERENCE = 1e-12
RECOMPUTE_TIMES, RANK1_TIMES, RANK1_SIZE = 3, 20, 200
PEER = "numpy.corrcoef"

METHOD = f"""\
Returns of N instruments, a window of {WINDOW} samples, called from Python, one call after another.
scalar: all pairs from the window, a loop that adds from left to right; C++ with the same flags.
recompute: the same with the fixed lanes. {PEER}: the same by numpy; like the others
with one thread, which is its best where cores are few or busy.
rank1: one sample taken, with the row that is anchored in its turn; then each pair is a few
operations away. rank1 matrix: the same, and all pairs written into a matrix.
max_abs_diff: to the correlations in extended precision, after the last call.
Repeats are interleaved, figures are the medians of the repeats' p50 and p99."""

Floats = npt.NDArray[np.float64]
Result = dict[str, Any]


class Market:
    """The calls of all cases of N instruments, over the same returns."""

    def __init__(self, instruments: int, seed: int = 6) -> None:
        random = np.random.default_rng(seed)
        common = random.normal(0, 1e-3, (4 * WINDOW, 1))
        self._returns = common + random.normal(0, 1e-3, (4 * WINDOW, instruments))
        self._window = np.ascontiguousarray(self._returns[-WINDOW:].T)
        self._out = np.zeros((instruments, instruments))
        self._exact = exact(self._window)
        self._rolling = native.Correlation(instruments)
        for sample in self._returns:
            self._rolling.add(sample)
        self._next = 0
        n = f"N={instruments}"
        self.calls: dict[tuple[str, str], Callable[[], object]] = {
            ("bot4", f"{n} scalar"): self._scalar,
            ("bot4", f"{n} recompute"): self._recompute,
            ("bot4", f"{n} rank1"): self._add,
            ("bot4", f"{n} rank1 matrix"): self._add_and_write,
            (PEER, n): self._peer,
        }

    def difference(self, call: Callable[[], object]) -> float:
        """Return how far the correlations that a call makes are from the exact ones."""
        if call in (self._add, self._add_and_write):
            while self._next != 0:  # until the window is the last one again
                call()
            self._rolling.matrix(self._out)
        else:
            call()
        return float(np.abs(self._out - self._exact).max())

    def _scalar(self) -> None:
        native.correlate_plainly(self._window, self._out)

    def _recompute(self) -> None:
        native.correlate(self._window, self._out)

    def _add(self) -> None:
        self._rolling.add(self._returns[self._next])
        self._next = (self._next + 1) % len(self._returns)

    def _add_and_write(self) -> None:
        self._add()
        self._rolling.matrix(self._out)

    def _peer(self) -> None:
        self._out[...] = np.corrcoef(self._window)


def exact(rows: Floats) -> Floats:
    """Return the correlations of rows, computed in extended precision."""
    extended = rows.astype(np.longdouble)
    extended -= extended.mean(axis=1, keepdims=True)
    extended /= np.sqrt((extended * extended).sum(axis=1, keepdims=True))
    return (extended @ extended.T).astype(np.float64)


def measure(call: Callable[[], object], seconds: float) -> tuple[float, float]:
    """Return p50 and p99 of a call in us, by nearest rank."""
    clock = time.perf_counter_ns
    for _ in range(3):
        call()
    taken: list[int] = []
    end = clock() + int(seconds * 1e9)
    after = 0
    while after < end or len(taken) < 10:
        before = clock()
        call()
        after = clock()
        taken.append(after - before)
    p50, p99 = percentiles(taken, (500, 990))
    return p50 / 1e3, p99 / 1e3


def expectations(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return what was expected and what was measured; `met` is None if a figure is missing."""
    p50 = {each["case"]: each["p50_us"] for each in results}
    sizes = [n for n in SIZES if f"N={n} scalar" in p50]
    gains = [p50[f"N={n} scalar"] / p50[f"N={n} recompute"] for n in sizes]
    n = f"N={RANK1_SIZE}"
    gain = p50[n] / p50[f"{n} rank1"] if n in p50 else None
    return [
        {
            "expected": f"recompute: at least {RECOMPUTE_TIMES} times as fast as scalar",
            "measured": f"{min(gains):.1f} .. {max(gains):.1f} times" if gains else None,
            "met": min(gains) >= RECOMPUTE_TIMES if gains else None,
        },
        {
            "expected": f"rank1, {n}: at least {RANK1_TIMES} times as fast as {PEER}",
            "measured": f"{gain:.1f} times" if gain else None,
            "met": gain >= RANK1_TIMES if gain else None,
        },
    ]


def run(seconds: float, repeats: int, sizes: Sequence[int] = SIZES) -> dict[str, Any]:
    """Measure all cases; return all there is to tell, as data."""
    about = machine.describe()
    date = script.now()
    markets = [Market(size) for size in sizes]
    samples: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for repeat in range(repeats):
        script.progress(f"repeat {repeat + 1} of {repeats}")
        for market in markets:
            for key, call in market.calls.items():
                samples[key].append(measure(call, seconds))
    results: list[Result] = []
    failed: dict[str, str] = {}
    for market in markets:
        for (name, case), call in market.calls.items():
            difference = market.difference(call)
            p50, p99 = (statistics.median(each) for each in zip(*samples[name, case], strict=True))
            results.append(
                {
                    "name": name,
                    "case": case,
                    "p50_us": round(p50, 2),
                    "p99_us": round(p99, 2),
                    "max_abs_diff": difference,
                    "repeats": repeats,
                }
            )
            if not difference < LARGEST_DIFFERENCE:
                failed[f"{name} {case}"] = (
                    f"max_abs_diff was {difference}, must be below {LARGEST_DIFFERENCE}"
                )
    return {
        "machine": about,
        "date": date,
        "seconds": seconds,
        "method": METHOD,
        "simd": native.simd_names()[-1],
        "results": results,
        "expectations": expectations(results),
        "failed": failed,
    }


@click.command(help=__doc__)
@script.json_option
@script.quick_option("End within 15 s; noisier.")
@script.seconds_option
@script.repeats_option
def main(as_json: bool, quick: bool, seconds: float | None, repeats: int | None) -> None:
    """Measure, print, and exit."""
    found = run(
        seconds or (QUICK_SECONDS if quick else SECONDS),
        repeats or (QUICK_REPEATS if quick else REPEATS),
    )
    script.tell(found, _show, as_json=as_json)
    sys.exit(1 if found["failed"] else 0)


def _show(report: Mapping[str, Any], console: Console) -> None:
    console.print(machine.in_words(report["machine"]))
    console.print(f"{report['date']}, instructions: {report['simd']}\n\n{METHOD}\n")
    p50 = {each["case"]: each["p50_us"] for each in report["results"]}
    table = Table(title=f"each measurement {report['seconds']} s", title_justify="left")
    table.add_column("name", no_wrap=True)
    table.add_column("case", no_wrap=True)
    for column in ("p50 us", "p99 us", "times\nscalar", f"times\n{PEER}", "max diff"):
        table.add_column(column, justify="right", no_wrap=True)
    for each in report["results"]:
        size = each["case"].split()[0]
        table.add_row(
            each["name"],
            each["case"],
            f"{each['p50_us']:,.1f}",
            f"{each['p99_us']:,.1f}",
            *(f"{p50[peer] / each['p50_us']:.1f}" for peer in (f"{size} scalar", size)),
            f"{each['max_abs_diff']:.0e}",
            style="bold" if each["name"] == "bot4" else "",
        )
    console.print(table, "")
    script.show_end(report, console)


if __name__ == "__main__":
    main()
