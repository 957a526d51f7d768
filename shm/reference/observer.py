"""The observer ring: see observer.hpp.

A slot is a stamp and a record. The stamp of record s is 2s + 1 while it is written, then 2s + 2.
"""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np

from shm.errors import CorruptRegionError
from shm.layout import structure
from shm.locks import Claim
from shm.reference.common import (
    WORD,
    Array,
    Record,
    Role,
    check_output,
    check_record,
    check_records,
    check_sequence,
)


class _ObserverRole(Role):
    def __init__(
        self,
        name: str,
        mapping: mmap.mmap,
        offset: int,
        dtype: np.dtype[Any],
        capacity: int,
        claim: Claim | None,
    ) -> None:
        super().__init__(name, mapping, claim)
        self.dtype = dtype
        self._offset = offset
        self._capacity = capacity
        found = (int(self._header["capacity"]), int(self._header["record_bytes"]))
        if found != (capacity, dtype.itemsize):
            raise CorruptRegionError(
                f"{name}: its header says capacity {found[0]} and record bytes {found[1]}, must "
                f"be {capacity} and {dtype.itemsize}; remove the segment"
            )

    @property
    def _header(self) -> Any:
        return self.array(structure("ObserverHeader"), 1, self._offset)[0]

    @property
    def published(self) -> int:
        """Records published so far."""
        return int(self._header["tail"])

    def _slot(self, sequence: int) -> Any:
        slot = np.dtype([("stamp", WORD), ("record", self.dtype)])
        start = self._offset + structure("ObserverHeader").itemsize
        return self.array(slot, self._capacity, start)[sequence % self._capacity]


class ObserverProducer(_ObserverRole):
    """The end that publishes, and never waits."""

    def push(self, record: Record) -> None:
        """Publish one record over the oldest."""
        self._push(check_record(self.name, record, self.dtype)[0])

    def push_many(self, records: Array) -> None:
        """Publish records in order."""
        self.check_open()
        for record in check_records(self.name, records, self.dtype):
            self._push(record)

    def _push(self, record: np.void) -> None:
        sequence = self.published
        slot = self._slot(sequence)
        slot["stamp"] = 2 * sequence + 1
        slot["record"] = record
        slot["stamp"] = 2 * sequence + 2
        self._header["tail"] = sequence + 1


class ObserverReader(_ObserverRole):
    """An end that reads, and may miss records."""

    def __init__(
        self,
        name: str,
        mapping: mmap.mmap,
        offset: int,
        dtype: np.dtype[Any],
        capacity: int,
        from_oldest: bool,
    ) -> None:
        super().__init__(name, mapping, offset, dtype, capacity, None)
        self.lost = 0
        self._next = self.oldest if from_oldest else self.published

    @property
    def position(self) -> int:
        """The sequence that it reads next."""
        self.check_open()
        return self._next

    @property
    def oldest(self) -> int:
        """The oldest record that the ring still has."""
        return max(0, self.published - self._capacity)

    def seek(self, sequence: int) -> None:
        """Go on with this record; if it is gone, with the oldest, having lost those between."""
        self._next = check_sequence(self.name, sequence, self.published)

    def read(self, records: Array) -> tuple[int, int]:
        """Copy as many records as there are and fit; return how many, and how many were lost."""
        self.check_open()
        to = check_output(self.name, records, self.dtype)
        copied = lost = 0
        while copied < len(to) and self._next < self.published:
            gone = max(0, self.published - self._capacity - self._next)
            self._next += gone
            lost += gone
            slot = self._slot(self._next)
            complete = 2 * self._next + 2
            if slot["stamp"] == complete:
                to[copied] = slot["record"]
            if slot["stamp"] == complete:
                copied += 1
            else:
                lost += 1
            self._next += 1
        self.lost += lost
        return copied, lost
