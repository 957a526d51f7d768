"""Market records for the tests of ta, and its kernels over them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from pipeline.records import MARKET
from pipeline.replay import Driver
from pipeline.vocabulary import MarketKind
from workers.ta.features import Feature
from workers.ta.reference import TechnicalAnalysis as Reference
from workers.ta.stage import TechnicalAnalysis

Array = np.ndarray[Any, np.dtype[Any]]

ENGINES = ("native", "reference")


def config(instruments: int = 1, **settings: int) -> dict[str, Any]:
    return {
        "instruments": [
            {
                "symbol": f"C{index}USDT",
                "venue": "sim",
                "base": f"C{index}",
                "quote": "USDT",
                "tick": "0.01",
                "lot": "0.001",
                "min_notional": "5",
                "maker_fee": "0.001",
                "taker_fee": "0.001",
            }
            for index in range(instruments)
        ],
        "ta": {"trades_per_bar": 3, "fast": 2, "slow": 5, "rsi": 4, "atr": 3} | settings,
    }


def drive(engine: str, instruments: int = 1, **settings: int) -> Driver:
    stage = TechnicalAnalysis(config(instruments, **settings))
    if engine == "native":
        return Driver(stage)
    return Driver(stage, kernel=Reference(stage.settings, stage.instruments))


def trade(price: int, quantity: int = 1, instrument: int = 0, at: int = 0) -> Array:
    record = np.zeros(1, MARKET)
    record["kind"] = MarketKind.TRADE
    record["instrument"] = instrument
    record["venue_ns"] = at
    record["received_ns"] = at + 1_000
    record["price"] = price
    record["quantity"] = quantity
    return record


def quote(bid: int, ask: int, sizes: tuple[int, int] = (1, 1), instrument: int = 0) -> Array:
    record = np.zeros(1, MARKET)
    record["kind"] = MarketKind.QUOTE
    record["instrument"] = instrument
    record["bid"], record["ask"] = bid, ask
    record["bid_quantity"], record["ask_quantity"] = sizes
    return record


def random_market(seed: int, count: int, instruments: int) -> Iterator[Array]:
    """Random walks with quotes around them, some of which are crossed or have one side only."""
    rng = random.Random(seed)
    prices = [rng.randint(1_000, 10_000_000) for _ in range(instruments)]
    for at in range(count):
        index = rng.randrange(instruments)
        if rng.random() < 0.7:
            step = rng.choice((0, 0, 1, 10, 300))
            prices[index] = max(1, prices[index] + rng.randint(-step, step))
            yield trade(prices[index], rng.randint(1, 10**6), index, at)
        else:
            bid = max(0, prices[index] - rng.randint(-1, 20))
            sizes = rng.randint(0, 50), rng.randint(0, 10**9)
            yield quote(bid, bid + rng.randint(-1, 30), sizes, index)


def rows(driver: Driver, records: Iterable[Array]) -> list[Array]:
    """Return what the kernel emits, one step a record."""
    emitted: list[Array] = []
    for now, record in enumerate(records, start=1):
        outputs = driver.step("market", record, now_ns=now)
        assert [ring for ring, _ in outputs] in ([], ["features"])
        emitted += [row for _, row in outputs]
    return emitted


def value(row: Array, feature: Feature) -> float | None:
    """Return a feature of a row, None if it is not valid; then it has to be 0."""
    number = float(row["value"][0, feature])
    if int(row["valid"][0]) >> feature & 1:
        return number
    assert number == 0.0
    return None
