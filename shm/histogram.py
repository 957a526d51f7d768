"""A histogram that has been copied out of the segment: percentiles, and sums of several."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from shm import _native
from shm.errors import ArgumentError

Counts = np.ndarray[Any, np.dtype[np.uint64]]


@functools.cache
def limits() -> Counts:
    """Return the largest value of each bucket: exact below 32, then at most 1/32 too large."""
    array: Counts = _native.bucket_limits()
    array.flags.writeable = False
    return array


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """Counts per bucket, in the unit of the values (nanoseconds, for latencies).

    `low` and `high` are exact; they are None while `count` is 0.
    """

    epoch: int
    counts: Counts
    sum: int
    low: int | None
    high: int | None

    @classmethod
    def from_words(cls, epoch: int, total: int, low: int, high: int, counts: Counts) -> Self:
        """Build it from what an engine's ``Histograms.read`` returns."""
        empty = not counts.any()
        return cls(epoch, counts, total, None if empty else low, None if empty else high)

    @property
    def count(self) -> int:
        """How many values were recorded."""
        return int(self.counts.sum())

    @property
    def mean(self) -> float | None:
        """The exact mean of the values; None if there are none."""
        return self.sum / self.count if self.count else None

    def percentile(self, percent: float) -> int | None:
        """Return the smallest value that at least `percent` % of the values do not exceed.

        Nearest rank, never interpolated; the upper limit of the bucket, so that it is at most 1/32
        too large and never too small. None if there are no values.

        Raises:
            ArgumentError: not in 0 .. 100.
        """
        if not 0 <= percent <= 100:
            raise ArgumentError(f"percent was {percent}, must be in 0 .. 100")
        if self.high is None or self.low is None:
            return None
        rank = max(1, math.ceil(self.count * percent / 100))
        bucket = int(np.searchsorted(np.cumsum(self.counts), rank))
        # A writer may have been between a value's extremes and its bucket.
        return max(self.low, min(int(limits()[bucket]), self.high))

    @classmethod
    def merged(cls, histograms: Iterable[Histogram]) -> Histogram:
        """Return the histogram of all their values together; its epoch is the latest."""
        several = list(histograms)
        counts: Counts = np.zeros(len(limits()), np.uint64)
        for each in several:
            counts += each.counts
        return cls(
            max((each.epoch for each in several), default=0),
            counts,
            sum(each.sum for each in several),
            min((each.low for each in several if each.low is not None), default=None),
            max((each.high for each in several if each.high is not None), default=None),
        )
