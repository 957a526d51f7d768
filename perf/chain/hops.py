"""Six processes in a row, each waiting at its doorbell for records of the one before it.

The first makes the records, at a rate; the others hand them on. Waiting, ringing and the rings are
native, the loops around them are Python: about a microsecond of each hop is theirs.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final

import numpy as np

from perf.chain.source import groups
from perf.transports.standard import context
from pipeline.process import become_worker, pin
from pipeline.supervisor.child import describe_exit
from shm import (
    DoorbellSpec,
    Histogram,
    HistogramsSpec,
    Layout,
    RingSpec,
    Segment,
    WaitStrategy,
    WordsSpec,
)

NAMES: Final = ("p0", "p1", "p2", "p3", "p4", "p5")
RECORD: Final = np.dtype([("sequence", "<i8"), ("stamped_ns", "<i8"), ("spare", "<i8", (6,))])
CAPACITY: Final = 4096

_STAMP = 1
_WARM_UP_S = 0.2
_DRAIN_S = 3.0
_START_S = 30.0
_LOOK_S = 0.02


class FailedError(Exception):
    """A process died, or did not begin."""


@dataclass(frozen=True, slots=True)
class Waits:
    """What one strategy did.

    Attributes:
        idle_cpu: CPU seconds a second of the six processes together, without records.
        hops: Rate -> (p50, p99) of all hops, in microseconds.
        busy_hops: The same beside a busy loop on each CPU.
        lost: Records that did not arrive at the last process.
    """

    idle_cpu: float
    hops: Mapping[int, tuple[float, float]]
    busy_hops: Mapping[int, tuple[float, float]]
    lost: int


def measure(
    strategy: WaitStrategy,
    affinity: Mapping[str, Sequence[int]],
    rates: Sequence[int],
    seconds: float,
) -> Waits:
    """Measure a strategy for so many seconds without records, and for as many at each rate.

    The rates are measured twice: alone, and beside a busy loop on each CPU.

    Raises:
        FailedError: a process died, or did not begin.
    """
    deployment = f"perf-{os.getpid()}"
    with contextlib.ExitStack() as stack:
        segment = stack.enter_context(Segment.create(deployment, layout(affinity)))
        processes = [_start(stack, name, segment, strategy, affinity) for name in NAMES]
        _await_beginning(segment, processes)
        run = segment.words("run")
        bell = segment.bell(NAMES[0])
        idle_cpu = _idle_cpu(processes, seconds)
        hops: dict[bool, dict[int, tuple[float, float]]] = {False: {}, True: {}}
        sent = 0
        for is_busy, rate in product(hops, rates):
            if is_busy and not hops[True]:
                for cpu in sorted({cpu for cpus in affinity.values() for cpu in cpus}):
                    _start_process(stack, _compute, (cpu,), f"busy on CPU {cpu}")
            count = round(rate * (seconds + _WARM_UP_S))
            sent += count
            run.store("rate", rate)
            run.store("count", count)
            bell.ring()
            time.sleep(_WARM_UP_S)
            for name in NAMES[1:]:
                segment.reset_histograms(f"{name}.latency")
            time.sleep(seconds)
            arrived = _await_arrival(segment, processes, sent)
            hop = Histogram.merged(segment.histograms(f"{n}.latency")["hop"] for n in NAMES[1:])
            hops[is_busy][rate] = (_us(hop, 50), _us(hop, 99))
            if arrived < sent:
                break
        return Waits(idle_cpu, hops[False], hops[True], sent - arrived)


def layout(affinity: Mapping[str, Sequence[int]]) -> Layout:
    """Return a doorbell for each process, and a ring to each from the one before it."""
    return Layout(
        WordsSpec("run", ("rate", "count", "arrived")),
        *(WordsSpec(f"{name}.words", ("beat",)) for name in NAMES),
        *(DoorbellSpec(name, cpus=tuple(affinity[name])) for name in NAMES),
        *(HistogramsSpec(f"{name}.latency", ("hop",)) for name in NAMES[1:]),
        *(
            RingSpec(f"to-{name}", RECORD, CAPACITY, consumer_bell=name, producer_bell=before)
            for before, name in pairwise(NAMES)
        ),
    )


def _start(
    stack: contextlib.ExitStack,
    name: str,
    segment: Segment,
    strategy: WaitStrategy,
    affinity: Mapping[str, Sequence[int]],
) -> BaseProcess:
    target = _make if name == NAMES[0] else _hand_on
    arguments = (name, segment.name, segment.run_id, strategy, tuple(affinity[name]))
    return _start_process(stack, target, arguments, name)


def _start_process(
    stack: contextlib.ExitStack,
    target: Callable[..., None],
    arguments: tuple[Any, ...],
    name: str,
) -> BaseProcess:
    process = context.Process(target=target, args=arguments, name=name, daemon=True)
    process.start()

    def end() -> None:
        process.kill()
        process.join()

    stack.callback(end)
    return process


def _await_beginning(segment: Segment, processes: Sequence[BaseProcess]) -> None:
    deadline = time.monotonic() + _START_S
    while not all(segment.words(f"{name}.words").load("beat") for name in NAMES):
        _check(processes)
        if time.monotonic() > deadline:
            raise FailedError(f"the processes have not begun within {_START_S:g} s")
        time.sleep(_LOOK_S)


def _await_arrival(segment: Segment, processes: Sequence[BaseProcess], sent: int) -> int:
    deadline = time.monotonic() + _DRAIN_S
    while (arrived := segment.words("run").load("arrived")) < sent:
        _check(processes)
        if time.monotonic() > deadline:
            break
        time.sleep(_LOOK_S)
    return arrived


def _check(processes: Sequence[BaseProcess]) -> None:
    for process in processes:
        if process.exitcode is not None:
            raise FailedError(f"{process.name} ended: {describe_exit(process.exitcode)}")


def _idle_cpu(processes: Sequence[BaseProcess], seconds: float) -> float:
    def used() -> int:
        # In ns on a CPU: the kernel's ticks would be too coarse for what hardly runs.
        files = [Path(f"/proc/{process.pid}/schedstat") for process in processes]
        return sum(int(file.read_text(encoding="ascii").split()[0]) for file in files)

    before, start = used(), time.monotonic()
    time.sleep(seconds)
    return round((used() - before) / 1e9 / (time.monotonic() - start), 4)


def _us(histogram: Histogram, percent: float) -> float:
    value = histogram.percentile(percent)
    return float("inf") if value is None else round(value / 1000, 2)


def _compute(cpu: int) -> None:
    """Keep a CPU busy, as a compiler or a backtest would."""
    pin((cpu,))
    while True:
        pass


# From here on: what the six processes do.


@contextlib.contextmanager
def _attached(name: str, deployment: str, run_id: str, cpus: Sequence[int]) -> Iterator[Segment]:
    with Segment.attach(deployment, run_id=run_id) as segment:
        become_worker(name, cpus, os.getppid())
        yield segment


def _make(
    name: str, deployment: str, run_id: str, strategy: WaitStrategy, cpus: Sequence[int]
) -> None:
    """Make as many records as the parent says whenever it rings, at the rate that it says."""
    with _attached(name, deployment, run_id, cpus) as segment:
        doorbell = segment.doorbell(name, strategy)
        ring = segment.producer(f"to-{NAMES[1]}", doorbell)
        run = segment.words("run")
        record = np.zeros(1, RECORD)
        fields = record.view("<i8")
        segment.words(f"{name}.words").store("beat", time.monotonic_ns())
        while True:
            doorbell.wait()
            count = run.load("count")
            run.store("count", 0)
            if not count:
                continue
            for first, end in groups(count, run.load("rate"), time.monotonic_ns()):
                for _ in range(first, end):
                    fields[_STAMP] = time.monotonic_ns()
                    ring.push(record, None)


def _hand_on(
    name: str, deployment: str, run_id: str, strategy: WaitStrategy, cpus: Sequence[int]
) -> None:
    """Time each record that comes and hand it on; the last process counts them."""
    with _attached(name, deployment, run_id, cpus) as segment:
        doorbell = segment.doorbell(name, strategy)
        incoming = segment.consumer(f"to-{name}", doorbell)
        place = NAMES.index(name)
        is_last = place == len(NAMES) - 1
        outgoing = None if is_last else segment.producer(f"to-{NAMES[place + 1]}", doorbell)
        latency = segment.histograms_writer(f"{name}.latency")
        run = segment.words("run")
        record = np.zeros(1, RECORD)
        fields = record.view("<i8")
        clock = time.monotonic_ns
        segment.words(f"{name}.words").store("beat", clock())
        while True:
            doorbell.wait()
            while incoming.pop(record):
                now = clock()
                latency.record("hop", now - int(fields[_STAMP]))
                if outgoing is None:
                    run.fetch_add("arrived", 1)
                else:
                    fields[_STAMP] = clock()
                    outgoing.push(record, None)
                incoming.commit()
