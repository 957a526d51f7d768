"""The latest-value table, native and reference alike."""

from __future__ import annotations

import numpy as np
import pytest

from shm import (
    ArgumentError,
    CorruptRegionError,
    RecordError,
    RoleTakenError,
    Segment,
    TableSpec,
)
from shm.layout import structure
from tests.conftest import TRADE, NewSegment, trades


@pytest.fixture
def segment(new_segment: NewSegment) -> Segment:
    return new_segment(TableSpec("quotes", TRADE, 5))


def test_a_row_holds_the_latest_and_its_version(segment: Segment) -> None:
    writer, reader = segment.table_writer("quotes"), segment.table_reader("quotes")
    out = np.zeros(1, TRADE)
    assert reader.read(2, out) == (0, False)
    for version, record in enumerate(trades(1, 4), start=1):
        writer.write(2, record)
        assert reader.read(2, out) == (version, False)
        assert out[0] == record
    assert reader.read(1, out) == (0, False)
    assert (writer.rows, reader.rows, writer.dtype, reader.dtype) == (5, 5, TRADE, TRADE)


def test_a_half_written_row_is_reported_and_its_last_version_still_read(segment: Segment) -> None:
    writer, reader = segment.table_writer("quotes"), segment.table_reader("quotes")
    writer.write(3, trades(7, 1))
    _leave_half_written(segment, 3)
    out = np.zeros(1, TRADE)
    assert reader.read(3, out) == (1, True)
    assert out[0] == trades(7, 1)[0]
    assert reader.unfinished() == [3]
    assert segment.abandoned_rows("quotes") == []  # its writer lives, and may yet finish
    writer.close()
    assert segment.abandoned_rows("quotes") == [3]
    segment.table_writer("quotes").write(3, trades(8, 1))
    assert reader.read(3, out) == (2, False)
    assert out[0] == trades(8, 1)[0]
    assert segment.abandoned_rows("quotes") == []


def test_a_row_whose_first_version_was_not_finished_holds_nothing(segment: Segment) -> None:
    _leave_half_written(segment, 0)
    out = trades(9, 1)
    assert segment.table_reader("quotes").read(0, out) == (0, True)
    assert out[0] == trades(9, 1)[0]


def test_rows_may_have_different_writers_but_each_only_one(segment: Segment) -> None:
    low = segment.table_writer("quotes", range(2))
    segment.table_writer("quotes", range(2, 5))
    with pytest.raises(RoleTakenError, match="writer of a row"):
        segment.table_writer("quotes", range(1, 3))
    with pytest.raises(ArgumentError, match=r"row was 2, must be in this writer's 0 \.\. 1"):
        low.write(2, trades(0, 1))
    low.close()
    segment.table_writer("quotes", range(1))


@pytest.mark.parametrize("rows", [range(6), range(3, 3), range(-1, 2), range(0, 4, 2)])
def test_rows_that_the_table_does_not_have_are_refused(segment: Segment, rows: range) -> None:
    with pytest.raises(ArgumentError, match=r"must be some of 0 \.\. 4"):
        segment.table_writer("quotes", rows)


@pytest.mark.parametrize("row", [-1, 5])
def test_a_row_that_the_table_does_not_have_is_refused(segment: Segment, row: int) -> None:
    with pytest.raises(ArgumentError, match=f"row was {row}, must be in"):
        segment.table_reader("quotes").read(row, np.zeros(1, TRADE))
    with pytest.raises(ArgumentError, match=f"row was {row}, must be in"):
        segment.table_writer("quotes").write(row, trades(0, 1))


def test_only_records_are_taken(segment: Segment) -> None:
    with pytest.raises(RecordError, match="table 'quotes': "):
        segment.table_writer("quotes").write(0, np.zeros(1, "<u8"))
    with pytest.raises(RecordError, match="no room"):
        segment.table_reader("quotes").read(0, np.zeros(0, TRADE))


def test_a_header_that_cannot_be_is_refused(segment: Segment) -> None:
    region = segment.layout.regions["quotes"]
    assert segment._mapping is not None
    np.frombuffer(segment._mapping, structure("TableHeader"), 1, region.offset)["rows"] = 6
    with pytest.raises(CorruptRegionError, match="6 rows"):
        segment.table_reader("quotes")
    with pytest.raises(CorruptRegionError, match="6 rows"):
        segment.table_writer("quotes")


def _leave_half_written(segment: Segment, row: int) -> None:
    """Leave a row as a writer does that is killed after its first store."""
    region = segment.layout.regions["quotes"]
    row_bytes = (8 + 2 * TRADE.itemsize + 63) // 64 * 64
    offset = region.offset + structure("TableHeader").itemsize + row * row_bytes
    assert segment._mapping is not None
    np.frombuffer(segment._mapping, "<u8", 1, offset)[0] |= 1
