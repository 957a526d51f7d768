"""Walk-forward splits in which nothing of a test period is known in training.

Lopez de Prado, Advances in Financial Machine Learning, chapter 7: a label that is decided within
the test period is *purged* from training; and as features look back, labels shortly before it are
kept out as well, the *embargo*.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workers.ml.training.error import TrainingError

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Rows of labels, apart from each other in time: fit, then calibrate, then test.

    Attributes:
        fit: What the estimator learns from.
        calibrate: What its probabilities are set right by.
        test: What it is judged by.
        purged: Labels that were left out between them.
    """

    fit: Rows
    calibrate: Rows
    test: Rows
    purged: int


@dataclass(frozen=True, slots=True)
class WalkForward:
    """How a history is divided.

    Attributes:
        folds: Test periods, one after another, each with all that is before it to learn from.
        final: Share of the labels, the latest, that is used once, at the very end.
        first: Share of the rest that the first fold learns from.
        calibrate: Share of what a fold may learn from, the latest, that calibrates.
        embargo_ms: Before each test period and each calibration.
    """

    folds: int = 5
    final: float = 0.2
    first: float = 0.4
    calibrate: float = 0.2
    embargo_ms: int = 0

    def __post_init__(self) -> None:
        if self.folds < 1:
            raise TrainingError(f"folds was {self.folds}, must be at least 1")
        for name in ("final", "first", "calibrate"):
            value = getattr(self, name)
            if not 0 < value < 1:
                raise TrainingError(f"{name} was {value:g}, must be between 0 and 1")
        if self.embargo_ms < 0:
            raise TrainingError(f"embargo_ms was {self.embargo_ms}, must be >= 0")

    def splits(self, begin_ms: Rows, end_ms: Rows) -> Iterator[Split]:
        """Yield the folds, the latest last.

        Args:
            begin_ms: When each label begins, in order; int64, shape (labels,).
            end_ms: When it is decided; shape (labels,).

        Raises:
            TrainingError: there are too few labels for so many folds.
        """
        edges = self._edges(begin_ms)
        for begin, end in itertools.pairwise(edges):
            yield self._split(begin_ms, end_ms, begin, end)

    def last(self, begin_ms: Rows, end_ms: Rows) -> Split:
        """Return the split whose test period is the final one.

        Raises:
            TrainingError: there are too few labels.
        """
        return self._split(begin_ms, end_ms, self._edges(begin_ms)[-1], None)

    def _edges(self, begin_ms: Rows) -> list[int]:
        """Return the times at which the folds' test periods begin, and that of the final one."""
        count = len(begin_ms)
        used = round(count * (1 - self.final))
        at = [
            round(used * (self.first + (1 - self.first) * i / self.folds))
            for i in range(self.folds)
        ]
        edges = [int(begin_ms[index]) for index in (*at, used) if index < count]
        if len(set(edges)) < self.folds + 1:
            raise TrainingError(
                f"labels were {count}, too few for {self.folds} folds and a final test; use more "
                "data, or fewer folds"
            )
        return edges

    def _split(self, begin_ms: Rows, end_ms: Rows, begin: int, end: int | None) -> Split:
        before_end = begin_ms >= 0 if end is None else begin_ms < end
        test = (begin_ms >= begin) & before_end
        if end is not None:  # what is decided after its end, the next one is judged by
            test &= end_ms < end
        known = end_ms < begin - self.embargo_ms
        if not known.any():
            raise TrainingError(
                f"labels before {begin} ms were none, must be some; use more data, or less embargo"
            )
        starts = begin_ms[known]
        boundary = int(starts[min(round(len(starts) * (1 - self.calibrate)), len(starts) - 1)])
        calibrate = known & (begin_ms >= boundary)
        fit = end_ms < boundary - self.embargo_ms
        for name, rows in (("fit", fit), ("calibrate", calibrate), ("test", test)):
            if not rows.any():
                raise TrainingError(
                    f"labels to {name} before {begin} ms were none, must be some; use more data, "
                    "fewer folds, or a shorter horizon"
                )
        reached = begin_ms < (begin if end is None else end)
        purged = int((reached & ~(fit | calibrate | test)).sum())
        fitted, calibrated, tested = (np.flatnonzero(rows) for rows in (fit, calibrate, test))
        return Split(fitted, calibrated, tested, purged)
