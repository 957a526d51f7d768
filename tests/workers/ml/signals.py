"""Rows of features and outcomes for the tests of ml, and its kernels over them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.config import Config
from pipeline.records import CORRELATIONS, FEATURES, OUTCOME
from pipeline.replay import Driver
from pipeline.vocabulary import OutcomeKind, Side
from workers.ml.stage import Strategies
from workers.ta.features import FEATURES_VERSION, Feature

Array = np.ndarray[Any, np.dtype[Any]]

ENGINES = ("native", "reference")
NOW = 5_000_000_000
WINDOWS = Config().resolved()["ta"]
RISK = Config().resolved()["risk"] | {"position_bp": 1 << 40, "order_notional": "0", "reduce_bp": 0}
"""Which hardly bounds an entry."""


def config(
    instruments: int = 1, tick: str = "0.01", lot: str = "0.001", **settings: Any
) -> dict[str, Any]:
    """Return a configuration in which a lot is worth 0.10 at a close of 10,000 ticks."""
    defaults = {
        "strategy": "moving-average",
        "weight_bp": 5_000,
        "model": "",
        "model_max_age_days": 0,
        "enter_bp": 2_500,
        "leave_bp": -2_500,
        "cost_margin_bp": 0,
        "order_notional": "1000",
        "stop_atr_bp": 30_000,
        "target_atr_bp": 60_000,
        "volatility_target_bp": 0,
        "kelly_bp": 0,
        "degraded_size_bp": 5_000,
        "cluster_cap_bp": 20_000,
        "correlation_bp": 7_000,
        "correlation_samples": 20,
        "instruments": {},
        "ttl_ms": 1_000,
    }
    return {
        "equity": "100000",
        "ta": WINDOWS,
        "risk": RISK,
        "instruments": [
            {
                "symbol": f"C{index}USDT",
                "venue": "sim",
                "base": f"C{index}",
                "quote": "USDT",
                "tick": tick,
                "lot": lot,
                "min_notional": "5",
                "maker_fee": "0.001",
                "taker_fee": "0.001",
            }
            for index in range(instruments)
        ],
        "ml": defaults | settings,
    }


def drive(engine: str, instruments: int = 1, **settings: Any) -> Driver:
    stage = Strategies(config(instruments, **settings))
    if engine == "native":
        return Driver(stage)
    return Driver(stage, kernel=stage.reference())


def features(
    values: dict[Feature, float], close: int = 10_000, instrument: int = 0, bar: int = 1
) -> Array:
    row = np.zeros(1, FEATURES)
    row["instrument"] = instrument
    row["venue_ns"] = 60
    row["received_ns"] = 1_060
    row["version"] = FEATURES_VERSION
    row["bar"] = bar
    row["close"] = close
    for feature, value in values.items():
        row["value"][0, feature] = value
        row["valid"] |= np.uint64(1 << feature)
    return row


def means(
    fast: float, slow: float, close: int = 10_000, atr: float = 20.0, instrument: int = 0
) -> Array:
    values = {Feature.SMA_FAST: fast, Feature.SMA_SLOW: slow, Feature.ATR: atr}
    return features(values, close, instrument)


def scored(score: float, *, atr: float = 100.0, close: int = 10_000, **more: Any) -> Array:
    """Return a row for which "blend" has this score, a range of 1 % and no spread.

    There is a trend and nothing else: the distance to the mean alone says where.
    """
    values = {
        Feature.ATR: atr,
        Feature.EMA_SLOW_DISTANCE: 2.0 * score,
        Feature.MACD_HISTOGRAM_SCALED: 0.25 * score,
        Feature.RSI_BALANCE: 0.0,
        Feature.BOLLINGER_POSITION: 0.0,
        Feature.ADX_SHARE: 1.0,
    }
    return features(values, close, **more)


def below(**more: Any) -> Array:
    """Return a row with the fast mean below the slow one."""
    return means(99.0, 100.0, **more)


def above(**more: Any) -> Array:
    return means(101.0, 100.0, **more)


def outcome(
    kind: OutcomeKind,
    intent: int,
    side: Side = Side.BUY,
    *,
    position: int = 0,
    leaves: int = 0,
    instrument: int = 0,
) -> Array:
    record = np.zeros(1, OUTCOME)
    record["instrument"] = instrument
    record["intent_id"] = intent
    record["kind"] = kind
    record["side"] = side
    record["position"] = position
    record["leaves"] = leaves
    return record


def correlations(instrument: int, values: Sequence[int], *, samples: int = 20) -> Array:
    """Return a row of an instrument's, with each one, in basis points."""
    row = np.zeros(1, CORRELATIONS)
    row["instrument"] = instrument
    row["count"] = len(values)
    row["value"][0, : len(values)] = values
    row["samples"][0, : len(values)] = samples
    return row


def relate(driver: Driver, instrument: int, *values: int, samples: int = 20) -> None:
    """Tell it how an instrument moves with each one."""
    row = correlations(instrument, values, samples=samples)
    assert driver.step("clusters", row, now_ns=NOW) == []


def see(driver: Driver, row: Array, now_ns: int = NOW) -> Array | None:
    """Return the intent with which a row is answered, or None."""
    outputs = driver.step("features", row, now_ns=now_ns)
    assert [ring for ring, _ in outputs] in ([], ["intents"])
    return outputs[0][1] if outputs else None


def hear(driver: Driver, record: Array) -> None:
    """Give it an outcome, which has to be answered with nothing."""
    assert driver.step("outcomes", record, now_ns=NOW) == []


def enter(driver: Driver, instrument: int = 0) -> int:
    """Have it cross upwards; return the id of the entry, which is pending then."""
    assert see(driver, below(instrument=instrument)) is None
    intent = see(driver, above(instrument=instrument))
    assert intent is not None
    assert intent["side"] == Side.BUY
    return int(intent["intent_id"][0])


def hold(driver: Driver, position: int = 7) -> int:
    """Have it enter and be filled; return the id of the entry."""
    intent = enter(driver)
    hear(driver, outcome(OutcomeKind.FILL, intent, position=position))
    return intent
