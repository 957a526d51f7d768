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
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

import shm.reference
from shm import (
    CellsSpec,
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
BURST = CAPACITY // 4
LAYOUT = Layout(
    RingSpec("ring", TRADE, CAPACITY),
    ObserverSpec("observer", TRADE, CAPACITY),
    TableSpec("table", TRADE, 3),
    CellsSpec("cells", TRADE, 3),
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
        self.followers = [
            self.at(engine).ring_follower("ring") for engine in (_native, shm.reference)
        ]
        self.positions = [0, 0]

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

    def _oldest(self) -> int:
        return max(0, self.published + BURST - CAPACITY)

    @rule(which=st.integers(0, 1), room=st.integers(0, 2 * CAPACITY))
    def follow(self, which: int, room: int) -> None:
        position = self.positions[which]
        out = np.zeros(room, TRADE)
        behind = room > 0 and position < self.published
        lost = max(0, self._oldest() - position) if behind else 0
        count = min(room, self.published - position - lost)
        assert self.followers[which].read(out) == (count, lost)
        assert (out[:count] == trades(position + lost, count)).all()
        self.positions[which] += lost + count

    @rule(which=st.integers(0, 1), part=st.floats(0, 1))
    def seek(self, which: int, part: float) -> None:
        self.positions[which] = int(part * self.published)
        self.followers[which].seek(self.positions[which])

    @invariant()
    def followers_agree_with_the_model(self) -> None:
        for follower, position in zip(self.followers, self.positions, strict=True):
            assert (follower.position, follower.oldest) == (position, self._oldest())
            last = follower.last()
            expected = trades(self.published - 1, 1).tobytes() if self.published else b""
            assert (b"" if last is None else last.tobytes()) == expected

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


class CellsMachine(_Machine):
    """The model: what was committed, and what the batch has made of it."""

    writer: Any = None

    @initialize(writer=ENGINES)
    def start(self, writer: ModuleType) -> None:
        self.committed = 0
        self.current = [0, 0, 0]
        self.numbers = itertools.count(1)
        self.replace_writer(writer)

    @rule(engine=ENGINES)
    def replace_writer(self, engine: ModuleType) -> None:
        """As after a kill anywhere in a batch, also when it was stamped."""
        if self.writer is not None:
            self.writer.close()
        self.writer = self.at(engine).cells_writer("cells", self.committed)
        self.working = list(self.current)
        self.stamped = 0

    @rule(index=st.integers(0, 2))
    def edit(self, index: int) -> None:
        number = next(self.numbers)
        self.writer.edit(index)[:] = trades(number, 1)
        self.working[index] = number
        self.stamped = 0

    @rule(steps=st.integers(1, 3))
    def stamp(self, steps: int) -> None:
        self.stamped = self.committed + steps
        self.writer.stamp(self.stamped)

    @precondition(lambda self: getattr(self, "stamped", 0) > 0)
    @rule()
    def commit(self) -> None:
        self.committed = self.stamped
        self.stamped = 0
        self.current = list(self.working)
        self.writer.begin_next()

    @invariant()
    def the_writer_and_both_readers_agree_with_the_model(self) -> None:
        if self.writer is None:
            return
        for segment in (self.segment, self.twin):
            records = segment.cells("cells", self.committed)
            for record, number in zip(records, self.current, strict=True):
                assert record == _numbered(number)[0]
        for index, number in enumerate(self.working):
            assert (self.writer.read(index) == _numbered(number)).all()


def _numbered(number: int) -> Any:
    return trades(number, 1) if number else np.zeros(1, TRADE)


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
TableMachine.TestCase.settings = CellsMachine.TestCase.settings = settings(
    max_examples=30, stateful_step_count=30
)
HistogramMachine.TestCase.settings = TableMachine.TestCase.settings
TestRing = RingMachine.TestCase
TestObserver = ObserverMachine.TestCase
TestTable = TableMachine.TestCase
TestCells = CellsMachine.TestCase
TestHistogram = HistogramMachine.TestCase
