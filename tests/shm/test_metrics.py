"""Counters and histograms, native and reference alike."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shm.reference.metrics
from shm import (
    ArgumentError,
    CountersSpec,
    Histogram,
    HistogramsSpec,
    RecordError,
    RoleTakenError,
    Segment,
)
from shm import _native as native
from shm.histogram import limits
from shm.layout import structure
from tests.conftest import NewSegment

MAX = 2**64 - 1


@pytest.fixture
def segment(new_segment: NewSegment) -> Segment:
    return new_segment(CountersSpec("feed", ("records", "gaps")), HistogramsSpec("hop", ("a", "b")))


def test_counters_add_and_set_and_are_read_by_anyone(segment: Segment) -> None:
    writer = segment.counters_writer("feed")
    writer.add("records")
    writer.add("records", 41)
    writer.set("gaps", 7)
    assert segment.counters("feed") == {"records": 42, "gaps": 7}
    writer.close()
    assert segment.counters("feed") == {"records": 42, "gaps": 7}


def test_a_counter_goes_on_from_zero_after_its_largest_value(segment: Segment) -> None:
    writer = segment.counters_writer("feed")
    writer.set("records", MAX)
    writer.add("records", 2)
    assert segment.counters("feed")["records"] == 1


@pytest.mark.parametrize("value", [-1, MAX + 1, 1.5, "3", None])
def test_what_is_not_a_word_is_refused(segment: Segment, value: object) -> None:
    counters, histograms = segment.counters_writer("feed"), segment.histograms_writer("hop")
    calls: list[tuple[Callable[..., None], str]] = [
        (counters.add, "gaps"),
        (counters.set, "gaps"),
        (histograms.record, "a"),
    ]
    for call, entry in calls:
        with pytest.raises(ArgumentError, match=r"must be an integer in 0 \.\. 2\*\*64 - 1"):
            call(entry, value)


def test_an_unknown_name_is_refused_with_those_that_exist(segment: Segment) -> None:
    with pytest.raises(ArgumentError, match=r"counters 'feed' has no 'gap', only .*'gaps'"):
        segment.counters_writer("feed").add("gap")
    with pytest.raises(ArgumentError, match="histograms 'hop' has no 'c'"):
        segment.histograms_writer("hop").record("c", 1)


def test_each_group_has_one_writer(segment: Segment) -> None:
    writers = segment.counters_writer("feed"), segment.histograms_writer("hop")
    for take, group in ((segment.counters_writer, "feed"), (segment.histograms_writer, "hop")):
        with pytest.raises(RoleTakenError):
            take(group)
    assert not any(writer.closed for writer in writers)


def test_an_empty_histogram_has_no_percentiles(segment: Segment) -> None:
    empty = segment.histograms("hop")["a"]
    assert (empty.count, empty.low, empty.high, empty.mean, empty.percentile(50)) == (
        0,
        None,
        None,
        None,
        None,
    )


def test_percentiles_are_at_most_a_32nd_too_large(segment: Segment) -> None:
    values = np.random.default_rng(1).lognormal(9, 2, 5000).astype(np.uint64)
    writer = segment.histograms_writer("hop")
    writer.record_many("a", values)
    histogram = segment.histograms("hop")["a"]
    ordered = np.sort(values)
    for percent in (0, 1, 25, 50, 90, 99, 99.9, 100):
        exact = int(ordered[max(1, math.ceil(5000 * percent / 100)) - 1])
        assert exact <= (histogram.percentile(percent) or 0) <= exact * 33 / 32
    assert (histogram.low, histogram.high) == (ordered[0], ordered[-1])
    assert histogram.count == 5000
    assert histogram.mean == values.sum() / 5000


def test_the_extremes_of_64_bits_are_counted(segment: Segment) -> None:
    writer = segment.histograms_writer("hop")
    for value in (0, MAX):
        writer.record("a", value)
    histogram = segment.histograms("hop")["a"]
    assert (histogram.low, histogram.high, histogram.count) == (0, MAX, 2)
    assert (histogram.percentile(50), histogram.percentile(100)) == (0, MAX)


def test_a_reset_begins_a_new_epoch_for_readers_at_once_and_for_the_writer(
    segment: Segment,
) -> None:
    writer = segment.histograms_writer("hop")
    writer.record("a", 100)
    segment.reset_histograms("hop")
    after = segment.histograms("hop")["a"]
    assert (after.epoch, after.count) == (1, 0)
    writer.record("a", 5)
    writer.record("a", 6)
    after = segment.histograms("hop")["a"]
    assert (after.epoch, after.count, after.low, after.high, after.sum) == (1, 2, 5, 6, 11)


def test_a_clearing_that_was_cut_short_is_seen_as_empty_and_finished_by_the_next_writer(
    segment: Segment,
) -> None:
    segment.histograms_writer("hop").record("a", 100)
    segment.close_roles()
    segment.reset_histograms("hop")
    region = segment.layout.regions["hop"]
    assert segment._mapping is not None
    words = np.frombuffer(segment._mapping, structure("HistogramWords"), 2, region.offset)
    words["epoch"][0] = 1  # being cleared for epoch 1, and killed before the first count
    assert segment.histograms("hop")["a"].count == 0
    segment.histograms_writer("hop").record("a", 3)
    after = segment.histograms("hop")["a"]
    assert (after.count, after.low, after.high, after.sum) == (1, 3, 3, 3)


def test_histograms_merge(segment: Segment) -> None:
    writer = segment.histograms_writer("hop")
    writer.record_many("a", np.array([1, 2, 3], np.uint64))
    writer.record_many("b", np.array([10, 1000], np.uint64))
    merged = Histogram.merged(segment.histograms("hop").values())
    assert (merged.count, merged.sum, merged.low, merged.high) == (5, 1016, 1, 1000)
    assert merged.percentile(60) == 3
    nothing = Histogram.merged([])
    assert (nothing.count, nothing.low, nothing.percentile(1)) == (0, None, None)


@pytest.mark.parametrize("percent", [-0.1, 100.1, float("nan")])
def test_a_percentile_out_of_range_is_refused(segment: Segment, percent: float) -> None:
    with pytest.raises(ArgumentError, match=r"must be in 0 \.\. 100"):
        segment.histograms("hop")["a"].percentile(percent)


@pytest.mark.parametrize(
    "values", [[1, 2], np.array([1.0]), np.arange(8, dtype=np.uint64)[::2], np.array([1], "<i8")]
)
def test_record_many_takes_contiguous_unsigned_words_only(segment: Segment, values: object) -> None:
    with pytest.raises(RecordError, match="contiguous numpy array of uint64"):
        segment.histograms_writer("hop").record_many("a", values)  # type: ignore[arg-type]


def test_both_implementations_have_the_same_buckets() -> None:
    assert (shm.reference.metrics.bucket_limits() == native.bucket_limits()).all()
    assert limits()[-1] == MAX
    assert (np.diff(limits().astype(float)) > 0).all()


@given(st.integers(0, MAX))
def test_a_value_lies_in_its_bucket_which_is_no_wider_than_a_32nd(value: int) -> None:
    bucket = shm.reference.metrics.bucket(value)
    below = int(limits()[bucket - 1]) if bucket else -1
    assert below < value <= int(limits()[bucket])
    assert int(limits()[bucket]) - value <= value / 32
