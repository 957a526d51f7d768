"""The latency of the last second, from histograms that only ever grow."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from shm import Histogram
from shm.histogram import Counts, limits

WINDOW_NS: Final = 1_000_000_000
SAMPLE_NS: Final = 250_000_000
"""How often the histograms are copied."""

_Sample = dict[str, tuple[int, Counts]]


class RecentLatency:
    """The p99 of the values that came to some histograms within the last second."""

    def __init__(self, read: Callable[[], Mapping[str, Histogram]]) -> None:
        """`read` copies the histograms."""
        self._read = read
        self._samples: deque[tuple[int, _Sample]] = deque()
        self._worst: tuple[int, str] | None = None

    def clear(self) -> None:
        """Forget what came until now: it was measured under other conditions."""
        self._samples.clear()
        self._worst = None

    def look(self, now_ns: int) -> tuple[int, str] | None:
        """Return the largest p99 in ns and whose it is.

        None for the first second, or if there were too few values. One straggler says nothing:
        with fewer than 100 values, the second largest counts.
        """
        if not self._samples or now_ns - self._samples[-1][0] >= SAMPLE_NS:
            self._sample(now_ns)
        return self._worst

    def _sample(self, now_ns: int) -> None:
        now: _Sample = {name: (each.epoch, each.counts) for name, each in self._read().items()}
        self._samples.append((now_ns, now))
        while len(self._samples) > 1 and self._samples[1][0] <= now_ns - WINDOW_NS:
            self._samples.popleft()
        begun_ns, before = self._samples[0]
        found = []
        if begun_ns <= now_ns - WINDOW_NS:
            for name, (epoch, counts) in now.items():
                old_epoch, old = before[name]
                # Of a new epoch, all of it came since.
                value = _p99(counts - old if epoch == old_epoch else counts)
                if value is not None:
                    found.append((value, name))
        self._worst = max(found, default=None)


def _p99(counts: Counts) -> int | None:
    """Return the upper limit of the bucket that the p99 is in."""
    total = int(counts.sum())
    rank = total - max(1, total // 100)
    if rank < 1:
        return None
    return int(limits()[int(np.searchsorted(np.cumsum(counts), rank))])
