"""A model's evaluation in slow, obvious Python: the documentation of `native/models.hpp`."""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.ml.models.manifest import Manifest

NEUTRAL = 0.5
FLOAT32_MAX = float(np.finfo(np.float32).max)


class Model:
    """What `native/models.hpp` does, in the same operations and the same order."""

    def __init__(
        self,
        manifest: Manifest,
        vectors: Mapping[str, npt.NDArray[Any]],
        columns: Sequence[int],
    ) -> None:
        self.manifest = manifest
        self.vectors = {name: vector.tolist() for name, vector in vectors.items()}
        self.columns = columns

    def evaluate(self, row: Sequence[float], valid: int) -> tuple[float, bool]:
        """Return the probability of a rise, and whether it is neutral.

        Args:
            row: Features.
            valid: Bit i: feature i of the row is valid.
        """
        most = FLOAT32_MAX if self.manifest.kind == "rf" else math.inf
        used = [row[column] for column in self.columns]
        are_valid = all(valid >> column & 1 for column in self.columns)
        if not are_valid or not all(math.isfinite(x) and abs(x) <= most for x in used):
            return NEUTRAL, True
        score = self._score(used)
        if not math.isfinite(score):
            return NEUTRAL, True
        probability = self._calibrated(score)
        return (probability, False) if 0.0 <= probability <= 1.0 else (NEUTRAL, True)

    def _score(self, row: Sequence[float]) -> float:
        arrays = self.vectors
        if self.manifest.kind == "hgb":
            total: float = arrays["base"][0]
            for root in arrays["root"]:
                total += self._leaf(root, row)
            return total
        if self.manifest.kind == "rf":
            rounded = [float(np.float32(x)) for x in row]
            total = 0.0
            for root in arrays["root"]:
                total += self._leaf(root, rounded)
            return total / len(arrays["root"])
        total = 0.0
        for x, mean, scale, coefficient in zip(
            row, arrays["mean"], arrays["scale"], arrays["coefficient"], strict=True
        ):
            total += (x - mean) / scale * coefficient
        return total + float(arrays["intercept"][0])

    def _leaf(self, root: int, row: Sequence[float]) -> float:
        """Return the leaf that a row comes to.

        Nodes are in preorder: the left child is the next node.
        """
        arrays = self.vectors
        node = root
        while (feature := arrays["feature"][node]) >= 0:
            goes_left = row[feature] <= arrays["threshold"][node]
            node = node + 1 if goes_left else arrays["right"][node]
        return float(arrays["threshold"][node])

    def _calibrated(self, score: float) -> float:
        arrays = self.vectors
        if self.manifest.calibration == "sigmoid":
            slope, offset = arrays["sigmoid"]
            return logistic(-(slope * score + offset))
        if self.manifest.calibration == "isotonic":
            return interpolated(score, arrays["isotonic_x"], arrays["isotonic_y"])
        return score if self.manifest.kind == "rf" else logistic(score)


def logistic(x: float) -> float:
    """Return 1 / (1 + e^-x)."""
    try:
        return 1.0 / (1.0 + math.exp(-x))
    except OverflowError:  # an infinity in C++, and 0 as here
        return 0.0


def interpolated(score: float, x: Sequence[float], y: Sequence[float]) -> float:
    """Return y at a score: linear between the points, constant beyond the first and the last."""
    above = bisect.bisect_right(x, score)
    if above == 0:
        return y[0]
    i = above - 1
    if above == len(x) or x[i] == score:
        return y[i]
    slope = (y[i + 1] - y[i]) / (x[i + 1] - x[i])
    return min(1.0, slope * (score - x[i]) + y[i])
