"""What is handed over, and what each way of handing it over has to offer."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any, Protocol, Self, TypeVar

import numpy as np

from perf.machine import CpuPair

SIZES = (64, 128)
"""Bytes of a record."""

BATCH = 1024
"""Records of a batch."""

PERIOD = 2 * BATCH
"""Different records there are; after the last comes the first again."""

PATIENCE = 10.0
"""Seconds without progress after which something is said to be lost."""

Array = np.ndarray[Any, np.dtype[Any]]

clock = time.perf_counter_ns

_End = TypeVar("_End")


class Side(enum.StrEnum):
    """The two processes; in a round trip the sender is the one that begins."""

    SENDER = "sender"
    RECEIVER = "receiver"

    def of(self, ways: tuple[_End, _End]) -> tuple[_End, _End]:
        """Return (what this side sends on, what it receives on) of (there, back)."""
        return ways if self is Side.SENDER else (ways[1], ways[0])


class WrongRecordError(Exception):
    """What came is not what was due: something was lost, repeated, reordered or damaged."""

    def __init__(self, due: Any, found: Any) -> None:
        super().__init__(
            f"record {_sequence(due)} was due, record {_sequence(found)} came "
            "(if these are equal: it is damaged, or a later one of its batch is wrong)"
        )


class SilenceError(Exception):
    """Nothing came, or nothing was taken, for `PATIENCE` seconds."""


class Records:
    """`PERIOD` records of one size, the same in both processes, ready to be sent.

    A record is its sequence number and random words. Each form holds all of them, in order:
    `singles` and `batches` as arrays, `messages` and `blocks` as bytes.
    """

    def __init__(self, record_bytes: int) -> None:
        self.bytes = record_bytes
        self.dtype = record_dtype(record_bytes)
        words = np.random.default_rng(record_bytes).integers(
            1 << 64, size=(PERIOD, record_bytes // 8), dtype=np.uint64
        )
        words[:, 0] = np.arange(PERIOD)
        array = words.reshape(-1).view(self.dtype)
        self.singles: list[Array] = [array[i : i + 1] for i in range(PERIOD)]
        self.batches: list[Array] = [array[i : i + BATCH] for i in range(0, PERIOD, BATCH)]
        self.messages = [single.tobytes() for single in self.singles]
        self.blocks = [batch.tobytes() for batch in self.batches]


def record_dtype(record_bytes: int) -> np.dtype[np.void]:
    """Return the dtype of a record of so many bytes."""
    return np.dtype([("sequence", "<u8"), ("body", "<u8", (record_bytes // 8 - 1,))])


class Port(Protocol):
    """One process's end. Counts are of records (multiples of `BATCH` for batches) or of trips.

    Who receives compares every byte with what is due, and raises `WrongRecordError`.
    """

    def send_records(self, count: int) -> None:
        """Send records one a call."""

    def receive_records(self, count: int) -> None:
        """Receive records one a call."""

    def send_batches(self, count: int) -> None:
        """Send records `BATCH` a call."""

    def receive_batches(self, count: int) -> None:
        """Receive records up to `BATCH` a call."""

    def ping(self, trips: int) -> list[int]:
        """Send a record and wait for the answer, so many times; return the ns of each trip."""

    def echo(self, trips: int) -> None:
        """Wait for a record and send one like it, so many times."""


class Transport(Protocol):
    """A way from one process to another and back.

    It is made and entered by the process that starts the two, which get it pickled.
    """

    name: str
    requires: str
    """The module that it needs."""
    method: str
    """How it is used here, in a line."""

    def __init__(self, cpus: CpuPair) -> None:
        """Be told where sender and receiver will run."""

    def __enter__(self) -> Self:
        """Make what both processes share."""

    def __exit__(self, *error: object) -> None:
        """Leave nothing behind, whatever became of the processes."""

    def connect(self, side: Side, records: Records) -> AbstractContextManager[Port]:
        """Take an end, in the process that will use it."""


@dataclass(frozen=True, slots=True)
class Link:
    """Calls that put and get a message and block; and the messages to be put, over and over."""

    put: Callable[[Any], object]
    get: Callable[[], Any]
    messages: Sequence[Any]
    due: Sequence[Any]
    """What `get` returns for each, to be compared with ``!=``."""

    def send(self, count: int) -> None:
        """Put so many messages."""
        put = self.put
        for message in islice(cycle(self.messages), count):
            put(message)

    def receive(self, count: int) -> None:
        """Get so many messages."""
        get = self.get
        for due in islice(cycle(self.due), count):
            if (found := get()) != due:
                raise WrongRecordError(due, found)


@dataclass(frozen=True, slots=True)
class MessagePort:
    """The end of a transport of messages; a batch is one message of the other link."""

    single: Link
    batch: Link

    @classmethod
    def of_bytes(
        cls, records: Records, put: Callable[[bytes], object], get: Callable[[], bytes]
    ) -> Self:
        """Return the end of a transport whose messages are bytes, of any length."""
        return cls(
            Link(put, get, records.messages, records.messages),
            Link(put, get, records.blocks, records.blocks),
        )

    def send_records(self, count: int) -> None:
        """See `Port`."""
        self.single.send(count)

    def receive_records(self, count: int) -> None:
        """See `Port`."""
        self.single.receive(count)

    def send_batches(self, count: int) -> None:
        """See `Port`."""
        self.batch.send(count // BATCH)

    def receive_batches(self, count: int) -> None:
        """See `Port`."""
        self.batch.receive(count // BATCH)

    def ping(self, trips: int) -> list[int]:
        """See `Port`."""
        put, get = self.single.put, self.single.get
        times = [0] * trips
        before = clock()
        for trip, (message, due) in enumerate(pairs(self.single.messages, self.single.due, trips)):
            put(message)
            if (found := get()) != due:
                raise WrongRecordError(due, found)
            now = clock()
            times[trip] = now - before
            before = now
        return times

    def echo(self, trips: int) -> None:
        """See `Port`."""
        put, get = self.single.put, self.single.get
        for message, due in pairs(self.single.messages, self.single.due, trips):
            if (found := get()) != due:
                raise WrongRecordError(due, found)
            put(message)


def pairs(messages: Sequence[Any], due: Sequence[Any], count: int) -> Iterable[tuple[Any, Any]]:
    """Return so many pairs of a message and what is due for it, over and over."""
    return islice(cycle(list(zip(messages, due, strict=True))), count)


def _sequence(found: Any) -> int | str:
    """Return the sequence number with which a record, or a batch of them, begins."""
    start = bytes(found[0] if isinstance(found, list) else found)[:8]
    return int.from_bytes(start, "little") if start else "(empty)"
