"""How many messages/s the feed reads on one core, and how late: the project's and its peers.

Prints a table, or --json. Ends with 1 if a process died or told what was not sent, and with 0
whatever the figures are.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

sys.path.append(str(Path(__file__).resolve().parent.parent))  # for: python perf/websocket.py

from perf import machine, script
from perf.stream import report
from perf.stream.clients import NEEDS
from perf.stream.session import FailedError, measure

RATES = (12_000, 50_000, 100_000)
SECONDS, QUICK_SECONDS = 10.0, 2.0
MOST_RATE = 1_000_000


def _rates(context: click.Context, option: click.Parameter, value: str) -> list[int | None]:
    rates: list[int | None] = []
    for part in value.split(","):
        text = part.strip()
        if text == "blast":
            rates.append(None)
        elif text.isdecimal() and 0 < int(text) <= MOST_RATE:
            rates.append(int(text))
        else:
            raise click.BadParameter(f"was {text}, must be blast or 1 .. {MOST_RATE}")
    return rates


@click.command(help=__doc__)
@script.json_option
@script.quick_option(f"{QUICK_SECONDS:g} s each; noisier.")
@click.option(
    "--seconds", type=click.FloatRange(0, 600, min_open=True), help="That each measurement takes."
)
@click.option(
    "--rates",
    default=",".join(("blast", *map(str, RATES))),
    show_default=True,
    callback=_rates,
    help="blast, and messages/s, separated by commas.",
)
@script.names_option("--clients", "names", known=NEEDS)
def main(
    as_json: bool, quick: bool, seconds: float | None, rates: list[int | None], names: list[str]
) -> None:
    """Measure, print, and exit."""
    script.exit_on_sigterm()
    found = run(names, rates, seconds or (QUICK_SECONDS if quick else SECONDS))
    script.tell(found, report.show, as_json=as_json)
    sys.exit(1 if found["failed"] else 0)


def run(names: Sequence[str], rates: Sequence[int | None], seconds: float) -> dict[str, Any]:
    """Measure the clients at some rates, None: a blast; return all there is to tell, as data."""
    about = machine.describe((*NEEDS.values(), "msgspec"))
    date = script.now()
    skipped = {name: reason for name in names if (reason := machine.why_missing(NEEDS[name]))}
    failed: dict[str, str] = {}
    results: list[report.Result] = []
    for rate in rates:
        for name in names:
            if name in skipped or name in failed:
                continue
            script.progress(f"{name}: {'blast' if rate is None else f'{rate:,}/s'}")
            try:
                results.append(report.summary(measure(name, rate, seconds)))
            except FailedError as error:
                failed[name] = str(error)
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
