"""A pipeline in one process for the tests of the runtime: its segment, its stages, and a source.

Its stages are those of `pipeline.topology`, turned by hand, in an order that a test decides. With
ticks an hour apart nothing depends on how long a test takes.
"""

from __future__ import annotations

import contextlib
import json
import random
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from pipeline import _native, runtime, topology
from pipeline.admission import BreakerMasks
from pipeline.breakers.settings import begin
from pipeline.config import Config
from pipeline.records import CONTEXT, FEATURES, MARKET, Array
from pipeline.replay import Driver
from pipeline.stage import TICK, Stage
from pipeline.vocabulary import MarketKind, Side
from shm import Layout, Segment
from workers._native import Publisher
from workers.executor.reference import PaperExecutor
from workers.ml.stage import Strategies
from workers.risk.stage import Risk
from workers.ta.reference import TechnicalAnalysis

HOUR_MS = 3_600_000

PATIENCE_S = 60.0
POLLS_A_SECOND = 500

RECEIVED_NS = 10**18
"""When a desk's market records are received: one ns after the other, and never long ago."""

CLOCKS = ("stamped_ns", "created_ns")
"""What of a record follows from the clock of the steps, and so differs from run to run."""

Action = Callable[[np.void, np.void | None, _native.State, _native.Emit], None]


def config(**tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return a resolved configuration that trades often, changed by `tables`: ml={...}."""
    changes: dict[str, Mapping[str, Any]] = {
        "pipeline": {"tick_ms": HOUR_MS, "market_capacity": 4096, "capacity": 1024},
        "ta": {
            "trades_per_bar": 2,
            "correlation_ms": 10,
            "fast": 2,
            "slow": 4,
            "rsi": 3,
            "atr": 3,
        },
        "ml": {
            "ttl_ms": HOUR_MS,
            "strategy": "moving-average",
            "model": "",
            "order_notional": "1000",
            "cost_margin_bp": 0,
            "stop_atr_bp": 30_000,
            "target_atr_bp": 1_000_000,  # no exit of the stage meets one of the venue's
            "kelly_bp": 0,
        },
        "risk": {
            "stale_ms": HOUR_MS,
            "state_stale_ms": HOUR_MS,
            "stop_distance_bp": 5000,
            # A test trades more in a moment than a strategy does in a day.
            **dict.fromkeys(("daily_loss", "weekly_loss", "monthly_loss"), "0"),
            **dict.fromkeys(
                (
                    *("strategy_rate", "symbol_rate", "venue_rate", "global_rate", "dup_count"),
                    *("repeated", "losses", "stop_cooldown_s", "spread_factor", "slippage_bp"),
                    *("per_symbol", "risk_bp", "jump_bp"),
                ),
                0,
            ),
        },
    }
    # Past the model: it would refuse an hour between ticks, and rings of a few records.
    resolved = Config().resolved()
    for table in (*changes, *tables):
        resolved[table] |= {**changes.get(table, {}), **tables.get(table, {})}
    return resolved


def layout(resolved: Mapping[str, Any]) -> Layout:
    """Return the segment's layout, nobody pinned."""
    return topology.layout(resolved, dict.fromkeys(topology.PIPELINE, ()))


def reference(stage: Stage) -> object:
    """Return the Python kernel of one of the four stages."""
    if stage.name == "ta":
        return TechnicalAnalysis(stage.config["ta"], stage.instruments)
    if stage.name == "ml":
        assert isinstance(stage, Strategies)
        return stage.reference()
    if stage.name == "risk":
        assert isinstance(stage, Risk)
        return stage.reference()
    slippage_bp = stage.config["executor"]["slippage_bp"]
    return PaperExecutor(slippage_bp, BreakerMasks.of(stage.config), stage.instruments)


Trade = tuple[int, int, int, int]
"""instrument, price, quantity, aggressor"""


def walk(seed: int, count: int) -> list[Trade]:
    """Return trades of three instruments whose prices go up and down in waves."""
    rng = random.Random(seed)
    prices, trends = [6_000_000, 300_000, 15_000], [1, -1, 1]
    trades = []
    for _ in range(count):
        index = rng.randrange(3)
        if rng.random() < 0.1:
            trends[index] = -trends[index]
        step = max(1, prices[index] // 5000)
        prices[index] = max(100, prices[index] + trends[index] * rng.randint(0, step))
        side = Side.BUY if rng.random() < 0.5 else Side.SELL
        trades.append((index, prices[index], rng.randint(1, 1000), int(side)))
    return trades


class Recording:
    """All records of the rings and all contexts, read as an observer reads them."""

    def __init__(self, segment: Segment) -> None:
        self._readers: dict[str, Any] = {
            edge.ring: segment.ring_follower(edge.ring) for edge in topology.EDGES
        }
        for name in topology.STAGES:
            self._readers[name] = segment.observer_reader(f"{name}.contexts", from_oldest=True)
        self._bytes = {name: bytearray() for name in self._readers}

    def read(self) -> None:
        """Read what is new."""
        for name, reader in self._readers.items():
            buffer = np.zeros(4096, reader.dtype)
            copied, lost = reader.read(buffer)
            assert lost == 0, f"{name}: {lost} records were overwritten before they were read"
            # As bytes: joining arrays leaves out what lies between their fields.
            self._bytes[name] += buffer[:copied].tobytes()

    def __getitem__(self, name: str) -> Array:
        """Return the records of a ring, or the contexts of a stage."""
        self.read()
        return np.frombuffer(bytes(self._bytes[name]), self._readers[name].dtype)


class Desk:
    """A segment with a source, and a loop for each stage that was started in it."""

    def __init__(self, segment: Segment, resolved: Mapping[str, Any]) -> None:
        self.segment = segment
        self.config = resolved
        self.loops: dict[str, _native.Loop] = {}
        self._attached: dict[str, Segment] = {}
        self.recording = Recording(segment)
        self.is_recorded = True  # rings of a few records cannot be followed
        # Kept: a role that is dropped gives its lock back.
        self._roles = [
            segment.producer("market"),
            segment.producer("ticks"),
            segment.table_writer("quotes"),
            segment.histograms_writer("feed.latency"),
        ]
        market, ticks, quotes, latency = (role.pointer for role in self._roles)
        self.publisher = Publisher(
            market=market,
            ta=segment.bell("ta").pointer,
            ticks=ticks,
            quotes=quotes,
            latency=latency,
            words=segment.words("feed.words").pointer,
        )
        self._published = 0
        with contextlib.closing(segment.breakers("breakers")) as group:
            begin(group, self.config)

    def start(self, name: str, kernel: object | None = None, **changes: Any) -> tuple[int, int]:
        """Start a stage, as a process of its own would; return what `Loop.recover` does."""
        own = Segment.attach(self.segment.name, run_id=self.segment.run_id)
        self._attached[name] = own
        stage = topology.stage(name, {**self.config, **changes})
        self.loops[name] = runtime.build(stage, own, kernel)
        return self.loops[name].recover()

    def start_all(self, kernels: Callable[[Stage], object] | None = None) -> None:
        """Start every stage."""
        for name in topology.STAGES:
            stage = topology.stage(name, self.config)
            self.start(name, None if kernels is None else kernels(stage))

    def end(self, name: str) -> None:
        """End a stage like a process that dies: what it has not committed is not committed."""
        del self.loops[name]
        self._attached.pop(name).close()

    def end_all(self) -> None:
        """End what was started."""
        for name in list(self._attached):
            self.loops.pop(name, None)
            self._attached.pop(name).close()

    def trade(self, instrument: int, price: int, quantity: int = 1, side: int = 1) -> bool:
        """Publish a trade; False if there is no room."""
        return self._publish(
            MarketKind.TRADE, instrument, price=price, quantity=quantity, aggressor=side
        )

    def quote(self, instrument: int, bid: int, ask: int) -> bool:
        """Publish a quote; False if there is no room."""
        sizes = {"bid_quantity": 500, "ask_quantity": 400}
        return self._publish(MarketKind.QUOTE, instrument, bid=bid, ask=ask, **sizes)

    def _publish(self, kind: MarketKind, instrument: int, **fields: int) -> bool:
        number = self._published + 1
        record = np.zeros(1, MARKET)
        record["kind"], record["instrument"] = kind, instrument
        record["venue_ns"] = 1_000_000 * number
        record["received_ns"] = RECEIVED_NS + record["venue_ns"]
        for name, value in fields.items():
            record[name] = value
        for name in ("venue_sequence", "position"):
            record[name] = number
        is_out = self.publisher.publish(record.view(np.uint8).data)
        self._published += is_out
        return is_out

    def turn(self) -> bool:
        """Turn each stage once; False if none of them had anything to do."""
        were_busy = [loop.turn() for loop in self.loops.values()]
        if self.is_recorded:
            self.recording.read()
        return any(were_busy)

    def settle(self) -> None:
        """Turn all stages until none of them has anything to do."""
        while self.turn():
            pass

    def run(self, trades: list[Trade]) -> None:
        """Publish trades, each with a quote around it, and let all follow from each at once."""
        for index, price, quantity, side in trades:
            assert self.quote(index, price - 1, price + 1)
            assert self.trade(index, price, quantity, side)
            self.settle()

    def word(self, stage: str, word: str) -> int:
        """Return one of a stage's words."""
        return self.segment.words(f"{stage}.words").load(word)

    def state(self, stage: str, group: str) -> Array:
        """Return a stage's committed cells."""
        return self.segment.cells(f"{stage}.{group}", self.word(stage, "committed"))


NewDesk = Callable[..., Desk]


def replayed(
    desk: Desk, name: str, kernel: object | None = None
) -> tuple[dict[str, Array], Driver]:
    """Run what a stage did in a desk again in a Driver; return what that emits, and the Driver."""
    stage = topology.stage(name, desk.config)
    driver = Driver(stage, kernel)
    inputs = {ring: desk.recording[ring] for ring in stage.inputs}
    return driver.run(desk.recording[name], inputs), driver


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {PATIENCE_S} s"
        time.sleep(1 / POLLS_A_SECOND)


def assert_same(ours: Array, others: Array) -> None:
    """Compare records bit for bit."""
    assert ours.dtype == others.dtype
    assert ours.tobytes() == others.tobytes()


def without_clocks(records: Array) -> Array:
    """Return records whose fields from clocks are 0."""
    # Through bytes: a copy leaves what lies between fields as it comes.
    copy = np.frombuffer(bytearray(records.tobytes()), records.dtype)
    for field in CLOCKS:
        if field in (copy.dtype.names or ()):
            copy[field] = 0
    return copy


def context(**fields: int) -> Array:
    """Return one context with these fields, the rest 0."""
    record = np.zeros(1, CONTEXT)
    for name, value in fields.items():
        record[name] = value
    return record


class Probe(Stage):
    """A stage in the place of ta whose kernel is a test's, with state declared in numpy."""

    name = "ta"
    emits: ClassVar = {"market": {"features": 1}, TICK: {}}

    COUNTS: ClassVar = np.dtype([("seen", "<u8"), ("total", "<i8"), ("last", "<i8", (3,))])
    STAGE: ClassVar = np.dtype([("ticks", "<u8")])

    def cells(self) -> dict[str, tuple[np.dtype[np.void], int]]:
        return {"counts": (self.COUNTS, len(self.instruments)), "stage": (self.STAGE, 1)}

    def kernel(self) -> object:
        return Counting()


class Quoted(Probe):
    """The same with quotes in its contexts, and so a tick for each instrument."""

    quotes = True


class Counting:
    """Emits, for each market record, how many and how much of its instrument there were."""

    def step(
        self, context: np.void, event: np.void | None, state: _native.State, emit: _native.Emit
    ) -> None:
        if event is None:
            state.edit("stage", 0)["ticks"] += 1
            return
        # Its index comes as numpy has it.
        counts = state.edit("counts", event["instrument"])
        counts["seen"] += 1
        counts["total"] += event["price"]
        counts["last"][int(counts["seen"]) % 3] = event["price"]
        row = np.zeros(1, FEATURES)
        row["instrument"] = event["instrument"]
        row["received_ns"] = event["received_ns"]
        row["bar"] = counts["seen"]
        row["close"] = counts["total"]
        emit("features", row)


class Doing:
    """A kernel whose step is a function."""

    def __init__(self, action: Action) -> None:
        self.action = action

    def step(
        self, context: np.void, event: np.void | None, state: _native.State, emit: _native.Emit
    ) -> None:
        self.action(context, event, state, emit)


class FailsAt:
    """Another kernel that raises at one step, after that one's outputs and changes."""

    def __init__(self, step: int, kernel: Any) -> None:
        self.at = step
        self.kernel = kernel

    def step(
        self, context: np.void, event: np.void | None, state: _native.State, emit: _native.Emit
    ) -> None:
        self.kernel.step(context, event, state, emit)
        if context["step"] == self.at:
            raise RuntimeError(f"step {self.at} failed")


def encoded(resolved: Mapping[str, Any]) -> bytes:
    """Return a configuration as it lies in the segment."""
    return json.dumps(resolved).encode()
