"""The observer ring, native and reference alike."""

from __future__ import annotations

import numpy as np
import pytest

from shm import (
    ArgumentError,
    CorruptRegionError,
    ObserverSpec,
    RecordError,
    RoleTakenError,
    Segment,
)
from shm.layout import structure
from tests.conftest import TRADE, NewSegment, trades


@pytest.fixture
def segment(new_segment: NewSegment) -> Segment:
    return new_segment(ObserverSpec("trace", TRADE, 8))


def test_a_reader_gets_what_is_published_after_it_came(segment: Segment) -> None:
    producer = segment.observer_producer("trace")
    producer.push_many(trades(0, 3))
    reader = segment.observer_reader("trace")
    producer.push(trades(3, 1))
    out = np.zeros(8, TRADE)
    assert reader.read(out) == (1, 0)
    assert out[0] == trades(3, 1)[0]
    assert reader.read(out) == (0, 0)


def test_a_reader_can_begin_with_the_oldest_that_is_left(segment: Segment) -> None:
    producer = segment.observer_producer("trace")
    producer.push_many(trades(0, 11))
    reader = segment.observer_reader("trace", from_oldest=True)
    out = np.zeros(20, TRADE)
    assert reader.read(out) == (8, 0)
    assert (out[:8] == trades(3, 8)).all()


def test_each_reader_is_told_how_many_it_lost(segment: Segment) -> None:
    producer = segment.observer_producer("trace")
    slow, quick = (segment.observer_reader("trace") for _ in range(2))
    out = np.zeros(20, TRADE)
    for first in range(0, 20, 5):
        producer.push_many(trades(first, 5))
        assert quick.read(out) == (5, 0)
    assert slow.read(out) == (8, 12)
    assert (out[:8] == trades(12, 8)).all()
    assert (slow.lost, quick.lost, producer.published, slow.published) == (12, 0, 20, 20)


def test_a_record_that_is_being_written_is_never_delivered(segment: Segment) -> None:
    producer = segment.observer_producer("trace")
    reader = segment.observer_reader("trace")
    producer.push_many(trades(0, 8))
    # As a producer leaves it that was killed while writing record 8 over record 0.
    _stamp(segment, 0, 2 * 8 + 1)
    out = np.zeros(8, TRADE)
    assert reader.read(out) == (7, 1)
    assert (out[:7] == trades(1, 7)).all()
    producer.close()
    segment.observer_producer("trace").push(trades(8, 1))
    assert reader.read(out) == (1, 0)
    assert out[0] == trades(8, 1)[0]


def test_a_small_array_takes_what_fits(segment: Segment) -> None:
    reader = segment.observer_reader("trace")
    segment.observer_producer("trace").push_many(trades(0, 5))
    out = np.zeros(2, TRADE)
    assert [reader.read(out)[0] for _ in range(4)] == [2, 2, 1, 0]


def test_a_reader_goes_where_it_is_sent(segment: Segment) -> None:
    segment.observer_producer("trace").push_many(trades(0, 20))
    reader = segment.observer_reader("trace")
    out = np.zeros(1, TRADE)
    assert (reader.oldest, reader.position) == (12, 20)
    reader.seek(15)
    assert reader.read(out) == (1, 0)
    assert out[0] == trades(15, 1)[0]
    assert reader.position == 16
    reader.seek(3)  # gone
    assert reader.read(out) == (1, 9)
    assert out[0] == trades(12, 1)[0]
    for beyond in (21, -1, None):
        with pytest.raises(ArgumentError, match="the sequence was"):
            reader.seek(beyond)  # type: ignore[arg-type]


def test_only_one_may_produce_and_only_records(segment: Segment) -> None:
    producer = segment.observer_producer("trace")
    with pytest.raises(RoleTakenError, match="producer of observer 'trace'"):
        segment.observer_producer("trace")
    with pytest.raises(RecordError, match="observer 'trace': "):
        producer.push(np.zeros(1, "<u8"))
    with pytest.raises(RecordError, match="observer 'trace': "):
        producer.push_many(np.zeros(4, TRADE)[::2])
    with pytest.raises(RecordError, match="observer 'trace': "):
        segment.observer_reader("trace").read(np.zeros(1, "<u8"))
    assert producer.dtype == TRADE


def test_a_header_that_cannot_be_is_refused(segment: Segment) -> None:
    region = segment.layout.regions["trace"]
    assert segment._mapping is not None
    np.frombuffer(segment._mapping, structure("ObserverHeader"), 1, region.offset)["capacity"] = 16
    with pytest.raises(CorruptRegionError, match="capacity 16"):
        segment.observer_reader("trace")


def _stamp(segment: Segment, slot: int, value: int) -> None:
    region = segment.layout.regions["trace"]
    offset = region.offset + structure("ObserverHeader").itemsize + slot * (8 + TRADE.itemsize)
    assert segment._mapping is not None
    np.frombuffer(segment._mapping, "<u8", 1, offset)[0] = value
