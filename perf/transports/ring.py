"""The ring of this project, from Python."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from typing import Any, Self

import numpy as np

from perf.machine import CpuPair
from perf.transports.base import (
    BATCH,
    PATIENCE,
    PERIOD,
    SIZES,
    Array,
    Records,
    Side,
    SilenceError,
    WrongRecordError,
    clock,
    pairs,
    record_dtype,
)
from shm import DoorbellSpec, Layout, RingSpec, Segment, Wake
from shm._native import Consumer, Doorbell, Producer

DEPLOYMENT = "perf-ipc"
CAPACITY = 8192
COMMIT = 256


def layout(cpus: CpuPair) -> Layout:
    """Return a doorbell for each process, and a ring there and one back for each record size."""
    sender, receiver = Side.SENDER.value, Side.RECEIVER.value
    rings = [
        RingSpec(f"{way}-{size}", record_dtype(size), CAPACITY, to, by)
        for size in SIZES
        for way, by, to in (("there", sender, receiver), ("back", receiver, sender))
    ]
    bells = [DoorbellSpec(sender, (cpus[0],)), DoorbellSpec(receiver, (cpus[1],))]
    return Layout(*bells, *rings)


class Ring:
    """A segment with rings and doorbells, created here and attached to by both processes."""

    name = "bot4_ring"
    requires = "shm"
    method = (
        f"rings of {CAPACITY:,} records, default wait strategy; push and pop, commit every "
        f"{COMMIT} records (each in round trips); batches: push_many, then view and commit"
    )

    def __init__(self, cpus: CpuPair, run_id: str = "") -> None:
        self._cpus = cpus
        self._run_id = run_id
        self._segment: Segment | None = None

    def __enter__(self) -> Self:
        self._segment = Segment.create(DEPLOYMENT, layout(self._cpus))
        self._run_id = self._segment.run_id
        return self

    def __exit__(self, *error: object) -> None:
        if self._segment is not None:
            self._segment.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._cpus, self._run_id)

    @contextmanager
    def connect(self, side: Side, records: Records) -> Iterator[RingPort]:
        """Attach, and take this side's roles in the rings of that record size."""
        outgoing, incoming = side.of((f"there-{records.bytes}", f"back-{records.bytes}"))
        with Segment.attach(DEPLOYMENT, layout(self._cpus), run_id=self._run_id) as segment:
            bell = segment.doorbell(side.value)
            producer = segment.producer(outgoing, bell)
            consumer = segment.consumer(incoming, bell)
            yield RingPort(records, producer, consumer, bell)


class RingPort:
    """One process's end of the two rings."""

    def __init__(
        self, records: Records, producer: Producer, consumer: Consumer, bell: Doorbell
    ) -> None:
        self._producer = producer
        self._consumer = consumer
        self._bell = bell
        self._singles = records.singles
        self._batches = records.batches
        self._messages = records.messages
        # What is popped into the array can be compared as the bytes that it lies in.
        self._bytes = bytearray(records.bytes)
        self._record = np.frombuffer(self._bytes, consumer.dtype)

    def send_records(self, count: int) -> None:
        """See `Port`."""
        push = self._producer.push
        for record in islice(cycle(self._singles), count):
            if not push(record, PATIENCE):
                raise SilenceError("the ring stayed full")

    def receive_records(self, count: int) -> None:
        """See `Port`."""
        pop, commit = self._consumer.pop, self._consumer.commit
        record, found = self._record, self._bytes
        stream = cycle(self._messages)
        for received in range(0, count, COMMIT):
            for due in islice(stream, min(COMMIT, count - received)):
                while not pop(record):
                    self._wait()
                if found != due:
                    raise WrongRecordError(due, found)
            commit()

    def send_batches(self, count: int) -> None:
        """See `Port`."""
        push_many = self._producer.push_many
        for batch in islice(cycle(self._batches), count // BATCH):
            if push_many(batch, PATIENCE) != BATCH:
                raise SilenceError("the ring stayed full")

    def receive_batches(self, count: int) -> None:
        """See `Port`; the records are compared where they lie."""
        view, commit = self._consumer.view, self._consumer.commit
        # A view may begin anywhere in the period and be as long as a batch.
        due = np.concatenate([*self._batches, self._batches[0]]).view(np.uint64)
        words = len(self._bytes) // 8
        received = 0
        while received < count:
            found = view(BATCH).view(np.uint64)
            if not len(found):
                self._wait()
                continue
            start = received % PERIOD * words
            expected = due[start : start + len(found)]
            if not np.array_equal(found, expected):
                raise WrongRecordError(expected, found)
            commit()
            received += len(found) // words

    def ping(self, trips: int) -> list[int]:
        """See `Port`."""
        push, pop, commit = self._producer.push, self._consumer.pop, self._consumer.commit
        wait, record, found = self._bell.wait, self._record, self._bytes
        times = [0] * trips
        before = clock()
        for trip, (single, due) in enumerate(self._pairs(trips)):
            push(single)
            wait(PATIENCE)
            while not pop(record):
                self._wait()
            if found != due:
                raise WrongRecordError(due, found)
            commit()
            now = clock()
            times[trip] = now - before
            before = now
        return times

    def echo(self, trips: int) -> None:
        """See `Port`; a record is given back after its answer is out."""
        push, pop, commit = self._producer.push, self._consumer.pop, self._consumer.commit
        wait, record, found = self._bell.wait, self._record, self._bytes
        for single, due in self._pairs(trips):
            wait(PATIENCE)
            while not pop(record):
                self._wait()
            if found != due:
                raise WrongRecordError(due, found)
            push(single)
            commit()

    def _pairs(self, count: int) -> Iterable[tuple[Array, bytes]]:
        return pairs(self._singles, self._messages, count)

    def _wait(self) -> None:
        if self._bell.wait(PATIENCE) is Wake.TIMEOUT:
            raise SilenceError("the ring stayed empty")
