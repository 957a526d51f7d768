"""The process that sends at a fixed rate, whatever comes back (open loop)."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from pipeline.demo import DUE, ECHOED, MESSAGE, SENT, SEQUENCE, source_strategy
from shm import Segment


def source(segment: Segment, rate: int, stop: Callable[[], bool]) -> None:
    """Send `rate` records a second until told to stop, then wait for those still on their way.

    Latencies count from the time at which a record was due, so that a stall is felt by every record
    that it delayed.
    """
    doorbell = segment.doorbell("source", source_strategy(segment))
    there = segment.producer("there", doorbell)
    back = segment.consumer("back", doorbell)
    counters = segment.counters_writer("source.counters")
    latency = segment.histograms_writer("source.latency")
    request, reply = np.zeros(1, MESSAGE), np.zeros(1, MESSAGE)
    request_words, reply_words = request.view("<u8"), reply.view("<u8")
    ready = segment.words("ready")
    while not ready.load("echo") and not stop():
        doorbell.wait(0.01)
    interval = 1_000_000_000 / rate
    start = time.monotonic_ns()
    counters.set("started_ns", start)
    sent = received = 0
    give_up = None
    while True:
        while back.pop(reply):
            now = time.monotonic_ns()
            latency.record("back", now - int(reply_words[ECHOED]))
            latency.record("round_trip", now - int(reply_words[DUE]))
            counters.add("out_of_order", int(reply_words[SEQUENCE] != received))
            counters.add("received")
            received += 1
            back.commit()
        now = time.monotonic_ns()
        due = start + int(sent * interval)
        if stop():
            if give_up is None:
                counters.set("stopped_ns", now)
                give_up = now + 2_000_000_000
            if received == sent or now > give_up:
                return
            doorbell.wait(0.01)
        elif now < due:
            doorbell.wait((due - now) / 1e9)
        else:
            request_words[SEQUENCE] = sent
            request_words[DUE] = due
            request_words[SENT] = time.monotonic_ns()
            if there.push(request, timeout=0.1):
                sent += 1
                counters.add("sent")
