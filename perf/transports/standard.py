"""What the standard library has."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from perf.machine import CpuPair
from perf.transports.base import MessagePort, Records, Side

context = multiprocessing.get_context("forkserver")
"""How the processes are started, hence also how their queues must be made."""


class MultiprocessingQueue:
    """A queue there and one back."""

    name = "multiprocessing_queue"
    requires = "multiprocessing"
    method = "Queue() of bytes; put and get; a batch is one message"

    def __init__(self, cpus: CpuPair) -> None:
        self._queues = context.Queue(), context.Queue()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for queue in self._queues:
            queue.close()

    @contextmanager
    def connect(self, side: Side, records: Records) -> Iterator[MessagePort]:
        """See `Transport`."""
        outgoing, incoming = side.of(self._queues)
        yield MessagePort.of_bytes(records, outgoing.put, incoming.get)


class MultiprocessingPipe:
    """The two ends of a duplex pipe, which is a pair of sockets."""

    name = "multiprocessing_pipe"
    requires = "multiprocessing"
    method = "Pipe() of bytes; send_bytes and recv_bytes; a batch is one message"

    def __init__(self, cpus: CpuPair) -> None:
        self._ends = context.Pipe()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for end in self._ends:
            end.close()

    @contextmanager
    def connect(self, side: Side, records: Records) -> Iterator[MessagePort]:
        """See `Transport`."""
        own, _ = side.of(self._ends)
        yield MessagePort.of_bytes(records, own.send_bytes, own.recv_bytes)
