"""How soon books are valid again after an outage, and which trades are lost: this feed, ccxt.pro.

Prints a table, or --json. Ends with 1 if a process died or told what was not sent, and with 0
whatever the figures are.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import click

sys.path.append(str(Path(__file__).resolve().parent.parent))  # for: python perf/recovery.py

from perf import machine, script
from perf.outage import report, series
from perf.outage.clients import BOT4, CCXT, NEEDS
from perf.outage.series import SHORTEST_S, Plan
from perf.outage.venue import JITTER, OUTAGES, VENUES, FailedError

COUNT, PEER_COUNT, QUICK_COUNT = 30, 5, 3
JITTER_S = 30.0
LONGEST_S = 5.0
LIMIT_S = 30.0


@click.command(help=__doc__)
@script.json_option
@script.quick_option(f"{QUICK_COUNT} outages each, and no peer.")
@click.option(
    "--count",
    type=click.IntRange(1, 10_000),
    help=f"Outages of each kind.  [default: {COUNT}, of a peer {PEER_COUNT}]",
)
@script.names_option("--outages", known=OUTAGES, what="Which kinds")
@click.option(
    "--jitter",
    is_flag=True,
    help=f"In place of outages {JITTER_S:g} s with latency, jitter and lost messages.",
)
@script.names_option("--clients", "names", known=NEEDS, default=None, show_default=",".join(NEEDS))
@click.option(
    "--venue",
    type=click.Choice(VENUES),
    default=VENUES[0],
    show_default=True,
    help="Whose protocol is spoken.",
)
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True)
@click.option(
    "--longest",
    type=click.FloatRange(SHORTEST_S, 600.0),
    default=LONGEST_S,
    show_default=True,
    help=f"Seconds of an outage, of which the shortest has {SHORTEST_S:g}.",
)
@click.option(
    "--limit",
    type=click.FloatRange(1.0, 3600.0),
    default=LIMIT_S,
    show_default=True,
    help="Seconds after an outage, after which a client is given up.",
)
def main(
    as_json: bool,
    quick: bool,
    count: int | None,
    outages: list[str],
    jitter: bool,
    names: list[str] | None,
    venue: str,
    seed: int,
    longest: float,
    limit: float,
) -> None:
    """Measure, print, and exit."""
    script.exit_on_sigterm()
    chosen = names or ([BOT4] if quick else list(NEEDS))
    default = {BOT4: COUNT, CCXT: PEER_COUNT}
    if quick:
        default = dict.fromkeys(NEEDS, QUICK_COUNT)
    plans = []
    for name in chosen:
        if jitter:
            plans.append(Plan(name, venue, JITTER, (JITTER_S,) * (count or 1), limit))
            continue
        for outage in outages:
            lengths = series.lengths(seed, outage, count or default[name], longest)
            plans.append(Plan(name, venue, outage, lengths, limit))
    found = {"venue": venue, "seed": seed, **run(plans)}
    script.tell(found, report.show, as_json=as_json)
    sys.exit(1 if found["failed"] else 0)


def run(plans: Sequence[Plan]) -> dict[str, Any]:
    """Measure all outages of one client at the same time; return all there is to tell, as data."""
    about = machine.describe((*NEEDS.values(), "picows"))
    date = script.now()
    names = list(dict.fromkeys(plan.client for plan in plans))
    skipped = {name: reason for name in names if (reason := machine.why_missing(NEEDS[name]))}
    failed: dict[str, str] = {}
    results: list[report.Result] = []
    for name in names:
        if name not in skipped:
            found = _at_once([plan for plan in plans if plan.client == name])
            results += [report.summary(each) for each in found if isinstance(each, series.Outcome)]
            failed.update(
                (f"{name} {each[0]}", each[1]) for each in found if isinstance(each, tuple)
            )
    lengths = [length for plan in plans for length in plan.lengths]
    return {
        "lengths_s": [min(lengths), max(lengths)],
        "machine": about,
        "date": date,
        "method": report.METHOD,
        "results": results,
        "expectations": report.expectations(results),
        "skipped": skipped,
        "failed": failed,
    }


def _at_once(plans: Sequence[Plan]) -> list[series.Outcome | tuple[str, str]]:
    """Return the outcome of each plan, or which outage has failed and why."""
    stop = threading.Event()
    with ThreadPoolExecutor(len(plans)) as pool:
        running = [pool.submit(series.run, plan, stop) for plan in plans]
        try:
            for done in as_completed(running):
                if sys.stderr.isatty() and done.exception() is None:
                    plan = done.result().plan
                    click.echo(f"{plan.client}: {plan.outage}", err=True)
        except BaseException:
            stop.set()
            raise
    found: list[series.Outcome | tuple[str, str]] = []
    for plan, done in zip(plans, running, strict=True):
        try:
            found.append(done.result())
        except FailedError as error:
            found.append((plan.outage, str(error)))
    return found


if __name__ == "__main__":
    main()
