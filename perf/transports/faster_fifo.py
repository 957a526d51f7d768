"""faster-fifo: a circular buffer in shared memory, under a mutex."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from perf.machine import CpuPair
from perf.transports.base import BATCH, PERIOD, Link, MessagePort, Records, Side


class FasterFifo:
    """A queue there and one back."""

    name = "faster_fifo"
    requires = "faster_fifo"
    method = "Queue() of bytes, all defaults (so pickled); put and get; batch: put_many, get_many"

    def __init__(self, cpus: CpuPair) -> None:
        module = importlib.import_module(self.requires)
        self._queues = module.Queue(), module.Queue()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for queue in self._queues:
            queue.close()

    @contextmanager
    def connect(self, side: Side, records: Records) -> Iterator[MessagePort]:
        """See `Transport`."""
        outgoing, incoming = side.of(self._queues)

        def get_batch() -> list[bytes]:
            """Return a whole batch; get_many returns as many as there are."""
            batch: list[bytes] = incoming.get_many(max_messages_to_get=BATCH)
            while len(batch) < BATCH:
                batch += incoming.get_many(max_messages_to_get=BATCH - len(batch))
            return batch

        messages = records.messages
        batches = [messages[i : i + BATCH] for i in range(0, PERIOD, BATCH)]
        yield MessagePort(
            Link(outgoing.put, incoming.get, messages, messages),
            Link(outgoing.put_many, get_batch, batches, batches),
        )
