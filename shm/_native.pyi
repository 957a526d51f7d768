"""Types of the native roles. What each does is written in `shm.reference`, which is their equal."""

import enum
import mmap
from typing import Any

import numpy as np

from shm.locks import Claim

MAGIC: int
FORMAT: int
CACHE_LINE: int

_Array = np.ndarray[Any, np.dtype[Any]]
_Record = np.void | _Array

class Wake(enum.Enum):
    """Why a wait ended."""

    READY = 0
    RUNG = 1
    TIMEOUT = 2
    SIGNAL = 3

class _Role:
    def close(self) -> None: ...
    @property
    def closed(self) -> bool: ...
    @property
    def name(self) -> str: ...

class Bell(_Role):
    def __init__(self, name: str, mapping: mmap.mmap, offset: int, event_fd: int, /) -> None: ...
    def ring(self) -> None: ...

class Doorbell(_Role):
    def __init__(
        self,
        name: str,
        mapping: mmap.mmap,
        offset: int,
        claim: Claim | None,
        spins: int,
        yields: int,
        finally_: int,
        signals: list[int],
        event_fd: int,
        /,
    ) -> None: ...
    def wait(self, timeout: float | None = None) -> Wake: ...
    def arm(self) -> bool: ...
    def disarm(self) -> None: ...
    @property
    def sleeps(self) -> int: ...
    @property
    def event_fd(self) -> int: ...

class _RingRole(_Role):
    def __init__(
        self,
        name: str,
        mapping: mmap.mmap,
        offset: int,
        dtype: np.dtype[Any],
        capacity: int,
        claim: Claim | None,
        bell: Bell | None,
        doorbell: Doorbell | None,
        /,
    ) -> None: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def capacity(self) -> int: ...
    @property
    def depth(self) -> int: ...
    @property
    def high_water(self) -> int: ...
    @property
    def refused(self) -> int: ...

class Producer(_RingRole):
    def push(self, record: _Record, timeout: float = 0.0) -> bool: ...
    def push_many(self, records: _Array, timeout: float = 0.0) -> int: ...
    @property
    def published(self) -> int: ...

class Consumer(_RingRole):
    def pop(self, record: _Array) -> bool: ...
    def drain(self, records: _Array) -> int: ...
    def view(self, limit: int | None = None) -> _Array: ...
    def commit(self, count: int | None = None) -> None: ...
    def rewind(self) -> None: ...
    @property
    def pending(self) -> int: ...
    @property
    def committed(self) -> int: ...

class _ObserverRole(_Role):
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def published(self) -> int: ...

class ObserverProducer(_ObserverRole):
    def __init__(
        self,
        name: str,
        mapping: mmap.mmap,
        offset: int,
        dtype: np.dtype[Any],
        capacity: int,
        claim: Claim | None,
        /,
    ) -> None: ...
    def push(self, record: _Record) -> None: ...
    def push_many(self, records: _Array) -> None: ...

class ObserverReader(_ObserverRole):
    def __init__(
        self,
        name: str,
        mapping: mmap.mmap,
        offset: int,
        dtype: np.dtype[Any],
        capacity: int,
        from_oldest: bool,
        /,
    ) -> None: ...
    def read(self, records: _Array) -> tuple[int, int]: ...
    @property
    def lost(self) -> int: ...

class _TableRole(_Role):
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def rows(self) -> int: ...

class TableWriter(_TableRole):
    def __init__(
        self,
        name: str,
        mapping: mmap.mmap,
        offset: int,
        dtype: np.dtype[Any],
        rows: int,
        first: int,
        last: int,
        claim: Claim | None,
        /,
    ) -> None: ...
    def write(self, row: int, record: _Record) -> None: ...

class TableReader(_TableRole):
    def __init__(
        self,
        name: str,
        mapping: mmap.mmap,
        offset: int,
        dtype: np.dtype[Any],
        rows: int,
        /,
    ) -> None: ...
    def read(self, row: int, record: _Array) -> tuple[int, bool]: ...
    def unfinished(self) -> list[int]: ...

class _MetricsRole(_Role):
    def __init__(
        self,
        name: str,
        mapping: mmap.mmap,
        offset: int,
        names: tuple[str, ...],
        claim: Claim | None,
        /,
    ) -> None: ...

class Counters(_MetricsRole):
    def add(self, counter: str, n: int = 1) -> None: ...
    def set(self, counter: str, value: int) -> None: ...
    def values(self) -> list[int]: ...

class Histograms(_MetricsRole):
    def read(self, histogram: str) -> tuple[int, int, int, int, _Array]: ...
    def reset(self) -> None: ...

class HistogramWriter(_MetricsRole):
    def record(self, histogram: str, value: int) -> None: ...
    def record_many(self, histogram: str, values: _Array) -> None: ...

class Words(_Role):
    def __init__(
        self, name: str, mapping: mmap.mmap, offset: int, names: tuple[str, ...], /
    ) -> None: ...
    def load(self, word: str) -> int: ...
    def store(self, word: str, value: int) -> None: ...
    def fetch_add(self, word: str, n: int) -> int: ...
    def compare_and_swap(self, word: str, expected: int, desired: int) -> int: ...

def layouts() -> dict[str, Any]: ...
def ring_bytes(capacity: int, record_bytes: int, /) -> int: ...
def observer_bytes(capacity: int, record_bytes: int, /) -> int: ...
def table_bytes(rows: int, record_bytes: int, /) -> int: ...
def publish_magic(mapping: mmap.mmap, /) -> None: ...
def bucket_limits() -> _Array: ...
