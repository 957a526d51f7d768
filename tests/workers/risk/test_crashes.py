"""Any history, with risk lost at any instant of it: the limits hold, from first principles.

What should be so is derived from what went in and what came out on the rings: from the list of
orders, executions and days, and from no sum that the kernel keeps.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from pipeline import topology
from pipeline.records import EXECUTION, INTENT, Array
from pipeline.vocabulary import ExecutionKind, Mode, OutcomeKind
from shm import Segment
from tests.pipeline.kernels import HOUR_MS, Desk, config, encoded, layout, reference

DAY_NS = 86_400 * 10**9
OPENING = 100_000 * 10**8
DAILY = 6_000 * 10**8
LIMITS: dict[str, Any] = {
    "position_bp": 2000,
    "gross": "25000",
    "directional": "18000",
    "venue": "24000",
    "asset_class": "24000",
    "leverage_bp": 2400,
    "positions": 2,
    "open_orders": 4,
    "symbol_orders": 3,
    "daily_loss": "6000",
    "drawdown_bp": 1500,
    **dict.fromkeys(("correlated", "concentration_bp", "margin_bp", "reduce_bp"), 0),
    "order_notional": "0",
}
QUOTES = ((5_999_999, 6_000_001), (299_990, 300_010))
MONEY = (10, 100)
"""What a tick of a lot is worth, in 1e-8."""
LOT = (160, 333)
"""Lots of about 100."""

OUTPUT_MADE, OUTPUT_PUBLISHED, STAMPED, COMMITTED = 3, 4, 5, 6
CRASHES = st.one_of(
    st.none(),
    st.tuples(
        st.sampled_from([OUTPUT_MADE, OUTPUT_PUBLISHED, STAMPED, COMMITTED]), st.integers(1, 40)
    ),
)


class LostError(Exception):
    """The process was lost."""


class Fused:
    """The reference, lost when it has touched its state or its rings so often."""

    def __init__(self, kernel: Any, touches: int) -> None:
        self.kernel = kernel
        self.left = touches

    def touch(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise LostError

    def step(self, context: np.void, event: np.void | None, state: Any, emit: Any) -> None:
        fused = self

        class State:
            def read(self, group: str, index: int) -> Any:
                return state.read(group, index)

            def edit(self, group: str, index: int) -> Any:
                fused.touch()
                return state.edit(group, index)

        def publish(ring: str, record: Any) -> None:
            emit(ring, record)
            self.touch()

        self.kernel.step(context, event, State(), publish)


class Ledger:
    """What is so, of all that has happened: orders, fills, days."""

    def __init__(self) -> None:
        self.cash = OPENING
        self.positions = [0, 0]
        self.open: dict[int, dict[str, int]] = {}
        self.mode = Mode.NORMAL
        self.is_killed = False
        self.day: int | None = None
        self.day_open = OPENING

    def equity(self) -> int:
        marks = (
            held * QUOTES[i][0 if held > 0 else 1] * MONEY[i]
            for i, held in enumerate(self.positions)
        )
        return self.cash + sum(marks)

    def pass_time(self, day: int) -> None:
        if self.day is not None and day > self.day:
            self.day_open = self.equity()
        self.day = max(day, self.day or 0)

    def under_way(self, index: int, side: int) -> int:
        mine = (
            each
            for each in self.open.values()
            if (each["instrument"], each["side"]) == (index, side)
        )
        return sum(each["leaves"] for each in mine)

    def worst(self) -> list[tuple[int, int]]:
        """Worth of each side of each instrument, if all that is under way there fills."""
        return [
            (
                max(0, held + self.under_way(i, 1)) * QUOTES[i][1] * MONEY[i],
                max(0, self.under_way(i, -1) - held) * QUOTES[i][0] * MONEY[i],
            )
            for i, held in enumerate(self.positions)
        ]

    def order(self, order: np.void) -> None:
        """An order came out: it must not have been one that a limit forbids."""
        index, side = int(order["instrument"]), int(order["side"])
        held, quantity = self.positions[index], int(order["quantity"])
        is_reducing = held * side < 0 and quantity + self.under_way(index, side) <= abs(held)
        assert int(order["order_id"]) not in self.open
        self.open[int(order["order_id"])] = {
            "instrument": index,
            "side": side,
            "leaves": quantity,
            "limit": int(order["limit"]),
        }
        if side > 0:
            assert self.owed() <= self.cash
        if is_reducing:
            return
        assert self.mode == Mode.NORMAL and not self.is_killed
        worst = self.worst()
        assert sum(max(sides) for sides in worst) <= 24_000 * 10**8
        assert sum(sides[0 if side > 0 else 1] for sides in worst) <= 18_000 * 10**8
        assert worst[index][0 if side > 0 else 1] * 10_000 <= self.equity() * 2000
        assert len(self.open) <= 4
        assert sum(each["instrument"] == index for each in self.open.values()) <= 3

    def owed(self) -> int:
        """Money that all open buys cost at their limits, without fees."""
        return sum(
            each["leaves"] * each["limit"] * MONEY[each["instrument"]]
            for each in self.open.values()
            if each["side"] > 0
        )

    def execute(self, execution: np.void) -> None:
        """An execution went in."""
        self.pass_time(int(execution["venue_ns"]) // DAY_NS)
        if execution["kind"] == ExecutionKind.FILL:
            index = int(execution["instrument"])
            lots = int(execution["side"]) * int(execution["quantity"])
            self.cash -= lots * int(execution["price"]) * MONEY[index] + int(execution["fee"])
            self.positions[index] += lots
            self.judge()
        order = self.open.get(int(execution["order_id"]))
        if order is not None:
            leaves = int(execution["leaves"]) if execution["kind"] == ExecutionKind.FILL else 0
            order["leaves"] = leaves
            if leaves == 0:
                del self.open[int(execution["order_id"])]

    def judge(self) -> None:
        """No tick has moved the high-water mark: it is that of the opening."""
        nav = self.equity() * 10**12 // OPENING
        if (10**12 - nav) * 10_000 >= 10**12 * 1500:
            self.is_killed, self.mode = True, Mode.EMERGENCY
        if self.equity() - self.day_open <= -DAILY:
            self.mode = max(self.mode, Mode.PAUSED)


class History(RuleBasedStateMachine):
    """Intents, fills, cancels, busts and days, in any order, and a process that gets lost."""

    engine: str
    name: str

    def __init__(self) -> None:
        super().__init__()
        resolved = config(risk=LIMITS)
        segment = Segment.create(self.name, layout(resolved), blobs={"config": encoded(resolved)})
        self.desk = Desk(segment, resolved)
        self.roles = {ring: segment.producer(ring) for ring in ("intents", "executions")}
        for index, (bid, ask) in enumerate(QUOTES):
            self.desk.quote(index, bid, ask)
        self.pushed = dict.fromkeys(self.roles, 0)
        self.ledger = Ledger()
        self.fills: list[np.void] = []
        self.sent: list[int] = []
        self.ordered = 0
        self.day = 20_000
        self.begin()

    def teardown(self) -> None:
        for role in self.roles.values():
            role.close()
        self.desk.end_all()
        self.desk.segment.close()

    def begin(self, touches: int = 0) -> None:
        """Start the stage's process."""
        if self.engine == "native":
            self.desk.start("risk")
            return
        stage = topology.stage("risk", self.desk.config)
        self.desk.start("risk", Fused(reference(stage), touches))

    def send(self, ring: str, records: list[np.void], crash: tuple[int, int] | None) -> None:
        """Send records of one ring, and let risk take them; it may get lost on the way."""
        for record in records:
            record["sequence"] = self.pushed[ring]
            self.pushed[ring] += 1
            assert self.roles[ring].push(record)
        if crash is not None:
            self.lose(*crash)
        self.desk.settle()
        if ring == "executions":
            for record in records:
                self.ledger.execute(record)
        orders = self.desk.recording["orders"]
        for order in orders[self.ordered :]:
            self.ledger.order(order)
        self.ordered = len(orders)

    def lose(self, point: int, touches: int) -> None:
        """End the process in the middle of what it has to do; a successor takes over."""
        self.desk.end("risk")
        if self.engine == "native":
            words = self.desk.segment.words("risk.words")
            step = self.desk.word("risk", "committed") + 1 + touches % 3
            child = os.fork()
            if child == 0:
                try:
                    words.store("crash", point << 56 | step)
                    self.desk.start("risk")
                    self.desk.loops["risk"].turn()
                finally:
                    os._exit(0)
            os.waitpid(child, 0)
            words.store("crash", 0)
        else:
            self.begin(touches)
            with contextlib.suppress(LostError):
                self.desk.settle()
            self.desk.end("risk")
        self.begin()

    @rule(
        asked=st.lists(
            st.tuples(st.integers(0, 1), st.sampled_from([1, -1]), st.integers(1, 250)),
            min_size=1,
            max_size=3,
        ),
        crash=CRASHES,
    )
    def ask(self, asked: list[tuple[int, int, int]], crash: tuple[int, int] | None) -> None:
        records = []
        for index, side, size in asked:
            bid, ask = QUOTES[index]
            far = bid // 100
            intent: np.void = np.zeros(1, INTENT)[0]
            intent["intent_id"] = len(self.sent) + 1
            intent["instrument"], intent["side"] = index, side
            intent["quantity"] = size * LOT[index]
            intent["limit"] = ask if side > 0 else bid
            intent["stop"] = ask - far if side > 0 else bid + far
            intent["created_ns"] = time.monotonic_ns()
            intent["ttl_ns"] = HOUR_MS * 10**6
            intent["venue_ns"] = self.day * DAY_NS + 1
            self.sent.append(len(self.sent) + 1)
            records.append(intent)
        self.ledger.pass_time(self.day)
        self.send("intents", records, crash)

    @rule(
        which=st.integers(0, 5),
        percent=st.integers(1, 100),
        price=st.sampled_from([100, 100, 100, 90, 70, 130]),
        crash=CRASHES,
    )
    def fill(self, which: int, percent: int, price: int, crash: tuple[int, int] | None) -> None:
        if not self.ledger.open:
            return
        order_id, order = sorted(self.ledger.open.items())[which % len(self.ledger.open)]
        done = max(1, order["leaves"] * percent // 100)
        fill = self.execution(order_id, order, done)
        fill["price"] = order["limit"] * price // 100
        fill["leaves"] = order["leaves"] - done
        self.fills.append(fill)
        self.send("executions", [fill], crash)

    @rule(which=st.integers(0, 5), crash=CRASHES)
    def cancel(self, which: int, crash: tuple[int, int] | None) -> None:
        if not self.ledger.open:
            return
        order_id, order = sorted(self.ledger.open.items())[which % len(self.ledger.open)]
        ended = self.execution(order_id, order, order["leaves"])
        ended["kind"] = ExecutionKind.EXPIRED
        self.send("executions", [ended], crash)

    @rule(which=st.integers(0, 5), crash=CRASHES)
    def bust(self, which: int, crash: tuple[int, int] | None) -> None:
        """The venue takes a trade back: booked as its opposite, of nobody's order."""
        if not self.fills:
            return
        trade = self.fills.pop(which % len(self.fills))
        opposite = {"instrument": int(trade["instrument"]), "side": -int(trade["side"])}
        bust = self.execution(0, opposite, int(trade["quantity"]))
        bust["price"] = trade["price"]
        self.send("executions", [bust], crash)

    def execution(self, order_id: int, order: dict[str, int], quantity: int) -> np.void:
        record: np.void = np.zeros(1, EXECUTION)[0]
        record["kind"], record["order_id"] = ExecutionKind.FILL, order_id
        record["instrument"], record["side"] = order["instrument"], order["side"]
        record["quantity"], record["fee"] = quantity, 100
        record["venue_ns"] = self.day * DAY_NS + 1
        return record

    @rule()
    def next_day(self) -> None:
        self.day += 1

    @rule()
    def drop(self) -> None:
        """The process ends between two steps."""
        self.desk.end("risk")
        self.begin()

    @invariant()
    def the_books_are_those_of_what_happened(self) -> None:
        account = self.desk.state("risk", "account")[0]
        if account["begun"] == 0:
            return
        ledger = self.ledger
        assert account["cash_e8"] == ledger.cash
        assert account["equity_e8"] == ledger.equity()
        assert (account["mode"], bool(account["killed"])) == (ledger.mode, ledger.is_killed)
        assert bool(account["drawdown"]) == ledger.is_killed
        assert account["day_open_e8"] == ledger.day_open
        held = self.desk.state("risk", "instruments")
        for index, position in enumerate(ledger.positions):
            assert held[index]["position"] == position
            assert held[index]["reserved_buy"] == ledger.under_way(index, 1)
            assert held[index]["reserved_sell"] == ledger.under_way(index, -1)
            assert (held[index]["long_e8"], held[index]["short_e8"]) == ledger.worst()[index]
        assert account["reserved_e8"] >= ledger.owed()
        cells = self.desk.state("risk", "orders")
        used: Array = cells[cells["order_id"] != 0]
        assert {int(cell["order_id"]): int(cell["leaves"]) for cell in used} == {
            order_id: order["leaves"] for order_id, order in ledger.open.items()
        }
        assert account["open_orders"] == len(ledger.open)

    @invariant()
    def each_intent_is_answered_once_and_makes_one_order_at_most(self) -> None:
        outcomes, orders = self.desk.recording["outcomes"], self.desk.recording["orders"]
        decided = outcomes[np.isin(outcomes["kind"], [OutcomeKind.DENIED, OutcomeKind.APPROVED])]
        assert decided["intent_id"].tolist() == self.sent
        approved = decided[decided["kind"] == OutcomeKind.APPROVED]
        assert orders["intent_id"].tolist() == approved["intent_id"].tolist()
        # One that names the cell of an order which is still open is left out.
        ids = orders["order_id"].tolist()
        assert ids == sorted(set(ids))


@pytest.mark.parametrize("kernel", ["native", "reference"])
def test_no_history_with_crashes_exceeds_a_limit_or_forgets_what_happened(
    kernel: str, name: str
) -> None:
    segment = name

    class Machine(History):
        engine = kernel
        name = segment

    run: Callable[..., None] = run_state_machine_as_test
    # Each crash of the native kernel is a process of its own.
    examples = 8 if kernel == "native" else 15
    run(Machine, settings=settings(max_examples=examples, stateful_step_count=25, deadline=None))
