"""Cells, native and reference alike: what was committed is current, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from shm import (
    ArgumentError,
    CellsSpec,
    ClosedError,
    CorruptRegionError,
    OvertakenError,
    RecordError,
    RoleTakenError,
    Segment,
    _native,
)
from shm.layout import structure
from tests.conftest import TRADE, NewSegment, trades


@pytest.fixture
def segment(new_segment: NewSegment) -> Segment:
    return new_segment(CellsSpec("orders", TRADE, 4))


def change(writer: Any, index: int, number: int) -> None:
    writer.edit(index)[:] = trades(number, 1)


def numbers(records: np.ndarray) -> list[int]:
    """What the records are numbered, having checked that they are whole."""
    found = [int(number) for number in records["sequence"]]
    for record, number in zip(records, found, strict=True):
        assert number == 0 or record == trades(number, 1)[0]
    return found


def test_new_cells_are_zero_at_step_zero(segment: Segment) -> None:
    assert not segment.cells("orders", 0).view("<u8").any()
    writer = segment.cells_writer("orders", 0)
    assert not writer.read(3).view("<u8").any()
    assert (writer.count, writer.dtype) == (4, TRADE)


def test_changes_are_current_when_their_step_is_committed(segment: Segment) -> None:
    writer = segment.cells_writer("orders", 0)
    change(writer, 1, 11)
    change(writer, 3, 13)
    assert numbers(segment.cells("orders", 0)) == [0, 0, 0, 0]
    writer.stamp(5)
    assert numbers(segment.cells("orders", 4)) == [0, 0, 0, 0]
    assert numbers(segment.cells("orders", 5)) == [0, 11, 0, 13]
    writer.begin_next()
    change(writer, 1, 21)
    assert numbers(segment.cells("orders", 5)) == [0, 11, 0, 13]
    writer.stamp(6)
    assert numbers(segment.cells("orders", 5)) == [0, 11, 0, 13]
    assert numbers(segment.cells("orders", 6)) == [0, 21, 0, 13]


def test_within_a_batch_the_writer_reads_what_it_has_made(segment: Segment) -> None:
    writer = segment.cells_writer("orders", 0)
    change(writer, 2, 7)
    assert numbers(writer.read(2)) == [7]
    writer.edit(2)["price"] = 5  # the second time it is the same record, not another copy
    assert (int(writer.read(2)["sequence"][0]), int(writer.read(2)["price"][0])) == (7, 5)


def test_what_is_read_can_be_changed_only_by_edit(segment: Segment) -> None:
    writer = segment.cells_writer("orders", 0)
    assert not writer.read(0).flags.writeable
    record = writer.edit(0)
    assert (record.shape, record.dtype, record.flags.writeable) == ((1,), TRADE, True)
    copy = segment.cells("orders", 0)
    copy["sequence"] = 9
    assert numbers(segment.cells("orders", 0)) == [0, 0, 0, 0]


def test_a_successor_takes_up_what_was_committed(segment: Segment) -> None:
    first = segment.cells_writer("orders", 0)
    for step in (1, 2):
        change(first, 0, step)
        first.stamp(step)
        first.begin_next()
    change(first, 0, 3)
    change(first, 1, 31)
    first.stamp(3)
    first.close()  # killed before the commit of step 3
    second = segment.cells_writer("orders", 2)
    assert (numbers(second.read(0)), numbers(second.read(1))) == ([2], [0])
    # Its own step 3 does not touch record 1, which stays as it was.
    change(second, 0, 4)
    second.stamp(3)
    second.begin_next()
    assert numbers(segment.cells("orders", 3)) == [4, 0, 0, 0]


def test_a_successor_after_the_commit_has_the_changes(segment: Segment) -> None:
    first = segment.cells_writer("orders", 0)
    change(first, 2, 9)
    first.stamp(1)
    first.close()
    assert numbers(segment.cells_writer("orders", 1).read(2)) == [9]


def test_a_reader_of_a_step_that_was_overwritten_is_told(segment: Segment) -> None:
    writer = segment.cells_writer("orders", 0)
    for step in (1, 2):
        change(writer, 0, step)
        writer.stamp(step)
        writer.begin_next()
    assert numbers(segment.cells("orders", 1))[0] == 1
    writer.edit(0)  # in the slot of step 1
    with pytest.raises(OvertakenError, match=r"as of step 1, .* read the commit word anew"):
        segment.cells("orders", 1)
    assert numbers(segment.cells("orders", 2))[0] == 2


def test_a_writer_that_begins_at_a_step_long_gone_is_refused(segment: Segment) -> None:
    writer = segment.cells_writer("orders", 0)
    for step in (1, 2):
        change(writer, 3, step)
        writer.stamp(step)
        writer.begin_next()
    writer.close()
    with pytest.raises(CorruptRegionError, match="record 3 has no contents of step 0 or before"):
        segment.cells_writer("orders", 0)
    segment.cells_writer("orders", 2)  # the refused one kept no claim


def test_a_batch_must_be_stamped_and_with_a_later_step(segment: Segment) -> None:
    writer = segment.cells_writer("orders", 4)
    writer.begin_next()  # of nothing
    change(writer, 0, 1)
    with pytest.raises(ArgumentError, match="was begun before the last one was stamped"):
        writer.begin_next()
    with pytest.raises(ArgumentError, match="the step was 4, must be > 4"):
        writer.stamp(4)
    with pytest.raises(ArgumentError, match="the step was 18446744073709551615"):
        writer.stamp(2**64 - 1)
    writer.stamp(5)
    change(writer, 1, 1)  # after the stamp, so it needs one more
    with pytest.raises(ArgumentError, match="was begun before"):
        writer.begin_next()
    writer.stamp(5)
    writer.begin_next()
    with pytest.raises(ArgumentError, match="the step was 5, must be > 5"):
        writer.stamp(5)


def test_only_one_may_write(segment: Segment) -> None:
    writer = segment.cells_writer("orders", 0)
    with pytest.raises(RoleTakenError, match=r"the writer of cells 'orders' in .* is held"):
        segment.cells_writer("orders", 0)
    writer.close()
    segment.cells_writer("orders", 0)


BAD_CALLS: dict[str, Callable[[Segment], object]] = {
    "index -1": lambda segment: segment.cells_writer("orders", 0).read(-1),
    "index 4": lambda segment: segment.cells_writer("orders", 0).edit(4),
    "committed -1": lambda segment: segment.cells("orders", -1),
    "committed None": lambda segment: segment.cells_writer("orders", None),  # type: ignore[arg-type]
    "committed 2**64 - 1": lambda segment: segment.cells_writer("orders", 2**64 - 1),
    "no such cells": lambda segment: segment.cells("quotes", 0),
}


@pytest.mark.parametrize("what", BAD_CALLS)
def test_values_out_of_range_are_refused(segment: Segment, what: str) -> None:
    with pytest.raises(ArgumentError):
        BAD_CALLS[what](segment)


def test_an_array_to_fill_must_have_room_for_all(segment: Segment) -> None:
    reader = segment._role(_native.CellsReader, segment.layout.regions["orders"], TRADE, 4)
    with pytest.raises(RecordError, match="had room for 3 records, must be 4"):
        reader.read(0, np.zeros(3, TRADE))


def test_a_closed_writer_says_so_and_its_records_stay_mapped(segment: Segment) -> None:
    writer = segment.cells_writer("orders", 0)
    record = writer.edit(0)
    segment.close()
    calls: tuple[Callable[[], object], ...] = (
        lambda: writer.read(0),
        lambda: writer.edit(0),
        lambda: writer.stamp(1),
        writer.begin_next,
    )
    for call in calls:
        with pytest.raises(ClosedError, match="cells 'orders' was used after it was closed"):
            call()
    record[:] = trades(3, 1)
    assert numbers(record) == [3]


@pytest.mark.parametrize("field", ["count", "record_bytes"])
def test_a_header_that_cannot_be_is_refused(segment: Segment, field: str) -> None:
    region = segment.layout.regions["orders"]
    assert segment._mapping is not None
    np.frombuffer(segment._mapping, structure("CellsHeader"), 1, region.offset)[field] = 72
    with pytest.raises(CorruptRegionError, match=r"must be 4 of 64; remove the segment"):
        segment.cells("orders", 0)


@pytest.mark.parametrize("size", [8, 64, 72])
def test_records_of_any_size_keep_their_places(new_segment: NewSegment, size: int) -> None:
    dtype = np.dtype([("word", "<u8", (size // 8,))])
    segment = new_segment(CellsSpec("any", dtype, 3))
    writer = segment.cells_writer("any", 0)
    for step in (1, 2, 3):
        for index in range(3):
            writer.edit(index)["word"] = 10 * step + index
        writer.stamp(step)
        writer.begin_next()
    words = segment.cells("any", 3)["word"]
    assert (words == np.arange(30, 33)[:, None]).all()
