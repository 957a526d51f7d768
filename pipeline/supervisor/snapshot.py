"""What a run looks like at one moment: read from the segment, measured where it happened."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psutil

from pipeline import topology
from pipeline.breakers.health import Distance, distances
from pipeline.instruments import money_to_text
from pipeline.kill.positions import committed
from pipeline.kill.words import mode
from pipeline.notify.notifier import COUNTS
from pipeline.stage import Stage
from pipeline.supervisor.account import Account, account
from pipeline.vocabulary import BOOKS, Mode
from shm import GlobalState, Histogram, Segment

_NS = 1_000


@dataclass(frozen=True, slots=True)
class ProcessState:
    """One process. Latencies are from an input's publication to that of an output."""

    pid: int
    cpus: tuple[int, ...]
    restarts: int
    records_in: int
    records_out: int
    through: Histogram | None


@dataclass(frozen=True, slots=True)
class RingState:
    """One ring: records waiting now and at most, and the time from publication to being taken."""

    depth: int
    high_water: int
    hop: Histogram


@dataclass(frozen=True, slots=True)
class Book:
    """What one way to score would have earned at closes, net of costs, in bp of what was put in."""

    trades: int
    result_bp: float
    open_bp: float

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {
            "trades": self.trades,
            "result_bp": round(self.result_bp, 3),
            "open_bp": round(self.open_bp, 3),
        }


Books = Mapping[str, Book]
"""Way to score -> its book: technical analysis only, the model only, both."""


@dataclass(frozen=True, slots=True)
class Answers:
    """How often the model was asked, and how often it had no answer, or was too old for one.

    The rest is of a model in a process of its own: of the missing answers, those that were late,
    those that were none, and those for which there was no room to ask; and answers that nobody
    waited for any more.
    """

    asked: int
    missing: int
    stale: int
    late: int = 0
    refused: int = 0
    unasked: int = 0
    ignored: int = 0

    @property
    def word(self) -> str:
        """What to call that."""
        if self.stale:
            return "stale"
        if not self.asked:
            return "none"
        if self.missing < self.asked:
            return "in use"
        # Rows that lack a feature, as at the beginning, are no fault of anybody.
        return "degraded" if self.late or self.refused or self.unasked else "warming up"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole run.

    Money is in 1e-8 of the currency, positions in lots by symbol, the states of the breakers by
    component, in lower case. `feed` is what the feed has counted: topology.FEED_COUNTERS. `books`
    are those of each instrument, by symbol. `mode` is the run's, of which risk's own is a part;
    `nearest` is the component, and the quantity, that is nearest to the limit of its health;
    `notices` is how many were delivered, failed and dropped, None if nobody is to be told. `bars`
    is how many have closed, how many trades came too late for any, and how often the indicators
    began anew: after a loss, a long gap, or a clock set back.
    """

    time_ns: int
    processes: Mapping[str, ProcessState]
    rings: Mapping[str, RingState]
    feed: Mapping[str, int]
    tick_to_order: Histogram
    orders: int
    fills: int
    denied: int
    equity_e8: int
    pnl_e8: int
    positions: Mapping[str, int]
    model: Answers
    books: Mapping[str, Books]
    breakers: Mapping[str, str]
    global_breaker: str
    mode: Mode
    account: Account
    nearest: tuple[str, Distance] | None
    bars: Mapping[str, int]
    notices: Mapping[str, int] | None

    def total(self) -> Books:
        """Return the books of all instruments together."""
        sums: dict[str, Book] = {}
        for books in self.books.values():
            for name, book in books.items():
                so_far = sums.get(name, Book(0, 0.0, 0.0))
                sums[name] = Book(
                    so_far.trades + book.trades,
                    so_far.result_bp + book.result_bp,
                    so_far.open_bp + book.open_bp,
                )
        return sums

    def stages(self) -> dict[str, Any]:
        """Return the processes as JSON data."""
        return {
            name: {
                "pid": state.pid,
                "cpu": state.cpus[0] if len(state.cpus) == 1 else list(state.cpus),
                "restarts": state.restarts,
                "records_in": state.records_in,
                "records_out": state.records_out,
                "p50_us": percentile_us(state.through, 50),
                "p99_us": percentile_us(state.through, 99),
            }
            for name, state in self.processes.items()
            if name in topology.SHOWN
        }

    def latency(self) -> dict[str, Any]:
        """Return tick to order as JSON data; null figures without an order."""
        return {
            "count": self.tick_to_order.count,
            "p50_us": percentile_us(self.tick_to_order, 50),
            "p99_us": percentile_us(self.tick_to_order, 99),
            "p999_us": percentile_us(self.tick_to_order, 99.9),
        }

    def money(self, currency: str) -> dict[str, Any]:
        """Return the account as JSON data, in decimal strings."""
        return {
            "currency": currency,
            "pnl": money_to_text(self.pnl_e8),
            "equity": money_to_text(self.equity_e8),
        }


def percentile_us(histogram: Histogram | None, percent: float) -> float | None:
    """Return a percentile in microseconds; None if nothing was recorded."""
    value = None if histogram is None else histogram.percentile(percent)
    return None if value is None else round(value / _NS, 3)


def snapshot(segment: Segment, config: Mapping[str, Any], stages: Mapping[str, Stage]) -> Snapshot:
    """Read the state of a run. It may be running: figures of different places differ in time."""
    restarts = segment.counters("restarts")
    affinity = config["affinity"]
    latencies = {name: segment.histograms(f"{name}.latency") for name in topology.PIPELINE}
    edges = topology.edges(config)
    tails = {each.ring: _published(segment, each.ring) for each in edges}
    feed = segment.counters("feed.counters")
    processes = {}
    for name in topology.processes(config):
        words = segment.words(f"{name}.words")
        if name == "exchange":
            counts, through = (0, 0), None
        elif name == topology.MODEL:
            counts = (tails["questions"] - segment.depth("questions"), tails["answers"])
            through = None
        elif name == "feed":
            counts = (feed["messages"], tails["market"])
            through = latencies[name]["through"]
        else:
            taken = sum(tails[ring] - segment.depth(ring) for ring in stages[name].inputs)
            counts = (taken, sum(tails[each.ring] for each in topology.outputs_of(name, edges)))
            through = latencies[name]["through"]
        processes[name] = ProcessState(
            words.load("pid"), tuple(affinity[name]), restarts[name], *counts, through
        )
    rings = {
        ring: RingState(
            segment.depth(ring), segment.high_water(ring), latencies[name][f"hop.{ring}"]
        )
        for name, stage in stages.items()
        for ring in stage.inputs
    }
    if topology.MODEL in processes:
        ring = "questions"  # whose hop is not measured: an answer takes far longer
        rings[ring] = RingState(segment.depth(ring), segment.high_water(ring), Histogram.merged(()))
    books = account(segment, stages)
    held = committed(segment, "risk", "instruments")["position"]
    return Snapshot(
        time.monotonic_ns(),
        processes,
        rings,
        feed,
        latencies["executor"]["tick_to_order"],
        books.approved,
        books.fills,
        sum(books.denied.values()),
        books.equity_e8,
        books.equity_e8 - books.opening_e8 - books.flows_e8,
        {
            instrument.symbol: int(position)
            for instrument, position in zip(stages["risk"].instruments, held, strict=True)
        },
        _answers(segment),
        _books(segment, [each.symbol for each in stages["ml"].instruments]),
        *_breakers(segment),
        max(mode(segment), books.mode),
        books,
        _nearest(segment, config),
        _bars(segment),
        _notices(segment, config),
    )


def memory_mb(pids: list[int]) -> float:
    """Return the proportional set size of some processes and this one together, in MB."""
    total = 0
    for pid in [os.getpid(), *pids]:
        with contextlib.suppress(psutil.Error):
            total += psutil.Process(pid).memory_full_info().pss
    return round(total / 1e6, 1)


def _published(segment: Segment, ring: str) -> int:
    follower = segment.ring_follower(ring)
    try:
        return follower.position
    finally:
        follower.close()


def _answers(segment: Segment) -> Answers:
    state, stage = committed(segment, "ml", "instruments"), committed(segment, "ml", "stage")[0]
    return Answers(
        *(int(state[name].sum()) for name in ("asked", "missing", "stale")),
        *(int(stage[name]) for name in ("late", "refused", "unasked", "ignored")),
    )


def _books(segment: Segment, symbols: list[str]) -> dict[str, Books]:
    cells = committed(segment, "ml", "books").reshape(len(symbols), len(BOOKS))
    return {
        symbol: {
            name: Book(int(cell["trades"]), float(cell["result_bp"]), float(cell["open_bp"]))
            for name, cell in zip(BOOKS, row, strict=True)
        }
        for symbol, row in zip(symbols, cells, strict=True)
    }


def _bars(segment: Segment) -> dict[str, int]:
    state = committed(segment, "ta", "bars")
    return {
        "closed": int(state["bars"].sum()),
        "late_trades": int(state["late"].sum()),
        "restarts": int(state["restarts"].sum()),
    }


def _notices(segment: Segment, config: Mapping[str, Any]) -> dict[str, int] | None:
    if not config["notify"]["command"]:
        return None
    words = segment.words("notices")
    return {name: words.load(name) for name in COUNTS}


def _nearest(segment: Segment, config: Mapping[str, Any]) -> tuple[str, Distance] | None:
    found = [
        (component, each)
        for component, quantities in distances(segment, config).items()
        for each in quantities
        if each.value and each.limit
    ]
    return max(found, key=lambda of: (of[1].value or 0) / of[1].limit, default=None)


def _breakers(segment: Segment) -> tuple[dict[str, str], str]:
    group = segment.breakers("breakers", observe=True)
    try:
        states = {name: group.breaker(name).state.name.lower() for name in group.names}
        return states, GlobalState(group.state()).name.lower()
    finally:
        group.close()
