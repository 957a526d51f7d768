"""From samples to results, from these to what was expected, and all of it in a table."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from perf import machine, script
from perf.chain.queues import CAPACITY_BYTES, INBOXES
from perf.chain.session import RING, WARM_UP_S, Sample

PEER = "faster_fifo"

METHOD = f"""\
Five fresh processes for each measurement, pinned as `affinity = "auto"` pins them; repeats are
interleaved. A paced source in the feed's place publishes records of the simulated market, made
before the start, each when it is due; behind it the real stages. Open loop: the latency of an order
is from the time at which the market record that led to it was due, to the end of the executor's
step on it. The configuration trades all the time: a bar at each trade, an intent at each turn of a
price (at most one under way for each of the three instruments), limits that nothing meets.
{RING}: the processes of `bot4 run`, with contexts, cells, commits, and latencies of every hop.
The peers: the same kernels, stepped from Python through pipeline._native.Replay. In their favour:
no contexts published, no commits, no crash safety, no ticks, no latency but the one; one inbox a
process for all of its rings; all that is there is taken at once; the executor leaves market records
lie until an order comes, or 50 ms. As with the rings, each record is sent by itself and each step
has a context of its own. A batch (--batch) gives that up for the peers: as many records are stepped
through in one call under one reading of the clock, and what comes of them is one message.
Quotes for risk lie in the same shared table for all. A bounded inbox has {CAPACITY_BYTES >> 20} MB.
Excluded: starting the processes, a warm-up of {WARM_UP_S} s at the same rate, sockets, decoding.
lost: records on any edge that were due or published and had not arrived some seconds after the last
was due; latencies are of the orders that did arrive. Figures are medians over the repeats, lost is
of all of them."""

Result = dict[str, Any]

_FIGURES = ("achieved_rate", "p50_us", "p99_us", "p999_us")


def summary(samples: Sequence[Sample]) -> Result:
    """Return medians and spread of the repeats of one measurement."""
    first = samples[0]
    result: Result = {
        "transport": first.transport,
        "wait": first.wait,
        "rate": first.rate,
        "repeats": len(samples),
        "orders": round(statistics.median(sample.orders for sample in samples)),
    }
    for key in _FIGURES:
        values = [value for sample in samples if (value := getattr(sample, key)) is not None]
        result[key] = round(statistics.median(values), 2) if values else None
        result[f"{key}_spread"] = [min(values), max(values)] if values else None
    result["lost"] = sum(sample.lost for sample in samples)
    result["hops"] = {
        ring: {
            key: _median(sample.hops[ring][place] for sample in samples)
            for place, key in enumerate(("p50_us", "p99_us"))
        }
        for ring in first.hops
    }
    return result


def expectations(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return what was expected of the rings, and what was measured; `met` is None without it."""
    found = {(each["transport"], each["rate"]): each for each in results}
    expected = [(10_000, "p50_us", 2.0), (10_000, "p99_us", 2.0), (50_000, "p50_us", 20.0)]
    judged = [
        _judged(
            f"{name.removesuffix('_us')} at {rate:,}/s: at most 1/{least:g} of {PEER}'s",
            gain,
            least,
        )
        for rate, name, least in expected
        for gain in [_gain(found.get((RING, rate)), found.get((PEER, rate)), name)]
    ]
    own = [each["lost"] for each in results if each["transport"] == RING]
    judged.append(
        {
            "expected": f"{RING}: nothing lost",
            "measured": sum(own) if own else None,
            "met": sum(own) == 0 if own else None,
        }
    )
    return judged


def show(report: Mapping[str, Any], console: Console) -> None:
    """Print a report for a reader."""
    console.print(machine.in_words(report["machine"]))
    placed = ", ".join(
        f"{name} {','.join(map(str, cpus))}" for name, cpus in report["affinity"].items()
    )
    console.print(f"CPUs: {placed}\n\n{METHOD}\n")
    for name, how in report["methods"].items():
        console.print(f"{name}: {how}")
    table = Table(
        title=f"tick to order, us; peers step through {report['batch']} at once",
        title_justify="left",
    )
    table.add_column("records/s", justify="right", no_wrap=True)
    table.add_column("transport", no_wrap=True)
    for column in ("achieved", "orders/s", "p50", "p99", "p99.9", "lost"):
        table.add_column(column, justify="right", no_wrap=True)
    before = None
    for each in sorted(report["results"], key=lambda each: int(each["rate"])):
        if before is not None and each["rate"] != before:
            table.add_section()
        before = each["rate"]
        table.add_row(
            f"{each['rate']:,}",
            each["transport"],
            f"{each['achieved_rate']:,.0f}",
            f"{each['orders'] / report['seconds']:,.0f}",
            _us(each["p50_us"]),
            _us(each["p99_us"]),
            _us(each["p999_us"]),
            f"{each['lost']:,}",
            style="bold" if each["transport"] == RING else "",
        )
    console.print("", table)
    for each in report["results"]:
        if each["hops"]:
            hops = ", ".join(
                f"{ring} {_us(hop['p50_us'])} / {_us(hop['p99_us'])}"
                for ring, hop in each["hops"].items()
            )
            console.print(f"{each['transport']} at {each['rate']:,}/s, p50 / p99 of hops: {hops}")
    script.show_end(report, console)


def methods(names: Iterable[str]) -> dict[str, str]:
    """Return how each peer is used, in a line."""
    return {name: INBOXES[name].method for name in names if name in INBOXES}


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(statistics.median(known), 2) if known else None


def _gain(own: Result | None, peer: Result | None, figure: str) -> float | None:
    """Return how many times shorter ours is."""
    if own is None or peer is None or not own[figure] or peer[figure] is None:
        return None
    return float(peer[figure] / own[figure])


def _judged(expected: str, gain: float | None, least: float) -> dict[str, Any]:
    if gain is None:
        return {"expected": expected, "measured": None, "met": None}
    return {"expected": expected, "measured": f"1/{gain:.1f}", "met": gain >= least}


def _us(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}" if value < 1000 else f"{value:,.0f}"
