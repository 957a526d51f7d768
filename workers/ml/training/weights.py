"""How much each label counts: those that overlap tell the same story, and are not many of them.

Lopez de Prado, Advances in Financial Machine Learning, chapter 4.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from workers.ml.training.error import TrainingError

Floats = npt.NDArray[np.float64]


def uniqueness(first: npt.NDArray[np.int64], last: npt.NDArray[np.int64], bars: int) -> Floats:
    """Return each label's average uniqueness, in (0, 1].

    At a bar at which c labels are under way each of them has 1 / c of it; a label's uniqueness is
    the mean of that over its bars, first + 1 .. last.

    Args:
        first: The bar at whose close each label begins; shape (labels,).
        last: The bar in which it was decided, > first; shape (labels,).
        bars: How many bars there are.
    """
    change = np.zeros(bars + 2, dtype=np.int64)
    np.add.at(change, first + 1, 1)
    np.add.at(change, last + 1, -1)
    concurrent = np.cumsum(change)[: bars + 1]
    share = np.divide(1.0, concurrent, out=np.zeros(bars + 1), where=concurrent > 0)
    summed = np.concatenate(([0.0], np.cumsum(share)))
    mean: Floats = (summed[last + 1] - summed[first + 1]) / (last - first)
    return mean


def balanced(weights: Floats, up: npt.NDArray[np.bool_]) -> Floats:
    """Return the weights so that both classes have the same sum, and all have the mean 1.

    Raises:
        TrainingError: there is one class only.
    """
    if up.all() or not up.any():
        which = "up" if up.all() else "down"
        raise TrainingError(f"labels were all {which}, must be of both kinds; use more data")
    result = np.empty_like(weights)
    for kind in (up, ~up):
        result[kind] = weights[kind] / weights[kind].sum()
    return result * (len(weights) / 2)
