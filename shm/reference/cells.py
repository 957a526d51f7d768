"""Cells: state that a process can be killed in the middle of changing; see cells.hpp.

A cell is two stamps and two slots. Of the slots, the current one has the highest stamp that is not
beyond the committed step; a batch of changes works in the other:

            stamps    slots             committed: 5
            5 | 3     new   | old       slot 0 is current
    edit    5 | MARK  new   | new       and slot 1 is changed from here on
    stamp   5 | 8     new   | newer     the batch ends with step 8
    commit  5 | 8     old   | new       somebody stores 8 as the committed step: slot 1 is current
"""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np

from shm import _native
from shm.errors import ArgumentError, CorruptRegionError, RecordError
from shm.layout import structure
from shm.locks import Claim
from shm.reference.common import MAX_WORD, WORD, Array, Role, check_output, check_word

MARK = MAX_WORD


class _CellsRole(Role):
    def __init__(
        self,
        name: str,
        mapping: mmap.mmap,
        offset: int,
        dtype: np.dtype[Any],
        count: int,
        claim: Claim | None,
    ) -> None:
        super().__init__(name, mapping, claim)
        self.dtype = dtype
        self.count = count
        self._offset = offset
        header = self.array(structure("CellsHeader"), 1, offset)[0]
        found = (int(header["count"]), int(header["record_bytes"]))
        if found != (count, dtype.itemsize):
            raise CorruptRegionError(
                f"{name}: its header says {found[0]} records of {found[1]} bytes, must be {count} "
                f"of {dtype.itemsize}; remove the segment"
            )

    def _cells(self, field: str) -> Array:
        slot_bytes = _native.cell_slot_bytes(self.dtype.itemsize)
        line = _native.CACHE_LINE
        cell = np.dtype(
            {
                "names": ["stamps", "slot 0", "slot 1"],
                "formats": [(WORD, (2,)), self.dtype, self.dtype],
                "offsets": [0, line, line + slot_bytes],
                "itemsize": line + 2 * slot_bytes,
            }
        )
        start = self._offset + structure("CellsHeader").itemsize
        return self.array(cell, self.count, start)[field]

    def _stamps(self, index: int) -> Array:
        stamps: Array = self._cells("stamps")[index]
        return stamps

    def _slot(self, index: int, which: int) -> Array:
        """Return one slot as an array of one, to read and write."""
        return self._cells(f"slot {which}")[index : index + 1]

    def _current(self, index: int, committed: int) -> int | None:
        """Return the current slot; None if both are of later steps."""
        first, second = (int(stamp) for stamp in self._stamps(index))
        if min(first, second) > committed:
            return None
        if max(first, second) > committed:
            return int(first > committed)
        return int(second > first)


class CellsWriter(_CellsRole):
    """The writer. `committed` is the last step committed; what came after it never was."""

    def __init__(
        self,
        name: str,
        mapping: mmap.mmap,
        offset: int,
        dtype: np.dtype[Any],
        count: int,
        committed: int,
        claim: Claim | None,
    ) -> None:
        super().__init__(name, mapping, offset, dtype, count, claim)
        self._working: list[int] = []  # the slot that `read` and `edit` give
        self._touched: set[int] = set()  # in this batch
        self._last_step = committed  # of the batch before
        self._stamped = committed  # that of this batch, or _last_step while there is none
        for index in range(count):
            current = self._current(index, committed)
            if current is None:
                raise CorruptRegionError(
                    f"{name}: record {index} has no contents of step {committed} or before; pass "
                    "the last step that was committed"
                )
            self._working.append(current)
            stamps = self._stamps(index)
            if stamps[1 - current] > committed:
                # It must not become current by the commit of a batch that does not touch it.
                stamps[1 - current] = MARK

    def read(self, index: int) -> Array:
        """Return the record as this batch has made it: an array of one, read-only."""
        self._check_index(index)
        record = self._slot(index, self._working[index])
        record.flags.writeable = False
        return record

    def edit(self, index: int) -> Array:
        """Return the same, to be changed until `begin_next`."""
        self._check_index(index)
        self._stamped = self._last_step
        if index not in self._touched:
            current = self._working[index]
            self._stamps(index)[1 - current] = MARK
            self._slot(index, 1 - current)[:] = self._slot(index, current)
            self._working[index] = 1 - current
            self._touched.add(index)
        return self._slot(index, self._working[index])

    def stamp(self, step: int) -> None:
        """End the batch's changes, `step` being its last; to be committed after this."""
        step = check_word(f"{self.name}: the step", step)
        self.check_open()
        if step <= self._last_step or step == MARK:
            raise ArgumentError(
                f"{self.name}: the step was {step}, must be > {self._last_step}, the last one of "
                "the batch before"
            )
        for index in self._touched:
            self._stamps(index)[self._working[index]] = step
        self._stamped = step

    def begin_next(self) -> None:
        """Begin the next batch, once the step has been committed."""
        self.check_open()
        if self._touched and self._stamped == self._last_step:
            raise ArgumentError(
                f"{self.name}: a batch was begun before the last one was stamped; call "
                "stamp(step), store the commit word, then begin_next()"
            )
        self._touched.clear()
        self._last_step = self._stamped

    def _check_index(self, index: int) -> None:
        self.check_open()
        if not 0 <= index < self.count:
            raise ArgumentError(f"{self.name}: index was {index}, must be in 0 .. {self.count - 1}")


class CellsReader(_CellsRole):
    """A reader of all records."""

    def __init__(
        self, name: str, mapping: mmap.mmap, offset: int, dtype: np.dtype[Any], count: int
    ) -> None:
        super().__init__(name, mapping, offset, dtype, count, None)

    def read(self, committed: int, records: Array) -> bool:
        """Copy all records as of the committed step; False if a writer has overwritten one."""
        committed = check_word(f"{self.name}: the committed step", committed)
        to = check_output(self.name, records, self.dtype)
        self.check_open()
        if len(to) < self.count:
            raise RecordError(
                f"{self.name}: the array to fill had room for {len(to)} records, must be "
                f"{self.count}"
            )
        for index in range(self.count):
            current = self._current(index, committed)
            if current is None:
                return False
            before = int(self._stamps(index)[current])
            to[index : index + 1] = self._slot(index, current)
            if int(self._stamps(index)[current]) != before:
                return False
        return True
