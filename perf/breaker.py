"""What a call behind a circuit breaker costs, alone and with others: the project's and its peers.

Prints a table, or --json. Ends with 1 if a process died or a call did not count, and with 0
whatever the figures are.
"""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

sys.path.append(str(Path(__file__).resolve().parent.parent))  # for: python perf/breaker.py

from perf import machine, script
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


@click.command(help=__doc__)
@script.json_option
@script.quick_option("End within 30 s; noisier.")
@script.seconds_option
@script.repeats_option
@click.option(
    "--processes",
    type=click.IntRange(1, MOST_PROCESSES),
    default=MOST_PROCESSES,
    show_default=True,
    help="Up to so many at once.",
)
@script.names_option("--breakers", "names", known=NAMES)
def main(
    as_json: bool,
    quick: bool,
    seconds: float | None,
    repeats: int | None,
    processes: int,
    names: list[str],
) -> None:
    """Measure, print, and exit."""
    script.exit_on_sigterm()
    found = run(
        [caller for caller in CALLERS if caller.name in names],
        processes,
        seconds or (QUICK_SECONDS if quick else SECONDS),
        repeats or (QUICK_REPEATS if quick else REPEATS),
    )
    script.tell(found, report.show, as_json=as_json)
    sys.exit(1 if found["failed"] else 0)


def run(
    callers: Sequence[Caller], most_processes: int, seconds: float, repeats: int
) -> dict[str, Any]:
    """Measure the callers with 1 to so many processes; return all there is to tell, as data."""
    about = machine.describe(("pybreaker",))
    date = script.now()
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
        if reason := machine.why_missing("pybreaker"):
            skipped["pybreaker"] = reason
        usable = [
            caller
            for caller in callers
            if caller.name not in skipped and (caller.language != "native" or library)
        ]
        try:
            with Session(most_processes, library) as session:
                for repeat in range(repeats):
                    script.progress(f"repeat {repeat + 1} of {repeats}")
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


if __name__ == "__main__":
    main()
