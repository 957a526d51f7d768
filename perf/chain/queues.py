"""The same stages over queues of other makes: one inbox a process, and a loop in Python.

The loop is around the same kernel that `pipeline/native/loop.hpp` is around.
"""

from __future__ import annotations

import importlib
import multiprocessing.queues
import os
import queue
import time
from collections.abc import Mapping
from itertools import groupby
from typing import Any, Protocol

import numpy as np

from perf.transports.standard import context
from pipeline import _native, topology
from pipeline.process import become_worker
from pipeline.records import CONTEXT, ORDER, QUOTE, Array
from pipeline.runtime import begin
from pipeline.stage import Stage
from shm import GlobalState, Segment

CAPACITY_BYTES = 4 << 20
"""Of a queue that wants a limit: twice that of the ring of market records."""

MOST = 4096
"""Messages that are taken at once from a queue that has no call for that."""

TICK_S = 0.05
"""Silence after which the executor takes the market's records, as with the rings."""

PATIENCE_S = 60.0
"""Longer than any measurement: who cannot put a message for so long is killed before."""


class Inbox(Protocol):
    """Where all messages to a process go. A message is records of one ring, and its index.

    It is made by the parent, and handed to each process that puts or takes.
    """

    def open(self) -> None:
        """Prepare it, in the process that uses it."""

    def put(self, message: bytes) -> None:
        """Put a message."""

    def take(self, timeout: float) -> list[bytes]:
        """Return the messages that are there, after waiting for one for so many seconds."""


class FasterFifoInbox:
    """A queue of faster-fifo, of bytes as they are: nothing is pickled."""

    requires = "faster_fifo"
    method = "get_many, all that is there; bytes as they are, nothing pickled"
    wait = "get_many"

    def __init__(self) -> None:
        module = importlib.import_module(self.requires)
        self._queue = module.Queue(CAPACITY_BYTES, loads=bytes, dumps=bytes)

    def open(self) -> None:
        """See `Inbox`."""

    def put(self, message: bytes) -> None:
        """See `Inbox`."""
        self._queue.put(message, timeout=PATIENCE_S)

    def take(self, timeout: float) -> list[bytes]:
        """See `Inbox`."""
        try:
            messages: list[bytes] = self._queue.get_many(block=timeout > 0, timeout=timeout)
        except queue.Empty:
            return []
        return messages


class StandardInbox:
    """A queue of the standard library; it has no limit, so nobody waits for room."""

    requires = "multiprocessing"
    method = "get, then as long as it is not empty; pickled bytes, written by its own thread"
    wait = "get"

    def __init__(self) -> None:
        self._queue: multiprocessing.queues.Queue[bytes] = context.Queue()

    def open(self) -> None:
        """See `Inbox`."""
        # What is left in it is nobody's: the process need not wait until it is written.
        self._queue.cancel_join_thread()

    def put(self, message: bytes) -> None:
        """See `Inbox`."""
        self._queue.put(message)

    def take(self, timeout: float) -> list[bytes]:
        """See `Inbox`."""
        inbox = self._queue
        messages: list[bytes] = []
        try:
            if timeout > 0 or not inbox.empty():
                messages.append(inbox.get(timeout=timeout or None))
            while len(messages) < MOST and not inbox.empty():
                messages.append(inbox.get())
        except queue.Empty:
            pass
        return messages


INBOXES: Mapping[str, type[FasterFifoInbox | StandardInbox]] = {
    "faster_fifo": FasterFifoInbox,
    "multiprocessing_queue": StandardInbox,
}


class Stepper:
    """A stage's kernel over memory of this process, stepped through records of one input."""

    def __init__(self, stage: Stage, quotes: Any | None, batch: int) -> None:
        """Begin with an empty state; `quotes` is the reader of the table, if it needs one.

        `batch` records at most are stepped through under one reading of the clock.
        """
        self._types = [topology.edge(ring).dtype for ring in stage.inputs]
        self._outputs = topology.outputs_of(stage.name)
        self._replay = _native.Replay(
            stage.kernel(),
            [(group, dtype, count) for group, (dtype, count) in stage.cells().items()],
            list(zip(stage.inputs, self._types, strict=True)),
            [(edge.ring, edge.dtype) for edge in self._outputs],
        )
        self._quotes = quotes
        self._step = 0
        self._contexts = np.zeros(batch, CONTEXT)
        self._contexts["global"] = GlobalState.CLOSED
        # A record's sequence is its place in the batch, whose first is said to be 0.
        self._contexts["sequence"] = self._places = np.arange(batch)
        offset = CONTEXT.fields["bid"][1] if CONTEXT.fields else 0
        self._rows = np.ndarray(
            (batch,), QUOTE, self._contexts, offset=offset, strides=(CONTEXT.itemsize,)
        )
        self._none = [np.zeros(0, dtype) for dtype in self._types]
        self._first = [0] * len(self._types)

    def batches(self, source: int, records: bytes) -> list[bytes]:
        """Return the records of an input in portions of at most a batch."""
        size = len(self._places) * self._types[source].itemsize
        return [records[start : start + size] for start in range(0, len(records), size)]

    def run(self, source: int, records: bytes) -> tuple[int, list[tuple[topology.Edge, bytes]]]:
        """Take a step on each record of a batch; return how many there were, and the outputs."""
        events: Array = np.frombuffer(records, self._types[source])
        count = len(events)
        contexts = self._contexts[:count]
        contexts["step"] = self._places[:count] + (self._step + 1)
        contexts["now_ns"] = time.monotonic_ns()
        contexts["source"] = source
        contexts["instrument"] = events["instrument"]
        if self._quotes is not None:
            for place, instrument in enumerate(events["instrument"].tolist()):
                self._quotes.read(instrument, self._rows[place : place + 1])
        inputs = list(self._none)
        inputs[source] = events
        self._replay.run(contexts, inputs, self._first)
        self._step += count
        return count, [
            (edge, emitted)
            for place, edge in enumerate(self._outputs)
            if (emitted := self._replay.take(place))
        ]


def by_source(messages: list[bytes]) -> list[tuple[int, bytes]]:
    """Return the records in the messages; neighbours from the same ring are put together."""
    return [
        (source, b"".join([message[:-1] for message in same]))
        for source, same in groupby(messages, lambda message: message[-1])
    ]


def run_stage(
    name: str,
    deployment: str,
    run_id: str,
    config: dict[str, Any],
    inboxes: Mapping[str, Inbox],
    batch: int,
) -> None:
    """Be a stage until killed; `inboxes` are those that it needs, the executor's "ticks" too."""
    with Segment.attach(deployment, run_id=run_id) as segment:
        become_worker(name, config["affinity"][name], os.getppid())
        for each in inboxes.values():
            each.open()
        stage = topology.stage(name, config)
        quotes = segment.table_reader("quotes") if stage.quotes else None
        stepper = Stepper(stage, quotes, batch)
        counters = segment.counters_writer(f"{name}.edges")
        tags = {edge.ring: tag_of(edge.ring, config) for edge in topology.outputs_of(name)}

        def step(source: int, records: bytes) -> list[tuple[topology.Edge, bytes]]:
            count, emitted = stepper.run(source, records)
            counters.add(f"in.{stage.inputs[source]}", count)
            return emitted

        def send(emitted: list[tuple[topology.Edge, bytes]]) -> None:
            for edge, records in emitted:
                inboxes[edge.consumer].put(records + tags[edge.ring])
                counters.add(f"out.{edge.ring}", len(records) // edge.dtype.itemsize)

        def work(messages: list[bytes]) -> None:
            for source, records in by_source(messages):
                for portion in stepper.batches(source, records):
                    send(step(source, portion))

        inbox = inboxes[name]
        begin(segment, name)
        if topology.LAST not in stage.inputs:
            while True:
                work(inbox.take(PATIENCE_S))
        latency = segment.histograms_writer(f"{name}.latency")
        while True:
            messages = inbox.take(TICK_S)
            # As with the rings: an order meets all of the market that was there before it.
            work(inboxes["ticks"].take(0.0))
            for source, records in by_source(messages):
                for order in each_of(records, ORDER.itemsize):
                    emitted = step(source, order)
                    latency.record("tick_to_order", time.monotonic_ns() - received_ns(order))
                    send(emitted)


def tag_of(ring: str, config: Mapping[str, Any]) -> bytes:
    """Return what messages of a ring end with: which input of its consumer the ring is."""
    return bytes([topology.stage(topology.edge(ring).consumer, config).inputs.index(ring)])


def each_of(records: bytes, size: int) -> list[bytes]:
    """Return records of so many bytes one by one."""
    return [records[start : start + size] for start in range(0, len(records), size)]


def received_ns(order: bytes) -> int:
    """Return when the feed received the market record that led to an order."""
    return int(np.frombuffer(order, ORDER)["received_ns"][0])
