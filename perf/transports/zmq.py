"""pyzmq over its ipc transport, which is Unix sockets."""

from __future__ import annotations

import importlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from perf.machine import CpuPair
from perf.transports.base import MessagePort, Records, Side


class Zmq:
    """A pair of PUSH and PULL sockets there, and one back."""

    name = "zmq"
    requires = "zmq"
    method = "PUSH and PULL over ipc://, default high-water mark; send and recv of bytes"

    def __init__(self, cpus: CpuPair) -> None:
        self._directory = ""

    def __enter__(self) -> Self:
        self._directory = tempfile.mkdtemp(prefix="bot4-perf-")
        return self

    def __exit__(self, *error: object) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)

    @contextmanager
    def connect(self, side: Side, records: Records) -> Iterator[MessagePort]:
        """See `Transport`; the sender binds."""
        zmq = importlib.import_module(self.requires)
        outgoing, incoming = side.of(("there", "back"))
        with (
            zmq.Context() as context,
            context.socket(zmq.PUSH) as push,
            context.socket(zmq.PULL) as pull,
        ):
            for socket, way in ((push, outgoing), (pull, incoming)):
                address = f"ipc://{self._directory}/{way}-{records.bytes}"
                (socket.bind if side is Side.SENDER else socket.connect)(address)
            yield MessagePort.of_bytes(records, push.send, pull.recv)
