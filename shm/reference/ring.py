"""The ring: see ring.hpp for who writes what, and in which order.

sequence:   0 1 2 3 4 5 6 7 8 9
                ^head     ^tail         capacity 8: slot = sequence % 8
released to the | readable | room for
producer        | 5        | 3 more
"""

from __future__ import annotations

import mmap
import time
from typing import Any

import numpy as np

from shm._native import Wake
from shm.errors import ArgumentError, CorruptRegionError
from shm.layout import structure
from shm.locks import Claim
from shm.reference.common import (
    Array,
    Record,
    Role,
    check_count,
    check_output,
    check_record,
    check_records,
    check_sequence,
    check_timeout,
)
from shm.reference.doorbell import Bell, Doorbell


class _RingRole(Role):
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
    ) -> None:
        super().__init__(name, mapping, claim)
        self.dtype = dtype
        self._bell = bell  # the other end's
        self._doorbell = doorbell  # this process's own
        self._offset = offset
        header = structure("RingHeader")
        self._slots_offset = offset + header.itemsize
        ring = self._header
        if (
            (int(ring["capacity"]), int(ring["record_bytes"])) != (capacity, dtype.itemsize)
            or capacity & (capacity - 1)
            or not 0 <= int(ring["tail"]) - int(ring["head"]) <= capacity
            or int(ring["high_water"]) > capacity
        ):
            raise CorruptRegionError(
                f"{name}: its header says {ring}, which no ring of {capacity} records of "
                f"{dtype.itemsize} bytes can have; remove the segment"
            )

    @property
    def _header(self) -> Any:
        return self.array(structure("RingHeader"), 1, self._offset)[0]

    def _check_sound(self) -> None:
        ring = self._header
        if not 0 <= int(ring["tail"]) - int(ring["head"]) <= self.capacity:
            raise CorruptRegionError(
                f"{self.name}: the other end's position was found where it cannot be (tail "
                f"{ring['tail']}, head {ring['head']}); something has overwritten it, remove the "
                "segment"
            )

    @property
    def _slots(self) -> Array:
        return self.array(self.dtype, self.capacity, self._slots_offset)

    @property
    def capacity(self) -> int:
        """How many records it holds."""
        return int(self._header["capacity"])

    @property
    def depth(self) -> int:
        """Records published and not committed."""
        return int(self._header["tail"]) - int(self._header["head"])

    @property
    def high_water(self) -> int:
        """The largest depth that a push has led to."""
        return int(self._header["high_water"])

    @property
    def refused(self) -> int:
        """Pushes that found no room for all of their records."""
        return int(self._header["refused"])


class Producer(_RingRole):
    """The end that publishes: writes the slots, then `tail`."""

    @property
    def published(self) -> int:
        """Records published so far, by this process and its predecessors."""
        return int(self._header["tail"])

    def push(self, record: Record, timeout: float | None = 0.0) -> bool:
        """Publish one record; False if the ring stayed full.

        `timeout` is in seconds. A signal, or a ring of the producer's doorbell, ends it early: also
        one since the last wait there, so that no request for attention is slept over.
        """
        return self._push(check_record(self.name, record, self.dtype), timeout) == 1

    def push_many(self, records: Array, timeout: float | None = 0.0) -> int:
        """Publish records from the first on; return for how many there was room. See `push`.

        Up to a quarter of the ring appears at once, more comes in several parts.
        """
        self.check_open()
        return self._push(check_records(self.name, records, self.dtype), timeout)

    def _push(self, records: Array, timeout: float | None) -> int:
        deadline = time.monotonic() + check_timeout(timeout)
        pushed = self._push_now(records)
        while pushed < len(records) and self._wait_for_room(deadline):
            pushed += self._push_now(records[pushed:])
        return pushed

    def _push_now(self, records: Array) -> int:
        self._check_sound()
        ring = self._header
        tail = int(ring["tail"])
        room = self.capacity - (tail - int(ring["head"]))
        if len(records) > room:
            ring["refused"] += 1
        records = records[:room]
        if len(records):
            ring["high_water"] = max(self.high_water, self.depth + len(records))
        burst = _burst(self.capacity)
        for first in range(0, len(records), burst):
            self._publish(records[first : first + burst])
        return len(records)

    def _publish(self, records: Array) -> None:
        tail = self.published
        for index, record in enumerate(records):
            self._slots[(tail + index) % self.capacity] = record
        self._header["tail"] = tail + len(records)  # last: this is what makes them visible
        if self._bell is not None:
            self._bell.ring_if_sleeping()

    def _wait_for_room(self, deadline: float) -> bool:
        while self.depth == self.capacity:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if self._doorbell is None:
                time.sleep(min(left, 0.0005))
            else:
                room = self._doorbell.wait_until(lambda: self.depth < self.capacity, left)
                return room is Wake.READY
        return True


class Consumer(_RingRole):
    """The end that reads: reads the slots, then, on commit, writes `head`."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._read = self.committed  # what a predecessor had not committed is read again
        if self._doorbell is not None:
            self._doorbell.add(self, lambda: int(self._header["tail"]) != self._read)

    def close(self) -> None:
        """Let go of the memory and of the claim. May be repeated."""
        if self._doorbell is not None:
            self._doorbell.remove(self)
        super().close()

    @property
    def committed(self) -> int:
        """The sequence up to which records have been given back."""
        return int(self._header["head"])

    @property
    def pending(self) -> int:
        """Records read and not committed."""
        return self._read - self.committed

    def pop(self, record: Array) -> bool:
        """Copy the next record; False if there is none."""
        return self._copy(check_output(self.name, record, self.dtype, least=1)[:1]) == 1

    def drain(self, records: Array) -> int:
        """Copy as many records as there are and fit; return how many."""
        self.check_open()
        return self._copy(check_output(self.name, records, self.dtype))

    def view(self, limit: int | None = None) -> Array:
        """Return records where they lie, up to `limit` and to the end of the ring."""
        self._check_sound()
        first = self._read % self.capacity
        unread = int(self._header["tail"]) - self._read
        count = min(
            unread, self.capacity - first, check_count(f"{self.name}: limit", limit, unread)
        )
        records = self._slots[first : first + count]
        records.flags.writeable = False
        self._read += count
        return records

    def commit(self, count: int | None = None) -> None:
        """Give the oldest `count` records that were read back to the producer; None: all."""
        pending = self.pending
        count = check_count(f"{self.name}: count", count, pending)
        if count > pending:
            raise ArgumentError(
                f"{self.name}: commit of {count} records, but only {pending} were read and not "
                "committed"
            )
        self._header["head"] += count
        if self._bell is not None:
            self._bell.ring_if_sleeping()

    def rewind(self) -> None:
        """Go back to the first record that was not committed."""
        self._read = self.committed

    def _copy(self, records: Array) -> int:
        self._check_sound()
        count = min(len(records), int(self._header["tail"]) - self._read)
        for index in range(count):
            records[index] = self._slots[(self._read + index) % self.capacity]
        self._read += count
        return count


class RingFollower(Role):
    """A reader that consumes nothing, and whom nobody waits for."""

    def __init__(
        self,
        name: str,
        mapping: mmap.mmap,
        offset: int,
        dtype: np.dtype[Any],
        capacity: int,
        from_oldest: bool,
    ) -> None:
        super().__init__(name, mapping, None)
        self.dtype = dtype
        self.lost = 0
        self._capacity = capacity
        self._offset = offset
        header = self._header
        if (int(header["capacity"]), int(header["record_bytes"])) != (capacity, dtype.itemsize):
            raise CorruptRegionError(
                f"{name}: its header says {header}, which no ring of {capacity} records of "
                f"{dtype.itemsize} bytes can have; remove the segment"
            )
        self._next = self.oldest if from_oldest else self.published

    @property
    def _header(self) -> Any:
        return self.array(structure("RingHeader"), 1, self._offset)[0]

    @property
    def position(self) -> int:
        """The sequence that it reads next."""
        self.check_open()
        return self._next

    @property
    def published(self) -> int:
        """Records published so far."""
        return int(self._header["tail"])

    @property
    def oldest(self) -> int:
        """The oldest record that can be read.

        The producer may already be writing a burst of records behind those published, over those
        that are a ring older.
        """
        return max(0, self.published + _burst(self._capacity) - self._capacity)

    def seek(self, sequence: int) -> None:
        """Go on with this record; if it is gone, with the oldest, having lost those between."""
        self._next = check_sequence(self.name, sequence, self.published)

    def read(self, records: Array) -> tuple[int, int]:
        """Copy as many records as there are and fit; return how many, and how many were lost."""
        self.check_open()
        to = check_output(self.name, records, self.dtype)
        copied = lost = 0
        while copied < len(to) and self._next < self.published:
            gone = max(0, self.oldest - self._next)
            self._next += gone
            lost += gone
            if self._next == self.published:  # so it is in a ring of one record
                break
            to[copied] = self._slot(self._next)
            if self._next >= self.oldest:  # still: nobody can have been writing there
                copied += 1
            else:
                lost += 1
            self._next += 1
        self.lost += lost
        return copied, lost

    def last(self) -> Array | None:
        """Return a copy of the last record published; None if there is none.

        It is what the successor of a dead producer needs: where that one ended. In a ring of one
        record it is whole only if nobody produces.
        """
        while tail := self.published:
            record = np.array([self._slot(tail - 1)], self.dtype)
            if tail == self.published or tail > self.oldest:
                return record
        return None

    def _slot(self, sequence: int) -> np.void:
        start = self._offset + structure("RingHeader").itemsize
        slot: np.void = self.array(self.dtype, self._capacity, start)[sequence % self._capacity]
        return slot


def _burst(capacity: int) -> int:
    """Return the most that a producer writes before it publishes."""
    return max(1, capacity // 4)
