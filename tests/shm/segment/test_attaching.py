"""Who attaches finds the segment that was meant, and takes from it only what it has."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from shm import (
    ArgumentError,
    DoorbellSpec,
    Layout,
    LayoutError,
    OtherLayoutError,
    RingSpec,
    Segment,
    SegmentError,
    SegmentNotFoundError,
    WordsSpec,
    _native,
    list_segments,
)
from tests.conftest import TRADE
from tests.shm.segment.contents import LAYOUT


def test_attaching_needs_the_same_layout_or_none(name: str) -> None:
    other = Layout(RingSpec("market", TRADE, 16), WordsSpec("control", ("halt",)))
    with Segment.create(name, LAYOUT) as segment:
        Segment.attach(name, LAYOUT).close()
        with Segment.attach(name) as attached:
            assert attached.layout == LAYOUT
        with pytest.raises(OtherLayoutError, match="market, control differ; start both"):
            Segment.attach(name, other)
        assert os.path.exists(segment.path)


def test_a_segment_that_does_not_exist_is_named(name: str) -> None:
    with pytest.raises(SegmentNotFoundError, match=f"0 segments of '{name}'.*start it first"):
        Segment.attach(name)
    with pytest.raises(SegmentNotFoundError, match=f"bot4.{name}.x does not exist"):
        Segment.attach(name, run_id="x")


def test_a_folder_that_does_not_exist_is_named(name: str, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere")
    for call in (
        lambda: Segment.create(name, LAYOUT, directory=nowhere),
        lambda: Segment.attach(name, directory=nowhere),
        lambda: list_segments(name, nowhere),
    ):
        with pytest.raises(SegmentError, match="nowhere"):
            call()


def test_of_several_runs_one_must_be_named(name: str) -> None:
    with (
        Segment.create(name, LAYOUT, run_id="a"),
        Segment.create(name, LAYOUT, run_id="b"),
    ):
        with pytest.raises(SegmentNotFoundError, match=r"2 segments .*\(runs: a, b\)"):
            Segment.attach(name)
        with Segment.attach(name, run_id="b") as attached:
            assert attached.run_id == "b"


# What is taken from it


@pytest.mark.parametrize("what", ["producer", "words", "table_reader", "counters"])
def test_a_region_that_it_does_not_have_is_refused_with_those_it_has(name: str, what: str) -> None:
    with (
        Segment.create(name, LAYOUT) as segment,
        pytest.raises(
            ArgumentError, match=r"has no \w+ named 'nothing', only (market|control|none)"
        ),
    ):
        getattr(segment, what)("nothing")


def test_a_region_beyond_the_mapping_is_refused_not_dereferenced(name: str) -> None:
    with Segment.create(name, LAYOUT) as segment:
        mapping = segment._mapping
        assert mapping is not None
        for offset in (LAYOUT.size, LAYOUT.size - 64, 2**63, 8):
            with pytest.raises(LayoutError, match="must be aligned to 64 and inside"):
                _native.Words("words", mapping, offset, ("a", "b"))


def test_an_eventfd_must_be_handed_on(name: str) -> None:
    layout = Layout(
        DoorbellSpec("loop", event_loop=True), RingSpec("r", TRADE, 8, consumer_bell="loop")
    )
    with Segment.create(name, layout) as segment, Segment.attach(name) as attached:
        with pytest.raises(ArgumentError, match="its eventfd was not passed"):
            attached.producer("r")
        with Segment.attach(name, event_fds=segment.event_fds) as other:
            other.producer("r")  # the refused one kept no claim


def test_a_doorbell_of_another_segment_is_refused(name: str) -> None:
    layout = Layout(DoorbellSpec("d"), RingSpec("r", TRADE, 8, consumer_bell="d"))
    with (
        Segment.create(name, layout, run_id="a") as one,
        Segment.create(name, layout, run_id="b") as other,
        pytest.raises(ArgumentError, match="must be a doorbell of this segment"),
    ):
        one.consumer("r", other.doorbell("d"))


@pytest.mark.parametrize(
    "call",
    [
        lambda segment: segment.producer([]),
        lambda segment: segment.producer("market", object()),
        lambda segment: segment.consumer("market", "ta"),
        # Of a wrong kind on purpose, which mypy sees too.
        lambda segment: Segment.create(segment.name, None),  # type: ignore[arg-type]
        lambda segment: Segment.create(segment.name, LAYOUT, run_id=""),
    ],
)
def test_arguments_of_a_wrong_kind_are_refused_by_name(
    name: str, call: Callable[[Segment], object]
) -> None:
    with Segment.create(name, LAYOUT) as segment, pytest.raises(ArgumentError):
        call(segment)
