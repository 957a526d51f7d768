"""What sixteen families of indicators cost per bar: the project's kernel and its peers.

Prints a table, or --json. Ends with 1 if somebody failed, and with 0 whatever the figures are.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

if not __package__:  # python perf/ta.py: in the folder of the script, `ta` would be this file
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from perf import machine, script
from perf.indicators.peers import BARS, HISTORY, PEERS, Floats, Peer
from perf.ranks import percentiles
from workers.ta.features import Feature

OWN = "bot4"
CASE = "16 families"
REPEATS, QUICK_REPEATS = 5, 2
QUICK_SHARE = 10  # of the bars
COMPARED = 20
LIMIT_US = 2.0

METHOD = (
    f"A call from Python for each bar after {HISTORY} of history: SMA, EMA, MACD, RSI, Bollinger, "
    "ATR, ADX/DI, stochastic, OBV, VWAP, CCI, MFI, Keltner, Donchian, ROC and %R with their usual "
    "windows. All go on from a state but ta, which looks at the last 500 bars. "
    "Readings of the clock, some 50 ns, are part of it. Medians of the repeats, interleaved. The "
    f"difference is the greatest from the values of ta over {COMPARED} bars, of what both have: "
    "but for the OBV, which begins elsewhere."
)


@click.command(help=__doc__)
@script.json_option
@script.quick_option("End within seconds; noisier.")
@script.repeats_option
@script.names_option("--peers", "names", known=PEERS)
def main(as_json: bool, quick: bool, repeats: int | None, names: list[str]) -> None:
    """Measure, print, and exit."""
    found = run(names, repeats or (QUICK_REPEATS if quick else REPEATS), quick)
    script.tell(found, show, as_json=as_json)
    sys.exit(1 if found["failed"] else 0)


def run(names: Sequence[str], repeats: int, quick: bool) -> dict[str, Any]:
    """Measure; return all there is to tell, as data."""
    about = machine.describe(("ta", "pandas", "TA-Lib", "talipp"))
    date = script.now()
    skipped = {
        name: reason for name in names if name != OWN and (reason := machine.why_missing(name))
    }
    failed: dict[str, str] = {}
    samples: dict[str, list[tuple[float, float]]] = defaultdict(list)
    differences: dict[str, float] = {}
    counts = {
        name: max(10, count // QUICK_SHARE) if quick else count for name, count in BARS.items()
    }
    reference = "ta" if machine.why_missing("ta") is None else OWN
    series = bars_of(HISTORY + max(counts.values()))
    for repeat in range(repeats):
        for name in names:
            if name in skipped or name in failed:
                continue
            try:
                if repeat == 0:
                    differences[name] = difference(name, reference, series)
                samples[name].append(sample(PEERS[name](series), counts[name]))
            except Exception as error:
                failed[name] = f"{type(error).__name__}: {error}"
    results = [
        {
            "name": name,
            "case": CASE,
            "p50_us": round(statistics.median(p50 for p50, _ in measured), 3),
            "p99_us": round(statistics.median(p99 for _, p99 in measured), 3),
            "max_abs_diff": differences[name],
            "bars": counts[name],
            "repeats": len(measured),
        }
        for name, measured in samples.items()
    ]
    return {
        "machine": about,
        "date": date,
        "method": METHOD,
        "results": results,
        "expectations": expectations(results),
        "skipped": skipped,
        "failed": failed,
    }


def bars_of(count: int) -> Floats:
    """Return bars of a random walk in ticks, shape (count, 4): high, low, close, volume."""
    rng = np.random.default_rng(7)
    close = 50_000.0 + np.cumsum(rng.integers(-20, 21, count))
    high = close + rng.integers(1, 15, count)
    low = close - rng.integers(1, 15, count)
    return np.stack([high, low, close, rng.integers(1, 1_000, count).astype(float)], axis=1)


def sample(peer: Peer, count: int) -> tuple[float, float]:
    """Return p50 and p99 of so many updates, in us, by nearest rank."""
    clock = time.perf_counter_ns
    taken = np.empty(count)
    for n in range(count):
        before = clock()
        peer.update()
        taken[n] = clock() - before
    p50, p99 = percentiles(taken, (500, 990))
    return p50 / 1e3, p99 / 1e3


def difference(name: str, reference: str, series: Floats) -> float:
    """Return how far the values of one are from those of another at most."""
    mine, others = PEERS[name](series), PEERS[reference](series)
    greatest = 0.0
    for _ in range(COMPARED):
        mine.update()
        others.update()
        expected = others.values()
        for feature, value in mine.values().items():
            if feature in expected and feature is not Feature.OBV:
                greatest = max(greatest, abs(value - expected[feature]))
    return greatest


def expectations(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what was expected, what was measured, and whether that is met."""
    own = next((each for each in results if each["name"] == OWN), None)
    return [
        {
            "expected": f"{CASE} from Python: p99 < {LIMIT_US:g} us",
            "measured": own and f"{own['p99_us']:.2f} us",
            "met": own and own["p99_us"] < LIMIT_US,
        }
    ]


def show(found: Mapping[str, Any], console: Console) -> None:
    """Print a report for a reader."""
    console.print(machine.in_words(found["machine"]))
    console.print(f"{found['date']}\n\n{found['method']}\n")
    table = Table(title=f"{CASE}, us per bar", title_justify="left")
    for column in ("", "p50", "p99", "times bot4", "difference"):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    own = next((each["p50_us"] for each in found["results"] if each["name"] == OWN), None)
    for each in found["results"]:
        table.add_row(
            each["name"],
            f"{each['p50_us']:,.2f}",
            f"{each['p99_us']:,.2f}",
            f"{each['p50_us'] / own:,.0f}" if own else "",
            f"{each['max_abs_diff']:.1e}",
        )
    console.print(table)
    script.show_end(found, console)


if __name__ == "__main__":
    main()
