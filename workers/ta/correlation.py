"""The rolling correlation of returns in slow, obvious Python.

The documentation of `native/correlation.hpp`, and held to the same tests. It keeps the window and
no sums, and adds with `math.fsum`, whose result is the exact sum, rounded once; the native one is
within 1e-12 of it. What has to have the same bits everywhere is `fixed_lane_dot`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

WINDOW: Final = 256
"""Samples that a correlation is of."""
MOST_INSTRUMENTS: Final = 512
LARGEST: Final = 1e12
"""A return beyond it, or below its negative, is refused."""
LEAST_SQUARES: Final = 1e-150
"""A sum of squares about the mean that is not above it counts as no variance."""
PARTIALS: Final = 16

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


class Pair(NamedTuple):
    """The correlation of two instruments."""

    value: float
    """-1 .. 1; 0 if it is not valid."""
    samples: int
    """At which both have a return."""
    is_valid: bool
    """Both move in these samples."""


def fixed_lane_dot(x: Sequence[float], y: Sequence[float]) -> float:
    """Return the sum of products in the order that has the same bits on every CPU.

    Partial sum k is that of the elements k, k + 16, k + 32 ...; the 16 are added by halves.
    """
    partial = [0.0] * PARTIALS
    for k, (left, right) in enumerate(zip(x, y, strict=True)):
        partial[k % PARTIALS] += left * right
    while len(partial) > 1:
        half = len(partial) // 2
        partial = [partial[k] + partial[k + half] for k in range(half)]
    return partial[0]


def correlation_of(x: Sequence[float], y: Sequence[float]) -> Pair:
    """Return Pearson's correlation of two lists of samples."""
    n = len(x)
    if n == 0:
        return Pair(0.0, 0, False)
    about_mean = []
    for each in (x, y):
        moved = [value - each[0] for value in each]  # exactly 0 where nothing moves
        mean = math.fsum(moved) / n
        about_mean.append([value - mean for value in moved])
    own, other = (math.fsum(v * v for v in each) for each in about_mean)
    if own <= LEAST_SQUARES or other <= LEAST_SQUARES:
        return Pair(0.0, n, False)
    product = math.fsum(a * b for a, b in zip(*about_mean, strict=True))
    return Pair(min(1.0, max(-1.0, product / math.sqrt(own) / math.sqrt(other))), n, True)


def basis_points(correlation: float) -> int:
    """Return it in 1/10,000, away from 0: it exceeds a limit in these exactly if it did before."""
    size = math.ceil(abs(correlation) * 10_000)
    return -size if correlation < 0 else size


class Correlation:
    """The correlations of the last 256 samples: of a pair, of those at which both have a return."""

    def __init__(self, instruments: int) -> None:
        if not 1 <= instruments <= MOST_INSTRUMENTS:
            raise ValueError(
                f"correlation: instruments was {instruments}, must be in 1 .. {MOST_INSTRUMENTS}"
            )
        self.instruments = instruments
        self.samples = 0
        self._window: deque[list[float | None]] = deque(maxlen=WINDOW)

    def add(self, returns: Floats, valid: Flags | None = None) -> None:
        """Take a sample: a return of each instrument, of which those not valid are left out.

        Raises:
            ValueError: a valid return is not finite, or beyond LARGEST; nothing has changed.
        """
        for what, given in (("returns", returns), ("valid", valid)):
            if given is not None and given.shape != (self.instruments,):
                shape = " x ".join(map(str, given.shape))
                raise ValueError(f"{what} was {shape}, must be {self.instruments}")
        sample = [
            float(value) if valid is None or valid[i] else None for i, value in enumerate(returns)
        ]
        for i, value in enumerate(sample):
            if value is not None and not abs(value) <= LARGEST:
                raise ValueError(
                    f"correlation: the return of instrument {i} was {value:f}, "
                    f"must be finite and within 1e12 of 0"
                )
        self._window.append(sample)
        self.samples += 1

    def pair(self, i: int, j: int) -> Pair:
        """Return the correlation of two instruments."""
        for each in (i, j):
            if not 0 <= each < self.instruments:
                raise IndexError(
                    f"correlation: instrument was {each}, must be below {self.instruments}"
                )
        own: list[float] = []
        other: list[float] = []
        for sample in self._window:
            x, y = sample[i], sample[j]
            if x is not None and y is not None:
                own.append(x)
                other.append(y)
        found = correlation_of(own, other)
        return found._replace(value=1.0) if i == j and found.is_valid else found

    def matrix(self, out: Floats) -> None:
        """Write the correlations of all pairs into a matrix (instruments, instruments)."""
        for i in range(self.instruments):
            for j in range(i + 1):
                out[i, j] = out[j, i] = self.pair(i, j).value
