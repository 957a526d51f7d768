"""From outcomes to results, from these to what was expected, and all of it in tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from perf import machine, script
from perf.outage.clients import BOT4, CCXT
from perf.outage.series import SETTLE_S, Outcome
from perf.outage.venue import JITTER, LISTINGS, OUTAGES, RATE, REPLAYED
from perf.ranks import percentiles

_KINDS = "\n".join(f"{name}: {what}." for name, what in OUTAGES.items())

METHOD = f"""\
The simulated exchange is a process, and so is each client; one link over loopback, {len(LISTINGS)}
instruments, {RATE} market events a second. Outages of random length come one after the other; the
kinds of them have pairs of processes of their own, which run at the same time.
{_KINDS}
Recovery: from the end of the outage, when the venue can be reached again, to the first valid book
of the last of the instruments. A book is valid whose best prices are the market's of after the
outage and, of {BOT4}, that is not stale: its first quote behind RESYNC, by its publication stamp.
> limit: that rank was not reached in time. A client that did not recover is started anew; what it
missed until then is not counted as lost.
lost: trades not told {SETTLE_S:g} s after recovery, though the venue could still tell them at
recovery (the last {REPLAYED:,} of an instrument). duplicated: told again. Each trade is compared
with the market's.
{BOT4}: the feed's lines, decoder, books, arbiter, outbox and rings.
black_hole: the simulator keeps what is sent meanwhile, so a request made during it is answered at
its end; a network would have to send it again.
{CCXT}: its defaults; watch_order_book and watch_trades in loops that go on after a NetworkError."""

P99_S = 2.0

Result = dict[str, Any]


def summary(outcome: Outcome) -> Result:
    """Return one outcome as data; a percentile is None if it is beyond the limit."""
    seconds = [math.inf if each is None else each for each in outcome.recovery]
    ranks = percentiles(seconds, (500, 990, 1000))
    return {
        "client": outcome.plan.client,
        "venue": outcome.plan.venue,
        "outage": outcome.plan.outage,
        "count": len(seconds),
        **{
            name: None if math.isinf(found) else round(found, 3)
            for name, found in zip(("p50_s", "p99_s", "max_s"), ranks, strict=True)
        },
        "lost": outcome.lost,
        "duplicated": outcome.duplicated,
        "not_recovered": seconds.count(math.inf),
        "limit_s": outcome.plan.limit,
    }


def expectations(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return what was expected and what was measured; `met` is None if a figure is missing."""
    found = []
    for outage in OUTAGES if JITTER not in {each["outage"] for each in results} else (JITTER,):
        of_it = {each["client"]: each for each in results if each["outage"] == outage}
        mine = of_it.get(BOT4)
        met = None
        measured = None
        if mine is not None:
            p99 = mine["p99_s"]
            met = p99 is not None and p99 < P99_S and not mine["lost"] + mine["duplicated"]
            measured = (
                f"{_seconds(p99, mine['limit_s'])}, {mine['lost']:,} lost, "
                f"{mine['duplicated']:,} duplicated"
            )
        expected = f"{outage}: p99 < {P99_S:g} s, no trade lost or duplicated"
        found.append({"expected": expected, "measured": measured, "met": met})
    return found


def show(report: Mapping[str, Any], console: Console) -> None:
    """Print a report for a reader."""
    console.print(machine.in_words(report["machine"]))
    console.print(f"{report['date']}\n\n{METHOD}\n")
    low, high = report["lengths_s"]
    title = f"{report['venue']}, outages of {low:g} to {high:g} s, seed {report['seed']}"
    table = Table(title=title, title_justify="left")
    for column in ("client", "outage"):
        table.add_column(column, no_wrap=True)
    for column in ("count", "p50", "p99", "max", "not recovered", "lost", "duplicated"):
        table.add_column(column, justify="right", no_wrap=True)
    before = None
    for each in report["results"]:
        if before not in (None, each["client"]):
            table.add_section()
        before = each["client"]
        table.add_row(
            each["client"],
            each["outage"],
            f"{each['count']}",
            *(_seconds(each[name], each["limit_s"]) for name in ("p50_s", "p99_s", "max_s")),
            *(f"{each[name]:,}" for name in ("not_recovered", "lost", "duplicated")),
            style="bold" if each["client"] == BOT4 else "",
        )
    console.print(table)
    console.print()
    script.show_end(report, console)


def _seconds(value: float | None, limit: float) -> str:
    return f"> {limit:g} s" if value is None else f"{value:.2f} s"
