"""The venue of the measurement: a process that sends frames when they are due, or without a pause.

Frames are due whether or not those before were taken. What a client does not take in time waits
here, and its delay counts from when it was due.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import socket
import struct
import threading
import time
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

from perf.stream.frames import BLOCK, MOST, SYMBOLS, Blocks, snapshot
from pipeline.process import become_worker

HOST = "127.0.0.1"
GRACE_S = 1.0
"""For what is due but was not taken, at the end."""

_MOST_AT_ONCE = 64  # frames; more of them may be due
_PATIENCE_S = 0.05  # of one call to send
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # of RFC 6455
_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10


@dataclass(frozen=True, slots=True)
class Order:
    """What to send: `rate` frames/s, None: as many as are taken; from `start_ns` on."""

    rate: int | None
    seconds: float
    start_ns: int


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent, and how long after its time: by a client that takes its time, too."""

    frames: int
    late_p99_ns: int


def due_ns(order: Order, frames: Any) -> Any:
    """Return when frames were due; an array for an array."""
    assert order.rate is not None
    return order.start_ns + frames * 1_000_000_000 // order.rate


def serve(cpu: int, alone: bool, control: Connection) -> None:
    """Be the venue of one client; `control` gets the port, then gives an `Order`."""
    become_worker("venue", (cpu,), os.getppid())
    blocks = Blocks()
    with socket.create_server((HOST, 0)) as server:
        venue = _Venue(server)
        threading.Thread(target=venue.accept, daemon=True).start()
        control.send(server.getsockname()[1])
        order: Order = control.recv()
        control.send(venue.send(blocks, order, alone))
        control.poll(None)  # until the parent has what it wants, or is gone


class _Venue:
    """Answers requests, and has one stream: the connection that was upgraded last."""

    def __init__(self, server: socket.socket) -> None:
        self._server = server
        self._stream: socket.socket | None = None
        self._whole = threading.Lock()  # held while a frame is being sent

    def accept(self) -> None:
        while True:
            client, _ = self._server.accept()
            threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def send(self, blocks: Blocks, order: Order, alone: bool) -> Sent:
        """Do what was ordered; `alone`: on a CPU of its own, where one can wait by spinning."""
        assert self._stream is not None
        patience = struct.pack("ll", 0, round(_PATIENCE_S * 1e6))
        self._stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, patience)
        late = array("q", [0])
        frames = 0
        end_ns = order.start_ns + round(order.seconds * 1e9)
        if order.rate is not None:
            end_ns += round(GRACE_S * 1e9)
        for block, first, end in _groups(order, end_ns, alone, late):
            if first == 0:
                view = blocks.at(block)
            begin, finish = blocks.starts[first], blocks.starts[end]
            with self._whole:
                went = begin + self._send(view[begin:finish], end_ns)
            frames = block * BLOCK + bisect_right(blocks.starts, went) - 1
            if went < finish:
                break
        return Sent(frames, int(np.percentile(late, 99)))

    def _send(self, data: memoryview, end_ns: int) -> int:
        """Send data; return how many bytes of it went before the client was gone or time was up."""
        assert self._stream is not None
        went = 0
        while went < len(data):
            try:
                went += self._stream.send(data[went:])
            except BlockingIOError:
                if time.monotonic_ns() > end_ns:
                    break
            except OSError:
                break
        return went

    def _answer(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as reader, contextlib.suppress(OSError, ValueError):
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            target = reader.readline().split()[1].decode()
            headers = dict(_headers(reader))
            if "upgrade" not in headers.get("connection", "").lower():
                query = parse_qs(urlsplit(target).query)
                body = snapshot(query["symbol"][0]) if query.get("symbol") else b"{}"
                assert not query.get("symbol") or query["symbol"][0] in SYMBOLS
                head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
                client.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
                return
            digest = hashlib.sha1(headers["sec-websocket-key"].encode() + _GUID).digest()  # noqa: S324 - RFC 6455 asks for it
            client.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
            )
            self._stream = client
            self._listen(client, reader)

    def _listen(self, client: socket.socket, reader: Any) -> None:
        """Answer PINGs and subscriptions."""
        while True:
            head = reader.read(2)
            if len(head) < 2:
                return
            length = head[1] & 0x7F
            if length == 126:
                length = int.from_bytes(reader.read(2), "big")
            mask = reader.read(4)
            masked = reader.read(length)
            payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(masked))
            kind = head[0] & 0x0F
            if kind == _TEXT:
                number = json.loads(payload)["id"]
                kind, payload = _TEXT, json.dumps({"result": None, "id": number}).encode()
            elif kind == _PING:
                kind = _PONG
            elif kind != _CLOSE:
                continue
            with self._whole:
                client.sendall(bytes((0x80 | kind, len(payload))) + payload)
            if kind == _CLOSE:
                return


def _headers(reader: Any) -> Iterator[tuple[str, str]]:
    while line := reader.readline().strip().decode():
        name, _, value = line.partition(":")
        yield name.lower(), value.strip()


def _groups(
    order: Order, end_ns: int, alone: bool, late: array[int]
) -> Iterator[tuple[int, int, int]]:
    """Yield (block, first, end) of frames as they become due, or without a pause."""
    clock = time.monotonic_ns
    while (wait := order.start_ns - clock()) > 0:
        time.sleep(wait / 1e9)
    if order.rate is None:
        for block in range(MOST // BLOCK):
            if clock() >= end_ns:
                return
            yield block, 0, BLOCK
        return
    rate, start_ns = order.rate, order.start_ns
    total = round(rate * order.seconds)
    sent = 0
    while sent < total and (now := clock()) <= end_ns:
        due = min((now - start_ns) * rate // 1_000_000_000 + 1, total)
        if due <= sent:
            if not alone:
                time.sleep((start_ns + sent * 1_000_000_000 // rate - now) / 1e9)
            continue
        late.append(now - start_ns - sent * 1_000_000_000 // rate)
        block, first = divmod(sent, BLOCK)
        end = min(first + due - sent, first + _MOST_AT_ONCE, BLOCK)
        yield block, first, end
        sent = block * BLOCK + end
