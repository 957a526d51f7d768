"""The two-process demonstration of the ring: what it shares, and its parent's part.

`source` sends records at a fixed rate, `echo` sends each back. Latencies are measured where they
happen, recorded in the segment and read from there by the parent, which takes no part.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import FrameType

import numpy as np

from shm import (
    STRATEGIES,
    CountersSpec,
    DoorbellSpec,
    Histogram,
    HistogramsSpec,
    Layout,
    RingSpec,
    Segment,
    WaitStrategy,
    WordsSpec,
    choose,
)

PROCESSES = ("source", "echo")

# Times in ns of CLOCK_MONOTONIC, which all processes of a machine share.
MESSAGE = np.dtype(
    {
        "names": ["sequence", "due_ns", "sent_ns", "echoed_ns"],
        "formats": ["<u8", "<u8", "<u8", "<u8"],
        "itemsize": 64,
    }
)
SEQUENCE, DUE, SENT, ECHOED = range(4)  # the fields, for a record seen as words


START_LIMIT = 20.0
"""Seconds until a process that has not begun is given up."""


class DemoError(Exception):
    """A process of the demonstration did not do its part."""


def layout(affinity: Mapping[str, tuple[int, ...]]) -> Layout:
    """Return the demonstration's regions."""
    return Layout(
        *(DoorbellSpec(name, cpus=affinity[name]) for name in PROCESSES),
        RingSpec("there", MESSAGE, 4096, consumer_bell="echo", producer_bell="source"),
        RingSpec("back", MESSAGE, 4096, consumer_bell="source", producer_bell="echo"),
        CountersSpec(
            "source.counters", ("started_ns", "stopped_ns", "sent", "received", "out_of_order")
        ),
        HistogramsSpec("source.latency", ("back", "round_trip")),
        HistogramsSpec("echo.latency", ("there",)),
        WordsSpec("ready", ("echo",)),
    )


def source_strategy(segment: Segment) -> WaitStrategy:
    """Return how `source` waits: it has a schedule to keep, so it never sleeps."""
    chosen = choose(segment.layout.affinity(), "source")
    return STRATEGIES["spin"] if chosen is STRATEGIES["spin-futex"] else STRATEGIES["yield"]


@dataclass(frozen=True, slots=True)
class Progress:
    """What the segment says at some moment."""

    seconds: float
    sent: int
    received: int
    out_of_order: int
    latency: Mapping[str, Histogram]
    depth_high_water: Mapping[str, int]


def run(
    name: str,
    affinity: Mapping[str, tuple[int, ...]],
    rate: int,
    duration: float | None,
    report: Callable[[Progress], None],
    every: float,
) -> Progress:
    """Run it for `duration` seconds (None: until a signal); report after 1 s and `every` so many.

    SIGINT, SIGTERM and SIGHUP end it in order; a second one ends its processes at once.

    Raises:
        DemoError: a process ended by itself, or a record was lost or came out of order.
    """
    workers: dict[str, subprocess.Popen[bytes]] = {}
    with _ended_by_signals(workers) as stop, Segment.create(name, layout(affinity)) as segment:
        try:
            for process in PROCESSES:
                workers[process] = _start(process, segment, rate)
            start = _first_record(segment, workers, stop)
            next_report = start + 1
            end = math.inf if duration is None else start + duration
            while not stop() and (now := time.monotonic()) < end:
                _check_alive(workers)
                # Seldom: this process has to borrow a core from the two that it watches.
                if now >= next_report:
                    report(_progress(segment))
                    next_report += every
                time.sleep(max(0.0, min(0.25, end - now, next_report - now)))
        finally:
            # The source first: it waits for what is still on its way.
            for worker in workers.values():
                _stop(worker)
        _check_ended(workers)
        progress = _progress(segment)
    if progress.received != progress.sent or progress.out_of_order:
        raise DemoError(
            f"of {progress.sent} records sent {progress.received} came back, "
            f"{progress.out_of_order} out of order; must be all, and none"
        )
    return progress


@contextlib.contextmanager
def _ended_by_signals(
    workers: Mapping[str, subprocess.Popen[bytes]],
) -> Iterator[Callable[[], bool]]:
    """Give a function that tells whether a signal has asked for the end."""
    received = 0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal received
        received += 1
        if received > 1:
            for worker in workers.values():
                worker.kill()

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, handle) for number in signals}
    try:
        yield lambda: received > 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _first_record(
    segment: Segment, workers: Mapping[str, subprocess.Popen[bytes]], stop: Callable[[], bool]
) -> float:
    """Wait until a record has made the round, so both processes are there; return the time."""
    give_up = time.monotonic() + START_LIMIT
    while not stop() and segment.counters("source.counters")["received"] == 0:
        _check_alive(workers)
        if time.monotonic() > give_up:
            raise DemoError(f"no record came back within {START_LIMIT:g} s of the start")
        time.sleep(0.01)
    return time.monotonic()


def _start(process: str, segment: Segment, rate: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "workers.demo",
            process,
            segment.name,
            segment.run_id,
            str(rate),
            str(os.getpid()),
        ],
        # Ctrl-C in a terminal goes to the whole group; only the parent is to act on it.
        start_new_session=True,
    )


def _check_alive(workers: Mapping[str, subprocess.Popen[bytes]]) -> None:
    for process, worker in workers.items():
        if worker.poll() is not None:
            raise DemoError(f"process {process} ended by itself (exit status {worker.returncode})")


def _stop(worker: subprocess.Popen[bytes]) -> None:
    worker.terminate()
    try:
        worker.wait(5)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()


def _check_ended(workers: Mapping[str, subprocess.Popen[bytes]]) -> None:
    for process, worker in workers.items():
        # SIGTERM itself ends one that has not come as far as to handle it; SIGKILL, the impatient.
        if worker.returncode not in (0, -signal.SIGTERM, -signal.SIGKILL):
            raise DemoError(f"process {process} ended with status {worker.returncode}, must be 0")


def _progress(segment: Segment) -> Progress:
    counters = segment.counters("source.counters")
    started = counters["started_ns"]
    seconds = ((counters["stopped_ns"] or time.monotonic_ns()) - started) / 1e9 if started else 0.0
    latency = {**segment.histograms("echo.latency"), **segment.histograms("source.latency")}
    return Progress(
        seconds,
        counters["sent"],
        counters["received"],
        counters["out_of_order"],
        latency,
        {ring: segment.high_water(ring) for ring in ("there", "back")},
    )
