"""Records and their vocabulary: C++ and Python say the same."""

from __future__ import annotations

import enum
import re
from pathlib import Path

import numpy as np
import pytest

from pipeline import _native, records, topology
from pipeline.vocabulary import (
    CHECKS,
    Denial,
    ExecutionKind,
    MarketKind,
    OutcomeKind,
    Side,
)

NATIVE = Path(records.__file__).parent / "native"
RECORDS = (NATIVE / "records.hpp").read_text()
LOOP = (NATIVE / "loop.hpp").read_text()

HEADER = (
    "sequence",
    "cause_step",
    "cause_index",
    "instrument",
    "venue_ns",
    "received_ns",
    "stamped_ns",
)
ON_RINGS = {edge.dtype: edge.ring for edge in topology.EDGES}


def without_comments(text: str) -> str:
    return re.sub(r"//[^\n]*", "", text)


def fields_of(struct: str) -> list[str]:
    """Return the members of a struct of records.hpp, spare ones left out."""
    found = re.search(rf"struct {struct} \{{(.*?)\n\}};", without_comments(RECORDS), re.DOTALL)
    assert found is not None
    members = []
    for line in found[1].split(";"):
        if "static" in line or not line.split():
            continue
        _, names = line.split(maxsplit=1)
        members += [re.sub(r"\[.*", "", name).strip() for name in names.split(",")]
    return [name for name in members if not name.startswith("spare")]


def enumerators(name: str, text: str) -> dict[str, int]:
    """Return what an enum of C++ defines, named as Python does."""
    found = re.search(rf"enum class {name} : \S+ \{{(.*?)\}}", without_comments(text), re.DOTALL)
    assert found is not None
    return {
        re.sub(r"(?<=[a-z])(?=[A-Z])", "_", word).upper(): int(value)
        for word, value in re.findall(r"k(\w+) = (-?\d+)", found[1])
    }


@pytest.mark.parametrize("kind", [MarketKind, Side, ExecutionKind, OutcomeKind])
def test_kinds_have_the_same_names_and_numbers_in_both_languages(kind: type[enum.IntEnum]) -> None:
    assert enumerators(kind.__name__, RECORDS) == {each.name: each.value for each in kind}


def test_denials_have_the_same_names_and_numbers_in_both_languages() -> None:
    native = enumerators("Denial", (NATIVE / "vocabulary.hpp").read_text())
    named = {name.replace("MARKET_", "MD_"): value for name, value in native.items()}
    assert list(named.items()) == [(each.name, each.value) for each in Denial]


def test_a_mask_of_failures_has_a_bit_for_each_check() -> None:
    assert len(CHECKS) == len(Denial) - 1 <= 64
    assert Denial.NONE not in CHECKS


@pytest.mark.parametrize(
    "name",
    [
        *("Market", "Quote", "Features", "Correlations", "Intent", "Order", "Execution"),
        *("Outcome", "Context"),
    ],
)
def test_each_field_of_a_struct_is_in_its_dtype(name: str) -> None:
    expected = [
        inner
        for field in fields_of(name)
        for inner in {"header": HEADER, "quote": fields_of("Quote")}.get(field, [field])
    ]
    assert list(getattr(records, name.upper()).names) == expected


@pytest.mark.parametrize("dtype", ON_RINGS, ids=ON_RINGS.values())
def test_records_on_rings_are_whole_cache_lines_and_begin_with_the_header(
    dtype: np.dtype[np.void],
) -> None:
    assert dtype.itemsize % 64 == 0
    assert tuple(dtype.names or ())[: len(HEADER)] == HEADER
    fields, market = dtype.fields, records.MARKET.fields
    assert fields is not None
    assert market is not None
    assert [fields[name][:2] for name in HEADER] == [market[name][:2] for name in HEADER]


def test_all_is_little_endian_and_aligned() -> None:
    for name, described in _native.layouts().items():
        dtype = np.dtype(described)
        assert dtype.fields is not None
        for field, (kind, offset, *_) in dtype.fields.items():
            assert kind.base.byteorder in "<=|", f"{name}.{field}"
            assert offset % kind.base.itemsize == 0, f"{name}.{field}"


def test_the_tick_is_no_inputs_index() -> None:
    assert re.findall(r"kTick = (0x[0-9a-f]+);", RECORDS) == [hex(records.TICK)]
    assert records.CURSORS["taken"].shape[0] <= records.TICK


def test_a_batch_is_what_the_loop_says() -> None:
    assert re.findall(r"kBatch = (\d+);", LOOP) == [str(_native.BATCH)]


def test_features_have_a_bit_each_in_the_mask_of_valid_ones() -> None:
    assert records.FEATURES["value"].shape == (55,)
    assert records.FEATURES["valid"] == np.dtype("<u8")
