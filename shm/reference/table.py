"""The latest-value table: see table.hpp.

A row is a stamp and two slots. The stamp is 2v when version v is the latest, 2v + 1 while version
v + 1 is written; version v lies in slot v % 2.
"""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np

from shm import _native
from shm.errors import ArgumentError, CorruptRegionError
from shm.layout import structure
from shm.locks import Claim
from shm.reference.common import WORD, Array, Record, Role, check_output, check_record


class _TableRole(Role):
    def __init__(
        self,
        name: str,
        mapping: mmap.mmap,
        offset: int,
        dtype: np.dtype[Any],
        rows: int,
        claim: Claim | None,
    ) -> None:
        super().__init__(name, mapping, claim)
        self.dtype = dtype
        self._offset = offset
        header = self.array(structure("TableHeader"), 1, offset)[0]
        found = (int(header["rows"]), int(header["record_bytes"]))
        if found != (rows, dtype.itemsize):
            raise CorruptRegionError(
                f"{name}: its header says {found[0]} rows and record bytes {found[1]}, must be "
                f"{rows} and {dtype.itemsize}; remove the segment"
            )
        self._rows = rows

    @property
    def rows(self) -> int:
        """How many rows it has."""
        self.check_open()
        return self._rows

    def _row(self, index: int) -> Any:
        row = np.dtype(
            {
                "names": ["stamp", "slots"],
                "formats": [WORD, (self.dtype, (2,))],
                "offsets": [0, 8],
                "itemsize": _native.table_bytes(1, self.dtype.itemsize)
                - _native.table_bytes(0, self.dtype.itemsize),
            }
        )
        start = self._offset + structure("TableHeader").itemsize
        return self.array(row, self._rows, start)[index]


class TableWriter(_TableRole):
    """The writer of the rows `first .. last - 1`."""

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
    ) -> None:
        super().__init__(name, mapping, offset, dtype, rows, claim)
        self._own = range(first, last)

    def write(self, row: int, record: Record) -> None:
        """Make `record` the row's latest."""
        self.check_open()
        if row not in self._own:
            raise ArgumentError(
                f"{self.name}: row was {row}, must be in this writer's {self._own.start} .. "
                f"{self._own.stop - 1}"
            )
        memory = self._row(row)
        version = int(memory["stamp"]) // 2 + 1
        memory["stamp"] = 2 * version - 1
        memory["slots"][version % 2] = check_record(self.name, record, self.dtype)[0]
        memory["stamp"] = 2 * version


class TableReader(_TableRole):
    """A reader of all rows."""

    def __init__(
        self, name: str, mapping: mmap.mmap, offset: int, dtype: np.dtype[Any], rows: int
    ) -> None:
        super().__init__(name, mapping, offset, dtype, rows, None)

    def read(self, row: int, record: Array) -> tuple[int, bool]:
        """Copy a row's latest record; return its version, and whether a newer is half-written."""
        self.check_open()
        if not 0 <= row < self._rows:
            raise ArgumentError(f"{self.name}: row was {row}, must be in 0 .. {self._rows - 1}")
        to = check_output(self.name, record, self.dtype, least=1)
        memory = self._row(row)
        while True:
            version = int(memory["stamp"]) // 2
            if version:
                to[0] = memory["slots"][version % 2]
            after = int(memory["stamp"])
            if after <= 2 * version + 2 or not version:
                return version, bool(after % 2)

    def unfinished(self) -> list[int]:
        """Return the rows with a version begun and not finished."""
        return [row for row in range(self.rows) if int(self._row(row)["stamp"]) % 2]
