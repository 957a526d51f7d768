"""``python -m tests.chaos.storm NAME KILLS SEED``: kill a ring's two ends over and over.

Prints one JSON object: how many records went through, and how many were torn, lost or delivered
again. Everything is taken and given back as real stages do it, in processes of their own.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time

from pipeline.process import become_worker
from shm import DoorbellSpec, Layout, RingSpec, Segment, WordsSpec
from shm._native import Consumer
from tests.conftest import TRADE, trades

# Small, so that both ends often have to wait for each other.
LAYOUT = Layout(
    DoorbellSpec("consumer"),
    DoorbellSpec("producer"),
    RingSpec("ring", TRADE, 64, consumer_bell="consumer", producer_bell="producer"),
    WordsSpec("seen", ("read", "torn", "gaps", "redelivered")),
    WordsSpec("begun", ("producer", "consumer")),
)


def produce(segment: Segment) -> None:
    """Push records whose contents follow from their sequence, for ever."""
    producer = segment.producer("ring", segment.doorbell("producer"))
    while True:
        batch = trades(producer.published, 7)
        producer.push_many(batch, timeout=1.0)


def consume(segment: Segment) -> None:
    """Read and check, count what is wrong, commit; for ever."""
    doorbell = segment.doorbell("consumer")
    consumer = segment.consumer("ring", doorbell)
    while True:
        take(segment, consumer)
        doorbell.wait(1.0)


def take(segment: Segment, consumer: Consumer) -> None:
    """Read what there is; `read` is the sequence after the last record ever read."""
    seen = segment.words("seen")
    while True:
        first = consumer.committed
        records = consumer.view()
        if len(records) == 0:
            return
        read = seen.load("read")
        if first > read:
            seen.fetch_add("gaps", first - read)
        if first < read:
            seen.fetch_add("redelivered", read - first)
        seen.store("read", max(read, first + len(records)))
        if (records != trades(first, len(records))).any():
            seen.fetch_add("torn", 1)
        consumer.commit()


def start(name: str, role: str) -> int:
    """Fork a child that plays a role until it is killed."""
    parent = os.getpid()
    child = os.fork()
    if child:
        return child
    try:
        become_worker(role, os.sched_getaffinity(0), parent)
        with Segment.attach(name) as segment:
            segment.words("begun").fetch_add(role, 1)
            (produce if role == "producer" else consume)(segment)
    finally:
        os._exit(1)


def main(name: str, kills: int, seed: int) -> None:
    """Run the storm and print what came of it."""
    moments = random.Random(seed)
    with Segment.create(name, LAYOUT) as segment:
        children = {role: start(name, role) for role in ("producer", "consumer")}
        begun = segment.words("begun")
        for _ in range(kills):
            role = moments.choice(("producer", "consumer"))
            if moments.random() < 0.9:  # the others may die while they start
                give_up = time.monotonic() + 30
                while begun.load(role) == 0 and time.monotonic() < give_up:
                    time.sleep(0.0005)
            # The stimulus: a moment that neither side can foresee.
            time.sleep(moments.expovariate(1 / 0.002))
            os.kill(children[role], signal.SIGKILL)
            _, status = os.waitpid(children[role], 0)
            assert os.WTERMSIG(status) == signal.SIGKILL, f"{role} ended by itself: {status}"
            begun.store(role, 0)
            children[role] = start(name, role)
        for child in children.values():
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        take(segment, segment.consumer("ring"))
        producer = segment.producer("ring")
        seen = segment.words("seen")
        counts = {key: seen.load(key) for key in ("torn", "gaps", "redelivered")}
        lost = producer.published - seen.load("read")
        print(json.dumps({"kills": kills, "records": producer.published, "lost": lost, **counts}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
