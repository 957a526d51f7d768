"""From a strategy's score and a model's probability to intents, in slow, obvious Python.

For the strategies that are built in this is the documentation of `native/ml.hpp`, and held to the
same tests; for a strategy written in Python it is the kernel that runs.

Long or flat only. What is wanted is kept in the state and compared with what is held whenever a row
of features arrives, never when an outcome does: outcomes are answered with nothing, so that the
circle ml -> risk -> ml cannot fill up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline import _native
from pipeline.instruments import Instrument
from pipeline.records import INTENT
from pipeline.vocabulary import BOOKS, OutcomeKind, Side
from workers.ml import rules
from workers.ml.models import Model
from workers.ml.settings import EntryCaps, MlSettings, share
from workers.ml.strategies import Row, Strategy, checked_score
from workers.ta.features import FEATURES_VERSION
from workers.ta.kept import keep

OUTCOMES, FEATURES, CLUSTERS = range(3)
"""Indices of the input rings."""

_NAMES = ("outcome", "features row", "correlations row")

NEUTRAL = 0.5
"""The probability of a rise that says nothing."""

_REFUSALS = (OutcomeKind.DENIED, OutcomeKind.REJECTED, OutcomeKind.EXPIRED)


class MachineLearning:
    """The kernel: one step a row of features, an outcome, or a row of correlations, which is kept.

    State of an instrument: the position that outcomes tell of, the intent that is not over yet (one
    at most), what is wanted, what the strategy remembers, a book for each way to score, and its
    correlations with the others.

    ```
    wanted    by                                       with nothing pending, at a row of features
    nothing   the start; an entry's refusal; a stop
    long      a score of enter_bp or more              no position: BUY at the market, bracketed
    flat      a score of leave_bp or less              a position: SELL all of it, reduce only
    ```

    A score between the two changes nothing, unless nothing was entered yet. An entry that is not
    worth its cost, or too small, is not wanted any more. After a refusal, a stop or a target the
    score must first go below enter_bp. An exit that is refused is tried again at the next row.
    """

    def __init__(
        self,
        settings: MlSettings,
        caps: Sequence[EntryCaps],
        instruments: Sequence[Instrument],
        strategy: Strategy,
        model: Model | None = None,
        name: str = "",
    ) -> None:
        """Make one; `name` is that of the strategy, for messages."""
        self.settings = settings
        self.caps = caps
        self.instruments = instruments
        self.strategy = strategy
        self.model = model
        self.name = name

    def step(
        self, context: np.void, event: np.void | None, state: _native.State, emit: _native.Emit
    ) -> None:
        """Take an outcome or correlations, or a row of features and emit an intent if one is due.

        Raises:
            IndexError: the record is of an instrument that is not configured.
            ValueError: the row is of another version of the list of features.
            StrategyError: the strategy's score was none.
        """
        if event is None:
            return
        source = int(context["source"])
        index = int(event["instrument"])
        if index >= len(self.instruments):
            raise IndexError(
                f"{_NAMES[source]} {event['sequence']}: instrument was {index}, "
                f"must be below {len(self.instruments)}"
            )
        if source == OUTCOMES:
            _take_outcome(state.edit("instruments", index), event)
            return
        if source == CLUSTERS:
            keep(event, state.edit("correlations", index), len(self.instruments))
            return
        if event["version"] != FEATURES_VERSION:
            raise ValueError(
                f"features row {event['sequence']}: version was {event['version']}, "
                f"must be {FEATURES_VERSION}"
            )
        own = state.edit("instruments", index)
        row = Row.of(event)
        probability, is_degraded = self._predict(event, own)
        entry = rules.bracket(row, self.settings, self.instruments[index])
        score = self._score(row, 2.0 * probability - 1.0, entry, state)
        if entry is not None:
            own["move"] = rules.measure(entry, self.settings)
        if score is not None:
            self._want(own, score)
        intent = self._intent(own, event, entry, state, is_degraded=is_degraded)
        if intent is not None:
            stage = state.edit("stage", 0)
            stage["last_intent_id"] = int(stage["last_intent_id"]) + 1
            intent["intent_id"] = own["pending"] = stage["last_intent_id"]
            intent["created_ns"] = context["now_ns"]
            emit("intents", intent)

    def _predict(self, event: np.void, own: np.void) -> tuple[float, bool]:
        """Return the probability of a rise, and whether there is a model but no answer of it."""
        if self.model is None:
            return NEUTRAL, False
        own["asked"] = int(own["asked"]) + 1
        # A row that does not say when it is of could be of any time.
        venue_ns, until_ns = int(event["venue_ns"]), self.settings.model_until_ns
        if until_ns and (venue_ns == 0 or venue_ns > until_ns):
            own["stale"] = int(own["stale"]) + 1
            return NEUTRAL, True
        values = np.array(event["value"], np.float64).reshape(1, -1)
        probabilities, neutral = self.model.evaluate(values, np.array([event["valid"]], np.uint64))
        own["missing"] = int(own["missing"]) + int(neutral[0])
        return float(probabilities[0]), bool(neutral[0])

    def _score(
        self, row: Row, ml: float, entry: rules.Bracket | None, state: _native.State
    ) -> float | None:
        """Return the mixed score, None where the strategy has none; all scores go to the books."""
        given = self.strategy.on_features(row, state.edit("strategy", row.instrument))
        ta = None if given is None else checked_score(self.name, row, given)
        weight = share(self.settings.weight_bp)
        both = None if ta is None else weight * ta + (1.0 - weight) * ml
        if row.close >= 1:
            cost = rules.cost_share(row, self.instruments[row.instrument])
            for place, score in enumerate((ta, ml, both)):
                book = state.edit("books", row.instrument * len(BOOKS) + place)
                rules.take_into(book, row.close, cost, score, entry, self.settings)
        return both

    def _want(self, own: np.void, score: float) -> None:
        if score >= share(self.settings.enter_bp):
            if own["spent"] == 0:
                own["wanted"] = 1
                own["score"] = score
            return
        own["spent"] = 0
        if score <= share(self.settings.leave_bp):
            own["wanted"] = -1
            own["score"] = score
        elif own["position"] == 0:
            own["wanted"] = 0  # what was not entered is not wanted any more

    def _intent(
        self,
        own: np.void,
        event: np.void,
        entry: rules.Bracket | None,
        state: _native.State,
        *,
        is_degraded: bool,
    ) -> np.ndarray[Any, np.dtype[Any]] | None:
        """Return what takes the position to what is wanted, yet without id and time."""
        if own["pending"] != 0:
            return None
        intent = np.zeros(1, INTENT)
        if own["wanted"] > 0 and own["position"] == 0:
            if entry is None:  # no size and no stop without a price and a range
                return None
            quantity = self._quantity(own, event, entry, state, is_degraded=is_degraded)
            if quantity == 0:
                own["wanted"] = 0
                return None
            own["entering"] = quantity
            intent["side"] = Side.BUY
            intent["quantity"] = quantity
            intent["stop"] = entry.stop
            intent["target"] = entry.target
        elif own["wanted"] < 0 and own["position"] > 0:
            intent["side"] = Side.SELL
            intent["reduce_only"] = 1
            intent["quantity"] = own["position"]
        else:
            return None
        for field in ("instrument", "venue_ns", "received_ns"):
            intent[field] = event[field]
        intent["ttl_ns"] = self.settings.ttl_ns
        intent["score"] = own["score"]
        return intent

    def _quantity(
        self,
        own: np.void,
        event: np.void,
        entry: rules.Bracket,
        state: _native.State,
        *,
        is_degraded: bool,
    ) -> int:
        score = float(own["score"])
        if not rules.is_worth(score, entry, self.settings):
            return 0
        index = int(event["instrument"])
        return rules.entry_quantity(
            score,
            entry,
            self.settings,
            self.caps[index],
            self.instruments[index],
            is_degraded=is_degraded,
            left=self._left_of_cluster(index, state),
        )

    def _left_of_cluster(self, index: int, state: _native.State) -> float:
        """Return what a long position may risk yet, beside those that move with it, in 1e-8."""
        left = rules.cluster_cap(self.settings)
        row = state.read("correlations", index)
        for other, instrument in enumerate(self.instruments):
            each = state.read("instruments", other)
            lots = float(each["position"]) + float(each["entering"])
            rho = int(row["value"][other])
            if (
                other != index
                and lots != 0.0
                and (rho if lots > 0.0 else -rho) > self.settings.correlation_bp
                and row["samples"][other] >= self.settings.correlation_samples
            ):
                left -= rules.risk_of(lots, float(each["move"]), instrument)
        return left


def _take_outcome(own: np.void, outcome: np.void) -> None:
    kind = outcome["kind"]
    if kind in (OutcomeKind.FILL, OutcomeKind.STOP):
        own["position"] = outcome["position"]
    is_refusal = kind in _REFUSALS
    is_over = outcome["intent_id"] == own["pending"] and (
        is_refusal or (kind == OutcomeKind.FILL and outcome["leaves"] == 0)
    )
    is_fill = kind == OutcomeKind.FILL
    if outcome["intent_id"] == own["pending"] and is_fill and own["entering"] != 0:
        own["entering"] = outcome["leaves"]
    if is_over:
        own["pending"] = own["entering"] = 0
    # The next signal may enter again. Neither a position that others closed (its stop or target,
    # risk that flattens) nor an entry that was refused is a reason to; an exit that was refused is
    # tried again.
    is_entry_refused = is_over and is_refusal and outcome["side"] == Side.BUY
    is_closed = kind == OutcomeKind.STOP or (kind == OutcomeKind.FILL and outcome["intent_id"] == 0)
    if own["wanted"] > 0 and (is_entry_refused or is_closed):
        own["wanted"] = 0
        own["spent"] = 1
