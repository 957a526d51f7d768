"""Counters and histograms: see metrics.hpp."""

from __future__ import annotations

import mmap

import numpy as np

from shm.errors import RecordError
from shm.layout import structure
from shm.locks import Claim
from shm.reference.common import MAX_WORD, WORD, Array, Role, check_word, index_of

PER_OCTAVE = 32
BUCKETS = 60 * PER_OCTAVE


def bucket(value: int) -> int:
    """Return the bucket of a value: exact below 32, then 32 buckets to each power of two."""
    if value < PER_OCTAVE:
        return value
    octave = value.bit_length() - 5  # 1 for 32 .. 63
    return octave * PER_OCTAVE + (value >> (octave - 1)) - PER_OCTAVE


def bucket_limits() -> Array:
    """Return the largest value of each bucket."""
    limits = list(range(PER_OCTAVE))
    for octave in range(1, BUCKETS // PER_OCTAVE):
        width = 1 << (octave - 1)
        limits += [(PER_OCTAVE + i + 1) * width - 1 for i in range(PER_OCTAVE)]
    return np.array(limits, WORD)


class _MetricsRole(Role):
    def __init__(
        self,
        name: str,
        mapping: mmap.mmap,
        offset: int,
        names: tuple[str, ...],
        claim: Claim | None,
    ) -> None:
        super().__init__(name, mapping, claim)
        self._offset = offset
        self._names = names


class Counters(_MetricsRole):
    """A group of counters."""

    def add(self, counter: str, n: int = 1) -> None:
        """Add to a counter, modulo 2**64."""
        values = self._values()
        index = index_of(self.name, self._names, counter)
        values[index] = (int(values[index]) + check_word(f"{self.name}: what was added", n)) & (
            MAX_WORD
        )

    def set(self, counter: str, value: int) -> None:
        """Set a gauge."""
        index = index_of(self.name, self._names, counter)
        self._values()[index] = check_word(f"{self.name}: the value set", value)

    def values(self) -> list[int]:
        """Return all values, in the order of the names."""
        return [int(value) for value in self._values()]

    def _values(self) -> Array:
        return self.array(WORD, len(self._names), self._offset)


class Histograms(_MetricsRole):
    """A group of histograms, to read."""

    def _words(self, histogram: str) -> Array:
        words = self.array(structure("HistogramWords"), len(self._names), self._offset)
        index = index_of(self.name, self._names, histogram)
        return words[index : index + 1]

    def read(self, histogram: str) -> tuple[int, int, int, int, Array]:
        """Return (epoch, sum, low, high, counts) of the epoch that was last asked for."""
        words = self._words(histogram)[0]
        wanted = int(words["wanted_epoch"])
        if int(words["epoch"]) != 2 * wanted:
            return wanted, 0, 0, 0, np.zeros(BUCKETS, WORD)
        low = MAX_WORD - int(words["low"])
        return wanted, int(words["sum"]), low, int(words["high"]), words["bucket"].copy()

    def reset(self) -> None:
        """Ask for a new epoch of all of them."""
        for name in self._names:
            self._words(name)["wanted_epoch"] += 1


class HistogramWriter(Histograms):
    """The writer of a group of histograms."""

    def record(self, histogram: str, value: int) -> None:
        """Count one value."""
        value = check_word(f"{self.name}: the value recorded", value)
        words = self._words(histogram)
        wanted = int(words["wanted_epoch"][0])
        if int(words["epoch"][0]) != 2 * wanted:
            for field in ("sum", "low", "high", "bucket"):
                words[field] = 0
            words["epoch"] = 2 * wanted
        words["low"] = max(int(words["low"][0]), MAX_WORD - value)
        words["high"] = max(int(words["high"][0]), value)
        words["sum"] = (int(words["sum"][0]) + value) & MAX_WORD
        words["bucket"][0, bucket(value)] += 1

    def record_many(self, histogram: str, values: Array) -> None:
        """Count each of an array of uint64."""
        if (
            not isinstance(values, np.ndarray)
            or values.dtype != WORD
            or not values.flags.c_contiguous
        ):
            raise RecordError(f"{self.name}: the values must be a contiguous numpy array of uint64")
        for value in values.reshape(-1):
            self.record(histogram, int(value))
