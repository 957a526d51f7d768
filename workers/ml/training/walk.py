"""The walk forward: fit, calibrate and judge fold by fold, and at the end once more for good."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.ml.training import estimators
from workers.ml.training.dataset import Dataset
from workers.ml.training.error import TrainingError
from workers.ml.training.metrics import Metrics, judge
from workers.ml.training.splits import Rows, Split, WalkForward
from workers.ml.training.weights import balanced

_IMPORTANCE_ROWS = 2_000  # of a fold; it is a mean over all of them
_IMPORTANCE_REPEATS = 3


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model is made of a data set.

    Attributes:
        kind: Of the estimator.
        method: Of its calibration.
        walk: The splits.
        threshold: Least signal that counts as a trade, for the returns that are told.
        seed: Of all that is random.
    """

    kind: estimators.Kind | estimators.Memory
    method: estimators.Method
    walk: WalkForward
    threshold: float
    seed: int

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < 1:
            raise TrainingError(f"threshold was {self.threshold:g}, must be at least 0, below 1")
        if not 0 <= self.seed < 2**32:
            raise TrainingError(f"seed was {self.seed}, must be from 0 to {2**32 - 1}")


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """A model, and how well the recipe did.

    Attributes:
        estimator: Fitted and calibrated on all that is before the final test period.
        earlier: Those of the folds, in order.
        folds: Of each test period, in order.
        final: Of the final one, which nothing was chosen by.
        importance: By how much the log loss grows when a feature is shuffled, mean of the folds;
            shape (features,), empty if it was not asked for.
        splits: The folds' splits, and last the final one.
    """

    estimator: Any
    earlier: tuple[Any, ...]
    folds: tuple[Metrics, ...]
    final: Metrics
    importance: tuple[float, ...]
    splits: tuple[Split, ...]


def train(
    data: Dataset, recipe: Recipe, progress: Callable[[str], None], *, importance: bool = True
) -> Trained:
    """Walk forward.

    Args:
        data: To learn from.
        recipe: How.
        progress: Is told what begins; called `steps(recipe)` times.
        importance: Whether to find that of the features, too.

    Raises:
        TrainingError: there is too little data.
    """
    splits = list(recipe.walk.splits(data.begin_ms, data.end_ms))
    earlier, folds, important = [], [], []
    for number, split in enumerate(splits, 1):
        progress(f"fold {number} of {len(splits)}")
        estimator = _fitted(data, split, recipe)
        earlier.append(estimator)
        folds.append(_judged(estimator, data, split.test, recipe))
        if importance:
            important.append(_importance(estimator, data, split.test, recipe.seed))
    progress("final model, on all before the final test")
    last = recipe.walk.last(data.begin_ms, data.end_ms)
    estimator = _fitted(data, last, recipe)
    final = _judged(estimator, data, last.test, recipe)
    mean = tuple(float(value) for value in np.mean(important, axis=0)) if important else ()
    return Trained(estimator, tuple(earlier), tuple(folds), final, mean, (*splits, last))


def steps(recipe: Recipe) -> int:
    """Return how often `train` tells its progress."""
    return recipe.walk.folds + 1


def _fitted(data: Dataset, split: Split, recipe: Recipe) -> Any:
    parts = []
    for rows in (split.fit, split.calibrate):
        learnt = rows[data.decided[rows]]
        up = data.up[learnt]
        parts.append((data.values[learnt], up, balanced(data.weight[learnt], up)))
    raw = estimators.fit(recipe.kind, *parts[0], recipe.seed)
    return estimators.calibrated(raw, recipe.method, *parts[1])


def _judged(estimator: Any, data: Dataset, rows: Rows, recipe: Recipe) -> Metrics:
    return judge(estimators.probability(estimator, data.values[rows]), data, rows, recipe.threshold)


def _importance(estimator: Any, data: Dataset, rows: Rows, seed: int) -> npt.NDArray[np.float64]:
    from sklearn.inspection import permutation_importance
    from threadpoolctl import threadpool_limits

    learnt = rows[data.decided[rows]]
    some = learnt[:: max(1, -(-len(learnt) // _IMPORTANCE_ROWS))]
    with threadpool_limits(1):
        found = permutation_importance(
            estimator,
            data.values[some],
            data.up[some],
            scoring="neg_log_loss",
            n_repeats=_IMPORTANCE_REPEATS,
            random_state=seed,
            n_jobs=1,
        )
    return np.asarray(found.importances_mean, np.float64)
