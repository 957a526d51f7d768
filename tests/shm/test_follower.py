"""Reading a ring without consuming it, native and reference alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from shm import (
    ArgumentError,
    ClosedError,
    CorruptRegionError,
    DoorbellSpec,
    RecordError,
    RingSpec,
    Segment,
)
from tests.conftest import TRADE, NewSegment, trades

# Of 16 records, 4 may be written before they are published, so 12 can be followed.
RING = RingSpec("market", TRADE, 16)


@pytest.fixture
def segment(new_segment: NewSegment) -> Segment:
    return new_segment(RING)


def run_through(segment: Segment, count: int) -> None:
    """Push and consume so many records."""
    producer, consumer = segment.producer("market"), segment.consumer("market")
    first = producer.published
    for number in range(first, first + count):
        assert producer.push(trades(number, 1))
        consumer.view()
        consumer.commit()
    producer.close()
    consumer.close()


def test_it_reads_what_is_published_after_it_came(segment: Segment) -> None:
    run_through(segment, 3)
    follower = segment.ring_follower("market")
    out = np.zeros(16, TRADE)
    assert follower.read(out) == (0, 0)
    run_through(segment, 5)
    assert follower.read(out) == (5, 0)
    assert (out[:5] == trades(3, 5)).all()
    assert (follower.position, follower.published, follower.lost) == (8, 8, 0)
    assert follower.dtype == TRADE


def test_it_can_begin_with_the_oldest_that_is_safe(segment: Segment) -> None:
    run_through(segment, 21)
    follower = segment.ring_follower("market", from_oldest=True)
    assert (follower.oldest, follower.position) == (9, 9)
    out = np.zeros(16, TRADE)
    assert follower.read(out) == (12, 0)
    assert (out[:12] == trades(9, 12)).all()


def test_nobody_waits_for_it_and_it_is_told_what_it_lost(segment: Segment) -> None:
    quick, slow = (segment.ring_follower("market") for _ in range(2))
    out = np.zeros(16, TRADE)
    for _ in range(5):
        run_through(segment, 8)
        assert quick.read(out) == (8, 0)
    assert slow.read(out) == (12, 28)
    assert (out[:12] == trades(28, 12)).all()
    assert (slow.lost, quick.lost) == (28, 0)
    assert slow.read(out) == (0, 0)


def test_it_does_not_consume(segment: Segment) -> None:
    follower = segment.ring_follower("market")
    producer = segment.producer("market")
    assert producer.push_many(trades(0, 20)) == 16
    out = np.zeros(16, TRADE)
    assert follower.read(out) == (12, 4)  # a burst may be coming over the first ones
    assert segment.depth("market") == 16
    assert list(segment.consumer("market").view()["sequence"]) == list(range(16))


def test_a_small_array_takes_what_fits(segment: Segment) -> None:
    follower = segment.ring_follower("market")
    run_through(segment, 5)
    assert [follower.read(np.zeros(2, TRADE))[0] for _ in range(4)] == [2, 2, 1, 0]
    assert follower.read(np.zeros(0, TRADE)) == (0, 0)


def test_it_goes_where_it_is_sent(segment: Segment) -> None:
    run_through(segment, 30)
    follower = segment.ring_follower("market")
    out = np.zeros(1, TRADE)
    follower.seek(25)
    assert follower.position == 25
    assert follower.read(out) == (1, 0)
    assert out[0] == trades(25, 1)[0]
    follower.seek(10)  # gone
    assert follower.read(out) == (1, 8)
    assert out[0] == trades(18, 1)[0]
    follower.seek(30)
    assert follower.read(out) == (0, 0)
    for beyond in (31, -1, None):
        with pytest.raises(ArgumentError, match="the sequence was"):
            follower.seek(beyond)  # type: ignore[arg-type]


def test_the_last_record_is_there_as_soon_as_one_was_published(segment: Segment) -> None:
    follower = segment.ring_follower("market")
    assert follower.last() is None
    for count in (1, 6, 16, 40):
        run_through(segment, count)
        last = follower.last()
        assert last is not None
        assert (last == trades(follower.published - 1, 1)).all()
        last["sequence"] = 0  # a copy
    assert follower.position == 0


@pytest.mark.parametrize("capacity", [1, 2, 4])
def test_small_rings_keep_what_is_safe(new_segment: NewSegment, capacity: int) -> None:
    segment = new_segment(RingSpec("market", TRADE, capacity))
    follower = segment.ring_follower("market")
    run_through(segment, 9)
    kept = capacity - 1
    out = np.zeros(9, TRADE)
    assert follower.read(out) == (kept, 9 - kept)
    assert (out[:kept] == trades(9 - kept, kept)).all()
    assert follower.read(out) == (0, 0)
    last = follower.last()
    assert last is not None
    assert (last == trades(8, 1)).all()


def test_a_large_push_appears_in_parts_and_wakes_the_consumer_once_it_sleeps(
    new_segment: NewSegment,
) -> None:
    segment = new_segment(DoorbellSpec("ta"), RingSpec("r", TRADE, 8, consumer_bell="ta"))
    doorbell = segment.doorbell("ta")
    consumer = segment.consumer("r", doorbell)
    assert segment.producer("r").push_many(trades(0, 7)) == 7
    doorbell.wait(0)
    assert (consumer.view() == trades(0, 7)).all()
    assert segment.high_water("r") == 7


def test_it_has_no_claim_and_its_end_says_so(segment: Segment) -> None:
    follower = segment.ring_follower("market")
    segment.producer("market")
    follower.close()
    calls: tuple[Callable[[], object], ...] = (
        lambda: follower.read(np.zeros(1, TRADE)),
        follower.last,
        lambda: follower.seek(0),
        lambda: follower.position,
        lambda: follower.oldest,
        lambda: follower.published,
    )
    for call in calls:
        with pytest.raises(ClosedError, match="ring 'market' was used after it was closed"):
            call()


def test_what_cannot_hold_its_records_is_refused(segment: Segment) -> None:
    with pytest.raises(RecordError, match=r"^ring 'market': "):
        segment.ring_follower("market").read(np.zeros(1, "<u8"))


@pytest.mark.parametrize("field", ["capacity", "record_bytes"])
def test_a_header_that_cannot_be_is_refused(segment: Segment, field: str) -> None:
    segment._ring_header("market")[field] = 8
    with pytest.raises(CorruptRegionError, match="remove the segment"):
        segment.ring_follower("market")
