"""What the reference roles share: memory as numpy arrays, the end of a role, and checks."""

from __future__ import annotations

import mmap
import operator
from typing import Any

import numpy as np

from shm.errors import ArgumentError, ClosedError, RecordError
from shm.locks import Claim

Array = np.ndarray[Any, np.dtype[Any]]
Record = np.void | Array

WORD = np.dtype("<u8")
MAX_WORD = (1 << 64) - 1


class Role:
    """One process's end of a region; `memory` is None once it is closed."""

    def __init__(self, name: str, mapping: mmap.mmap, claim: Claim | None) -> None:
        self.name = name
        self._mapping: mmap.mmap | None = mapping
        self._claim = claim

    def close(self) -> None:
        """Let go of the memory and of the claim. May be repeated."""
        if self._mapping is not None:
            self._mapping = None
            if self._claim is not None:
                self._claim.release()

    def close_after_fork(self) -> None:
        """Close it in the child of a fork."""
        self.close()

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._mapping is None

    def check_open(self) -> None:
        """Raise ClosedError after the end."""
        if self._mapping is None:
            raise ClosedError(f"{self.name} was used after it was closed")

    def array(self, dtype: np.dtype[Any], count: int, offset: int) -> Array:
        """Return `count` elements of the region's memory, to read and write."""
        self.check_open()
        assert self._mapping is not None
        return np.frombuffer(self._mapping, dtype, count, offset)


def check_records(role: str, records: object, dtype: np.dtype[Any]) -> Array:
    """Return records as a flat array.

    Raises:
        RecordError: not a contiguous array (or a scalar) of this dtype.
    """
    if not isinstance(records, np.ndarray | np.void):
        raise RecordError(
            f"{role}: a record was of type {type(records).__name__}, must be a numpy array or "
            f"scalar of dtype {dtype}"
        )
    if records.dtype != dtype:
        raise RecordError(f"{role}: the record's dtype was {records.dtype}, must be {dtype}")
    if not records.flags.c_contiguous:
        raise RecordError(
            f"{role}: the array was not contiguous (strides {records.strides}); "
            "pass numpy.ascontiguousarray(it)"
        )
    return np.asarray(records).reshape(-1)


def check_record(role: str, record: object, dtype: np.dtype[Any]) -> Array:
    """Return one record as an array of one."""
    records = check_records(role, record, dtype)
    if len(records) != 1:
        raise RecordError(
            f"{role}: the array held {len(records)} records, must be 1; use the call for many"
        )
    return records


def check_output(role: str, records: object, dtype: np.dtype[Any], least: int = 0) -> Array:
    """Return the array to fill, flat."""
    if not isinstance(records, np.ndarray):
        raise RecordError(
            f"{role}: a record was of type {type(records).__name__}, must be an array"
        )
    flat = check_records(role, records, dtype)
    if not records.flags.writeable:
        raise RecordError(f"{role}: the array to fill was read-only")
    if len(flat) < least:
        raise RecordError(f"{role}: the array to fill had no room for a record")
    return flat


def check_word(what: str, value: object) -> int:
    """Return a value that fits a 64-bit word."""
    try:
        word = operator.index(value)  # type: ignore[arg-type]  # that is the check
    except TypeError:
        word = -1
    if not 0 <= word <= MAX_WORD:
        raise ArgumentError(f"{what} was {value!r}, must be an integer in 0 .. 2**64 - 1")
    return word


def check_sequence(role: str, sequence: int, published: int) -> int:
    """Return a sequence for a reader to go on with: not beyond what is published."""
    word = check_word(f"{role}: the sequence", sequence)
    if word > published:
        raise ArgumentError(
            f"{role}: the sequence was {word}, must be in 0 .. {published}, what is published"
        )
    return word


def check_count(what: str, count: int | None, otherwise: int) -> int:
    """Return a count of records; None is `otherwise`."""
    if count is not None and count < 0:
        raise ArgumentError(f"{what} was {count}, must be >= 0 or None")
    return otherwise if count is None else count


def check_timeout(timeout: float | None) -> float:
    """Return seconds, None being for ever."""
    if timeout is None:
        return float("inf")
    if not timeout >= 0:
        raise ArgumentError(f"timeout was {timeout} s, must be >= 0 or None")
    return timeout


def index_of(region: str, names: tuple[str, ...], name: str) -> int:
    """Return a name's index."""
    if type(name) is not str or name not in names:
        raise ArgumentError(f"{region} has no {name!r}, only {names}")
    return names.index(name)
