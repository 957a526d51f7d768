"""The feed under test: it publishes records made beforehand, each when it is due.

It never waits for an answer, only for room.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from perf.chain.queues import Inbox, tag_of
from perf.chain.workload import due_times, market_records, quotes_after
from pipeline.process import become_worker
from pipeline.runtime import begin
from shm import Segment
from workers._native import Publisher
from workers.exchange.pacing import Pace

MOST = 64
"""Records that are published without a look at the clock: a batch of the stages' loop."""


def groups(count: int, rate: int, start_ns: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of records, each once and only when all of it is due; sleep in between."""
    pace = Pace(0, rate, start_ns)
    first = 0
    while first < count:
        now = time.monotonic_ns()
        end = min(pace.due(now) + 1, count, first + MOST)
        if end > first:
            yield first, end
            first = end
        else:
            time.sleep(pace.wait(first, now))


def publish_to_rings(
    deployment: str, run_id: str, config: dict[str, Any], rate: int, count: int, control: Connection
) -> None:
    """Be the feed of a run; begin at the time (ns, monotonic) that comes through `control`."""
    with Segment.attach(deployment, run_id=run_id) as segment:
        become_worker("feed", config["affinity"]["feed"], os.getppid())
        bell = segment.doorbell("feed")
        publisher = Publisher(
            market=segment.producer("market").pointer,
            ta=segment.bell("ta").pointer,
            ticks=segment.producer("ticks").pointer,
            quotes=segment.table_writer("quotes").pointer,
            latency=segment.histograms_writer("feed.latency").pointer,
            words=segment.words("feed.words").pointer,
        )
        records = market_records(config, count)
        # A copy with its gaps, of which numpy gives a view of bytes.
        plain = np.frombuffer(bytearray(records.tobytes()), records.dtype)
        size = records.dtype.itemsize
        bytes_of = plain.view(np.uint8).data
        begin(segment, "feed")
        start_ns = control.recv()
        plain["received_ns"] = due_times(count, rate, start_ns)
        for first, end in groups(count, rate, start_ns):
            for place in range(first * size, end * size, size):
                while not publisher.publish(bytes_of[place : place + size]):
                    bell.wait(0.1)
        control.send("published")
        control.poll(None)  # until the parent has read the segment, or is gone


def put_into_queues(
    deployment: str,
    run_id: str,
    config: dict[str, Any],
    rate: int,
    count: int,
    control: Connection,
    ta: Inbox,
    ticks: Inbox,
) -> None:
    """Do the same over queues, a message a record."""
    with Segment.attach(deployment, run_id=run_id) as segment:
        become_worker("feed", config["affinity"]["feed"], os.getppid())
        ta.open()
        ticks.open()
        counters = segment.counters_writer("feed.edges")
        table = segment.table_writer("quotes")
        records = market_records(config, count)
        quotes = quotes_after(records)
        instruments = records["instrument"].tolist()
        market_tag, ticks_tag = tag_of("market", config), tag_of("ticks", config)
        begin(segment, "feed")
        start_ns = control.recv()
        records["received_ns"] = quotes["link_ns"] = due_times(count, rate, start_ns)
        quotes["received_ns"] = quotes["link_ns"]
        size = records.itemsize
        made = records.tobytes()
        for first, end in groups(count, rate, start_ns):
            for place in range(first, end):
                table.write(instruments[place], quotes[place : place + 1])
                message = made[place * size : (place + 1) * size]
                ta.put(message + market_tag)
                counters.add("out.market")
                ticks.put(message + ticks_tag)
                counters.add("out.ticks")
        control.send("published")
        control.poll(None)
