"""Market records for the tests of ta, and its kernels over them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from pipeline.records import CONTEXT, FEATURES, MARKET
from pipeline.replay import Driver
from pipeline.vocabulary import MarketKind
from workers.ta.features import Feature
from workers.ta.reference import TechnicalAnalysis as Reference
from workers.ta.stage import TechnicalAnalysis

Array = np.ndarray[Any, np.dtype[Any]]

ENGINES = ("native", "reference")

SECOND = 1_000_000_000

WINDOWS = {
    "fast": 5,
    "slow": 20,
    "macd_fast": 12,
    "macd_slow": 26,
    "macd_signal": 9,
    "rsi": 14,
    "bollinger": 20,
    "atr": 14,
    "adx": 14,
    "stochastic": 14,
    "stochastic_signal": 3,
    "vwap": 14,
    "cci": 20,
    "mfi": 14,
    "keltner": 10,
    "donchian": 20,
    "roc": 12,
    "williams": 14,
    "volatility": 20,
}
"""The usual ones."""

SHORT = {
    "fast": 2,
    "slow": 5,
    "macd_fast": 3,
    "macd_slow": 6,
    "macd_signal": 3,
    "rsi": 4,
    "bollinger": 5,
    "atr": 3,
    "adx": 4,
    "stochastic": 5,
    "stochastic_signal": 2,
    "vwap": 6,
    "cci": 5,
    "mfi": 4,
    "keltner": 3,
    "donchian": 7,
    "roc": 4,
    "williams": 4,
    "volatility": 6,
}
"""Windows that are full after a few bars."""

BARS = {
    "bar": "tick",
    "trades_per_bar": 3,
    "interval_ms": 1000,
    "lots_per_bar": 10,
    "flat_bars": 3,
    "correlation_ms": 86_400_000,
}


def config(instruments: int = 1, **settings: Any) -> dict[str, Any]:
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
        "ta": {**BARS, **SHORT, **settings},
    }


def drive(engine: str, instruments: int = 1, **settings: Any) -> Driver:
    stage = TechnicalAnalysis(config(instruments, **settings))
    if engine == "native":
        return Driver(stage)
    return Driver(stage, kernel=Reference(stage.settings, stage.instruments))


def trade(
    price: int,
    quantity: int = 1,
    instrument: int = 0,
    at: int = 0,
    *,
    side: int = 0,
    number: int = 0,
) -> Array:
    record = np.zeros(1, MARKET)
    record["kind"] = MarketKind.TRADE
    record["instrument"] = instrument
    record["venue_ns"] = at
    record["received_ns"] = at + 1_000
    record["price"] = price
    record["quantity"] = quantity
    record["aggressor"] = side
    record["venue_sequence"] = number
    return record


def quote(bid: int, ask: int, sizes: tuple[int, int] = (1, 1), instrument: int = 0) -> Array:
    record = np.zeros(1, MARKET)
    record["kind"] = MarketKind.QUOTE
    record["instrument"] = instrument
    record["bid"], record["ask"] = bid, ask
    record["bid_quantity"], record["ask_quantity"] = sizes
    return record


def stale(reason: int, instrument: int = 0) -> Array:
    record = np.zeros(1, MARKET)
    record["kind"] = MarketKind.STALE
    record["instrument"] = instrument
    record["venue_sequence"] = reason
    return record


def resync(instrument: int = 0) -> Array:
    record = stale(0, instrument)
    record["kind"] = MarketKind.RESYNC
    return record


def random_market(seed: int, count: int, instruments: int) -> Iterator[Array]:
    """Random walks with quotes around them, some of which are crossed or have one side only.

    Once in a while trades come late or without a date, intervals have none, ids are missing, and
    the venue's clock is set back.
    """
    rng = random.Random(seed)
    prices = [rng.randint(1_000, 10_000_000) for _ in range(instruments)]
    numbers = [1_000] * instruments
    now = 1_700_000_000 * SECOND + rng.randrange(SECOND)
    for _ in range(count):
        index = rng.randrange(instruments)
        now += rng.randrange(SECOND // 4)
        kind = rng.random()
        if kind < 0.7:
            step = rng.choice((0, 0, 1, 10, 300))
            prices[index] = max(1, prices[index] + rng.randint(-step, step))
            numbers[index] += rng.choice((1,) * 30 + (2, 0, -3))
            at = now - rng.choice((0,) * 20 + (SECOND, now))
            side = rng.choice((-1, 1, 1, 0))
            quantity = rng.randint(1, 10**6)
            yield trade(prices[index], quantity, index, at, side=side, number=numbers[index])
        elif kind < 0.98:
            bid = max(0, prices[index] - rng.randint(-1, 20))
            sizes = rng.randint(0, 50), rng.randint(0, 10**9)
            yield quote(bid, bid + rng.randint(-1, 30), sizes, index)
        elif kind < 0.99:
            yield stale(rng.randint(1, 5), index)
            yield resync(index)
        else:
            now += rng.choice((2, 4, 5, 60, -60)) * SECOND


MOST = (1 << 63) - 1
EDGES = (1, 2, 3, 1 << 31, 1 << 32, (1 << 53) - 1, 1 << 53, (1 << 53) + 1, MOST - 1, MOST)
"""Where integers overflow, or are no doubles any more."""


def hostile_market(seed: int, count: int, instruments: int) -> Iterator[Array]:
    """Like a random market, but each field of some records is one that no venue has ever sent.

    Prices, quantities and times are at the ends of their types, zero or negative; ids are repeated,
    go back, or are the highest; kinds and sides are ones that do not exist. Dates in a far future
    come in a row of 20 in each 4,000 records, as after one all others are late for a long time.
    """
    rng = random.Random(seed)
    for number, record in enumerate(random_market(seed, count, instruments)):
        if rng.random() < 0.2:
            for name in rng.sample(("price", "quantity", "bid", "ask", "bid_quantity"), 2):
                record[name] = rng.choice((0, -1, -MOST - 1, *EDGES))
        if number % 4_000 < 20:
            record["venue_ns"] = rng.choice(EDGES)
        elif rng.random() < 0.02:
            record["venue_ns"] = rng.choice((0, -1, -MOST - 1, 1, SECOND, 1 << 53))
        if rng.random() < 0.01:
            # Not often the highest: after it only a loss lets an order of trades begin anew.
            record["venue_sequence"] = rng.choice((0, 1, 2, 1_000, (1 << 64) - 1))
        if rng.random() < 0.01:
            record["aggressor"] = rng.choice((-128, 127))
        if rng.random() < 0.005:
            record["kind"] = rng.choice((0, 5, 255))
        yield record


def rows(driver: Driver, records: Iterable[Array]) -> list[Array]:
    """Return what the kernel emits, one step a record."""
    emitted: list[Array] = []
    for now, record in enumerate(records, start=1):
        outputs = driver.step("market", record, now_ns=now)
        assert [ring for ring, _ in outputs] in ([], ["features"])
        emitted += [row for _, row in outputs]
    return emitted


def all_rows(driver: Driver, records: Iterable[Array]) -> Array:
    """Return the same, shape (n,), all steps taken in one call."""
    return all_emitted(driver, records)["features"]


def all_emitted(driver: Driver, records: Iterable[Array]) -> dict[str, Array]:
    """Return what the kernel emits, by ring, all steps taken in one call."""
    market = np.frombuffer(b"".join(record.tobytes() for record in records), MARKET)
    contexts = np.zeros(len(market), CONTEXT)
    contexts["step"] = contexts["now_ns"] = np.arange(1, len(market) + 1)
    contexts["sequence"] = np.arange(len(market))
    contexts["instrument"] = market["instrument"]
    emitted = driver.run(contexts, {"market": market})
    assert emitted["features"].dtype == FEATURES
    return emitted


def value(row: Array, feature: Feature) -> float | None:
    """Return a feature of a row, None if it is not valid; then it has to be 0."""
    number = float(row["value"].reshape(-1)[feature])
    if int(row["valid"].reshape(-1)[0]) >> feature & 1:
        return number
    assert number == 0.0
    return None
