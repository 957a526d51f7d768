"""Native and reference give the same bytes, over long histories of everything that can happen.

Risk and the paper executor are driven as they are in the pipeline: what risk orders is executed,
and what is executed is booked; strange intents and executions of nobody's orders come in between.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from pipeline.records import CONTROL, CORRELATIONS, EXECUTION, INTENT, MARKET, Array
from pipeline.vocabulary import CHECKS, ControlKind, ExecutionKind, MarketKind
from shm.breaker_types import GlobalState
from tests.workers.risk.desk import COMPONENTS, NOW, TTL, Driver, config, quote, record_of
from workers.executor import reference as executor_reference
from workers.executor.stage import PaperExecutor
from workers.risk.stage import Risk

CONFIG = config("100000", position_bp=2000, open_orders=2) | {"executor": {"slippage_bp": 7}}
TIGHT = {
    "preset": "conservative",
    "position_bp": 1500,
    "gross": "9000",
    "directional": "6000",
    "venue": "5000",
    "asset_class": "7000",
    "leverage_bp": 800,
    "margin_bp": 10_000,
    "concentration_bp": 4000,
    "positions": 1,
    "per_symbol": 2,
    "symbol_orders": 2,
    "order_notional": "4000",
    "passive_collar_bp": 100,
    "collar_bp": 60,
    "slippage_bp": 50,
    "spread_factor": 1,
    "state_stale_ms": 8,
    "jump_bp": 100,
    "dup_count": 1,
    "strategy_rate": 40,
    "strategy_burst": 2,
    "symbol_rate": 40,
    "symbol_burst": 2,
    "venue_rate": 40,
    "venue_burst": 3,
    "global_rate": 100,
    "global_burst": 2,
    "repeated": 2,
    "correlated": 1,
    "risk_bp": 2,
    "daily_loss": "20",
    "weekly_loss": "30",
    "monthly_loss": "40",
    "drawdown_bp": 8,
    "reduce_bp": 6,
    "reduced_bp": 100,
    "losses": 2,
    "losses_cooldown_s": 1,
    "stop_cooldown_s": 1,
    "low_profit_trips": 2,
    "low_profit_cooldown_s": 1,
    "instruments": {
        "ONEUSDT": {
            "asset_class": "other",
            "price_step": 2,
            "quantity_step": 3,
            "order_quantity": "50",
            "adv": "3000",
        },
    },
    "strategies": {"1": {"instruments": ["ODDUSDT"]}, "2": {"halted": True}},
}
TIGHT_CONFIG = config("100000", **TIGHT) | {"executor": {"slippage_bp": 7}}
TIGHT_CONFIG["instruments"] = [
    each | {"min_quantity": "2", "max_quantity": "55"} for each in CONFIG["instruments"]
]
IDLE_CONFIG = config("100000", **TIGHT | {"instruments": {"ONEUSDT": {"halted": True}}}) | {
    "executor": {"slippage_bp": 7}
}
ODD = (0, 1, -1, 2**31, 2**63 - 1, -(2**63))
STEPS = 3000


class Pair:
    """The same stage twice, native and reference: both take each step, and must agree."""

    def __init__(self, stage: Any, other: object) -> None:
        self.native, self.reference = Driver(stage), Driver(stage, other)
        self.groups = tuple(stage.cells())

    def step(
        self, *args: Any, breakers: Mapping[str, int], **kwargs: Any
    ) -> list[tuple[str, Array]]:
        self.native.breakers = self.reference.breakers = breakers
        answers = self.native.step(*args, **kwargs)
        others = self.reference.step(*args, **kwargs)
        assert [(ring, record.tobytes()) for ring, record in answers] == [
            (ring, record.tobytes()) for ring, record in others
        ]
        return answers

    def compare_states(self) -> None:
        for group in self.groups:
            np.testing.assert_array_equal(self.native.state(group), self.reference.state(group))


class History:
    """A market, a strategy of no sense, and what comes of both."""

    def __init__(self, seed: int, config: dict[str, Any] = CONFIG) -> None:
        self.random = random.Random(seed)
        risk, executor = Risk(config), PaperExecutor(config)
        self.risk = Pair(risk, risk.reference())
        self.executor = Pair(
            executor, executor_reference.PaperExecutor(7, executor.masks, executor.instruments)
        )
        self.now = NOW
        self.bids = [100, 100_000]
        self.failed = 0
        self.intents = 0
        self.kinds: set[int] = set()
        self.reasons: set[int] = set()
        self.flattened = 0
        self.are_closed = False  # all breakers, from now on
        self.orders: list[Array] = []

    def quote(self, instrument: int) -> Array:
        bid = self.bids[instrument]
        return quote(
            bid,
            self.random.choice([bid + 1] * 10 + [bid + 2] * 5 + [bid, 0]),
            link_ns=self.now - self.random.choice([0] * 10 + [3 * 10**9, 3 * 10**9 + 1]),
            received_ns=self.now * self.random.choice([0] + [1] * 20),
            stale=self.random.choice([0] * 100 + [1, 2**63]),
            size=self.random.choice([0, 5]),
        )

    def breakers(self) -> dict[str, int]:
        """What the context of a step says of them: nothing for a while, then anything."""
        if self.are_closed or self.random.random() < 0.6:
            return {}
        choose = self.random.choice
        some = [0, 0, *(1 << bit for bit in range(len(COMPONENTS))), 1 << 63, 2**64 - 1]
        return {
            "global": choose([*GlobalState, *[GlobalState.CLOSED] * 8, 4, 2**64 - 1]),
            "blocked": choose(some) | choose(some),
            "forced": choose([0, 0, choose(some)]),
            "mode": choose([0, 0, 0, 1, 2, 3]),
        }

    def move(self) -> None:
        """The market moves; the executor hears of it, risk looks at it."""
        index = self.random.randrange(2)
        bid = self.bids[index]
        self.bids[index] = max(1, bid + self.random.choice([-1, 0, 1]) * max(1, bid // 100))
        tick = record_of(
            MARKET,
            instrument=index,
            kind=self.random.choice([MarketKind.TRADE, MarketKind.QUOTE, MarketKind.QUOTE]),
            bid=self.random.choice([self.bids[index], self.bids[index], 0]),
            ask=self.random.choice([self.bids[index] + 1, self.bids[index] + 1, 0]),
            venue_ns=self.now - 5,
            received_ns=self.now - 1,
        )
        self.book(
            self.executor.step("ticks", tick, now_ns=self.now, breakers=self.breakers()),
        )
        closing = self.risk.step(
            "tick",
            None,
            now_ns=self.now,
            halted=int(self.random.random() < 0.03),
            quote=self.quote(index),
            instrument=index,
            breakers=self.breakers(),
        )
        self.flattened += len(closing)
        self.orders += [order for _, order in closing]
        self.executor.step("tick", None, now_ns=self.now, breakers=self.breakers())

    def intent_id(self) -> int:
        """The next one, or one that was there, or none."""
        self.intents += 1
        old = self.random.randrange(self.intents)
        return self.random.choice([self.intents] * 30 + [old, 0, 10**9 + old])

    def ask(self) -> None:
        """The strategy wants something, sane or not; an order may wait for its execution."""
        choose = self.random.choice
        index = choose([0] * 10 + [1] * 10 + [2])
        bid = self.bids[min(index, 1)]
        side = choose([1, -1])
        fields = {
            "instrument": index,
            "intent_id": self.intent_id(),
            "strategy": self.random.randrange(4),
            "side": side,
            "reduce_only": choose([0, 0, 1]),
            "quantity": self.random.randint(1, 60 if index == 0 else 10**6),
            "limit": choose([0, 0, bid, bid + 1, bid - side]),
            "stop": choose([bid - 2 * side] * 8 + [0, bid * 9 // 10, bid]),
            "created_ns": self.now - choose([0] * 10 + [TTL, TTL + 1]),
            "ttl_ns": TTL,
            "received_ns": self.now - 2,
            "venue_ns": choose([0, 1, 20_000]) * self.now + choose([0, 86_400 * 10**9]),
        }
        if self.random.random() < 0.1:
            field = choose(["quantity", "limit", "stop", "created_ns", "ttl_ns"])
            fields[field] = choose(ODD)
        if self.random.random() < 0.05:
            fields |= choose([{"side": 0}, {"side": 3}, {"reduce_only": 255}])
        market = self.quote(min(index, 1))
        if self.random.random() < 0.05:
            market["ask"] = 2**63 - 1
        answers = self.risk.step(
            "intents",
            record_of(INTENT, **fields),
            now_ns=self.now,
            halted=int(self.random.random() < 0.03),
            quote=market,
            breakers=self.breakers(),
        )
        self.failed |= int(answers[-1][1]["failed"][0])
        self.orders += [record for ring, record in answers if ring == "orders"]

    def execute(self) -> None:
        """The oldest order reaches the venue."""
        if self.orders:
            halted = int(self.random.random() < 0.05)
            order = self.orders.pop(0)
            answers = self.executor.step(
                "orders", order, now_ns=self.now, halted=halted, breakers=self.breakers()
            )
            self.reasons.add(int(answers[0][1]["reason"][0]))
            self.book(answers)

    def surprise(self) -> None:
        """An execution that nobody asked for: the executor's position is no longer risk's."""
        choose = self.random.choice
        execution = record_of(
            EXECUTION,
            instrument=choose([0, 1]),
            kind=choose(list(ExecutionKind)),
            side=choose([1, -1]),
            order_id=choose([0, 1, 5, 10**6, 2**64 - 1]),
            quantity=self.random.randint(1, 9),
            price=choose([1, 99, 100, 12345]),
            leaves=choose([0, 1, 2, -1, 2**63 - 1]),
            fee=choose([0, 1, -1, 10**6]),
            reason=choose([0, 201, 204, 302, 207, 999]),
        )
        self.book([("executions", execution)])

    def book(self, answers: list[tuple[str, Array]]) -> None:
        for _, execution in answers:
            self.kinds.add(int(execution["kind"][0]))
            market = self.quote(int(execution["instrument"][0]))
            self.risk.step(
                "executions",
                execution,
                now_ns=self.now,
                quote=market,
                breakers=self.breakers(),
            )

    def operate(self) -> None:
        """An operator, or the supervisor, tells risk something; ta tells it of correlations."""
        choose = self.random.choice
        if self.random.random() < 0.5:
            record = record_of(
                CORRELATIONS, instrument=choose([0, 1, 2]), first=choose([0, 0, 1]), count=2
            )
            record["value"][0, :2] = choose([0, 7000, 7001, -7001]), choose([0, 7001, -7001])
            record["samples"][0, :2] = choose([0, 19, 20])
            ring = "correlations"
        else:
            kind = choose(list(ControlKind))
            amount = choose([0, 1, 1])
            equity = self.risk.native.state("account")["equity_e8"][0]
            if kind == ControlKind.FLOW and equity <= 10**11:
                kind = ControlKind.RESET
            if kind == ControlKind.FLOW:
                amount = self.random.randrange(-(10**11), 10**11)
            record, ring = record_of(CONTROL, kind=kind, amount=amount), "control"
        self.risk.step(ring, record, now_ns=self.now, breakers=self.breakers())


ACTS = (History.move, History.ask, History.ask, History.execute)


def run(
    seed: int, acts: Sequence[Callable[[History], None]], config: dict[str, Any] = CONFIG
) -> History:
    history = History(seed, config)
    for step in range(STEPS):
        history.now += 10**6
        history.random.choice(acts)(history)
        if step % 50 == 0:
            history.risk.compare_states()
            history.executor.compare_states()
    history.risk.compare_states()
    history.executor.compare_states()
    return history


def test_both_agree_over_everything_that_can_happen() -> None:
    failed, flattened = 0, 0
    kinds: set[int] = set()
    reasons: set[int] = set()
    for seed, limits in enumerate([CONFIG, TIGHT_CONFIG, IDLE_CONFIG]):
        history = run(seed, [*ACTS, *ACTS, History.surprise, History.operate], limits)
        failed |= history.failed
        flattened += history.flattened
        kinds |= history.kinds
        reasons |= history.reasons
    # Most checks have refused something; test_codes.py has all of them.
    assert failed.bit_count() >= len(CHECKS) - 10
    assert kinds == set(ExecutionKind)
    assert reasons == {0, 201, 202, 203, 204, 207, 302}
    assert flattened > 20


@pytest.mark.parametrize("seed", [11, 12])
def test_risk_and_the_executor_hold_the_same_and_nothing_stays_reserved(seed: int) -> None:
    history = run(seed, ACTS)
    history.are_closed = True
    while history.orders:
        history.execute()
    booked = history.risk.native.state("instruments")
    held = history.executor.native.state("instruments")
    np.testing.assert_array_equal(booked["position"], held["position"])
    [account] = history.risk.native.state("account")
    assert account["fills"] == history.executor.native.state("stage")["last_trade_id"][0] > 50
    assert (account["reserved_e8"], account["open_orders"]) == (0, 0)
    assert not booked["reserved_buy"].any()
    assert not booked["reserved_sell"].any()
    assert account["cash_e8"] + booked["cost_e8"].sum() == (
        account["opening_e8"] + account["realised_e8"] - account["fees_e8"]
    )
