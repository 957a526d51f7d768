"""One measurement: a venue, a client, each a process on a CPU of its own, and who takes records."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Final

import numpy as np

from perf import machine
from perf.ranks import percentiles
from perf.receiver import layout
from perf.stream import clients, frames, sender
from perf.stream.clients import BOT4, READY, Read, Task
from perf.stream.frames import DEPTH, QUOTE, SYMBOLS, TRADE, Ints
from perf.stream.sender import Order, Sent
from perf.transports.standard import context
from shm import Segment

CAPACITY: Final = 1 << 16

_LEAD_NS = 100_000_000  # for the processes to be told
_POLL_S = 0.005
_PATIENCE_S = 30.0


class FailedError(Exception):
    """A process hung or died, or what came is not what was sent."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One measurement. Times in ns; None without due times."""

    client: str
    rate: int | None
    sent: int
    read: int
    cpu_ns: int
    waited_ns: int
    lost: int
    late_p99_ns: int
    percentiles_ns: tuple[int, int, int] | None


def measure(client: str, rate: int | None, seconds: float) -> Measured:
    """Have a client read so many messages/s, None: as many as it can, for so many seconds.

    Raises:
        FailedError: a process hung or died, or what came is not what was sent.
    """
    cpu, other = machine.two_cpus()
    with contextlib.ExitStack() as stack:
        stack.enter_context(_on(other))
        segment = stack.enter_context(
            Segment.create(f"perf-{os.getpid()}", layout(len(SYMBOLS), CAPACITY))
        )
        market = _Taken(segment)
        alone = other != cpu
        venue = stack.enter_context(_started("venue", sender.serve, other, alone))
        port = _answer(venue, int, market.take)
        task = (client, cpu, port, (segment.name, segment.run_id))
        reader = stack.enter_context(_started(client, _client, *task))
        _answer(reader, str, market.take)
        market.begin()
        order = Order(rate, seconds, time.monotonic_ns() + _LEAD_NS)
        reader.send(READY)
        venue.send(order)
        sent = _answer(venue, Sent, market.take, seconds + 2 * sender.GRACE_S)
        reader.send(sent.frames)
        read = _answer(reader, Read, market.take, 2 * seconds)
        market.take()
        rows = market.rows() if client == BOT4 else _rows(read.rows)
    return evaluated(client, order, sent, read, rows)


def evaluated(client: str, order: Order, sent: Sent, read: Read, rows: Ints) -> Measured:
    """Return what follows from the rows: kind, instrument, id and time of each record."""
    found = frames.frames_of(*rows[:3])
    if np.any(found < 0) or np.any(found >= sent.frames):
        raise FailedError(f"{client} has told what was not sent")
    if client == BOT4 and len(found) != len(np.unique(found)):
        raise FailedError(f"{client} has told a record twice")
    due = sent.frames if order.rate is None else round(order.rate * order.seconds)
    unread = due - read.messages
    if client == BOT4:  # a message that was not read has no record either
        lost = max(unread, frames.records_in(sent.frames) - len(found) + due - sent.frames)
    else:
        lost = unread + _missing_trades(rows)
    late = None
    if order.rate is not None and len(found):
        late = percentiles(rows[3] - sender.due_ns(order, found), (500, 950, 990))
    return Measured(
        client,
        order.rate,
        sent.frames,
        read.messages,
        read.cpu_ns,
        read.waited_ns,
        lost,
        sent.late_p99_ns,
        late,
    )


def _missing_trades(rows: Ints) -> int:
    """Return how many trades were not told though one behind them was, of the same instrument."""
    missing = 0
    for place in range(len(SYMBOLS)):
        ids = np.unique(rows[2, (rows[0] == TRADE) & (rows[1] == place)])
        if len(ids):
            missing += int(ids[-1]) - frames.FIRST + 1 - len(ids)
    return missing


class _Taken:
    """Takes the records of both rings, and keeps what is to be known of them."""

    def __init__(self, segment: Segment) -> None:
        self._rings = segment.consumer("market"), segment.consumer("ticks")
        self._parts: list[Ints] = []

    def begin(self) -> None:
        """Forget what came before."""
        self.take()
        self._parts = []

    def take(self) -> None:
        """Take all that there is."""
        market, ticks = self._rings
        while len(view := market.view()):
            columns = ("kind", "instrument", "venue_sequence", "stamped_ns")
            self._parts.append(np.array([view[name].astype(np.int64) for name in columns]))
            market.commit()
        while len(ticks.view()):
            ticks.commit()

    def rows(self) -> Ints:
        """Return kind, instrument, id and time of each."""
        rows = np.concatenate(self._parts, axis=1) if self._parts else np.empty((4, 0), np.int64)
        if np.any((rows[0] != TRADE) & (rows[0] != QUOTE)):
            raise FailedError("the feed has lost its book, or its connection")
        return rows


def _rows(data: bytes) -> Ints:
    rows: Ints = np.frombuffer(data, np.int64).reshape(-1, 4).T
    assert not np.any(rows[0] == DEPTH)
    return rows


def _client(name: str, cpu: int, port: int, segment: tuple[str, str], control: Connection) -> None:
    clients.run(Task(name, cpu, port, segment, control))


@contextlib.contextmanager
def _on(cpu: int) -> Iterator[None]:
    """Stay off the client's CPU."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def _started(name: str, target: Callable[..., None], *arguments: Any) -> Iterator[Connection]:
    """Run a process that gets a pipe as its last argument."""
    control, other = context.Pipe()
    process = context.Process(target=target, args=(*arguments, other), name=name, daemon=True)
    process.start()
    other.close()
    try:
        yield control
    finally:
        control.close()
        process.kill()
        process.join()
        process.close()


def _answer(
    control: Connection, kind: type[Any], meanwhile: Callable[[], None], seconds: float = 0.0
) -> Any:
    """Return what a process has to say."""
    end = time.monotonic() + seconds + _PATIENCE_S
    while not control.poll():
        meanwhile()
        if time.monotonic() > end:
            raise FailedError(f"no answer within {seconds + _PATIENCE_S:.0f} s")
        time.sleep(_POLL_S)
    try:
        answer = control.recv()
    except (EOFError, ConnectionResetError):
        raise FailedError("a process has died; see what it printed") from None
    assert isinstance(answer, kind)
    return answer
