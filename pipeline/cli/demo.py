"""`bot4 demo`: the ring between two processes, and its latencies while it runs."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table

from pipeline import affinity, demo
from pipeline.cli.failure import exit_with_message
from pipeline.config import load
from shm import Histogram, choose

_ROWS = {
    "there": "source -> echo",
    "back": "echo -> source",
    "round_trip": "round trip since due",
}
_PERCENTILES = (50.0, 99.0, 99.9)


def _finite(context: click.Context, option: click.Parameter, value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"was {value}, must be a number of seconds")
    return value


@click.command("demo")
@click.option(
    "--duration",
    type=click.FloatRange(min=0),
    callback=_finite,
    help="Seconds, from the first record on. [default: until interrupted]",
)
@click.option(
    "--rate",
    type=click.IntRange(1, 1_000_000),
    default=10_000,
    show_default=True,
    help="Records a second.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.pass_obj
def command(config_file: Path | None, duration: float | None, rate: int, as_json: bool) -> None:
    """Send records from one pinned process to another and back, and time every hop.

    Rings, doorbells, histograms and the segment are those that the pipeline is made of. Ends with
    a table; nothing may be lost or come out of order.
    """
    with exit_with_message():
        config = load(config_file)
        cpus = affinity.resolve(config.affinity(), demo.PROCESSES, sorted(os.sched_getaffinity(0)))
        console = Console(stderr=as_json)
        waits = ", ".join(
            f"{process} on CPU {','.join(map(str, cpus[process]))}" for process in demo.PROCESSES
        )
        console.print(
            f"{waits}; echo waits by {choose(cpus, 'echo').name}; {rate:,} records of "
            f"{demo.MESSAGE.itemsize} bytes a second"
            + (f" for {duration:g} s" if duration is not None else "; Ctrl-C ends it"),
            highlight=False,
            soft_wrap=True,
        )
        if console.is_terminal and not as_json:
            with Live(console=console, transient=True, auto_refresh=False) as live:
                progress = demo.run(
                    config.name,
                    cpus,
                    rate,
                    duration,
                    lambda now: live.update(_table(now), refresh=True),
                    every=0.5,
                )
        else:
            progress = demo.run(
                config.name,
                cpus,
                rate,
                duration,
                lambda now: console.print(_line(now), highlight=False),
                every=5.0,
            )
        if as_json:
            click.echo(json.dumps(_to_json(progress)))
        else:
            console.print(_table(progress))


def _line(progress: demo.Progress) -> str:
    trip = progress.latency["round_trip"]
    return (
        f"{progress.seconds:6.1f} s  {progress.received:,} of {progress.sent:,} back, "
        f"round trip p50 {_microseconds(trip, 50)} us, p99 {_microseconds(trip, 99)} us"
    )


def _table(progress: demo.Progress) -> Table:
    rate = progress.received / progress.seconds if progress.seconds else 0
    table = Table(
        title=f"{progress.received:,} of {progress.sent:,} records back in "
        f"{progress.seconds:.1f} s ({rate:,.0f}/s), {progress.out_of_order} out of order",
        caption="microseconds; ring depth at most "
        + ", ".join(f"{depth} {ring}" for ring, depth in progress.depth_high_water.items()),
    )
    table.add_column("hop")
    for heading in ("records", *(f"p{percent:g}" for percent in _PERCENTILES), "max"):
        table.add_column(heading, justify="right")
    for name, label in _ROWS.items():
        histogram = progress.latency[name]
        table.add_row(
            label,
            f"{histogram.count:,}",
            *(_microseconds(histogram, percent) for percent in (*_PERCENTILES, 100.0)),
        )
    return table


def _microseconds(histogram: Histogram, percent: float) -> str:
    value = histogram.percentile(percent)
    return "-" if value is None else f"{value / 1000:,.1f}"


def _to_json(progress: demo.Progress) -> Mapping[str, object]:
    return {
        "seconds": round(progress.seconds, 3),
        "sent": progress.sent,
        "received": progress.received,
        "out_of_order": progress.out_of_order,
        "depth_high_water": progress.depth_high_water,
        "latency_ns": {
            name: {
                "count": histogram.count,
                "p50": histogram.percentile(50),
                "p99": histogram.percentile(99),
                "p999": histogram.percentile(99.9),
                "max": histogram.high,
            }
            for name, histogram in progress.latency.items()
        },
    }
