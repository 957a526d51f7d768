"""How fast a record gets from one process to another: the project's ring and its peers.

Prints tables, or --json. Ends with 1 if a transport lost, changed or reordered anything, hung or
died, and with 0 whatever the figures are.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

sys.path.append(str(Path(__file__).resolve().parent.parent))  # for: python perf/ipc.py

from perf import ipc_report, machine, script
from perf.session import FailedError, Sample, measure
from perf.transports import TRANSPORTS, why_missing

SECONDS, REPEATS = 0.6, 5
QUICK_SECONDS, QUICK_REPEATS = 0.12, 3
QUICK_LIMIT = 37.0
"""Seconds; what would end later is left out, so that a quick run ends within 40."""

DISTRIBUTIONS = ("faster-fifo", "pyzmq", "iceoryx2")

Samples = dict[str, list[list[Sample]]]
"""Of each transport, for each repeat, all measurements in order."""


@click.command(help=__doc__)
@script.json_option
@script.quick_option("End within 40 s; noisier.")
@script.repeats_option
@script.names_option("--transports", "names", known=TRANSPORTS)
def main(as_json: bool, quick: bool, repeats: int | None, names: list[str]) -> None:
    """Measure, print, and exit."""
    script.exit_on_sigterm()
    seconds, default = (QUICK_SECONDS, QUICK_REPEATS) if quick else (SECONDS, REPEATS)
    limit = QUICK_LIMIT if quick else float("inf")
    report = run(names, seconds, repeats or default, limit)
    script.tell(report, ipc_report.show, as_json=as_json)
    sys.exit(1 if report["failed"] else 0)


def run(names: Sequence[str], seconds: float, repeats: int, limit: float) -> dict[str, Any]:
    """Measure the transports; return all that there is to tell, as plain data."""
    cpus = machine.two_cpus()
    about = {**machine.describe(DISTRIBUTIONS), "pinned_to": cpus}
    skipped = {name: reason for name in names if (reason := why_missing(name))}
    failed: dict[str, str] = {}
    samples: Samples = defaultdict(list)

    usable = [name for name in names if name not in skipped]
    for name in _schedule(usable, repeats, limit):
        if name in failed:
            continue
        script.progress(f"repeat {len(samples[name]) + 1} of {repeats}: {name}")
        try:
            samples[name].append(measure(TRANSPORTS[name], cpus, seconds))
        except FailedError as error:
            failed[name] = str(error)
            samples.pop(name, None)
    results = [
        ipc_report.summary(name, same)
        for name, of_repeats in samples.items()
        for same in zip(*of_repeats, strict=True)
    ]
    return {
        "machine": about,
        "seconds": seconds,
        "method": ipc_report.METHOD,
        "methods": {name: TRANSPORTS[name].method for name in samples},
        "results": results,
        "expectations": ipc_report.expectations(results),
        "skipped": skipped,
        "failed": failed,
    }


def _schedule(names: Sequence[str], repeats: int, limit: float) -> Iterator[str]:
    """Yield the names, repeat after repeat; after the first, only what ends within `limit` s."""
    start = time.monotonic()
    longest = 0.0
    for repeat in range(repeats):
        for name in names:
            before = time.monotonic()
            if repeat > 0 and before - start + longest > limit:
                return
            yield name
            longest = max(longest, time.monotonic() - before)


if __name__ == "__main__":
    main()
