"""The leakage canary: on random walks nothing can be foretold, so whatever seems to be, leaks.

The same features, labels, splits, estimator and calibration are given prices that are random. If
the walk forward finds skill in them, it has seen the future, and no figure of it is worth anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from workers.ml.training import walk
from workers.ml.training.dataset import Compute, Dataset, dataset
from workers.ml.training.error import TrainingError
from workers.ml.training.history import History
from workers.ml.training.labels import TripleBarrier
from workers.ml.training.walk import Recipe

MOST_BARS = 20_000
"""Of all walks; more cost more time than they tell."""

_LIMIT = 3.0  # standard errors; by chance once in 700 times, of which a seed is one
_STEPS = 16  # of the price within a bar


class LeakError(TrainingError):
    """Random walks could be foretold."""


@dataclass(frozen=True, slots=True)
class Song:
    """What the canary found.

    Attributes:
        auc: Over all test periods, weighted by their labels; 0.5: no skill.
        z: By how many standard errors that is above 0.5.
        clock_auc: The same of trees that know nothing but the time of each row. Labels that overlap
            are alike, so where splits let them, a clock tells the outcome; the features may be too
            hasty for that, or the recipe's estimator too coarse.
        clock_z: As z.
        limit: What z and clock_z must stay below.
    """

    auc: float
    z: float
    clock_auc: float
    clock_z: float
    limit: float = _LIMIT


def listen(
    like: Sequence[History],
    compute: Compute,
    rule: TripleBarrier,
    recipe: Recipe,
    progress: Callable[[str], None],
) -> Song:
    """Train on random walks that look like some histories.

    Args:
        like: The histories.
        compute: The features.
        rule: The labels.
        recipe: The model.
        progress: Is told what begins; called `steps(recipe)` times.

    Raises:
        LeakError: there is skill in that.
        TrainingError: there is too little data.
    """
    most = MOST_BARS // len(like)
    walks = [random_walk(history, [recipe.seed, i], most) for i, history in enumerate(like)]
    # These walks do not know of each other.
    data = replace(dataset(walks, compute, rule), together=1)
    auc, z = _skill(data, recipe, progress)
    clock = replace(data, values=data.begin_ms[:, None].astype(np.float64))
    clock_auc, clock_z = _skill(clock, replace(recipe, kind="memory"), progress)
    for found, errors in ((auc, z), (clock_auc, clock_z)):
        if errors >= _LIMIT:
            raise LeakError(
                f"AUC on random walks was {found:.3f}, {errors:.1f} standard errors above 0.5, "
                f"must be less than {_LIMIT:g}: features, labels or splits see the future, so no "
                "model was written"
            )
    return Song(auc, z, clock_auc, clock_z)


def steps(recipe: Recipe) -> int:
    """Return how often `listen` tells its progress."""
    return 2 * walk.steps(recipe)


def _skill(data: Dataset, recipe: Recipe, progress: Callable[[str], None]) -> tuple[float, float]:
    """Return the AUC over all test periods, and by how many standard errors it is above 0.5."""
    trained = walk.train(data, recipe, progress, importance=False)
    periods = (*trained.folds, trained.final)
    effective = sum(each.effective for each in periods)
    auc = sum(each.auc * each.effective for each in periods) / effective
    error = math.sqrt(sum((each.auc_error * each.effective) ** 2 for each in periods)) / effective
    return auc, (auc - 0.5) / error


def random_walk(like: History, seed: int | Sequence[int], most: int = MOST_BARS) -> History:
    """Return a history without any order, as volatile as another one, of at most so many bars.

    Log prices are the sum of independent normal steps, several in a bar; volumes are independent.
    """
    random = np.random.default_rng(seed)
    count = min(len(like), most)
    close = like.bars[:, 3]
    deviation = float(np.std(np.diff(np.log(close)))) or 1e-4
    moves = random.normal(0.0, deviation / math.sqrt(_STEPS), (count, _STEPS))
    path = np.cumsum(moves.reshape(-1)).reshape(count, _STEPS) + math.log(close[0])
    # A bar opens where the one before has closed.
    opened = np.concatenate(([math.log(close[0])], path[:-1, -1]))
    prices = np.exp(np.column_stack([opened, path]))
    bars = np.column_stack(
        [
            prices[:, 0],
            prices.max(axis=1),
            prices.min(axis=1),
            prices[:, -1],
            random.lognormal(0.0, 0.5, count),
        ]
    )
    return History(
        name=f"random walk like {like.name}",
        interval_ms=like.interval_ms,
        closed_ms=like.closed_ms[0] + np.arange(count, dtype=np.int64) * like.interval_ms,
        bars=bars,
        segment=np.zeros(count, np.int64),
    )
