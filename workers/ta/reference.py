"""Technical analysis in slow, obvious Python: trades become bars, and a closed bar a features row.

The documentation of `native/ta.hpp`, and held to the same tests: every value comes from the same
operations in the same order, so from the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline import _native
from pipeline.instruments import Instrument
from pipeline.records import FEATURES
from pipeline.vocabulary import MarketKind
from workers.ta.features import FEATURES_VERSION, Feature

Values = dict[Feature, float]
"""The valid features of a row."""


class TechnicalAnalysis:
    """The kernel: one step a market record.

    State of an instrument: the bar that is being built, the latest quote, the running values of the
    indicators, and the last closes in a ring buffer.
    """

    def __init__(self, settings: Mapping[str, int], instruments: Sequence[Instrument]) -> None:
        self.trades_per_bar = settings["trades_per_bar"]
        self.fast = settings["fast"]
        self.slow = settings["slow"]
        self.rsi = settings["rsi"]
        self.atr = settings["atr"]
        self.instruments = len(instruments)

    def step(
        self, context: np.void, event: np.void | None, state: _native.State, emit: _native.Emit
    ) -> None:
        """Take a market record, and emit a features row if it closes a bar.

        Raises:
            IndexError: the record is of an instrument that is not configured.
        """
        if event is None:
            return
        index = int(event["instrument"])
        if index >= self.instruments:
            raise IndexError(
                f"market record {event['sequence']}: instrument was {index}, "
                f"must be below {self.instruments}"
            )
        if event["kind"] == MarketKind.QUOTE:
            own = state.edit("instruments", index)
            for field in ("bid", "bid_quantity", "ask", "ask_quantity"):
                own[field] = event[field]
        elif event["kind"] == MarketKind.TRADE and event["price"] > 0 and event["quantity"] > 0:
            own = state.edit("instruments", index)
            _add_trade(own, int(event["price"]), int(event["quantity"]))
            if own["trades"] >= self.trades_per_bar:
                values = self._close_bar(own)
                emit("features", _row(event, own, values))

    def _close_bar(self, own: np.void) -> Values:
        bars = int(own["bars"])  # before this one
        close = int(own["close"])
        previous = _close_before(own, 1) if bars > 0 else 0
        values = self._means(own, bars, close)
        values |= self._relative_strength(own, bars, close - previous)
        values |= self._average_range(own, bars, previous)
        if bars > 0:
            values[Feature.RETURN] = float(close) / float(previous) - 1.0
        values |= _quote(own)
        own["closes"][bars % len(own["closes"])] = close
        own["bars"] = bars + 1
        own["trades"] = 0
        return values

    def _means(self, own: np.void, bars: int, close: int) -> Values:
        values: Values = {}
        for field, window, feature in (
            ("fast_sum", self.fast, Feature.SMA_FAST),
            ("slow_sum", self.slow, Feature.SMA_SLOW),
        ):
            leaving = _close_before(own, window) if bars >= window else 0
            total = int(own[field]) + close - leaving
            own[field] = total
            if bars + 1 >= window:
                values[feature] = float(total) / float(window)
        alpha = 2.0 / float(self.slow + 1)
        ema = float(close) if bars == 0 else _smoothed(float(own["ema"]), float(close), alpha)
        own["ema"] = ema
        if bars + 1 >= self.slow:
            values[Feature.EMA_SLOW] = ema
        return values

    def _relative_strength(self, own: np.void, bars: int, change: int) -> Values:
        if bars > 0:  # both averages begin with the 0 of the first bar
            alpha = 1.0 / float(self.rsi)
            for field, amount in (("average_gain", change), ("average_loss", -change)):
                own[field] = _smoothed(float(own[field]), float(max(amount, 0)), alpha)
        if bars + 1 < self.rsi:
            return {}
        gain, loss = float(own["average_gain"]), float(own["average_loss"])
        return {Feature.RSI: 100.0 if loss == 0.0 else 100.0 - 100.0 / (1.0 + gain / loss)}

    def _average_range(self, own: np.void, bars: int, previous: int) -> Values:
        high, low = int(own["high"]), int(own["low"])
        true_range = high - low if bars == 0 else max(high, previous) - min(low, previous)
        window = float(self.atr)
        if bars < self.atr:
            own["true_range_sum"] = int(own["true_range_sum"]) + true_range
            if bars + 1 < self.atr:
                return {}
            own["atr"] = float(own["true_range_sum"]) / window
        else:
            own["atr"] = (float(own["atr"]) * (window - 1.0) + float(true_range)) / window
        return {Feature.ATR: float(own["atr"])}


def _add_trade(own: np.void, price: int, quantity: int) -> None:
    if own["trades"] == 0:
        own["open"] = own["high"] = own["low"] = price
        own["volume"] = 0
    own["high"] = max(int(own["high"]), price)
    own["low"] = min(int(own["low"]), price)
    own["close"] = price
    own["volume"] = int(own["volume"]) + quantity
    own["trades"] = int(own["trades"]) + 1


def _close_before(own: np.void, back: int) -> int:
    """Return the close of `back` bars before the one that is closing."""
    closes = own["closes"]
    return int(closes[(int(own["bars"]) - back) % len(closes)])


def _smoothed(mean: float, value: float, alpha: float) -> float:
    """Return the next exponential mean. A value equal to the mean leaves it alone, bit for bit."""
    return mean if mean == value else (1.0 - alpha) * mean + alpha * value


def _quote(own: np.void) -> Values:
    bid, ask = int(own["bid"]), int(own["ask"])
    bid_quantity, ask_quantity = int(own["bid_quantity"]), int(own["ask_quantity"])
    if min(bid_quantity, ask_quantity) <= 0 or not 0 < bid < ask:
        return {}
    mid = (float(bid) + float(ask)) * 0.5
    total = float(bid_quantity) + float(ask_quantity)
    return {
        Feature.SPREAD: (float(ask) - float(bid)) / mid,
        Feature.IMBALANCE: (float(bid_quantity) - float(ask_quantity)) / total,
    }


def _row(event: np.void, own: np.void, values: Values) -> np.ndarray[Any, np.dtype[Any]]:
    row = np.zeros(1, FEATURES)
    for field in ("instrument", "venue_ns", "received_ns"):
        row[field] = event[field]
    row["version"] = FEATURES_VERSION
    row["bar"] = own["bars"]
    row["close"] = own["close"]
    row["valid"] = sum(1 << feature for feature in values)
    for feature, value in values.items():
        row["value"][0, feature] = value
    return row
