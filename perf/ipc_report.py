"""From samples to results, from these to what was expected, and all of it in tables."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from perf import machine, script
from perf.session import Mode, Sample
from perf.transports.base import BATCH, PERIOD, SIZES

OURS, PEER = "bot4_ring", "faster_fifo"

METHOD = f"""\
Two fresh processes for each transport and repeat, each pinned to a CPU; repeats are interleaved.
per_record: one record a call on both sides. batch: {BATCH:,} records a call, or in a message. Both
from the first send to the last comparison, in records. round_trip: a record there and one back,
then the next: a closed loop by nature; percentiles are of all trips of a repeat.
Included: the loops in Python, the comparison of every byte received with what was due ({PERIOD:,}
different records over and over: nothing lost, repeated, out of order), a clock reading a trip.
Excluded: starting the processes, connecting, building the records, a warm-up of each measurement.
Figures are medians over the repeats; the spread is the smallest and the largest of them."""

Result = dict[str, Any]
Figures = dict[tuple[str, int, str], Result]


def summary(transport: str, samples: Sequence[Sample]) -> Result:
    """Return medians and spread of the repeats of one measurement."""
    first = samples[0]
    result: Result = {
        "transport": transport,
        "record_bytes": first.record_bytes,
        "mode": first.mode.value,
        "repeats": len(samples),
        "count": round(statistics.median(sample.count for sample in samples)),
    }
    for key in ("msgs_per_s", "p50_ns", "p99_ns", "p999_ns"):
        values = [value for sample in samples if (value := getattr(sample, key)) is not None]
        result[key] = round(statistics.median(values)) if values else None
        if values:
            result[f"{key}_min"] = round(min(values))
            result[f"{key}_max"] = round(max(values))
    return result


def expectations(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return what was expected of the ring and what was measured, by record size.

    `met` is true if all sizes meet it, and None if a figure is missing.
    """
    figures = _by_measurement(results)
    faster = {size: _gain(figures, OURS, size, Mode.PER_RECORD) for size in SIZES}
    shorter = {size: _gain(figures, OURS, size, Mode.ROUND_TRIP) for size in SIZES}
    batch = figures.get((OURS, 64, Mode.BATCH))
    millions = {64: batch["msgs_per_s"] / 1e6 if batch else None}
    return [
        _judged("per_record: at least 25 times faster-fifo's rate", 25, "{} times", faster),
        _judged("round_trip: at most 1/50 of faster-fifo's p50", 50, "1/{}", shorter),
        _judged("batch: at least 50 million records of 64 bytes a second", 50, "{} M", millions),
    ]


def show(report: Mapping[str, Any], console: Console) -> None:
    """Print a report for a reader."""
    console.print(machine.in_words(report["machine"]))
    sender, receiver = report["machine"]["pinned_to"]
    if sender == receiver:
        console.print(f"Both processes on CPU {sender}, the only one: figures are of that.")
    else:
        console.print(f"Sender on CPU {sender}, receiver on CPU {receiver}")
    console.print(f"\n{METHOD}\n")
    for name, how in report["methods"].items():
        console.print(f"{name}: {how}")
    repeats = sorted({each["repeats"] for each in report["results"]})
    console.print(
        f"\n{' or '.join(map(str, repeats))} repeats, each measurement {report['seconds']} s\n"
    )
    figures = _by_measurement(report["results"])
    for mode in Mode:
        console.print(_table(mode, figures), "")
    script.show_end(report, console, _measured)


def _by_measurement(results: Sequence[Result]) -> Figures:
    return {(each["transport"], each["record_bytes"], each["mode"]): each for each in results}


def _gain(figures: Figures, name: str, size: int, mode: Mode) -> float | None:
    """Return how many times better than the peer a transport is, None if one was not measured."""
    own, peer = figures.get((name, size, mode)), figures.get((PEER, size, mode))
    if own is None or peer is None:
        return None
    if mode is Mode.ROUND_TRIP:
        return float(peer["p50_ns"] / own["p50_ns"])
    return float(own["msgs_per_s"] / peer["msgs_per_s"])


def _judged(
    expected: str, least: int, unit: str, measured: Mapping[int, float | None]
) -> dict[str, Any]:
    known = [value for value in measured.values() if value is not None]
    return {
        "expected": expected,
        "least": least,
        "unit": unit,
        "measured": {str(size): value and round(value, 1) for size, value in measured.items()},
        "met": min(known) >= least if len(known) == len(measured) else None,
    }


def _measured(expectation: Mapping[str, Any]) -> str:
    measured = ", ".join(
        f"{expectation['unit'].format(value)} ({size} bytes)"
        for size, value in expectation["measured"].items()
        if value is not None
    )
    return measured or "nothing"


def _table(mode: Mode, figures: Figures) -> Table:
    trips = mode is Mode.ROUND_TRIP
    table = Table(title=mode.value, title_justify="left")
    table.add_column("bytes", justify="right")
    table.add_column("transport", no_wrap=True)
    columns = ["p50", "p50 spread", "p99", "p99.9"] if trips else ["records/s", "spread"]
    for column in (*columns, f"{'shorter' if trips else 'faster'}\nthan {PEER}"):
        table.add_column(column, justify="right", no_wrap=True)
    for size in SIZES:
        for (name, of_size, of_mode), result in figures.items():
            if (of_size, of_mode) == (size, mode):
                gain = _gain(figures, name, size, mode)
                cells = _trip_cells(result) if trips else _rate_cells(result)
                style = "bold" if name == OURS else ""
                table.add_row(str(size), name, *cells, _times(gain), style=style)
        table.add_section()
    return table


def _rate_cells(result: Result) -> list[str]:
    spread = f"{_rate(result['msgs_per_s_min'])} .. {_rate(result['msgs_per_s_max'])}"
    return [_rate(result["msgs_per_s"]), spread]


def _trip_cells(result: Result) -> list[str]:
    spread = f"{_time(result['p50_ns_min'])} .. {_time(result['p50_ns_max'])}"
    return [_time(result["p50_ns"]), spread, _time(result["p99_ns"]), _time(result["p999_ns"])]


def _rate(per_second: int) -> str:
    if per_second >= 1_000_000:
        return f"{_three_digits(per_second / 1e6)} M"
    return f"{_three_digits(per_second / 1e3)} k"


def _time(ns: int) -> str:
    for unit, size in (("ms", 1_000_000), ("us", 1_000)):
        if ns >= size:
            return f"{_three_digits(ns / size)} {unit}"
    return f"{ns} ns"


def _times(gain: float | None) -> str:
    return "" if gain is None else f"{_three_digits(gain)} x"


def _three_digits(value: float) -> str:
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f}"
