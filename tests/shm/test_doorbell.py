"""Waiting and ringing: native with every strategy, and the reference."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType, ModuleType

import numpy as np
import pytest

import shm.reference
from shm import (
    STRATEGIES,
    ArgumentError,
    ClosedError,
    DoorbellSpec,
    Layout,
    RingSpec,
    RoleTakenError,
    Segment,
    WaitStrategy,
    Wake,
    _native,
    wait_async,
)
from shm.layout import structure
from tests.conftest import TRADE, trades

LAYOUT = Layout(
    DoorbellSpec("ta", cpus=(0,), event_loop=True),
    DoorbellSpec("feed", cpus=(1,)),
    RingSpec("market", TRADE, 4, consumer_bell="ta", producer_bell="feed"),
    RingSpec("control", TRADE, 4, consumer_bell="ta"),
)

KINDS: list[tuple[ModuleType, WaitStrategy]] = [
    *((_native, strategy) for strategy in STRATEGIES.values()),
    (shm.reference, STRATEGIES["futex"]),
]


@pytest.fixture(params=KINDS, ids=lambda kind: f"{kind[0].__name__}-{kind[1].name}")
def kind(request: pytest.FixtureRequest) -> tuple[ModuleType, WaitStrategy]:
    kind: tuple[ModuleType, WaitStrategy] = request.param
    return kind


@pytest.fixture
def strategy(kind: tuple[ModuleType, WaitStrategy]) -> WaitStrategy:
    return kind[1]


@pytest.fixture
def segment(name: str, kind: tuple[ModuleType, WaitStrategy]) -> Iterator[Segment]:
    with Segment.create(name, LAYOUT, engine=kind[0]) as segment:
        yield segment


def in_the_background(act: Callable[[], object], segment: Segment) -> threading.Thread:
    """Run `act` once somebody sleeps at the doorbell `ta`, or soon (spinners never sleep)."""

    def later() -> None:
        region = segment.layout.regions["ta"]
        assert segment._mapping is not None
        words = np.frombuffer(segment._mapping, structure("DoorbellWords"), 1, region.offset)
        give_up = time.monotonic() + 0.05
        while not words["sleeping"][0] and time.monotonic() < give_up:
            time.sleep(0.001)
        act()

    thread = threading.Thread(target=later)
    thread.start()
    return thread


def test_a_wait_ends_at_once_if_there_is_something_to_read(
    segment: Segment, strategy: WaitStrategy
) -> None:
    doorbell = segment.doorbell("ta", strategy)
    consumer = segment.consumer("market", doorbell)
    segment.producer("market").push(trades(0, 1))
    assert doorbell.wait(0.0) is Wake.READY
    assert doorbell.wait() is Wake.READY
    consumer.view()
    assert doorbell.wait(0.0) is Wake.TIMEOUT


@pytest.mark.parametrize("ring", ["market", "control"])
def test_a_push_to_any_ring_wakes_the_one_who_waits_for_several(
    segment: Segment, strategy: WaitStrategy, ring: str
) -> None:
    doorbell = segment.doorbell("ta", strategy)
    consumers = {each: segment.consumer(each, doorbell) for each in ("market", "control")}
    producer = segment.producer(ring)
    record = trades(5, 1)
    pusher = in_the_background(lambda: producer.push(record), segment)
    assert doorbell.wait(30) is Wake.READY
    assert consumers[ring].view()["sequence"][0] == 5
    pusher.join()


def test_a_ring_wakes_even_if_there_is_nothing_to_read(
    segment: Segment, strategy: WaitStrategy
) -> None:
    doorbell, bell = segment.doorbell("ta", strategy), segment.bell("ta")
    ringer = in_the_background(bell.ring, segment)
    assert doorbell.wait(30) is Wake.RUNG
    ringer.join()
    assert doorbell.wait(0.0) is Wake.TIMEOUT


def test_a_ring_before_the_wait_is_not_lost(segment: Segment, strategy: WaitStrategy) -> None:
    doorbell = segment.doorbell("ta", strategy)
    segment.bell("ta").ring()
    assert doorbell.wait(30) is Wake.RUNG


def test_a_wait_ends_at_its_time_out(segment: Segment, strategy: WaitStrategy) -> None:
    doorbell = segment.doorbell("ta", strategy)
    segment.consumer("market", doorbell)
    began = time.monotonic()
    assert doorbell.wait(0.12) is Wake.TIMEOUT
    assert time.monotonic() - began >= 0.12


def test_a_signal_ends_a_wait(segment: Segment, strategy: WaitStrategy) -> None:
    handled: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        handled.append(number)

    before = signal.signal(signal.SIGTERM, handle)
    try:
        doorbell = segment.doorbell("ta", strategy)
        sender = in_the_background(lambda: os.kill(os.getpid(), signal.SIGTERM), segment)
        assert doorbell.wait(30) is Wake.SIGNAL
        assert handled == [signal.SIGTERM]
        sender.join()
    finally:
        signal.signal(signal.SIGTERM, before)


def test_an_exception_of_a_signal_handler_ends_a_wait(
    segment: Segment, strategy: WaitStrategy
) -> None:
    doorbell = segment.doorbell("ta", strategy)
    sender = in_the_background(lambda: os.kill(os.getpid(), signal.SIGINT), segment)
    with pytest.raises(KeyboardInterrupt):
        doorbell.wait(30)
    sender.join()
    assert doorbell.wait(0.0) in (Wake.TIMEOUT, Wake.RUNG)


def test_a_producer_that_found_the_ring_full_is_woken_by_the_commit(
    segment: Segment, strategy: WaitStrategy
) -> None:
    own = segment.doorbell("feed", strategy)
    producer = segment.producer("market", own)
    consumer = segment.consumer("market")
    producer.push_many(trades(0, 4))
    consumer.view()
    committer = in_the_background(consumer.commit, segment)
    assert producer.push_many(trades(4, 3), timeout=30) == 3
    committer.join()
    assert list(consumer.view()["sequence"]) == [4, 5, 6] or segment.depth("market") == 3


def test_a_ring_ends_a_producers_wait_for_room(segment: Segment, strategy: WaitStrategy) -> None:
    own = segment.doorbell("feed", strategy)
    producer = segment.producer("market", own)
    producer.push_many(trades(0, 4))
    segment.bell("feed").ring()
    assert not producer.push(trades(4, 1), timeout=30)


def test_each_doorbell_has_one_owner(segment: Segment, strategy: WaitStrategy) -> None:
    first = segment.doorbell("ta", strategy)
    with pytest.raises(RoleTakenError, match="owner of doorbell 'ta'"):
        segment.doorbell("ta", strategy)
    first.close()
    second = segment.doorbell("ta", strategy)
    with pytest.raises(ClosedError):
        first.wait(0.0)
    with pytest.raises(ClosedError):
        first.arm()
    assert not second.closed


def test_a_closed_consumer_wakes_nobody(segment: Segment, strategy: WaitStrategy) -> None:
    doorbell = segment.doorbell("ta", strategy)
    consumer = segment.consumer("market", doorbell)
    segment.producer("market").push(trades(0, 1))
    consumer.close()
    assert doorbell.wait(0.0) is Wake.TIMEOUT


def test_a_closed_bell_says_so(segment: Segment) -> None:
    bell = segment.bell("ta")
    bell.close()
    with pytest.raises(ClosedError):
        bell.ring()


# The eventfd.


def test_an_event_loop_is_told_by_its_eventfd(segment: Segment, strategy: WaitStrategy) -> None:
    doorbell = segment.doorbell("ta", strategy)
    consumer = segment.consumer("market", doorbell)
    producer = segment.producer("market")
    assert doorbell.arm()
    producer.push_many(trades(0, 2))
    producer.push(trades(2, 1))
    assert os.eventfd_read(doorbell.event_fd) == 1  # written once, not at every push
    doorbell.disarm()
    assert not doorbell.arm()  # there is something to read, so it must not sleep
    consumer.view()
    assert doorbell.arm()
    segment.bell("ta").ring()
    doorbell.disarm()
    assert not doorbell.arm()  # disarming hears no ring
    assert doorbell.arm()
    doorbell.disarm()


def test_a_ring_before_arming_is_not_lost(segment: Segment) -> None:
    doorbell = segment.doorbell("ta")
    segment.bell("ta").ring()
    assert not doorbell.arm()
    assert doorbell.arm()


def test_a_doorbell_without_eventfd_cannot_be_armed(segment: Segment) -> None:
    with pytest.raises(ArgumentError, match="was declared without an eventfd"):
        segment.doorbell("feed").arm()


def test_asyncio_waits_for_records_rings_and_time_outs(segment: Segment) -> None:
    doorbell = segment.doorbell("ta")
    consumer = segment.consumer("market", doorbell)
    producer, bell = segment.producer("market"), segment.bell("ta")

    async def main() -> list[bool]:
        loop = asyncio.get_running_loop()
        results = [await wait_async(doorbell, 0.15)]
        loop.call_later(0.01, producer.push, trades(0, 1))
        results.append(await wait_async(doorbell, 30))
        results.append(await wait_async(doorbell))
        consumer.view()
        loop.call_later(0.01, bell.ring)
        results.append(await wait_async(doorbell))
        results.append(await wait_async(doorbell, 0.0))
        return results

    assert asyncio.run(main()) == [False, True, True, True, False]


def test_a_cancelled_wait_does_not_swallow_a_ring(segment: Segment) -> None:
    doorbell, bell = segment.doorbell("ta"), segment.bell("ta")

    async def main() -> bool:
        task = asyncio.create_task(wait_async(doorbell))
        await asyncio.sleep(0)
        bell.ring()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        return await wait_async(doorbell, 30)

    assert asyncio.run(main())


def test_a_signal_between_two_waits_ends_the_next_as_a_signal(
    segment: Segment, strategy: WaitStrategy, kind: tuple[ModuleType, WaitStrategy]
) -> None:
    if kind[0] is shm.reference:
        pytest.skip("the reference notices signals only while it waits")
    before = signal.signal(signal.SIGTERM, lambda number, frame: None)
    try:
        doorbell = segment.doorbell("ta", strategy)
        os.kill(os.getpid(), signal.SIGTERM)
        assert doorbell.wait(30) is Wake.SIGNAL
        assert doorbell.wait(0.0) is Wake.TIMEOUT
    finally:
        signal.signal(signal.SIGTERM, before)


# Native only.


def test_a_sleeper_costs_its_producer_one_system_call_however_much_is_pushed(name: str) -> None:
    with Segment.create(name, LAYOUT) as segment:
        doorbell = segment.doorbell("ta", STRATEGIES["futex"])
        consumer = segment.consumer("market", doorbell)
        producer = segment.producer("market")
        pusher = in_the_background(lambda: producer.push_many(trades(0, 3)), segment)
        assert doorbell.wait(30) is Wake.READY
        pusher.join()
        slept = doorbell.sleeps
        assert slept >= 1
        consumer.view()
        producer.push(trades(3, 1))
        assert doorbell.wait(30) is Wake.READY
        assert doorbell.sleeps == slept


def test_nothing_can_be_closed_under_a_thread_that_waits_in_it(name: str) -> None:
    with Segment.create(name, LAYOUT) as segment:
        doorbell = segment.doorbell("ta", STRATEGIES["futex"])
        consumer = segment.consumer("market", doorbell)
        ended: list[Wake] = []
        waiter = threading.Thread(target=lambda: ended.append(doorbell.wait(30)))
        waiter.start()
        give_up = time.monotonic() + 30
        while not doorbell.sleeps and time.monotonic() < give_up:
            time.sleep(0.001)
        for role in (doorbell, consumer):
            with pytest.raises(ClosedError, match="while another thread waits in it"):
                role.close()
        segment.bell("ta").ring()
        waiter.join()
        assert ended == [Wake.RUNG]
        consumer.close()
        doorbell.close()


def test_signals_ring_only_so_many_doorbells(name: str) -> None:
    layout = Layout(*(DoorbellSpec(f"d{i}") for i in range(65)))
    with Segment.create(name, layout) as segment:
        doorbells = [segment.doorbell(f"d{i}") for i in range(64)]
        with pytest.raises(ArgumentError, match="64 doorbells of this process"):
            segment.doorbell("d64")
        doorbells[0].close()
        segment.doorbell("d64").close()
        segment.doorbell("d0", signals=())


@pytest.mark.parametrize("timeout", [-1.0, float("nan")])
def test_a_senseless_time_out_is_refused(segment: Segment, timeout: float) -> None:
    with pytest.raises(ArgumentError, match="must be >= 0 or None"):
        segment.doorbell("ta").wait(timeout)


def test_rings_may_come_and_go_while_another_thread_waits(name: str) -> None:
    with Segment.create(name, LAYOUT) as segment:
        doorbell = segment.doorbell("ta", STRATEGIES["spin-yield"])
        first = segment.consumer("market", doorbell)
        ended: list[Wake] = []
        waiter = threading.Thread(target=lambda: ended.append(doorbell.wait(30)))
        waiter.start()
        for _ in range(200):
            second = segment.consumer("control", doorbell)
            del second  # dropped, not closed
        segment.producer("market").push(trades(0, 1))
        waiter.join()
        assert ended == [Wake.READY]
        assert len(first.view()) == 1


def test_its_strategy_and_its_eventfd_can_be_asked_for(
    segment: Segment, strategy: WaitStrategy
) -> None:
    doorbell = segment.doorbell("feed", strategy)
    assert doorbell.strategy == (strategy.spins, strategy.yields, strategy.finally_)
    assert (doorbell.event_fd, segment.bell("feed").event_fd) == (-1, -1)
    assert segment.bell("ta").event_fd == segment.event_fds["ta"] >= 0
