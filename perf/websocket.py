"""How many messages/s the feed reads on one core, and how late: the project's and its peers.

Prints a table, or --json. Ends with 1 if a process died or told what was not sent, and with 0
whatever the figures are.
"""

from __future__ import annotations

import importlib
import json
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console

sys.path.append(str(Path(__file__).resolve().parent.parent))  # for: python perf/websocket.py

from perf import machine
from perf.stream import report
from perf.stream.clients import NEEDS
from perf.stream.session import FailedError, measure

RATES = (12_000, 50_000, 100_000)
SECONDS, QUICK_SECONDS = 10.0, 2.0
MOST_RATE = 1_000_000

_MODULES = {"ccxt": "ccxt.pro"}


def _clients(context: click.Context, option: click.Parameter, value: str) -> list[str]:
    names = [name.strip() for name in value.split(",")]
    if unknown := [name for name in names if name not in NEEDS]:
        raise click.BadParameter(f"was {', '.join(unknown)}, must be of {', '.join(NEEDS)}")
    return names


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
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--quick", is_flag=True, help=f"{QUICK_SECONDS:g} s each; noisier.")
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
@click.option(
    "--clients",
    "names",
    default=",".join(NEEDS),
    show_default=True,
    callback=_clients,
    help="Which to measure, separated by commas.",
)
def main(
    as_json: bool, quick: bool, seconds: float | None, rates: list[int | None], names: list[str]
) -> None:
    """Measure, print, and exit."""
    # By way of SystemExit, so that processes and segments are removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    found = run(names, rates, seconds or (QUICK_SECONDS if quick else SECONDS))
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        width = None if sys.stdout.isatty() else 110
        report.show(found, Console(width=width, highlight=False, markup=False))
    sys.exit(1 if found["failed"] else 0)


def run(names: Sequence[str], rates: Sequence[int | None], seconds: float) -> dict[str, Any]:
    """Measure the clients at some rates, None: a blast; return all there is to tell, as data."""
    about = machine.describe((*NEEDS.values(), "msgspec"))
    date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    skipped = {name: reason for name in names if (reason := _why_missing(NEEDS[name]))}
    failed: dict[str, str] = {}
    results: list[report.Result] = []
    for rate in rates:
        for name in names:
            if name in skipped or name in failed:
                continue
            if sys.stderr.isatty():
                click.echo(f"{name}: {'blast' if rate is None else f'{rate:,}/s'}", err=True)
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


def _why_missing(distribution: str) -> str | None:
    try:
        importlib.import_module(_MODULES.get(distribution, distribution))
    except ImportError as error:
        return f"it cannot be imported ({error}); pip install 'bot4[perf]' brings it"
    return None


if __name__ == "__main__":
    main()
