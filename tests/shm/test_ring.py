"""The ring, native and reference alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from shm import (
    ArgumentError,
    ClosedError,
    CorruptRegionError,
    DoorbellSpec,
    RecordError,
    RingSpec,
    RoleTakenError,
    Segment,
)
from tests.conftest import TRADE, NewSegment, trades

RING = RingSpec("market", TRADE, 8)


@pytest.fixture
def segment(new_segment: NewSegment) -> Segment:
    return new_segment(RING)


def test_records_arrive_in_order_and_unchanged(segment: Segment) -> None:
    producer, consumer = segment.producer("market"), segment.consumer("market")
    out = np.zeros(1, TRADE)
    for first in range(0, 30, 3):
        sent = trades(first, 3)
        assert producer.push(sent[0])
        assert producer.push(sent[1:2])
        assert producer.push(sent[2:].reshape(()))
        for record in sent:
            assert consumer.pop(out)
            assert out[0] == record
        consumer.commit()
    assert not consumer.pop(out)


def test_a_full_ring_refuses_and_says_how_much_it_took(segment: Segment) -> None:
    producer, consumer = segment.producer("market"), segment.consumer("market")
    assert producer.push_many(trades(0, 5)) == 5
    assert producer.push_many(trades(5, 5)) == 3
    assert not producer.push(trades(8, 1))
    assert producer.refused == 2
    assert producer.push_many(trades(0, 0)) == 0
    out = np.zeros(8, TRADE)
    assert consumer.drain(out) == 8
    assert (out == trades(0, 8)).all()


def test_only_commit_gives_room_back(segment: Segment) -> None:
    producer, consumer = segment.producer("market"), segment.consumer("market")
    producer.push_many(trades(0, 8))
    assert len(consumer.view()) == 8
    assert not producer.push(trades(8, 1))
    consumer.commit(3)
    assert (consumer.committed, consumer.pending) == (3, 5)
    assert producer.push_many(trades(8, 8)) == 3


def test_a_view_is_the_memory_itself_up_to_the_wrap(segment: Segment) -> None:
    producer, consumer = segment.producer("market"), segment.consumer("market")
    producer.push_many(trades(0, 6))
    assert len(consumer.view(2)) == 2
    view = consumer.view()
    assert list(view["sequence"]) == [2, 3, 4, 5]
    assert view.dtype == TRADE
    assert not view.flags.writeable
    assert not view.flags.owndata
    consumer.commit()
    producer.push_many(trades(6, 5))
    assert list(consumer.view()["sequence"]) == [6, 7]
    assert list(consumer.view()["sequence"]) == [8, 9, 10]
    assert len(consumer.view()) == 0
    assert view["sequence"][0] == 10  # the memory itself: record 10 lies where record 2 lay


def test_a_view_outlives_consumer_and_segment(segment: Segment) -> None:
    segment.producer("market").push_many(trades(0, 4))
    view = segment.consumer("market").view()
    segment.close()
    assert (view == trades(0, 4)).all()


def test_what_was_not_committed_is_read_again_by_the_next_consumer(segment: Segment) -> None:
    segment.producer("market").push_many(trades(0, 6))
    consumer = segment.consumer("market")
    out = np.zeros(4, TRADE)
    consumer.drain(out)
    consumer.commit(1)
    consumer.close()
    successor = segment.consumer("market")
    assert list(successor.view()["sequence"]) == [1, 2, 3, 4, 5]


def test_rewind_reads_again(segment: Segment) -> None:
    segment.producer("market").push_many(trades(0, 3))
    consumer = segment.consumer("market")
    consumer.view(2)
    consumer.commit(1)
    consumer.rewind()
    assert list(consumer.view()["sequence"]) == [1, 2]


def test_the_next_producer_goes_on_where_the_last_ended(segment: Segment) -> None:
    first = segment.producer("market")
    first.push_many(trades(0, 5))
    first.close()
    second = segment.producer("market")
    assert second.published == 5
    second.push_many(trades(5, 3))
    assert list(segment.consumer("market").view()["sequence"]) == list(range(8))


def test_depth_and_high_water_are_seen_from_both_ends_and_from_outside(segment: Segment) -> None:
    producer, consumer = segment.producer("market"), segment.consumer("market")
    producer.push_many(trades(0, 5))
    consumer.view(4)
    consumer.commit()
    producer.push(trades(5, 1))
    for end in (producer, consumer):
        assert (end.depth, end.high_water, end.capacity) == (2, 5, 8)
        assert end.dtype == TRADE
    assert (segment.depth("market"), segment.high_water("market")) == (2, 5)


def test_a_push_with_a_time_out_gives_up_when_it_stays_full(segment: Segment) -> None:
    producer = segment.producer("market")
    assert producer.push_many(trades(0, 10), timeout=0.01) == 8
    assert not producer.push(trades(8, 1), timeout=0.01)


@pytest.mark.parametrize("timeout", [-1.0, float("nan")])
def test_a_senseless_time_out_is_refused_even_if_there_is_room(
    segment: Segment, timeout: float
) -> None:
    producer = segment.producer("market")
    with pytest.raises(ArgumentError, match="timeout was"):
        producer.push(trades(0, 1), timeout=timeout)
    with pytest.raises(ArgumentError, match="timeout was"):
        producer.push_many(trades(0, 1), timeout=timeout)
    assert producer.push(trades(0, 1), timeout=None)


def test_negative_counts_are_refused(segment: Segment) -> None:
    segment.producer("market").push_many(trades(0, 3))
    consumer = segment.consumer("market")
    with pytest.raises(ArgumentError, match="limit was -1, must be >= 0 or None"):
        consumer.view(-1)
    with pytest.raises(ArgumentError, match="count was -1, must be >= 0 or None"):
        consumer.commit(-1)
    assert (len(consumer.view()), consumer.committed) == (3, 0)


def test_a_view_cannot_be_made_writable(new_segment: NewSegment) -> None:
    segment = Segment.attach(new_segment(RING).name)
    segment.producer("market").push_many(trades(0, 3))
    view = segment.consumer("market").view()
    with pytest.raises(ValueError, match="cannot set WRITEABLE"):
        view.flags.writeable = True
    segment.close()
    assert (view == trades(0, 3)).all()


@pytest.mark.parametrize(("field", "value"), [("head", 2**41), ("head", 9), ("tail", 2**63)])
def test_a_position_that_is_overwritten_later_is_found_before_anything_is_copied(
    segment: Segment, field: str, value: int
) -> None:
    producer, consumer = segment.producer("market"), segment.consumer("market")
    header = segment._ring_header("market")
    calls: dict[str, tuple[Callable[[], object], ...]] = {
        "head": (
            lambda: producer.push_many(trades(0, 9)),
            lambda: producer.push_many(trades(0, 9), timeout=1.0),
            lambda: producer.push(trades(0, 1), timeout=None),
        ),
        "tail": (
            lambda: consumer.drain(np.zeros(100, TRADE)),
            lambda: consumer.pop(np.zeros(1, TRADE)),
            consumer.view,
        ),
    }
    header[field] = value
    for call in calls[field]:
        with pytest.raises(CorruptRegionError, match="found where it cannot be"):
            call()
    header[field] = 0


BAD_RECORDS: dict[str, Any] = {
    "another dtype": np.zeros(1, "<u8"),
    "the same size, other fields": np.zeros(1, [("a", "<u8", (8,))]),
    "not contiguous": np.zeros(4, TRADE)[::2],
    "no array": [1, 2, 3],
    "bytes": bytes(64),
    "none": None,
    "a scalar of another dtype": np.zeros(1, [("a", "<u8", (8,))])[0],
}


@pytest.mark.parametrize("what", BAD_RECORDS)
def test_what_is_not_a_record_is_refused_with_the_ring_named(segment: Segment, what: str) -> None:
    producer, consumer = segment.producer("market"), segment.consumer("market")
    bad = BAD_RECORDS[what]
    for call in (producer.push, producer.push_many, consumer.pop, consumer.drain):
        with pytest.raises(RecordError, match=r"^ring 'market': "):
            call(bad)
    assert producer.published == 0


def test_two_records_are_not_one(segment: Segment) -> None:
    with pytest.raises(RecordError, match="held 2 records, must be 1"):
        segment.producer("market").push(trades(0, 2))


def test_an_array_to_fill_must_be_writable_and_have_room(segment: Segment) -> None:
    consumer = segment.consumer("market")
    frozen = np.zeros(1, TRADE)
    frozen.flags.writeable = False
    with pytest.raises(RecordError, match="read-only"):
        consumer.pop(frozen)
    with pytest.raises(RecordError, match="no room"):
        consumer.pop(np.zeros(0, TRADE))
    assert consumer.drain(np.zeros(0, TRADE)) == 0


def test_an_equal_dtype_of_other_making_is_accepted(segment: Segment) -> None:
    twin = np.dtype([(field, TRADE[field]) for field in TRADE.names or ()])
    assert segment.producer("market").push(np.zeros(1, twin))


def test_committing_more_than_was_read_is_refused(segment: Segment) -> None:
    segment.producer("market").push_many(trades(0, 3))
    consumer = segment.consumer("market")
    consumer.view(2)
    with pytest.raises(ArgumentError, match="commit of 3 records, but only 2"):
        consumer.commit(3)
    assert consumer.committed == 0


@pytest.mark.parametrize("role", ["producer", "consumer"])
def test_a_second_one_in_the_same_role_is_refused_until_the_first_ends(
    segment: Segment, role: str
) -> None:
    take = getattr(segment, role)
    first = take("market")
    with pytest.raises(RoleTakenError, match=f"the {role} of ring 'market' in .* is held"):
        take("market")
    first.close()
    take("market")


def test_a_closed_role_says_so(segment: Segment) -> None:
    producer, consumer = segment.producer("market"), segment.consumer("market")
    for role in (producer, consumer):
        assert not role.closed
        role.close()
        role.close()
        assert role.closed
    for call in (
        lambda: producer.push(trades(0, 1)),
        lambda: producer.push_many(trades(0, 1)),
        lambda: consumer.pop(np.zeros(1, TRADE)),
        lambda: consumer.drain(np.zeros(1, TRADE)),
        consumer.view,
        consumer.commit,
        lambda: producer.depth,
    ):
        with pytest.raises(ClosedError, match="ring 'market' was used after it was closed"):
            call()


@pytest.mark.parametrize(
    ("field", "value"),
    [("capacity", 4), ("record_bytes", 72), ("tail", 9), ("head", 1), ("high_water", 9)],
)
def test_a_header_that_cannot_be_is_refused(segment: Segment, field: str, value: int) -> None:
    segment._ring_header("market")[field] = value
    for take in (segment.producer, segment.consumer):
        with pytest.raises(CorruptRegionError, match="remove the segment"):
            take("market")
    segment._ring_header("market")[field] = {"capacity": 8, "record_bytes": 64}.get(field, 0)
    segment.producer("market")  # the refused ones kept no claim


def test_a_doorbell_that_the_layout_does_not_name_is_refused(new_segment: NewSegment) -> None:
    segment = new_segment(
        DoorbellSpec("ta"), DoorbellSpec("ml"), RingSpec("r", TRADE, 8, consumer_bell="ta")
    )
    wrong = segment.doorbell("ml")
    with pytest.raises(ArgumentError, match="was to wake doorbell 'ml', but its consumer_bell"):
        segment.consumer("r", wrong)
    with pytest.raises(ArgumentError, match="its producer_bell is None"):
        segment.producer("r", wrong)
