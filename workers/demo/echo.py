"""The process that sends each record back."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from pipeline.demo import ECHOED, MESSAGE, SENT
from shm import Segment


def echo(segment: Segment, stop: Callable[[], bool]) -> None:
    """Take records from the ring `there`, stamp them, push them to `back`, until told to stop."""
    doorbell = segment.doorbell("echo")
    there = segment.consumer("there", doorbell)
    back = segment.producer("back", doorbell)
    latency = segment.histograms_writer("echo.latency")
    record = np.zeros(1, MESSAGE)
    words = record.view("<u8")
    segment.words("ready").store("echo", 1)
    segment.bell("source").ring()
    while not stop():
        if not there.pop(record):
            doorbell.wait()
            continue
        now = time.monotonic_ns()
        latency.record("there", now - int(words[SENT]))
        words[ECHOED] = now
        while not back.push(record, timeout=1.0) and not stop():
            pass
        there.commit()
