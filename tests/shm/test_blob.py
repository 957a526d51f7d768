"""Blobs: bytes that a segment is created with."""

from __future__ import annotations

import numpy as np
import pytest

from shm import ArgumentError, BlobSpec, CorruptRegionError, Layout, Segment, WordsSpec

LAYOUT = Layout(BlobSpec("config", 100), BlobSpec("notes", 7), WordsSpec("w", ("x",)))


def test_a_blob_is_what_was_given_at_creation_and_empty_if_nothing_was(name: str) -> None:
    with Segment.create(name, LAYOUT, blobs={"config": b"\0[risk]\n\0"}) as segment:
        assert segment.blob("config") == b"\0[risk]\n\0"
        assert segment.blob("notes") == b""
        with Segment.attach(name) as attached:
            assert attached.blob("config") == b"\0[risk]\n\0"


def test_a_blob_may_fill_its_region(name: str) -> None:
    with Segment.create(name, LAYOUT, blobs={"config": bytes(range(100)), "notes": b"1234567"}) as (
        segment
    ):
        assert segment.blob("config") == bytes(range(100))
        assert segment.blob("notes") == b"1234567"
        assert segment.words("w").load("x") == 0


@pytest.mark.parametrize(
    ("blobs", "message"),
    [
        ({"notes": b"12345678"}, "blob 'notes' was 8 bytes long, must be at most 7; declare a"),
        ({"other": b""}, "the layout has no blob named 'other', only config, notes"),
        ({"w": b""}, "has no blob named 'w'"),
        ({"notes": "text"}, "blob 'notes' was of type str, must be bytes"),
    ],
)
def test_a_blob_that_has_no_place_is_refused_at_creation(
    name: str, blobs: dict[str, bytes], message: str
) -> None:
    with pytest.raises(ArgumentError) as refused:
        Segment.create(name, LAYOUT, blobs=blobs)
    assert message in str(refused.value)


def test_a_blob_that_the_layout_does_not_have_is_refused(name: str) -> None:
    with (
        Segment.create(name, LAYOUT) as segment,
        pytest.raises(ArgumentError, match="has no blob named 'x', only config, notes"),
    ):
        segment.blob("x")


def test_a_length_that_cannot_be_is_refused(name: str) -> None:
    with Segment.create(name, LAYOUT) as segment:
        assert segment._mapping is not None
        offset = segment.layout.regions["notes"].offset
        np.frombuffer(segment._mapping, "<u8", 1, offset)[:] = 8
        with pytest.raises(CorruptRegionError, match="said to be 8 bytes, must be at most 7"):
            segment.blob("notes")
