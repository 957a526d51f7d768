"""From a strategy's score and a model's probability to intents, in slow, obvious Python.

For the strategies that are built in this is the documentation of `native/ml.hpp`, and held to the
same tests; for a strategy written in Python it is the kernel that runs.

Long or flat only. What is wanted is kept in the state and compared with what is held whenever a row
of features arrives, never when an outcome does: outcomes are answered with nothing, so that the
circle ml -> risk -> ml cannot fill up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline import _native
from pipeline.instruments import Instrument
from pipeline.records import INTENT, QUESTION
from pipeline.vocabulary import BOOKS, OutcomeKind, Refusal, Side
from workers.ml import rules
from workers.ml.models import Model
from workers.ml.settings import EntryCaps, MlAsking, MlSettings, share
from workers.ml.strategies import Row, Strategy, asked_score
from workers.ta.features import FEATURES_VERSION
from workers.ta.kept import keep

_NAMES = {
    "outcomes": "outcome",
    "answers": "answer",
    "features": "features row",
    "clusters": "correlations row",
}

NEUTRAL = 0.5
"""The probability of a rise that says nothing."""

_NO_ANSWER = NEUTRAL, True

_SOURCES = ("outcomes", "answers", "features", "clusters")

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

    With `asking` the model is in another process. A row that it could have an answer for is kept
    until that is there, and then decided on; without it, if the answer does not come in time, if
    the next row comes first, or if too many questions are under way. Questions are numbered, and
    answered in their order.
    """

    def __init__(
        self,
        settings: MlSettings,
        caps: Sequence[EntryCaps],
        instruments: Sequence[Instrument],
        strategy: Strategy,
        model: Model | None = None,
        name: str = "",
        asking: MlAsking | None = None,
    ) -> None:
        """Make one; `name` is that of the strategy, for messages."""
        self.settings = settings
        self.caps = caps
        self.instruments = instruments
        self.strategy = strategy
        self.model = model
        self.name = name
        self.asking = asking
        self.sources = tuple(ring for ring in _SOURCES if asking is not None or ring != "answers")

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
            if self.asking is not None:
                self._take_tick(context, state, emit)
            return
        source = self.sources[context["source"]]
        index = int(event["instrument"])
        if index >= len(self.instruments):
            raise IndexError(
                f"{_NAMES[source]} {event['sequence']}: instrument was {index}, "
                f"must be below {len(self.instruments)}"
            )
        if source == "outcomes":
            _take_outcome(state.edit("instruments", index), event)
            return
        if source == "answers":
            self._take_answer(context, event, state, emit)
            return
        if source == "clusters":
            keep(event, state.edit("correlations", index), len(self.instruments))
            return
        if event["version"] != FEATURES_VERSION:
            raise ValueError(
                f"features row {event['sequence']}: version was {event['version']}, "
                f"must be {FEATURES_VERSION}"
            )
        if self.asking is None:
            self._decide(context, event, self._predict(event, state), state, emit)
        else:
            self._ask(context, event, state, emit)

    def _decide(
        self,
        context: np.void,
        event: np.void,
        prediction: tuple[float, bool],
        state: _native.State,
        emit: _native.Emit,
    ) -> None:
        """Decide on a row, with a probability of a rise, and whether that is for want of one."""
        probability, is_degraded = prediction
        index = int(event["instrument"])
        own = state.edit("instruments", index)
        row = Row.of(event)
        entry = rules.bracket(row, self.settings, self.caps[index], self.instruments[index])
        score = self._score(row, 2.0 * probability - 1.0, entry, state)
        if row.close >= 1:
            own["close"] = row.close
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

    def _predict(self, event: np.void, state: _native.State) -> tuple[float, bool]:
        """Return the probability of a rise, and whether there is a model but no answer of it."""
        if self.model is None:
            return NEUTRAL, False
        own = state.edit("instruments", int(event["instrument"]))
        own["asked"] = int(own["asked"]) + 1
        if self._is_stale(event):
            own["stale"] = int(own["stale"]) + 1
            return _NO_ANSWER
        values = np.array(event["value"], np.float64).reshape(1, -1)
        probabilities, neutral = self.model.evaluate(values, np.array([event["valid"]], np.uint64))
        own["missing"] = int(own["missing"]) + int(neutral[0])
        return float(probabilities[0]), bool(neutral[0])

    def _is_stale(self, event: np.void) -> bool:
        # A row that does not say when it is of could be of any time.
        venue_ns, until_ns = int(event["venue_ns"]), self.settings.model_until_ns
        return until_ns != 0 and (venue_ns == 0 or venue_ns > until_ns)

    # The model in another process.

    def _ask(
        self, context: np.void, event: np.void, state: _native.State, emit: _native.Emit
    ) -> None:
        """Ask for a row, whose decision then waits for the answer; or decide without one."""
        assert self.asking is not None
        index = int(event["instrument"])
        own, stage = state.edit("instruments", index), state.edit("stage", 0)
        if own["question"] != 0:
            # The next bar is there before the answer, which comes too late for this one.
            self._decide_without(context, index, state, emit, is_over=False)
        own["asked"] = int(own["asked"]) + 1
        if self._is_stale(event):
            own["stale"] = int(own["stale"]) + 1
            self._decide(context, event, _NO_ANSWER, state, emit)
            return
        if not self._has_all(event):
            own["missing"] = int(own["missing"]) + 1
            self._decide(context, event, _NO_ANSWER, state, emit)
            return
        under_way = int(stage["last_question"]) - int(stage["last_answer"])
        if under_way >= self.asking.most:
            stage["unasked"] = int(stage["unasked"]) + 1
            self._count_miss(context, own, stage, is_over=False)
            self._decide(context, event, _NO_ANSWER, state, emit)
            return
        if under_way == 0:
            stage["silent_since_ns"] = context["now_ns"]
        own["question"] = stage["last_question"] = int(stage["last_question"]) + 1
        own["asked_ns"] = context["now_ns"]
        row = state.edit("rows", index)
        for field in event.dtype.names or ():
            row[field] = event[field]
        question = np.zeros(1, QUESTION)
        for field in ("instrument", "venue_ns", "received_ns", "valid", "value"):
            question[field] = event[field]
        question["question_id"] = own["question"]
        emit("questions", question)

    def _take_answer(
        self, context: np.void, answer: np.void, state: _native.State, emit: _native.Emit
    ) -> None:
        assert self.asking is not None
        index, number = int(answer["instrument"]), int(answer["question_id"])
        stage = state.edit("stage", 0)
        is_new = int(stage["last_answer"]) < number <= int(stage["last_question"])
        if is_new:
            stage["last_answer"] = number
            stage["silent_since_ns"] = context["now_ns"]
        if not is_new or state.read("instruments", index)["question"] != number:
            stage["ignored"] = int(stage["ignored"]) + 1  # nobody waits for it
            return
        own = state.edit("instruments", index)
        if int(context["now_ns"]) - int(own["asked_ns"]) >= self.asking.timeout_ns:
            self._decide_without(context, index, state, emit, is_over=True)
            return
        own["question"] = 0
        probability = float(answer["probability"])
        prediction = probability, False
        # Written so that a NaN is no answer either.
        if answer["refusal"] != Refusal.NONE or not 0.0 <= probability <= 1.0:
            own["missing"] = int(own["missing"]) + 1
            stage["refused"] = int(stage["refused"]) + 1
            prediction = _NO_ANSWER
        self._decide(context, state.read("rows", index), prediction, state, emit)

    def _take_tick(self, context: np.void, state: _native.State, emit: _native.Emit) -> None:
        """Decide on a row that has waited for too long; ticks come once for each instrument."""
        assert self.asking is not None
        index = int(context["instrument"])
        own = state.read("instruments", index)
        waited_ns = int(context["now_ns"]) - int(own["asked_ns"])
        if own["question"] != 0 and waited_ns >= self.asking.timeout_ns:
            self._decide_without(context, index, state, emit, is_over=True)

    def _decide_without(
        self,
        context: np.void,
        index: int,
        state: _native.State,
        emit: _native.Emit,
        *,
        is_over: bool,
    ) -> None:
        """Decide on the row that waits, whose answer is not waited for any longer."""
        own = state.edit("instruments", index)
        own["question"] = 0
        self._count_miss(context, own, state.edit("stage", 0), is_over=is_over)
        self._decide(context, state.read("rows", index), _NO_ANSWER, state, emit)

    def _count_miss(self, context: np.void, own: np.void, stage: np.void, *, is_over: bool) -> None:
        """Count a row without an answer.

        Late, a slow call, is the model if its time is over, or if it is silent for that long.
        """
        assert self.asking is not None
        own["missing"] = int(own["missing"]) + 1
        silent_ns = int(context["now_ns"]) - int(stage["silent_since_ns"])
        if is_over or silent_ns >= self.asking.timeout_ns:
            stage["late"] = int(stage["late"]) + 1

    def _has_all(self, event: np.void) -> bool:
        """Return whether a row has all that the model uses, valid and finite."""
        assert self.asking is not None
        needed = self.asking.needed
        if int(event["valid"]) & needed != needed:
            return False
        return all(
            math.isfinite(value)
            for place, value in enumerate(event["value"].tolist())
            if needed >> place & 1
        )

    def _score(
        self, row: Row, ml: float, entry: rules.Bracket | None, state: _native.State
    ) -> float | None:
        """Return the mixed score, None where the strategy has none; all scores go to the books."""
        own = state.edit("strategy", row.instrument)
        ta = asked_score(self.name, self.strategy, row, own)
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
            rate=self._rate(index, state),
        )

    def _rate(self, index: int, state: _native.State) -> float:
        """Return what one of the currency of an instrument's prices is in the account's."""
        caps = self.caps[index]
        if caps.converter < 0:
            return 1.0
        close = int(state.read("instruments", caps.converter)["close"])
        return rules.rate_of(caps, close, self.instruments[caps.converter])

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
                risk = rules.risk_of(lots, float(each["move"]), instrument)
                left -= risk * self._rate(other, state)
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
