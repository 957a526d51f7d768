"""The whole pipeline, saturated for minutes: `bot4 run` with all the events that it can take.

Two cases: the built-in venue "sim", and the connectors of Binance, Kraken and Coinbase against an
exchange with faults. Prints tables, or --json. Ends with 1 if memory grows, a ring stays full, a
record is lost, or a feed does not come back.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

sys.path.append(str(Path(__file__).resolve().parent.parent))  # for: python perf/stress.py

from perf import machine, script
from perf.endurance import venues
from perf.endurance.judged import FULL_SAMPLES, GROWTH_MB, GROWTH_MB_PER_MINUTE
from perf.endurance.run import endure

_HIGHEST_RATE = 1_000_000
CASES = ("sim", "venues")

METHOD = f"""\
`bot4 run` over WebSocket on loopback, in a configuration that trades all the time
(perf/chain/workload.py). Each second: the rings' depths, and the memory of all processes. Fails if
- the processes' own memory and the segment (proportional, as smaps_rollup has it; files are left
  out, for their share depends on who else maps them) rise by more than {GROWTH_MB:g} MB and
  {GROWTH_MB_PER_MINUTE:g} MB a minute after a warm-up, by the least-squares line;
- a ring is full in {FULL_SAMPLES} samples in a row;
- after the drain anything is left, a process was started again, or what one process took is not
  what another published. (Each stage checks the sequence of every record, and ends if it is not
  the next one.)
sim: with its simulated exchange, nothing lost between that and the rings either.
venues: {venues.METHOD}"""


@click.command(help=__doc__)
@script.json_option
@click.option(
    "--minutes",
    type=click.FloatRange(0, min_open=True),
    default=5.0,
    show_default=True,
    help="How long each case takes.",
)
@script.names_option("--cases", "names", known=CASES, what="Which")
@click.option(
    "--rate",
    type=click.IntRange(1, _HIGHEST_RATE),
    default=_HIGHEST_RATE,
    show_default=True,
    help="Market events a second of case sim; more than can be taken saturates.",
)
def main(as_json: bool, minutes: float, names: list[str], rate: int) -> None:
    """Run, print, and exit."""
    script.exit_on_sigterm()
    about = machine.describe(("picows",))
    cases = {
        name: run(60 * minutes, rate) if name == "sim" else venues.run(60 * minutes)
        for name in names
    }
    problems = [f"{name}: {text}" for name, case in cases.items() for text in case["problems"]]
    found = {"machine": about, "method": METHOD, "cases": cases, "problems": problems}
    script.tell(found, _show, as_json=as_json)
    sys.exit(1 if problems else 0)


def run(seconds: float, rate: int) -> dict[str, Any]:
    """Saturate a pipeline for so many seconds; return all that there is to tell, as plain data."""
    return {"rate": rate, **endure(seconds, {"exchange.rate": rate})}


def _show(report: Mapping[str, Any], console: Console) -> None:
    console.print(f"{machine.in_words(report['machine'])}\n\n{METHOD}\n")
    for name, case in report["cases"].items():
        _show_case(name, case, console)


def _show_case(name: str, report: Mapping[str, Any], console: Console) -> None:
    samples = report["samples"]
    table = Table(title=f"case {name}", title_justify="left")
    rings = list(report["capacities"])
    for column in ("s", "records", "PSS MB", "own MB", *rings):
        table.add_column(column, justify="right")
    # Twenty rows at most, whatever the duration.
    step = max(1, -(-len(samples) // 20))
    for each in samples[::step]:
        table.add_row(
            f"{each['seconds']:.0f}",
            f"{each['records']:,}",
            f"{each['pss_mb']:.1f}",
            f"{each['own_mb']:.1f}",
            *(f"{each['depths'][ring]:,}" for ring in rings),
        )
    console.print(table, "")
    rate, rise = report["achieved_rate"], report["growth"]
    if rate is not None:
        offered = f", of {report['rate']:,} offered" if "rate" in report else ""
        console.print(f"{rate:,.0f} market records a second{offered}")
    if summary := report["summary"]:
        latency = summary["tick_to_order"]
        console.print(
            f"{summary['orders']:,} orders, {summary['fills']:,} fills, {summary['denied']:,} "
            f"denied; tick to order p50 {latency['p50_us']}, p99 {latency['p99_us']} us"
        )
    if rise is not None:
        console.print(
            f"memory: {rise['mb']:+g} MB after the warm-up, {rise['mb_per_minute']:+g} MB a minute"
        )
    if "faults" in report:
        _show_feed(report, console)
    for problem in report["problems"]:
        console.print(f"FAILED: {problem}", style="bold red")
    if not report["problems"]:
        console.print("nothing grew, nothing was lost")
    console.print()


def _show_feed(report: Mapping[str, Any], console: Console) -> None:
    def listed(counts: Mapping[str, int]) -> str:
        return ", ".join(f"{name} {count:,}" for name, count in counts.items() if count) or "none"

    console.print(
        f"{report['messages']:,} messages, {report['messages_per_s'] or 0:,} a second; "
        f"{report['trades']:,} trades, {report['quotes']:,} quotes, {report['crossed']} crossed\n"
        f"faults: {listed(report['faults'])}\n"
        f"STALE: {listed(report['stales'])}; RESYNC {report['resyncs']:,}; "
        f"malformed {report['malformed']:,}; connections made again {report['recoveries']:,}\n"
        f"trades twice {report['trades_repeated']:,}, missing {report['trades_missing']:,} (of an "
        "exchange that sends as fast as it is read, more than a venue's limits let one ask for)"
    )


if __name__ == "__main__":
    main()
