"""A risk stage with an account, driven by plain values."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from pipeline import replay
from pipeline.config.model import Config
from pipeline.instruments import E8
from pipeline.records import CONTROL, CORRELATIONS, EXECUTION, INTENT, QUOTE, Array
from pipeline.topology import components
from pipeline.vocabulary import CHECKS, ControlKind, Denial, ExecutionKind, Mode, Side
from shm.breaker_types import GlobalState
from workers.risk.stage import Risk

ENGINES = ("native", "reference")

NOW = 10**12
TTL = 10**9
STALE_MS = 3000

# The first is easy to reckon with: a tick is 1, and so is a lot. The second rounds at every turn: a
# tick of a lot is worth a tenth of the smallest money. Each has a venue of its own.
INSTRUMENTS = [
    {
        "symbol": symbol,
        "venue": venue,
        "base": symbol[:3],
        "quote": "USDT",
        "tick": tick,
        "lot": lot,
        "min_notional": least,
        "maker_fee": "0",
        "taker_fee": fee,
    }
    for symbol, venue, tick, lot, least, fee in (
        ("ONEUSDT", "sim", "1", "1", "100", "0.001"),
        ("ODDUSDT", "far", "0.00001", "0.0001", "0.0000001", "0.00075"),
    )
]


DEFAULTS: Mapping[str, Any] = MappingProxyType(Config().resolved()["risk"])

# Each test is about few limits: all that can be off is, but for those of a position and its stop.
LOOSE: Mapping[str, Any] = MappingProxyType(
    dict.fromkeys(
        (
            *("gross", "directional", "venue", "asset_class", "order_notional"),
            *("daily_loss", "weekly_loss", "monthly_loss"),
        ),
        "0",
    )
    | dict.fromkeys(
        (
            *("leverage_bp", "margin_bp", "concentration_bp", "positions", "per_symbol"),
            *("slippage_bp", "spread_factor", "jump_bp", "dup_count", "repeated", "correlated"),
            *("strategy_rate", "symbol_rate", "venue_rate", "global_rate"),
            *("risk_bp", "reduce_bp", "losses", "stop_cooldown_s"),
        ),
        0,
    )
    | {"passive_collar_bp": 10_000, "symbol_orders": 15}
)


def config(equity: str = "100000", **risk: Any) -> dict[str, Any]:
    """A resolved configuration, as far as risk and executor read it."""
    return {
        "equity": equity,
        "instruments": INSTRUMENTS,
        "risk": {**DEFAULTS, **LOOSE, **risk},
        "executor": {"slippage_bp": 0},
    }


COMPONENTS = components(config())


def bits(*names: str) -> int:
    """Those of components in a context."""
    return sum(1 << COMPONENTS.index(name) for name in names)


ALL_IS_WELL: Mapping[str, int] = MappingProxyType({"global": GlobalState.CLOSED})


class Driver(replay.Driver):
    """A driver whose contexts say of the breakers what it is told; by default that all is well."""

    breakers = ALL_IS_WELL

    def run(
        self, contexts: Array, inputs: Mapping[str, Array], first: Mapping[str, int] | None = None
    ) -> dict[str, Array]:
        """Run one step per context."""
        for field, value in {**ALL_IS_WELL, **self.breakers}.items():
            contexts[field] = value
        return super().run(contexts, inputs, first)


def quote(
    bid: int = 99,
    ask: int = 100,
    *,
    link_ns: int = NOW,
    received_ns: int = NOW,
    stale: int = 0,
    size: int = 0,
) -> Array:
    """A quote; fresh unless told otherwise."""
    record = np.zeros(1, QUOTE)
    record["bid"], record["ask"] = bid, ask
    record["link_ns"], record["received_ns"] = link_ns, received_ns
    record["stale"] = stale
    record["bid_quantity"] = record["ask_quantity"] = size
    return record


def record_of(dtype: np.dtype[np.void], **fields: int) -> Array:
    """A record with these fields, the rest 0."""
    record = np.zeros(1, dtype)
    for name, value in fields.items():
        record[name] = value
    return record


def codes(outcome: Array) -> set[Denial]:
    """All checks that failed."""
    mask = int(outcome["failed"][0])
    return {code for bit, code in enumerate(CHECKS) if mask >> bit & 1}


def e8(amount: float) -> int:
    """Money in 1e-8, of an amount that a float holds exactly enough."""
    return round(amount * E8)


class Desk:
    """A stage of one engine, asked one thing at a time."""

    def __init__(
        self,
        engine: str,
        equity: str = "100000",
        settings: Mapping[str, Any] | None = None,
        **risk: Any,
    ) -> None:
        self.settings = config(equity, **risk) if settings is None else settings
        self.stage = Risk(self.settings)
        kernel = self.stage.reference() if engine == "reference" else None
        self.driver = Driver(self.stage, kernel)
        self.now = NOW
        self.ids = itertools.count(7)

    def ask(
        self,
        *,
        halted: int = 0,
        market: Array | None = None,
        breakers: Mapping[str, int] = ALL_IS_WELL,
        **fields: Any,
    ) -> tuple[Array | None, Array]:
        """Send an intent, by default a sound one for 10 lots; return (order, outcome)."""
        self.driver.breakers = breakers
        sound = {
            "intent_id": fields.get("intent_id") or next(self.ids),
            "side": Side.BUY,
            "quantity": 10,
            "stop": 97,
            "created_ns": self.now,
            "ttl_ns": TTL,
        }
        answers = self.driver.step(
            "intents",
            record_of(INTENT, **sound | fields),
            now_ns=self.now,
            halted=halted,
            quote=quote() if market is None else market,
        )
        if len(answers) == 1:
            assert answers[0][0] == "outcomes"
            return None, answers[0][1]
        (first, order), (second, outcome) = answers
        assert (first, second) == ("orders", "outcomes")
        return order, outcome

    def approve(self, **fields: Any) -> Array:
        """Send an intent that must pass; return its order."""
        order, outcome = self.ask(**fields)
        assert order is not None, codes(outcome)
        return order

    def execute(self, *, market: Array | None = None, **fields: Any) -> Array:
        """Send an execution, by default a whole fill at 100 without a fee; return the outcome."""
        fill = {"kind": ExecutionKind.FILL, "side": Side.BUY, "quantity": 10, "price": 100}
        [(ring, outcome)] = self.driver.step(
            "executions",
            record_of(EXECUTION, **fill | fields),
            now_ns=self.now,
            quote=quote() if market is None else market,
        )
        assert ring == "outcomes"
        return outcome

    def tick(self, market: Array, instrument: int = 0) -> None:
        """Let risk look at the market."""
        self.driver.breakers = ALL_IS_WELL
        answers = self.driver.step(
            "tick", None, now_ns=self.now, quote=market, instrument=instrument
        )
        assert answers == []

    def flatten(
        self,
        market: Array | None = None,
        instrument: int = 0,
        *,
        halted: int = 0,
        breakers: Mapping[str, int] = ALL_IS_WELL,
    ) -> Array | None:
        """Let risk look at the market while all positions are to be closed; return its order."""
        self.driver.breakers = {"mode": Mode.REDUCED, **breakers}
        answers = self.driver.step(
            "tick",
            None,
            now_ns=self.now,
            halted=halted,
            quote=quote() if market is None else market,
            instrument=instrument,
        )
        assert [ring for ring, _ in answers] in ([], ["orders"])
        return answers[0][1] if answers else None

    def control(self, kind: ControlKind, amount: int = 0) -> None:
        """Tell risk something as an operator."""
        record = record_of(CONTROL, kind=kind, amount=amount)
        assert self.driver.step("control", record, now_ns=self.now) == []

    def correlate(self, instrument: int, value: Sequence[int], samples: int = 100) -> None:
        """Give it a row of correlations, in basis points."""
        row = record_of(CORRELATIONS, instrument=instrument, count=len(value))
        row["value"][0, : len(value)] = value
        row["samples"][0, : len(value)] = samples
        assert self.driver.step("correlations", row, now_ns=self.now) == []

    @property
    def account(self) -> np.void:
        """The account."""
        account: np.void = self.driver.state("account")[0]
        return account

    def held(self, instrument: int = 0) -> np.void:
        """What is held of an instrument."""
        held: np.void = self.driver.state("instruments")[instrument]
        return held

    def open_orders(self) -> Array:
        """The cells in use."""
        cells = self.driver.state("orders")
        used: Array = cells[cells["order_id"] != 0]
        return used

    def is_conserved(self) -> bool:
        """Whether all money is accounted for."""
        account = {name: int(self.account[name]) for name in self.account.dtype.names or ()}
        cost = sum(int(cost) for cost in self.driver.state("instruments")["cost_e8"])
        expected = account["opening_e8"] + account["flows_e8"] + account["realised_e8"]
        return account["cash_e8"] + cost == expected - account["fees_e8"]
