"""The kernel of the ta stage: market records in, a row of features for each bar that closes.

And at whole intervals the correlations of all instruments' returns, a row a step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline import _native
from pipeline.instruments import Instrument
from pipeline.records import FEATURES
from pipeline.vocabulary import MarketKind
from workers.ta.features import FEATURES_VERSION
from workers.ta.reference.bars import Bar, BarBuilder
from workers.ta.reference.indicators import Indicators, Values, flow
from workers.ta.reference.sampling import Sampler


class TechnicalAnalysis:
    """One step a market record; at most one row of features, and one of correlations.

    State of an instrument: in `bars` the bar that is being built and the latest quote, in
    `indicators` what a closed bar changes.
    """

    def __init__(self, settings: Mapping[str, Any], instruments: Sequence[Instrument]) -> None:
        self.bars = BarBuilder(settings)
        self.indicators = Indicators(settings)
        self.sampler = Sampler(settings["correlation_ms"], len(instruments))
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
        # First: what the record tells is of the interval that it begins.
        self.sampler.take(event, state)
        self.sampler.emit_due(event, state, emit)
        if event["kind"] == MarketKind.QUOTE:
            self.bars.take_quote(event, state.edit("bars", index))
        elif event["kind"] == MarketKind.STALE:
            self.bars.take_stale(event, state.edit("bars", index))
        elif event["kind"] == MarketKind.TRADE and event["price"] > 0 and event["quantity"] > 0:
            self._take_trade(event, state, emit)

    def _take_trade(self, event: np.void, state: _native.State, emit: _native.Emit) -> None:
        index = int(event["instrument"])
        building = state.edit("bars", index)
        events = self.bars.take_trade(event, building)
        if not events.is_lost and events.bar is None:
            return
        own = state.edit("indicators", index)
        if events.is_lost:
            _clear(own)
        if (bar := events.bar) is None:
            return
        values = self.indicators.update(own, bar.high, bar.low, bar.close, bar.volume)
        values |= flow(
            bar.signed_volume,
            bar.volume,
            *(float(building[field]) for field in ("bid", "bid_quantity", "ask", "ask_quantity")),
        )
        # The flat bars that follow are counted already.
        emit("features", _row(event, bar, int(building["bars"]) - events.flat, values))
        for _ in range(events.flat):
            self.indicators.update(own, bar.close, bar.close, bar.close, 0)
        if events.is_gap:
            _clear(own)


def _clear(own: np.void) -> None:
    for field in own.dtype.names or ():
        own[field] = 0


def _row(event: np.void, bar: Bar, number: int, values: Values) -> np.ndarray[Any, np.dtype[Any]]:
    row = np.zeros(1, FEATURES)
    row["instrument"] = event["instrument"]
    row["venue_ns"] = bar.end_ns or event["venue_ns"]
    row["received_ns"] = event["received_ns"]
    row["version"] = FEATURES_VERSION
    row["bar"] = number
    row["close"] = bar.close
    row["valid"] = sum(1 << feature for feature in values)
    for feature, value in values.items():
        row["value"][0, feature] = value
    return row
