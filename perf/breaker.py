"""What a call behind a circuit breaker costs, alone and with others: the project's and its peers.

Prints a table, or --json. Ends with 1 if a process died or a call did not count, and with 0
whatever the figures are.
"""

from __future__ import annotations

import importlib
import json
import signal
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console

sys.path.append(str(Path(__file__).resolve().parent.parent))  # for: python perf/breaker.py

from perf import machine
from perf.calls import report
from perf.calls.session import (
    CALLERS,
    MOST_PROCESSES,
    Caller,
    FailedError,
    Sample,
    Session,
    compiled,
)

SECONDS, REPEATS = 0.3, 7
QUICK_SECONDS, QUICK_REPEATS = 0.15, 5

NAMES = tuple(dict.fromkeys(caller.name for caller in CALLERS))


def _names(context: click.Context, option: click.Parameter, value: str) -> list[str]:
    names = [name.strip() for name in value.split(",")]
    if unknown := [name for name in names if name not in NAMES]:
        raise click.BadParameter(f"was {', '.join(unknown)}, must be of {', '.join(NAMES)}")
    return names


@click.command(help=__doc__)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--quick", is_flag=True, help="End within 30 s; noisier.")
@click.option(
    "--seconds", type=click.FloatRange(0, min_open=True), help="That each measurement takes."
)
@click.option("--repeats", type=click.IntRange(1), help="How often to measure each.")
@click.option(
    "--processes",
    type=click.IntRange(1, MOST_PROCESSES),
    default=MOST_PROCESSES,
    show_default=True,
    help="Up to so many at once.",
)
@click.option(
    "--breakers",
    default=",".join(NAMES),
    show_default=True,
    callback=_names,
    help="Which to measure, separated by commas.",
)
def main(
    as_json: bool,
    quick: bool,
    seconds: float | None,
    repeats: int | None,
    processes: int,
    breakers: list[str],
) -> None:
    """Measure, print, and exit."""
    # By way of SystemExit, so that processes, segments and directories are removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    found = run(
        [caller for caller in CALLERS if caller.name in breakers],
        processes,
        seconds or (QUICK_SECONDS if quick else SECONDS),
        repeats or (QUICK_REPEATS if quick else REPEATS),
    )
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        width = None if sys.stdout.isatty() else 110
        report.show(found, Console(width=width, highlight=False, markup=False))
    sys.exit(1 if found["failed"] else 0)


def run(
    callers: Sequence[Caller], most_processes: int, seconds: float, repeats: int
) -> dict[str, Any]:
    """Measure the callers with 1 to so many processes; return all there is to tell, as data."""
    about = machine.describe(("pybreaker",))
    date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    skipped: dict[str, str] = {}
    failed: dict[str, str] = {}
    samples: dict[tuple[Caller, int], list[Sample]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="bot4-perf-") as directory:
        library = None
        if any(caller.language == "native" for caller in callers):
            try:
                library = compiled(Path(directory))
            except FailedError as error:
                failed["native"] = str(error)
        if reason := _why_missing():
            skipped["pybreaker"] = reason
        usable = [
            caller
            for caller in callers
            if caller.name not in skipped and (caller.language != "native" or library)
        ]
        try:
            with Session(most_processes, library) as session:
                for repeat in range(repeats):
                    if sys.stderr.isatty():
                        click.echo(f"repeat {repeat + 1} of {repeats}", err=True)
                    for processes in range(1, most_processes + 1):
                        for caller in usable:
                            sample = session.measure(caller, processes, seconds)
                            samples[caller, processes].append(sample)
        except FailedError as error:
            failed["session"] = str(error)
    results = [
        report.summary(*measured, same)
        for measured, same in sorted(samples.items(), key=lambda each: CALLERS.index(each[0][0]))
    ]
    return {
        "machine": about,
        "date": date,
        "seconds": seconds,
        "method": report.METHOD,
        "results": results,
        "expectations": report.expectations(results),
        "skipped": skipped,
        "failed": failed,
    }


def _why_missing() -> str | None:
    try:
        importlib.import_module("pybreaker")
    except ImportError as error:
        return f"it cannot be imported ({error}); pip install 'bot4[perf]' brings it"
    return None


if __name__ == "__main__":
    main()
