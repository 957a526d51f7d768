"""What is learnt from: rows of features with their labels, of all instruments, in order of time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.ml.training.error import TrainingError
from workers.ml.training.history import History
from workers.ml.training.labels import TripleBarrier, triple_barrier
from workers.ml.training.weights import uniqueness

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Computed:
    """What the kernel of technical analysis says of each bar.

    Attributes:
        values: The model's features, shape (bars, features).
        valid: Which rows have all of them, shape (bars,).
        atr: The average true range in the unit of prices; 0 where there is none yet.
    """

    values: Floats
    valid: Booleans
    atr: Floats


Compute = Callable[[History], Computed]


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Rows with their labels, by the time at which each begins; all of shape (rows,) but `values`.

    Attributes:
        values: Features, shape (rows, features).
        outcome: As in `Labels`; what is 0 is not learnt from, but would have been traded.
        long: As in `Labels`, as are `short` and `ambiguous`.
        begin_ms: When a row's bar had closed, ms since 1970.
        end_ms: When the bar had closed in which its label was decided.
        weight: Average uniqueness of its label among those that are learnt from; 0 for the others.
        together: Instruments that may all tell the same story.
        is_dated: As in `History`.
    """

    values: Floats
    outcome: npt.NDArray[np.int8]
    long: Floats
    short: Floats
    ambiguous: Booleans
    begin_ms: npt.NDArray[np.int64]
    end_ms: npt.NDArray[np.int64]
    weight: Floats
    together: int
    is_dated: bool

    def __len__(self) -> int:
        return len(self.outcome)

    @property
    def decided(self) -> Booleans:
        """Which rows are learnt from."""
        decided: Booleans = self.outcome != 0
        return decided

    @property
    def up(self) -> Booleans:
        """Whether it paid to be long; False also for what was not decided."""
        up: Booleans = self.outcome > 0
        return up


def dataset(histories: Sequence[History], compute: Compute, rule: TripleBarrier) -> Dataset:
    """Return the labelled rows of some histories.

    Raises:
        TrainingError: they have none.
    """
    parts: list[tuple[npt.NDArray[Any], ...]] = []
    for history in histories:
        computed = compute(history)
        # Without a trade in the interval there is no row of features in trading either.
        usable = computed.valid & (history.bars[:, 4] > 0)
        labels = triple_barrier(history.bars, computed.atr, usable, history.segment, rule)
        decided = labels.outcome != 0
        weight = np.zeros(len(labels))
        weight[decided] = uniqueness(labels.first[decided], labels.last[decided], len(history))
        parts.append(
            (
                computed.values[labels.first],
                labels.outcome,
                labels.long,
                labels.short,
                labels.ambiguous,
                history.closed_ms[labels.first],
                history.closed_ms[labels.last],
                weight,
            )
        )
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    _, outcome, _, _, _, begin_ms, _, _ = columns
    if not outcome.any():
        names = ", ".join(history.name for history in histories)
        raise TrainingError(
            f"labels of {names} were none ({len(outcome)} rows with features, neither way worth "
            "its costs); use more data, a longer horizon, or nearer barriers"
        )
    order = np.argsort(begin_ms, kind="stable")
    values, outcome, long, short, ambiguous, begin, end, weight = (c[order] for c in columns)
    return Dataset(
        values,
        outcome,
        long,
        short,
        ambiguous,
        begin,
        end,
        weight,
        together=len(histories),
        is_dated=all(history.is_dated for history in histories),
    )


def data_hash(histories: Sequence[History]) -> str:
    """Return the SHA-256 of their bars, 64 hex digits."""
    digest = hashlib.sha256()
    for history in histories:
        for part in (np.int64(len(history)), history.closed_ms, history.bars, history.segment):
            digest.update(part.tobytes())
    return digest.hexdigest()
