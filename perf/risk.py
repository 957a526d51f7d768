"""What a risk check costs, with the reservation that follows it.

Prints a table, or --json. Ends with 1 if the mix was not what it claims to be, and with 0 whatever
the other figures are.
"""

from __future__ import annotations

import sys
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.append(str(Path(__file__).resolve().parent.parent))  # for: python perf/risk.py

from perf import machine, risk_peers, script
from pipeline.config.model import Config
from pipeline.records import CONTEXT, CORRELATIONS, EXECUTION, INTENT, TICK, Array
from pipeline.replay import Driver
from pipeline.vocabulary import Denial, ExecutionKind, OutcomeKind
from shm import GlobalState
from workers.risk.stage import Risk

CHECKS, QUICK_CHECKS, ROUNDS = 100_000, 5_000, 5
REFERENCE_CHECKS, NAUTILUS_CHECKS, IDLE_STEPS = 2_000, 10_000, 10_000
INSTRUMENTS, OPEN_ORDERS, CHUNK, BATCH = 50, 200, 100, 64
SEED = 20261123
BID, ASK = 99_990, 100_010  # ticks of 0.01
STEP_NS = 10_000

METHOD = f"""\
{INSTRUMENTS} instruments, about {OPEN_ORDERS} open orders, all limits on and so high that four of
five intents pass; the others fail one of a dozen checks, at random. A check is one step of the
native kernel as the stage takes it: all {len(Denial) - 1} checks, the reservation, the order, the
outcome, and the commit of the state. single: committed one by one; batch: {BATCH} steps a commit,
its time divided by them. Terminal executions in between keep the orders few and are timed apart.
Each step follows the one before: no queueing. Reading the clock is part of a figure, as an empty
step is: one that the kernel returns from at once. Figures are the medians of rounds in turn. The
reference is slow Python through the same driver; nautilus_trader's risk engine checks precision,
notional, balance and rate of an order, and sends it on. Excluded: rings, waiting, the context."""

REFERENCE = "python reference"
PEERS = (REFERENCE, risk_peers.NAUTILUS)

Result = dict[str, Any]

DEFECTS: tuple[tuple[str, int, int], ...] = (
    ("quantity", 0, 0),
    ("instrument", INSTRUMENTS, INSTRUMENTS),
    ("strategy", 99, 99),
    ("reduce_only", 1, 1),
    ("ttl_ns", -1, -1),
    ("limit", 3 * BID, 3 * BID),
    ("quantity", 10**9, 10**9),
    ("stop", 0, 0),
    ("stop", ASK + 1_000, BID - 1_000),
    ("stop", BID // 2, 2 * ASK),
    ("link_ns", 1, 1),
    ("bid", 0, 0),
)
"""What is wrong with an intent: a field, what it is of a buy, and of a sell."""

DEFECTIVE = 0.229
"""A few pass all the same: one of those that may only reduce does."""


def configuration() -> dict[str, Any]:
    """Return a resolved configuration with every limit on, and high."""
    given = {
        "equity": "1000000000",
        "instruments": [
            {
                "symbol": f"C{number}USDT",
                "venue": "sim",
                "base": f"C{number}",
                "quote": "USDT",
                "tick": "0.01",
                "lot": "0.001",
                "min_notional": "5",
                "maker_fee": "0.001",
                "taker_fee": "0.001",
                "price": "1000",
            }
            for number in range(INSTRUMENTS)
        ],
        "risk": {
            "position_bp": 10_000,
            "gross": "1000000000",
            "directional": "1000000000",
            "venue": "1000000000",
            "asset_class": "1000000000",
            "order_notional": "1000000",
            "concentration_bp": 10_000,
            "positions": 1000,
            "per_symbol": 1_000_000,
            "open_orders": 1000,
            "symbol_orders": 15,
            "dup_ms": 1,
            "dup_count": 8,
            "symbol_rate": 10_000,
            "symbol_burst": 20,
            "strategy_rate": 1_000_000,
            "strategy_burst": 1000,
            "venue_rate": 1_000_000,
            "venue_burst": 1000,
            "global_rate": 1_000_000,
            "global_burst": 1000,
            "repeated": 1_000_000,
            "correlated": 1000,
            "losses": 1_000_000,
            "stop_distance_bp": 400,
            "jump_bp": 0,
        },
    }
    return Config.model_validate(given).resolved()


@dataclass
class Desk:
    """Risk, driven by a random strategy and a venue that ends what it orders.

    Attributes:
        checks: How long each check took, in ns.
        executions: Likewise of the terminal executions.
        codes: How often each code was the first, approvals under NONE.
    """

    driver: Driver
    batch: int
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(SEED))
    checks: list[Array] = field(default_factory=list)
    executions: list[Array] = field(default_factory=list)
    codes: Counter[Denial] = field(default_factory=Counter)
    orders: deque[Array] = field(default_factory=deque)
    now: int = 10**12
    step: int = 0
    intents: int = 0
    open_at_most: int = 0
    taken: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("executions", "intents", "correlations", "tick"), 0)
    )

    def begin(self) -> None:
        """Give it prices and correlations."""
        rows = np.zeros(INSTRUMENTS, CORRELATIONS)
        rows["instrument"] = np.arange(INSTRUMENTS)
        rows["count"] = CORRELATIONS["value"].shape[0]
        rows["value"], rows["samples"] = 8000, 100
        self.run("correlations", rows, 1)
        for _ in range(20):
            self.tick()

    def contexts(self, source: str, instruments: Array) -> Array:
        """Return the contexts of as many steps on a ring, with good quotes."""
        count = len(instruments)
        contexts = np.zeros(count, CONTEXT)
        contexts["step"] = self.step + 1 + np.arange(count)
        contexts["sequence"] = self.taken[source] + np.arange(count)
        contexts["now_ns"] = self.now + STEP_NS * np.arange(count)
        is_tick = source == "tick"
        contexts["source"] = TICK if is_tick else self.driver.inputs.index(source)
        contexts["instrument"] = instruments
        contexts["bid"], contexts["ask"] = BID, ASK
        contexts["bid_quantity"] = contexts["ask_quantity"] = 10**6
        contexts["received_ns"] = contexts["link_ns"] = contexts["now_ns"]
        contexts["global"] = GlobalState.CLOSED
        self.step += count
        self.now += STEP_NS * count
        return contexts

    def run(
        self, source: str, records: Array, batch: int, contexts: Array | None = None
    ) -> tuple[Array, dict[str, Array]]:
        """Run as many steps as there are records."""
        if contexts is None:
            contexts = self.contexts(source, records["instrument"])
        first = {source: self.taken[source]}
        self.taken[source] += len(records)
        return self.driver.time(contexts, {source: records}, first, batch=batch)

    def tick(self) -> None:
        """Let it look at each instrument."""
        contexts = self.contexts("tick", np.arange(INSTRUMENTS))
        self.taken["tick"] += INSTRUMENTS
        self.driver.time(contexts, {})

    def ask(self, count: int) -> None:
        """Send intents; one of five is wrong in some way."""
        choose = self.random
        records = np.zeros(count, INTENT)
        records["intent_id"] = self.intents + 1 + np.arange(count)
        self.intents += count
        side = choose.choice([1, -1], count)
        records["side"] = side
        records["instrument"] = choose.integers(0, INSTRUMENTS, count)
        records["strategy"] = choose.integers(0, 8, count)
        records["quantity"] = choose.integers(10, 1000, count)
        # Away from the quote, so that what is open on the other side is not crossed.
        away = choose.integers(0, 100, count)
        records["limit"] = np.where(side > 0, BID - away, ASK + away)
        records["stop"] = np.where(side > 0, BID - 1000, ASK + 1000)
        records["ttl_ns"] = 10**9
        contexts = self.contexts("intents", records["instrument"])
        records["created_ns"] = contexts["now_ns"]
        for at in np.flatnonzero(choose.random(count) < DEFECTIVE):
            name, of_buy, of_sell = DEFECTS[choose.integers(len(DEFECTS))]
            wrong = contexts if name in ("link_ns", "bid") else records
            wrong[name][at] = of_buy if side[at] > 0 else of_sell
        took, emitted = self.run("intents", records, self.batch, contexts)
        self.checks.append(took / self.batch)
        outcomes = emitted["outcomes"]
        for code in outcomes["code"]:
            self.codes[Denial(int(code))] += 1
        assert (outcomes["kind"] == OutcomeKind.APPROVED).sum() == len(emitted["orders"])
        self.orders.extend(emitted["orders"])
        self.open_at_most = max(self.open_at_most, len(self.orders))

    def idle(self, count: int) -> Array:
        """Take steps that do nothing: on correlations of what is not traded. Return their times."""
        rows = np.zeros(count, CORRELATIONS)
        rows["instrument"] = INSTRUMENTS
        return self.run("correlations", rows, 1)[0]

    def execute(self) -> None:
        """End the oldest orders, until there are no more than there shall be."""
        count = len(self.orders) - OPEN_ORDERS
        if count <= 0:
            return
        orders = [self.orders.popleft() for _ in range(count)]
        records = np.zeros(count, EXECUTION)
        for name in ("instrument", "order_id", "intent_id", "strategy", "side", "quantity"):
            records[name] = [order[name] for order in orders]
        fills = self.random.random(count) < 0.5
        records["kind"] = np.where(fills, ExecutionKind.FILL, ExecutionKind.EXPIRED)
        records["price"] = [order["limit"] for order in orders]
        records["fee"] = 100
        took, _ = self.run("executions", records, 1)
        self.executions.append(took)

    def trade(self, checks: int) -> None:
        """Do all of it, for so many checks."""
        self.begin()
        chunk = max(CHUNK, self.batch * 2) // self.batch * self.batch
        for _ in range(0, checks, chunk):
            self.ask(chunk)
            self.execute()
            self.tick()


def figures(mode: str, took: Array, count: int, per: int = 1) -> Result:
    """Return the distribution of times, in us; `took` is per check, of batches of `per`."""
    p50, p95, p99, p999 = np.percentile(took, [50, 95, 99, 99.9]) / 1000
    return {
        "mode": mode,
        "checks": count,
        "p50_us": round(float(p50), 3),
        "p95_us": round(float(p95), 3),
        "p99_us": round(float(p99), 3),
        "p999_us": round(float(p999), 3),
        "checks_per_s": round(count / (float(took.sum()) * per / 1e9)),
    }


def measure(mode: str, checks: int, *, batch: int = 1, reference: bool = False) -> Desk:
    """Return a desk that has made so many checks."""
    stage = Risk(configuration())
    desk = Desk(Driver(stage, stage.reference() if reference else None), batch)
    desk.trade(checks)
    return desk


def median(rounds: list[Result]) -> Result:
    """Return each figure's median over the rounds."""
    return {
        key: value if isinstance(value, str) else type(value)(np.median([r[key] for r in rounds]))
        for key, value in rounds[0].items()
    }


def round_of(checks: int) -> tuple[dict[str, Result], Desk]:
    """Measure each kind once, one after the other; return the figures, and the desk of singles."""
    single = measure("single", checks)
    batched = measure("batch", checks, batch=BATCH)
    slow = measure("single", min(checks, REFERENCE_CHECKS), reference=True)
    idle = single.idle(min(checks, IDLE_STEPS))
    found = {}
    for name, mode, took, per in (
        ("single", "single", np.concatenate(single.checks), 1),
        ("batch", "batch", np.concatenate(batched.checks), BATCH),
        ("executions", "single", np.concatenate(single.executions), 1),
        ("empty", "single", idle, 1),
        (REFERENCE, "single", np.concatenate(slow.checks), 1),
    ):
        found[name] = figures(mode, took, len(took) * per, per)
    if risk_peers.is_installed():
        took, _ = risk_peers.nautilus(min(checks, NAUTILUS_CHECKS), INSTRUMENTS, SEED)
        found[risk_peers.NAUTILUS] = figures("single", took, len(took))
    return found, single


def report(checks: int, rounds: int) -> dict[str, Any]:
    """Measure all in rounds, and return their medians as plain data."""
    measured = [round_of(checks) for _ in range(rounds)]
    middle = {name: median([found[name] for found, _ in measured]) for name in measured[0][0]}
    desk = measured[0][1]
    total = sum(desk.codes.values())
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.describe([risk_peers.NAUTILUS]),
        "rounds": rounds,
        "results": [middle["single"], middle["batch"]],
        "executions": middle["executions"],
        "empty_step": middle["empty"],
        "peers": [
            {
                "name": name,
                **middle[name],
                "times_as_long": round(middle[name]["p50_us"] / middle["single"]["p50_us"], 1),
            }
            for name in PEERS
            if name in middle
        ],
        "open_orders_at_most": desk.open_at_most,
        "denied_share": round(1 - desk.codes[Denial.NONE] / total, 3),
        "codes": {code.name: count for code, count in desk.codes.most_common()},
    }


def show(found: Mapping[str, Any], console: Console) -> None:
    """Print a report for a reader."""
    console.print(machine.in_words(found["machine"]))
    console.print(f"{found['at']}\n\n{METHOD}\n")
    table = Table(box=None, pad_edge=False)
    for name in ("", "checks", "p50 us", "p95", "p99", "p99.9", "checks/s"):
        table.add_column(name, justify="left" if not name else "right")
    rows = [(row["mode"], row) for row in found["results"]]
    rows += [("terminal executions", found["executions"]), ("empty step", found["empty_step"])]
    rows += [(peer["name"], peer) for peer in found["peers"]]
    for name, row in rows:
        times = [f"{row[key]:,.3f}" for key in ("p50_us", "p95_us", "p99_us", "p999_us")]
        table.add_row(name, f"{row['checks']:,}", *times, f"{row['checks_per_s']:,}")
    console.print(table)
    denied = ", ".join(f"{name} {count:,}" for name, count in found["codes"].items())
    for peer in found["peers"]:
        console.print(f"{peer['name']}: {peer['times_as_long']:,} times as long, by medians")
    console.print(f"denied {found['denied_share']:.1%}; first codes: {denied}")


@click.command(help=__doc__)
@script.json_option
@script.quick_option(f"{QUICK_CHECKS:,} checks, in one round.")
@click.option("--checks", type=click.IntRange(1000), default=CHECKS, help="Of each mode.")
@click.option(
    "--rounds", type=click.IntRange(1), default=ROUNDS, help="Of which the median counts."
)
def main(as_json: bool, quick: bool, checks: int, rounds: int) -> None:
    """Measure, and print what was found."""
    found = report(QUICK_CHECKS, 1) if quick else report(checks, rounds)
    script.tell(found, show, as_json=as_json)
    is_mixed = 0.15 <= found["denied_share"] <= 0.25 and len(found["codes"]) > 8
    sys.exit(0 if is_mixed else 1)


if __name__ == "__main__":
    main()
