"""iceoryx2: publish and subscribe over lock-free queues in shared memory."""

from __future__ import annotations

import ctypes
import importlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from perf.machine import CpuPair
from perf.transports.base import Link, MessagePort, Records, Side

DEPTH = 1024
"""Single records in flight."""

BATCHES = 4
"""Batches in flight."""


class Iceoryx2:
    """A service there and one back, for single records and again for batches."""

    name = "iceoryx2"
    requires = "iceoryx2"
    method = (
        f"publish-subscribe of C structures, {DEPTH:,} (batches: {BATCHES}) in flight, none lost; "
        "send_copy, and receive in a loop that polls; a batch is one sample"
    )

    def __init__(self, cpus: CpuPair) -> None:
        self._root = ""
        self._one_cpu = cpus[0] == cpus[1]

    def __enter__(self) -> Self:
        self._root = tempfile.mkdtemp(prefix="bot4-perf-")
        return self

    def __exit__(self, *error: object) -> None:
        # A file stays in any case, more of them if a process was killed.
        prefix = self._prefix()
        assert prefix, "entered before"
        for file in Path("/dev/shm").glob(f"{prefix}*"):
            file.unlink(missing_ok=True)
        shutil.rmtree(self._root, ignore_errors=True)

    @contextmanager
    def connect(self, side: Side, records: Records) -> Iterator[MessagePort]:
        """See `Transport`."""
        iox = importlib.import_module(self.requires)
        iox.set_log_level(iox.LogLevel.Fatal)
        node = self._node(iox)
        yield MessagePort(
            self._link(iox, node, side, records.messages, DEPTH),
            self._link(iox, node, side, records.blocks, BATCHES),
        )

    def _prefix(self) -> str:
        """Return how the names of its shared memory begin: as the directory's name."""
        return Path(self._root).name

    def _node(self, iox: Any) -> Any:
        config = iox.config.default()
        config.global_cfg.root_path = iox.Path.new(self._root)
        config.global_cfg.prefix = iox.FileName.new(self._prefix())
        builder = iox.NodeBuilder.new().config(config)
        disabled = iox.SignalHandlingMode.Disabled
        return builder.signal_handling_mode(disabled).create(iox.ServiceType.Ipc)

    def _link(self, iox: Any, node: Any, side: Side, messages: Sequence[bytes], depth: int) -> Link:
        size = len(messages[0])
        structure = _structure(size)
        there, back = (
            node.service_builder(iox.ServiceName.new(f"{way}-{size}"))
            .publish_subscribe(structure)
            .enable_safe_overflow(False)
            .subscriber_max_buffer_size(depth)
            .open_or_create()
            for way in ("there", "back")
        )
        outgoing, incoming = side.of((there, back))
        wait = iox.BackpressureStrategy.RetryUntilDelivered
        publisher = outgoing.publisher_builder().backpressure_strategy(wait).create()
        receive = incoming.subscriber_builder().create().receive
        # The first look connects to the publisher; until then a full queue would not stop it.
        while not incoming.dynamic_config.number_of_publishers:
            time.sleep(0.001)
        receive()
        # With a CPU of its own it spins, as iceoryx2's own benchmark does.
        relax = os.sched_yield if self._one_cpu else None

        def get() -> bytes:
            while (sample := receive()) is None:
                if relax is not None:
                    relax()
            return ctypes.string_at(sample.payload_ptr, size)

        structures = [structure.from_buffer_copy(message) for message in messages]
        return Link(publisher.send_copy, get, structures, messages)


def _structure(size: int) -> type[ctypes.Structure]:
    """Return a C structure of so many bytes."""
    return type(
        f"Bytes{size}", (ctypes.Structure,), {"_fields_": [("bytes", ctypes.c_uint8 * size)]}
    )
