"""From measurements to results, from these to what was expected, and all of it in tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from perf import machine, script
from perf.stream.clients import BOT4, CCXT, WEBSOCKETS
from perf.stream.frames import BLOCK, DEPTH, KINDS, LEVELS, QUOTE, SYMBOLS, TRADE
from perf.stream.sender import GRACE_S
from perf.stream.session import Measured

_COUNTS = Counter(KINDS)

METHOD = f"""\
A process sends Binance's combined stream of {len(SYMBOLS)} symbols over loopback, as frames that
were encoded beforehand: of {BLOCK} messages {_COUNTS[QUOTE]} best prices, {_COUNTS[TRADE]} trades,
{_COUNTS[DEPTH]} updates of books with {LEVELS} levels a side. Only ids go on. A client is a process
of its own; the two are pinned to a CPU each.
blast: as fast as the client takes it. paced: each message is due at its time, whatever became of
those before; what was not taken {GRACE_S:g} s after the last was due is lost.
Latency: from when a message was due, so the sender's delay and all queues count, to the publication
stamp of its record, for peers to when the user's code has it. Updates of books make no record.
per core: messages/s handled, by the CPU time of the client's process, its system calls included.
late p99: of the sender, from when a message was due to when it began to send it. It is part of each
latency; a client that takes its time makes it larger, and so do other processes on the machine.
waited: how long in all the client could have run, but another process had its CPU; far above 0 its
latencies are that one's.
{BOT4}: the feed's lines with a decoder, books, arbiter, outbox, two rings and the table of quotes.
Records are taken from the rings by polling: waking a consumer is not part of it.
{WEBSOCKETS}: typed messages, floats, a dict for each side of a book; no checks. On
asyncio's own loop, as {BOT4} is.
{CCXT}: its Binance with its addresses changed to the sender's; trades, best prices and books are
watched. lost: messages not read, and trades that the user never got though he got later ones (it
keeps the last 1,000); best prices that were replaced before he could look are not counted.
Excluded: starting, connecting, the first snapshots."""

BLAST_RATE, CCXT_TIMES = 300_000, 10
PACED_RATE, PACED_P50_US, PACED_P99_US = 12_000, 100, 500

Result = dict[str, Any]


def summary(measured: Measured) -> Result:
    """Return one measurement as data. A blast has no due times: its latencies are None."""
    late = measured.rate is not None
    percentiles = measured.percentiles_ns or (None, None, None)
    return {
        "client": measured.client,
        "mode": "paced" if late else "blast",
        "rate": measured.rate,
        "msgs_per_s_per_core": round(measured.read * 1e9 / max(1, measured.cpu_ns)),
        **{
            f"{name}_us": None if ns is None else round(ns / 1e3, 1)
            for name, ns in zip(("p50", "p95", "p99"), percentiles, strict=True)
        },
        "lost": measured.lost,
        "sent": measured.sent,
        "read": measured.read,
        "late_p99_us": round(measured.late_p99_ns / 1e3, 1) if late else None,
        "waited_ms": round(measured.waited_ns / 1e6, 1),
    }


def expectations(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return what was expected and what was measured; `met` is None if a figure is missing."""
    figures = {(each["client"], each["rate"]): each for each in results}
    blast, peer = figures.get((BOT4, None)), figures.get((CCXT, None))
    paced = figures.get((BOT4, PACED_RATE))
    rate = blast["msgs_per_s_per_core"] if blast else None
    times = rate / peer["msgs_per_s_per_core"] if rate is not None and peer else None
    lost = paced["lost"] if paced else None
    return [
        _expected(
            f"blast: at least {BLAST_RATE:,} messages/s/core",
            None if rate is None else f"{rate:,}",
            None if rate is None else rate >= BLAST_RATE,
        ),
        _expected(
            f"blast: at least {CCXT_TIMES} times {CCXT}",
            None if times is None else f"{times:.1f} times",
            None if times is None else times >= CCXT_TIMES,
        ),
        _below(f"at {PACED_RATE:,}/s: p50", paced, "p50_us", PACED_P50_US),
        _below(f"at {PACED_RATE:,}/s: p99", paced, "p99_us", PACED_P99_US),
        _expected(
            f"at {PACED_RATE:,}/s: nothing lost",
            None if lost is None else f"{lost:,} lost",
            None if lost is None else lost == 0,
        ),
    ]


def show(report: Mapping[str, Any], console: Console) -> None:
    """Print a report for a reader."""
    console.print(machine.in_words(report["machine"]))
    console.print(f"{report['date']}\n\n{METHOD}\n")
    table = Table(title=f"{report['seconds']:g} s each", title_justify="left")
    table.add_column("client", no_wrap=True)
    columns = ("msgs/s", "per core", "p50", "p95", "p99", "late p99", "waited", "lost")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    before = None
    for each in report["results"]:
        if before not in (None, each["rate"]):
            table.add_section()
        before = each["rate"]
        table.add_row(
            each["client"],
            "blast" if each["rate"] is None else f"{each['rate']:,}",
            f"{each['msgs_per_s_per_core']:,}",
            *(_time(each[name]) for name in ("p50_us", "p95_us", "p99_us", "late_p99_us")),
            _time(each["waited_ms"] * 1e3),
            f"{each['lost']:,}",
            style="bold" if each["client"] == BOT4 else "",
        )
    console.print(table)
    console.print()
    script.show_end(report, console)


def _expected(what: str, measured: str | None, met: bool | None) -> dict[str, Any]:
    return {"expected": what, "measured": measured, "met": met}


def _below(what: str, result: Result | None, figure: str, limit: int) -> dict[str, Any]:
    value = result[figure] if result else None
    return _expected(
        f"{what} < {limit} us",
        None if value is None else f"{value:,} us",
        None if value is None else value < limit,
    )


def _time(us: float | None) -> str:
    if us is None:
        return ""
    return f"{us / 1e3:,.{0 if us >= 100_000 else 1}f} ms" if us >= 1_000 else f"{us:.0f} us"
