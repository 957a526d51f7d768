"""Random sequences of calls, checked against plain Python lists.

The two ends are at random native or reference, over the same memory, and are replaced now and then,
as they are when a process dies between two calls.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter
from types import ModuleType
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import shm.reference
from shm import (
    HistogramsSpec,
    Layout,
    ObserverSpec,
    RingSpec,
    Segment,
    TableSpec,
    _native,
)
from shm.reference.metrics import bucket
from tests.conftest import TRADE, trades

CAPACITY = 8
LAYOUT = Layout(
    RingSpec("ring", TRADE, CAPACITY),
    ObserverSpec("observer", TRADE, CAPACITY),
    TableSpec("table", TRADE, 3),
    HistogramsSpec("histograms", ("h",)),
)
ENGINES = st.sampled_from([_native, shm.reference])

_numbers = itertools.count()


class _Machine(RuleBasedStateMachine):
    """One segment, mapped twice: with the native implementation and with the reference."""

    def __init__(self) -> None:
        super().__init__()
        name = f"machine-{os.getpid()}-{next(_numbers)}"
        self.segment = Segment.create(name, LAYOUT)
        self.twin = Segment.attach(name, engine=shm.reference)

    def at(self, engine: ModuleType) -> Segment:
        return self.segment if engine is _native else self.twin

    def teardown(self) -> None:
        self.twin.close()
        self.segment.close()


class RingMachine(_Machine):
    """The model: how many were published, read and committed; record n has contents n."""

    @initialize(producer=ENGINES, consumer=ENGINES)
    def start(self, producer: ModuleType, consumer: ModuleType) -> None:
        self.published = self.read = self.committed = self.high_water = self.refused = 0
        self.producer = self.at(producer).producer("ring")
        self.consumer = self.at(consumer).consumer("ring")

    @rule(engine=ENGINES)
    def replace_producer(self, engine: ModuleType) -> None:
        self.producer.close()
        self.producer = self.at(engine).producer("ring")

    @rule(engine=ENGINES)
    def replace_consumer(self, engine: ModuleType) -> None:
        self.consumer.close()
        self.consumer = self.at(engine).consumer("ring")
        self.read = self.committed

    @rule()
    def push(self) -> None:
        fits = self.published - self.committed < CAPACITY
        assert self.producer.push(trades(self.published, 1)) == fits
        self._pushed(1)

    @rule(count=st.integers(0, 2 * CAPACITY))
    def push_many(self, count: int) -> None:
        room = CAPACITY - (self.published - self.committed)
        assert self.producer.push_many(trades(self.published, count)) == min(count, room)
        self._pushed(count)

    def _pushed(self, count: int) -> None:
        room = CAPACITY - (self.published - self.committed)
        self.refused += count > room
        self.published += min(count, room)
        if count:
            self.high_water = max(self.high_water, self.published - self.committed)

    @rule()
    def pop(self) -> None:
        out = np.zeros(1, TRADE)
        assert self.consumer.pop(out) == (self.read < self.published)
        if self.read < self.published:
            self._check_read(out)

    @rule(room=st.integers(0, 2 * CAPACITY))
    def drain(self, room: int) -> None:
        out = np.zeros(room, TRADE)
        count = self.consumer.drain(out)
        assert count == min(room, self.published - self.read)
        self._check_read(out[:count])

    @rule(limit=st.none() | st.integers(0, CAPACITY))
    def view(self, limit: int | None) -> None:
        until_wrap = CAPACITY - self.read % CAPACITY
        unread = self.published - self.read
        view = self.consumer.view(limit)
        assert len(view) == min(until_wrap, unread, unread if limit is None else limit)
        self._check_read(view)

    def _check_read(self, records: Any) -> None:
        assert (records == trades(self.read, len(records))).all()
        self.read += len(records)

    @rule(part=st.none() | st.floats(0, 1))
    def commit(self, part: float | None) -> None:
        count = None if part is None else int(part * (self.read - self.committed))
        self.consumer.commit(count)
        self.committed = self.read if count is None else self.committed + count

    @rule()
    def rewind(self) -> None:
        self.consumer.rewind()
        self.read = self.committed

    @invariant()
    def both_ends_agree_with_the_model(self) -> None:
        for end in (self.producer, self.consumer):
            assert end.depth == self.published - self.committed
            assert end.high_water == self.high_water
            assert end.refused == self.refused
        assert self.producer.published == self.published
        assert self.consumer.committed == self.committed
        assert self.consumer.pending == self.read - self.committed


class ObserverMachine(_Machine):
    """The model: how many were published, and where each reader is."""

    @initialize(producer=ENGINES)
    def start(self, producer: ModuleType) -> None:
        self.published = 0
        self.producer = self.at(producer).observer_producer("observer")
        self.positions = [0, 0]
        self.readers = [
            self.at(engine).observer_reader("observer") for engine in (_native, shm.reference)
        ]

    @rule(engine=ENGINES)
    def replace_producer(self, engine: ModuleType) -> None:
        self.producer.close()
        self.producer = self.at(engine).observer_producer("observer")

    @rule(count=st.integers(0, 2 * CAPACITY))
    def push_many(self, count: int) -> None:
        self.producer.push_many(trades(self.published, count))
        self.published += count

    @rule()
    def push(self) -> None:
        self.producer.push(trades(self.published, 1)[0])
        self.published += 1

    @rule(which=st.integers(0, 1), engine=ENGINES, from_oldest=st.booleans())
    def replace_reader(self, which: int, engine: ModuleType, from_oldest: bool) -> None:
        oldest = max(0, self.published - CAPACITY)
        self.readers[which] = self.at(engine).observer_reader("observer", from_oldest=from_oldest)
        self.positions[which] = oldest if from_oldest else self.published

    @rule(which=st.integers(0, 1), room=st.integers(0, 2 * CAPACITY))
    def read(self, which: int, room: int) -> None:
        position = self.positions[which]
        out = np.zeros(room, TRADE)
        lost = max(0, self.published - CAPACITY - position) if room else 0
        count = min(room, self.published - position - lost)
        assert self.readers[which].read(out) == (count, lost)
        assert (out[:count] == trades(position + lost, count)).all()
        self.positions[which] += lost + count


class TableMachine(_Machine):
    """The model: the versions written to each row."""

    @initialize(writer=ENGINES)
    def start(self, writer: ModuleType) -> None:
        self.versions: Counter[int] = Counter()
        self.writer = self.at(writer).table_writer("table")
        self.readers = [
            self.at(engine).table_reader("table") for engine in (_native, shm.reference)
        ]

    @rule(engine=ENGINES)
    def replace_writer(self, engine: ModuleType) -> None:
        self.writer.close()
        self.writer = self.at(engine).table_writer("table")

    @rule(row=st.integers(0, 2))
    def write(self, row: int) -> None:
        self.versions[row] += 1
        self.writer.write(row, trades(row * 1000 + self.versions[row], 1))

    @invariant()
    def every_row_holds_its_latest(self) -> None:
        for reader, row in itertools.product(getattr(self, "readers", ()), range(3)):
            out = np.zeros(1, TRADE)
            version = self.versions[row]
            assert reader.read(row, out) == (version, False)
            if version:
                assert (out == trades(row * 1000 + version, 1)).all()


class HistogramMachine(_Machine):
    """The model: the values of the epoch."""

    @initialize(writer=ENGINES)
    def start(self, writer: ModuleType) -> None:
        self.epoch = 0
        self.values: list[int] = []
        self.writer = self.at(writer).histograms_writer("histograms")

    @rule(engine=ENGINES)
    def replace_writer(self, engine: ModuleType) -> None:
        self.writer.close()
        self.writer = self.at(engine).histograms_writer("histograms")

    @rule(value=st.integers(0, 2**64 - 1) | st.integers(0, 100))
    def record(self, value: int) -> None:
        self.writer.record("h", value)
        self.values.append(value)

    @rule(engine=ENGINES)
    def reset(self, engine: ModuleType) -> None:
        self.at(engine).reset_histograms("histograms")
        self.epoch += 1
        self.values = []

    @invariant()
    def both_readers_agree_with_the_model(self) -> None:
        for segment in (self.segment, self.twin):
            histogram = segment.histograms("histograms")["h"]
            assert histogram.epoch == getattr(self, "epoch", 0)
            values = getattr(self, "values", [])
            expected = Counter(bucket(value) for value in values)
            assert {i: int(n) for i, n in enumerate(histogram.counts) if n} == expected
            assert histogram.low == min(values, default=None)
            assert histogram.high == max(values, default=None)
            assert histogram.sum == sum(values) % 2**64


RingMachine.TestCase.settings = ObserverMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40
)
TableMachine.TestCase.settings = HistogramMachine.TestCase.settings = settings(
    max_examples=30, stateful_step_count=30
)
TestRing = RingMachine.TestCase
TestObserver = ObserverMachine.TestCase
TestTable = TableMachine.TestCase
TestHistogram = HistogramMachine.TestCase
