"""Two fresh processes, each pinned to a CPU, that go through all measurements of one transport.

The process that starts them sleeps meanwhile, and ends both when one fails or hangs.
"""

from __future__ import annotations

import contextlib
import ctypes
import enum
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Self

from perf.machine import CpuPair
from perf.ranks import percentiles
from perf.transports.base import PATIENCE, PERIOD, SIZES, Port, Records, Side, Transport
from perf.transports.standard import context

_PR_SET_PDEATHSIG = 1


class Mode(enum.StrEnum):
    """What is measured."""

    PER_RECORD = "per_record"
    BATCH = "batch"
    ROUND_TRIP = "round_trip"

    @property
    def unit(self) -> int:
        """The number that counts are multiples of, and the first one tried."""
        return 64 if self is Mode.ROUND_TRIP else PERIOD


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement: a rate in records, or percentiles of round trips."""

    record_bytes: int
    mode: Mode
    count: int
    msgs_per_s: float | None = None
    p50_ns: int | None = None
    p99_ns: int | None = None
    p999_ns: int | None = None


class FailedError(Exception):
    """A transport did not do what it should: lost something, hung or died."""


@dataclass(frozen=True, slots=True)
class _Done:
    """When a process began and ended what it was told to do, and how long its trips took."""

    start_ns: int
    end_ns: int
    percentiles: tuple[int, int, int] | None = None


def measure(transport: type[Transport], cpus: CpuPair, seconds: float) -> list[Sample]:
    """Return a sample of each record size and mode, each measured for about so many seconds.

    Raises:
        FailedError: a record was lost, changed or reordered, or a process hung or died.
    """
    with transport(cpus) as shared, _Pair(shared, cpus) as pair:
        return list(pair.samples(seconds))


class _Pair:
    """The two processes of a transport, from the point of view of who starts them."""

    def __init__(self, transport: Transport, cpus: CpuPair) -> None:
        self._workers = {
            side: _Worker(transport, side, cpu) for side, cpu in zip(Side, cpus, strict=True)
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        for worker in self._workers.values():
            worker.end(at_once=kind is not None)

    def samples(self, seconds: float) -> Iterator[Sample]:
        for record_bytes in SIZES:
            self._tell(record_bytes)
            for mode in Mode:
                yield self._sample(record_bytes, mode, seconds)
            self._tell(None)

    def _sample(self, record_bytes: int, mode: Mode, seconds: float) -> Sample:
        """Warm up, find the count that takes so many seconds, measure that."""
        self._run(mode, mode.unit)
        count = mode.unit
        elapsed, _ = self._run(mode, count)
        while elapsed < seconds / 8:
            count = mode.unit * round(count * min(16, seconds / 4 / elapsed) / mode.unit + 1)
            elapsed, _ = self._run(mode, count)
        count = mode.unit * max(1, round(count * seconds / elapsed / mode.unit))
        elapsed, trips = self._run(mode, count)
        if trips is None:
            return Sample(record_bytes, mode, count, count / elapsed)
        return Sample(record_bytes, mode, count, None, *trips)

    def _run(self, mode: Mode, count: int) -> tuple[float, tuple[int, int, int] | None]:
        """Return the seconds from the first record sent to the last received, and percentiles."""
        done = self._tell((mode, count))
        sender, receiver = done[Side.SENDER], done[Side.RECEIVER]
        last = sender if mode is Mode.ROUND_TRIP else receiver
        # One clock: CLOCK_MONOTONIC is the same in all processes.
        return (last.end_ns - sender.start_ns) / 1e9, sender.percentiles

    def _tell(self, order: Any) -> dict[Side, _Done]:
        """Give an order to both processes and wait until both have done it."""
        for worker in self._workers.values():
            worker.tell(order)
        deadline = time.monotonic() + 2 * PATIENCE
        done: dict[Side, _Done] = {}
        while waiting := [side for side in Side if side not in done]:
            controls = [self._workers[side].control for side in waiting]
            ready = wait(controls, deadline - time.monotonic())
            if not ready:
                raise FailedError(f"{' and '.join(waiting)} hung at {_in_words(order)}; killed")
            for side in waiting:
                if self._workers[side].control in ready:
                    done[side] = self._workers[side].answer()
        return done


def _in_words(order: Any) -> str:
    match order:
        case mode, count:
            return f"{mode} {count:,}"
        case None:
            return "disconnecting"
    return f"connecting for records of {order} bytes"


class _Worker:
    """The process of one side, and the pipe through which it is told what to do."""

    def __init__(self, transport: Transport, side: Side, cpu: int) -> None:
        self.control, other = context.Pipe()
        self._side = side
        self._process = context.Process(
            target=_serve, args=(transport, side, cpu, other), daemon=True
        )
        self._process.start()
        other.close()

    def tell(self, order: Any) -> None:
        # One that has died is found out when it does not answer.
        with contextlib.suppress(BrokenPipeError):
            self.control.send(order)

    def answer(self) -> _Done:
        try:
            answer = self.control.recv()
        except (EOFError, ConnectionResetError):
            self._process.join(1.0)
            raise FailedError(f"{self._side} died (exit code {self._process.exitcode})") from None
        if isinstance(answer, _Done):
            return answer
        raise FailedError(f"{self._side}: {answer}")

    def end(self, *, at_once: bool) -> None:
        self.control.close()
        if not at_once:
            self._process.join(PATIENCE)
        self._process.kill()
        self._process.join()


# From here on: what the two processes do.


def _serve(transport: Transport, side: Side, cpu: int, control: Connection) -> None:
    """Obey until the pipe is closed; say what went wrong, if anything does."""
    _die_with_parent()
    # Ctrl-C reaches all processes; the one that started the others ends them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.sched_setaffinity(0, {cpu})
    try:
        while True:
            _serve_size(transport, side, control, control.recv())
    except EOFError:
        pass
    except Exception as error:
        control.send(f"{type(error).__name__}: {error}")


def _serve_size(transport: Transport, side: Side, control: Connection, record_bytes: int) -> None:
    with transport.connect(side, Records(record_bytes)) as port:
        control.send(_Done(0, 0))
        while (order := control.recv()) is not None:
            control.send(_perform(port, side, *order))
    control.send(_Done(0, 0))


def _perform(port: Port, side: Side, mode: Mode, count: int) -> _Done:
    trips = None
    start = time.monotonic_ns()
    match side, mode:
        case Side.SENDER, Mode.PER_RECORD:
            port.send_records(count)
        case Side.RECEIVER, Mode.PER_RECORD:
            port.receive_records(count)
        case Side.SENDER, Mode.BATCH:
            port.send_batches(count)
        case Side.RECEIVER, Mode.BATCH:
            port.receive_batches(count)
        case Side.SENDER, Mode.ROUND_TRIP:
            trips = percentiles(port.ping(count))
        case Side.RECEIVER, Mode.ROUND_TRIP:
            port.echo(count)
    return _Done(start, time.monotonic_ns(), trips)


def _die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent ends, however it does."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
