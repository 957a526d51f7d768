"""From a strategy's score to intents, in slow, obvious Python.

For the strategy that is built in this is the documentation of `native/ml.hpp`, and held to the same
tests; for a strategy written in Python it is the kernel that runs.

Long or flat only. What is wanted is kept in the state and compared with what is held whenever a row
of features arrives, never when an outcome does: outcomes are answered with nothing, so that the
circle ml -> risk -> ml cannot fill up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline import _native
from pipeline.instruments import E8, Instrument, to_e8
from pipeline.records import INTENT
from pipeline.vocabulary import OutcomeKind, Side
from workers.ml.strategies import Row, Strategy, checked_score, load
from workers.ta.features import FEATURES_VERSION, Feature

OUTCOMES = 0
"""Index of that input ring; the other is that of the features."""

PROBABILITY = 0.5
"""Of a rise, as the model sees it. There is no model yet, so neither way."""

_REFUSALS = (OutcomeKind.DENIED, OutcomeKind.REJECTED, OutcomeKind.EXPIRED)
_MOST = (1 << 63) - 1


class MachineLearning:
    """The kernel: one step a row of features or an outcome.

    State of an instrument: the position that outcomes tell of, the intent that is not over yet (one
    at most), what is wanted, and what the strategy remembers.

    ```
    wanted    by                                       with nothing pending, at a row of features
    nothing   the start; an entry's refusal; a stop
    long      a score above 0                          no position: BUY at the market, with a stop
    flat      a score below 0                          a position: SELL all of it, reduce only
    ```

    An exit that is refused is tried again at the next row: `flat` stays.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        instruments: Sequence[Instrument],
        strategy: Strategy | None = None,
    ) -> None:
        self.name = settings["strategy"]
        self.weight = float(settings["weight_bp"]) / 10000.0
        self.threshold = float(settings["threshold_bp"]) / 10000.0
        self.order_notional_e8 = to_e8(settings["order_notional"])
        self.stop_atr = float(settings["stop_atr_bp"]) / 10000.0
        self.ttl_ns = settings["ttl_ms"] * 1_000_000
        self.instruments = instruments
        self.strategy = strategy or load(self.name)

    def step(
        self, context: np.void, event: np.void | None, state: _native.State, emit: _native.Emit
    ) -> None:
        """Take an outcome, or take a row of features and emit an intent if one is due.

        Raises:
            IndexError: the record is of an instrument that is not configured.
            ValueError: the row is of another version of the list of features.
            StrategyError: the strategy's score was none.
        """
        if event is None:
            return
        what = "outcome" if context["source"] == OUTCOMES else "features row"
        index = int(event["instrument"])
        if index >= len(self.instruments):
            raise IndexError(
                f"{what} {event['sequence']}: instrument was {index}, "
                f"must be below {len(self.instruments)}"
            )
        if context["source"] == OUTCOMES:
            _take_outcome(state.edit("instruments", index), event)
            return
        if event["version"] != FEATURES_VERSION:
            raise ValueError(
                f"features row {event['sequence']}: version was {event['version']}, "
                f"must be {FEATURES_VERSION}"
            )
        own = state.edit("instruments", index)
        row = Row.of(event)
        ta_score = self.strategy.on_features(row, state.edit("strategy", index))
        if ta_score is not None:
            self._want(own, checked_score(self.name, row, ta_score))
        intent = self._intent(own, event, row)
        if intent is not None:
            stage = state.edit("stage", 0)
            stage["last_intent_id"] = int(stage["last_intent_id"]) + 1
            intent["intent_id"] = own["pending"] = stage["last_intent_id"]
            intent["created_ns"] = context["now_ns"]
            emit("intents", intent)

    def _want(self, own: np.void, ta_score: float) -> None:
        score = self.weight * ta_score + (1.0 - self.weight) * (2.0 * PROBABILITY - 1.0)
        if score != 0.0 and abs(score) >= self.threshold:
            own["wanted"] = 1 if score > 0.0 else -1
            own["score"] = score

    def _intent(
        self, own: np.void, event: np.void, row: Row
    ) -> np.ndarray[Any, np.dtype[Any]] | None:
        """Return what takes the position to what is wanted, yet without id and time."""
        if own["pending"] != 0:
            return None
        intent = np.zeros(1, INTENT)
        if own["wanted"] > 0 and own["position"] == 0:
            atr = row.features.get(Feature.ATR.name.lower())
            if row.close < 1 or atr is None:  # no size or no stop without them
                return None
            intent["side"] = Side.BUY
            intent["quantity"] = self._entry_quantity(row.close, self.instruments[row.instrument])
            intent["stop"] = self._entry_stop(row.close, atr)
        elif own["wanted"] < 0 and own["position"] > 0:
            intent["side"] = Side.SELL
            intent["reduce_only"] = 1
            intent["quantity"] = own["position"]
        else:
            return None
        for field in ("instrument", "venue_ns", "received_ns"):
            intent[field] = event[field]
        intent["ttl_ns"] = self.ttl_ns
        intent["score"] = own["score"]
        return intent

    def _entry_quantity(self, close: int, instrument: Instrument) -> int:
        """Return as many whole lots as the notional buys at this price, at least 1."""
        lots = self.order_notional_e8 * E8 // (close * instrument.tick_e8 * instrument.lot_e8)
        return min(max(lots, 1), _MOST)

    def _entry_stop(self, close: int, atr: float) -> int:
        """Return the tick at or below the distance, but at least 1 away, and no less than 1."""
        level = math.floor(float(close) - self.stop_atr * atr)
        return max(1, min(level, close - 1))


def _take_outcome(own: np.void, outcome: np.void) -> None:
    kind = outcome["kind"]
    if kind in (OutcomeKind.FILL, OutcomeKind.STOP):
        own["position"] = outcome["position"]
    is_refusal = kind in _REFUSALS
    is_over = outcome["intent_id"] == own["pending"] and (
        is_refusal or (kind == OutcomeKind.FILL and outcome["leaves"] == 0)
    )
    if is_over:
        own["pending"] = 0
    # The next signal may enter again. Neither a position that others closed (a stop that was hit,
    # risk that flattens) nor an entry that was refused is a reason to; an exit that was refused is
    # tried again.
    is_entry_refused = is_over and is_refusal and outcome["side"] == Side.BUY
    is_closed = kind == OutcomeKind.STOP or (kind == OutcomeKind.FILL and outcome["intent_id"] == 0)
    if own["wanted"] > 0 and (is_entry_refused or is_closed):
        own["wanted"] = 0
