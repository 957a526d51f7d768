"""Declaring regions, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from shm import (
    BlobSpec,
    BreakersSpec,
    CellsSpec,
    CountersSpec,
    DoorbellSpec,
    HistogramsSpec,
    Layout,
    LayoutError,
    ObserverSpec,
    RingSpec,
    TableSpec,
    WordsSpec,
    _native,
)
from shm.layout import RegionSpec, structure
from tests.conftest import TRADE

EVERYTHING: tuple[RegionSpec, ...] = (
    DoorbellSpec("ta", cpus=(0, 2), event_loop=True),
    RingSpec("market", TRADE, 64, consumer_bell="ta"),
    ObserverSpec("trace", TRADE, 4),
    TableSpec("quotes", TRADE, 3),
    CellsSpec("orders", TRADE, 3),
    BlobSpec("config", 1001),
    CountersSpec("feed", ("records", "gaps")),
    HistogramsSpec("hop", ("ta",)),
    WordsSpec("control", ("halt", "mode")),
)


def test_regions_do_not_overlap_and_begin_on_their_own_cache_lines() -> None:
    layout = Layout(*EVERYTHING)
    end = structure("SegmentHeader").itemsize + len(layout.description)
    for region in layout.regions.values():
        assert region.offset >= end
        assert region.offset % 128 == 0
        end = region.offset + region.spec.region_bytes
    assert layout.size >= end
    assert layout.size % 4096 == 0


def test_a_layout_is_restored_from_its_description() -> None:
    layout = Layout(*EVERYTHING)
    restored = Layout.from_description(layout.description)
    assert restored == layout
    assert hash(restored) == hash(layout)
    assert restored.regions == layout.regions


def test_dtypes_of_every_shape_survive_the_description() -> None:
    dtype = np.dtype(
        {
            "names": ["id", "level", "text", "nested"],
            "formats": ["<u4", ("<f8", (2, 3)), "S5", np.dtype([("x", "<i2"), ("y", "<i2", (3,))])],
            "offsets": [4, 8, 56, 64],
            "itemsize": 128,
        }
    )
    layout = Layout(RingSpec("r", dtype, 2))
    restored = Layout.from_description(layout.description).regions["r"].spec
    assert isinstance(restored, RingSpec)
    for name in dtype.names or ():
        assert restored.dtype[name] == dtype[name]
        assert offset_of(restored.dtype, name) == offset_of(dtype, name)
    assert restored.dtype.itemsize == 128


def offset_of(dtype: np.dtype[Any], field: str) -> int:
    assert dtype.fields is not None
    return int(dtype.fields[field][1])


@pytest.mark.parametrize(
    "other",
    [
        RingSpec("market", TRADE, 128, consumer_bell="ta"),
        RingSpec("market", np.dtype([("sequence", "<i8", (8,))]), 64, consumer_bell="ta"),
        RingSpec("market", TRADE, 64),
    ],
)
def test_any_difference_makes_another_layout_and_is_named(other: RingSpec) -> None:
    layout = Layout(*EVERYTHING)
    changed = Layout(EVERYTHING[0], other, *EVERYTHING[2:])
    assert changed != layout
    assert changed.digest != layout.digest
    assert "market" in layout.differences(changed)
    assert "ta" not in layout.differences(changed)


def test_a_region_more_or_less_is_named() -> None:
    assert Layout(*EVERYTHING).differences(Layout(*EVERYTHING[:-1])) == ["control"]
    assert Layout(*EVERYTHING[:-1]).differences(Layout(*EVERYTHING)) == ["control"]


PLAIN: Any = np.dtype("<u8")

BAD_DECLARATIONS: dict[str, tuple[Callable[[], object], str]] = {
    "capacity 0": (lambda: RingSpec("r", TRADE, 0), "capacity of ring 'r' was 0, must be"),
    "capacity 6": (lambda: RingSpec("r", TRADE, 6), "was 6, must be a power of two, e.g. 8"),
    "capacity -8": (lambda: RingSpec("r", TRADE, -8), "capacity of ring 'r' was -8"),
    "capacity too large": (lambda: RingSpec("r", TRADE, 1 << 33), "must be an integer in 1 .."),
    "capacity 8.0": (lambda: ObserverSpec("o", TRADE, 8.0), "was 8.0"),  # type: ignore[arg-type]
    "capacity True": (lambda: ObserverSpec("o", TRADE, True), "was True"),
    "rows 0": (lambda: TableSpec("t", TRADE, 0), "rows of table 't' was 0"),
    "count 0": (lambda: CellsSpec("c", TRADE, 0), "count of cells 'c' was 0"),
    "size 0": (lambda: BlobSpec("b", 0), "size of blob 'b' was 0, must be an integer in 1 .."),
    "a slash": (lambda: RingSpec("a/b", TRADE, 8), "name of a ring was 'a/b', must be"),
    "no name": (lambda: DoorbellSpec(""), "name of a doorbell was ''"),
    "a number as name": (lambda: DoorbellSpec(3), "was 3"),  # type: ignore[arg-type]
    "12 bytes": (
        lambda: RingSpec("r", np.dtype([("a", "<u4", (3,))]), 8),
        "12 bytes long, must be a multiple of 8",
    ),
    "no bytes": (lambda: RingSpec("r", np.dtype([]), 8), "0 bytes long"),
    "no fields": (lambda: RingSpec("r", PLAIN, 8), "must be a structured dtype"),
    "objects": (lambda: RingSpec("r", np.dtype([("a", "O")]), 8), "must be a structured dtype"),
    "no dtype": (lambda: RingSpec("r", "<u8", 8), "must be a structured"),  # type: ignore[arg-type]
    "fields out of order": (
        lambda: RingSpec(
            "r", np.dtype({"names": ["a", "b"], "formats": ["<u8"] * 2, "offsets": [8, 0]}), 8
        ),
        "must be in order",
    ),
    "a title": (lambda: RingSpec("r", np.dtype([(("title", "a"), "<u8")]), 8), "have no titles"),
    "no CPU": (lambda: DoorbellSpec("d", cpus=()), "must be a tuple of some CPUs"),
    "one string": (lambda: CountersSpec("c", "xy"), "must be a tuple of names"),  # type: ignore[arg-type]
    "no region": (lambda: Layout(1), "a region was 1"),  # type: ignore[arg-type]
    "CPU -1": (lambda: DoorbellSpec("d", cpus=(-1,)), "a CPU of doorbell 'd' was -1"),
    "no counters": (lambda: CountersSpec("c", ()), "names in counters 'c' were"),
    "a counter twice": (lambda: CountersSpec("c", ("a", "a")), "must be some, all different"),
    "a counter with a blank": (lambda: CountersSpec("c", ("a b",)), "was 'a b'"),
    "a name twice": (
        lambda: Layout(DoorbellSpec("a"), WordsSpec("a", ("x",))),
        "must all be different",
    ),
    "a bell that is none": (
        lambda: Layout(RingSpec("r", TRADE, 8, consumer_bell="ta")),
        "ring 'r' rings 'ta', which is not a doorbell; doorbells are []",
    ),
}


@pytest.mark.parametrize("what", BAD_DECLARATIONS)
def test_a_bad_declaration_is_refused_with_its_name_and_value(what: str) -> None:
    declare, message = BAD_DECLARATIONS[what]
    with pytest.raises(LayoutError) as refused:
        declare()
    assert message in str(refused.value)


@pytest.mark.parametrize(
    "description",
    [
        b"",
        b"{",
        b"[]",
        b'{"regions":[{"kind":"pipe","name":"r"}]}',
        b'{"regions":[{"kind":"ring"}]}',
        b'{"regions":[1]}',
        b'{"regions":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_a_description_that_cannot_be_read_is_refused(description: bytes) -> None:
    with pytest.raises(LayoutError, match="cannot be read"):
        Layout.from_description(description)


def test_a_description_with_bad_regions_is_refused() -> None:
    good = json.loads(Layout(RingSpec("r", TRADE, 8)).description)
    good["regions"][0]["capacity"] = 7
    with pytest.raises(LayoutError, match="power of two"):
        Layout.from_description(json.dumps(good).encode())


def test_a_description_of_other_structures_is_refused() -> None:
    other = json.loads(Layout(RingSpec("r", TRADE, 8)).description)
    other["structures"] = "0" * 64
    with pytest.raises(LayoutError, match="another version"):
        Layout.from_description(json.dumps(other, separators=(",", ":"), sort_keys=True).encode())


def test_hot_words_have_cache_lines_of_their_own() -> None:
    ring = structure("RingHeader")
    lines = {offset_of(ring, name) // _native.CACHE_LINE for name in ("capacity", "tail", "head")}
    assert len(lines) == 3
    assert structure("PaddedWord").itemsize == _native.CACHE_LINE


@pytest.mark.parametrize("name", _native.layouts())
def test_every_structure_is_described_without_overlap(name: str) -> None:
    dtype = structure(name)
    end = 0
    for field in sorted(dtype.names or (), key=lambda field: offset_of(dtype, field)):
        assert offset_of(dtype, field) >= end
        end = offset_of(dtype, field) + dtype[field].itemsize
    assert dtype.itemsize >= end


def test_numpys_integers_are_integers() -> None:
    assert RingSpec("r", TRADE, np.int64(8)) == RingSpec("r", TRADE, 8)  # type: ignore[arg-type]
    assert Layout(TableSpec("t", TRADE, np.uint8(3))).size  # type: ignore[arg-type]


def test_more_breakers_than_a_word_has_bits_are_refused() -> None:
    with pytest.raises(LayoutError, match="were 65, must be at most 64"):
        BreakersSpec("breakers", tuple(f"b{i}" for i in range(65)))
