"""From a tick to an order, through all five stages: over the project's rings, and over queues.

Prints a table, or --json. Ends with 1 if a process died or the rings lost anything, and with 0
whatever the other figures are.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

sys.path.append(str(Path(__file__).resolve().parent.parent))  # for: python perf/pipeline.py

from perf import machine, script
from perf.chain import report
from perf.chain.session import RING, TRANSPORTS, FailedError, Sample, measure, why_missing
from perf.chain.workload import configuration
from shm import STRATEGIES

RATES = (1_000, 10_000, 50_000)
SECONDS, REPEATS, DRAIN_S = 4.0, 3, 3.0
QUICK_SECONDS, QUICK_REPEATS, QUICK_DRAIN_S = 1.5, 1, 1.0

_HIGHEST = 1_000_000


def rates(context: click.Context, option: click.Parameter, value: str) -> list[int]:
    """Return the rates of an option's value."""
    try:
        wanted = [int(rate) for rate in value.split(",")]
    except ValueError:
        raise click.BadParameter(f"was {value!r}, must be integers and commas") from None
    if wrong := [rate for rate in wanted if not 1 <= rate <= _HIGHEST]:
        raise click.BadParameter(f"was {wrong[0]}, must be in 1 .. {_HIGHEST}")
    return wanted


@click.command(help=__doc__)
@script.json_option
@script.quick_option("End within 50 s; noisier.")
@click.option(
    "--rates",
    "wanted",
    default=",".join(map(str, RATES)),
    show_default=True,
    callback=rates,
    help="Market records a second, separated by commas.",
)
@script.seconds_option
@script.repeats_option
@script.names_option("--transports", "names", known=TRANSPORTS)
@click.option(
    "--wait",
    type=click.Choice(["auto", *STRATEGIES]),
    default="auto",
    show_default=True,
    help="How the stages wait at their rings.",
)
@click.option(
    "--batch",
    type=click.IntRange(1, 4096),
    default=1,
    show_default=True,
    help="Records that the stages behind queues step through at once.",
)
def main(
    as_json: bool,
    quick: bool,
    wanted: list[int],
    seconds: float | None,
    repeats: int | None,
    names: list[str],
    wait: str,
    batch: int,
) -> None:
    """Measure, print, and exit."""
    script.exit_on_sigterm()
    found = run(
        names,
        wanted,
        seconds or (QUICK_SECONDS if quick else SECONDS),
        repeats or (QUICK_REPEATS if quick else REPEATS),
        wait,
        batch,
        QUICK_DRAIN_S if quick else DRAIN_S,
    )
    script.tell(found, report.show, as_json=as_json)
    lost = any(each["lost"] for each in found["results"] if each["transport"] == RING)
    sys.exit(1 if found["failed"] or lost else 0)


def run(
    names: Sequence[str],
    wanted: Sequence[int],
    seconds: float,
    repeats: int,
    wait: str,
    batch: int,
    drain_s: float,
) -> dict[str, Any]:
    """Measure the transports at all rates; return all that there is to tell, as plain data."""
    about = machine.describe(("faster-fifo",))
    skipped = {name: reason for name in names if (reason := why_missing(name))}
    failed: dict[str, str] = {}
    samples: dict[tuple[str, int], list[Sample]] = defaultdict(list)
    for repeat in range(repeats):
        for rate in wanted:
            for name in names:
                if name in skipped or name in failed:
                    continue
                script.progress(f"repeat {repeat + 1} of {repeats}: {name} at {rate:,}/s")
                try:
                    samples[name, rate].append(
                        measure(name, rate, seconds, wait=wait, batch=batch, drain_s=drain_s)
                    )
                except FailedError as error:
                    failed[name] = f"at {rate:,}/s: {error}"
    results = [report.summary(same) for same in samples.values() if same]
    return {
        "machine": about,
        "affinity": configuration("perf")["affinity"],
        "seconds": seconds,
        "batch": batch,
        "method": report.METHOD,
        "methods": report.methods(names),
        "results": results,
        "expectations": report.expectations(results),
        "skipped": skipped,
        "failed": failed,
    }


if __name__ == "__main__":
    main()
