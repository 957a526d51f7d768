"""The declared regions of a segment, and where each of them lies.

A layout is plain data: it is written into the segment as JSON, so that a tool can attach without
being told what is there, and its hash keeps two versions of a program from sharing memory that they
understand differently.
"""

from __future__ import annotations

import hashlib
import json
import operator
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np

from shm import _native
from shm.errors import LayoutError

MAX_CAPACITY = 1 << 32
MAX_ROWS = 1 << 24  # each row has a lock byte of its own
MAX_BLOB = 1 << 30
MAX_BREAKERS = 64
PAGE = 4096

_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,62}")

Json = Any


def structure(name: str) -> np.dtype[np.void]:
    """Return the dtype of one of the native structures, e.g. ``structure("RingHeader")``."""
    dtype: np.dtype[np.void] = np.dtype(_native.layouts()[name])
    return dtype


def _check_name(kind: str, name: object) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise LayoutError(
            f"name of a {kind} was {name!r}, must be 1 to 63 of a-z 0-9 _ . - and begin with a-z"
        )


def _check_dtype(kind: str, name: str, dtype: object) -> None:
    if not isinstance(dtype, np.dtype) or dtype.names is None or dtype.hasobject:
        raise LayoutError(
            f"dtype of {kind} {name!r} was {dtype!r}, must be a structured dtype of plain data"
        )
    if dtype.itemsize == 0 or dtype.itemsize % 8:
        raise LayoutError(
            f"dtype of {kind} {name!r} was {dtype.itemsize} bytes long, must be a multiple of 8; "
            "add padding (64 or 128 keep records on their own cache lines)"
        )

    try:
        same = (
            _dtype_from_json(json.loads(json.dumps(np.lib.format.dtype_to_descr(dtype)))) == dtype
        )
    except ValueError:
        same = False
    if not same:
        raise LayoutError(
            f"dtype of {kind} {name!r} was {dtype!r}, which cannot be written down: its fields "
            "must be in order, not overlap, and have no titles"
        )


def _check_integer(what: str, value: object, low: int, high: int) -> None:
    # numpy's integers too, but no bool.
    is_integer = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not is_integer or not low <= operator.index(value) <= high:  # type: ignore[arg-type]
        raise LayoutError(f"{what} was {value!r}, must be an integer in {low} .. {high}")


def _check_capacity(kind: str, name: str, capacity: object) -> None:
    _check_integer(f"capacity of {kind} {name!r}", capacity, 1, MAX_CAPACITY)
    assert isinstance(capacity, int | np.integer)
    if capacity & (capacity - 1):
        raise LayoutError(
            f"capacity of {kind} {name!r} was {capacity}, must be a power of two, "
            f"e.g. {1 << int(capacity).bit_length()}"
        )


def _check_names(kind: str, name: str, names: tuple[str, ...]) -> None:
    if not names or len(set(names)) != len(names):
        raise LayoutError(f"names in {kind} {name!r} were {names!r}, must be some, all different")
    for entry in names:
        _check_name(f"entry of {kind} {name!r}", entry)


@dataclass(frozen=True, slots=True)
class RingSpec:
    """A single-producer single-consumer ring of `capacity` (a power of two) records.

    `consumer_bell` is the doorbell that a push rings if its owner sleeps, `producer_bell` the one
    that a commit rings, for a producer that waits for room.
    """

    kind: ClassVar[str] = "ring"
    name: str
    dtype: np.dtype[np.void]
    capacity: int
    consumer_bell: str | None = None
    producer_bell: str | None = None

    def __post_init__(self) -> None:
        _check_name(self.kind, self.name)
        _check_dtype(self.kind, self.name, self.dtype)
        _check_capacity(self.kind, self.name, self.capacity)
        object.__setattr__(self, "capacity", int(self.capacity))

    @property
    def bells(self) -> tuple[str, ...]:
        """The doorbells that it names."""
        return tuple(bell for bell in (self.consumer_bell, self.producer_bell) if bell is not None)

    @property
    def region_bytes(self) -> int:
        """The size of the region."""
        return _native.ring_bytes(self.capacity, self.dtype.itemsize)

    def header(self) -> np.ndarray[Any, np.dtype[np.void]]:
        """Return what the region begins with when it is new."""
        return _header("RingHeader", capacity=self.capacity, record_bytes=self.dtype.itemsize)


@dataclass(frozen=True, slots=True)
class ObserverSpec:
    """A ring of the last `capacity` records for readers that may miss some."""

    kind: ClassVar[str] = "observer"
    name: str
    dtype: np.dtype[np.void]
    capacity: int
    bells: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        _check_name(self.kind, self.name)
        _check_dtype(self.kind, self.name, self.dtype)
        _check_capacity(self.kind, self.name, self.capacity)
        object.__setattr__(self, "capacity", int(self.capacity))

    @property
    def region_bytes(self) -> int:
        """The size of the region."""
        return _native.observer_bytes(self.capacity, self.dtype.itemsize)

    def header(self) -> np.ndarray[Any, np.dtype[np.void]]:
        """Return what the region begins with when it is new."""
        return _header("ObserverHeader", capacity=self.capacity, record_bytes=self.dtype.itemsize)


@dataclass(frozen=True, slots=True)
class TableSpec:
    """The latest record of each of `rows` rows."""

    kind: ClassVar[str] = "table"
    name: str
    dtype: np.dtype[np.void]
    rows: int
    bells: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        _check_name(self.kind, self.name)
        _check_dtype(self.kind, self.name, self.dtype)
        _check_integer(f"rows of {self.kind} {self.name!r}", self.rows, 1, MAX_ROWS)
        object.__setattr__(self, "rows", int(self.rows))

    @property
    def region_bytes(self) -> int:
        """The size of the region."""
        return _native.table_bytes(self.rows, self.dtype.itemsize)

    def header(self) -> np.ndarray[Any, np.dtype[np.void]]:
        """Return what the region begins with when it is new."""
        return _header("TableHeader", rows=self.rows, record_bytes=self.dtype.itemsize)


@dataclass(frozen=True, slots=True)
class CellsSpec:
    """`count` records with one writer, whose changes become current together, by a commit."""

    kind: ClassVar[str] = "cells"
    name: str
    dtype: np.dtype[np.void]
    count: int
    bells: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        _check_name(self.kind, self.name)
        _check_dtype(self.kind, self.name, self.dtype)
        _check_integer(f"count of {self.kind} {self.name!r}", self.count, 1, MAX_ROWS)
        object.__setattr__(self, "count", int(self.count))

    @property
    def region_bytes(self) -> int:
        """The size of the region."""
        return _native.cells_bytes(self.count, self.dtype.itemsize)

    def header(self) -> np.ndarray[Any, np.dtype[np.void]]:
        """Return what the region begins with when it is new."""
        return _header("CellsHeader", count=self.count, record_bytes=self.dtype.itemsize)


@dataclass(frozen=True, slots=True)
class BlobSpec:
    """Up to `size` bytes, given when the segment is created and never changed."""

    kind: ClassVar[str] = "blob"
    name: str
    size: int
    bells: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        _check_name(self.kind, self.name)
        _check_integer(f"size of {self.kind} {self.name!r}", self.size, 1, MAX_BLOB)
        object.__setattr__(self, "size", int(self.size))

    @property
    def region_bytes(self) -> int:
        """The size of the region: a word says how many of the bytes there are."""
        return 8 + self.size

    def header(self) -> None:
        """Zero memory is a blob of no bytes."""


@dataclass(frozen=True, slots=True)
class DoorbellSpec:
    """Where one process waits.

    `cpus` are those that it is pinned to (None: not pinned); from all doorbells' CPUs follows how
    each waits. `event_loop` gives it an eventfd.
    """

    kind: ClassVar[str] = "doorbell"
    name: str
    cpus: tuple[int, ...] | None = None
    event_loop: bool = False
    bells: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        _check_name(self.kind, self.name)
        if self.cpus is not None and (not isinstance(self.cpus, tuple) or not self.cpus):
            raise LayoutError(
                f"cpus of {self.kind} {self.name!r} were {self.cpus!r}, must be a tuple of some "
                "CPUs, or None if it is not pinned"
            )
        for cpu in self.cpus or ():
            _check_integer(f"a CPU of {self.kind} {self.name!r}", cpu, 0, 1 << 16)

    @property
    def region_bytes(self) -> int:
        """The size of the region."""
        return structure("DoorbellWords").itemsize

    def header(self) -> None:
        """Zero memory is a doorbell whose owner is awake."""


@dataclass(frozen=True, slots=True)
class _NamedSpec:
    """Regions that hold one thing per name."""

    kind: ClassVar[str]
    element: ClassVar[str]
    name: str
    names: tuple[str, ...]
    bells: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        _check_name(self.kind, self.name)
        if isinstance(self.names, str) or not isinstance(self.names, Iterable):
            raise LayoutError(
                f"names in {self.kind} {self.name!r} were {self.names!r}, must be a tuple of names"
            )
        object.__setattr__(self, "names", tuple(self.names))
        _check_names(self.kind, self.name, self.names)

    @property
    def region_bytes(self) -> int:
        """The size of the region."""
        return len(self.names) * structure(self.element).itemsize

    def header(self) -> np.ndarray[Any, np.dtype[Any]] | None:
        """Return what the region begins with when it is new; zero memory is a valid beginning."""
        return None


class CountersSpec(_NamedSpec):
    """Named 64-bit counters (or gauges) with one writer."""

    __slots__ = ()
    kind = "counters"

    @property
    def region_bytes(self) -> int:
        """The size of the region: one writer, so they may share cache lines."""
        return len(self.names) * 8


class HistogramsSpec(_NamedSpec):
    """Named log-bucket histograms with one writer."""

    __slots__ = ()
    kind = "histograms"
    element = "HistogramWords"


class WordsSpec(_NamedSpec):
    """Named atomic 64-bit words, each on a cache line of its own, for any number of writers."""

    __slots__ = ()
    kind = "words"
    element = "PaddedWord"


class BreakersSpec(_NamedSpec):
    """Circuit breakers, one a name, and the global state that follows from them."""

    __slots__ = ()
    kind = "breakers"

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.names) > MAX_BREAKERS:
            raise LayoutError(
                f"names in {self.kind} {self.name!r} were {len(self.names)}, must be at most "
                f"{MAX_BREAKERS}: each has a bit in a word"
            )

    @property
    def region_bytes(self) -> int:
        """The size of the region."""
        return _native.breakers_bytes(len(self.names))

    def header(self) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Return what the region begins with when it is new: breakers that admit nobody."""
        return np.frombuffer(_native.breakers_contents(len(self.names)), np.uint8)


RegionSpec = (
    RingSpec
    | ObserverSpec
    | TableSpec
    | CellsSpec
    | BlobSpec
    | DoorbellSpec
    | CountersSpec
    | HistogramsSpec
    | WordsSpec
    | BreakersSpec
)

_KINDS: Mapping[str, Any] = {
    spec.kind: spec
    for spec in (
        RingSpec,
        ObserverSpec,
        TableSpec,
        CellsSpec,
        BlobSpec,
        DoorbellSpec,
        CountersSpec,
        HistogramsSpec,
        WordsSpec,
        BreakersSpec,
    )
}


@dataclass(frozen=True, slots=True)
class Region:
    """A declared region and its place in the segment."""

    index: int
    offset: int
    spec: RegionSpec


@dataclass(frozen=True, slots=True, init=False)
class Layout:
    """All regions of a segment, in order, with offsets; equal layouts have equal hashes.

    Raises:
        LayoutError: a name given twice, or a bell that is not among the doorbells.
    """

    regions: Mapping[str, Region]
    description: bytes = field(repr=False)
    digest: bytes = field(repr=False)
    size: int

    def __init__(self, *specs: RegionSpec) -> None:
        for spec in specs:
            if not isinstance(spec, RegionSpec):
                raise LayoutError(f"a region was {spec!r}, must be a RingSpec, TableSpec, ...")
        if len({spec.name for spec in specs}) != len(specs):
            raise LayoutError(f"names were {[spec.name for spec in specs]}, must all be different")
        doorbells = {spec.name for spec in specs if isinstance(spec, DoorbellSpec)}
        for spec in specs:
            for bell in spec.bells:
                if bell not in doorbells:
                    raise LayoutError(
                        f"{spec.kind} {spec.name!r} rings {bell!r}, which is not a doorbell; "
                        f"doorbells are {sorted(doorbells)}"
                    )
        description = json.dumps(
            # The structures too: a change of one in C++ must not go unnoticed.
            {"structures": _structures_hash(), "regions": [_to_json(spec) for spec in specs]},
            separators=(",", ":"),
            sort_keys=True,
        ).encode()
        offset = _round_up(structure("SegmentHeader").itemsize + len(description), PAGE)
        regions: dict[str, Region] = {}
        for index, spec in enumerate(specs):
            regions[spec.name] = Region(index, offset, spec)
            # Two lines apart: cores fetch cache lines in pairs.
            offset = _round_up(offset + spec.region_bytes, 2 * _native.CACHE_LINE)
        object.__setattr__(self, "regions", regions)
        object.__setattr__(self, "description", description)
        object.__setattr__(self, "digest", hashlib.sha256(description).digest())
        object.__setattr__(self, "size", _round_up(offset, PAGE))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Layout) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    @classmethod
    def from_description(cls, description: bytes) -> Layout:
        """Return the layout that a segment says it has.

        Raises:
            LayoutError: it is not a description, or not of this version's structures.
        """
        try:
            entries = json.loads(description)["regions"]
            layout = cls(*(_from_json(dict(entry)) for entry in entries))
        except LayoutError:
            raise
        except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise LayoutError(f"the layout's description cannot be read: {error!r}") from error
        if layout.description != description:
            raise LayoutError(
                "the description is that of another version of bot4 (the structures differ)"
            )
        return layout

    def affinity(self) -> dict[str, tuple[int, ...] | None]:
        """Return the CPUs of each doorbell's process."""
        return {
            name: region.spec.cpus
            for name, region in self.regions.items()
            if isinstance(region.spec, DoorbellSpec)
        }

    def differences(self, other: Layout) -> list[str]:
        """Return the regions that the two do not have alike, in words."""
        names = list(dict.fromkeys([*self.regions, *other.regions]))
        return [
            name
            for name in names
            if name not in self.regions
            or name not in other.regions
            or self.regions[name] != other.regions[name]
        ]


def _header(name: str, **fields: int) -> np.ndarray[Any, np.dtype[np.void]]:
    header = np.zeros(1, structure(name))
    for key, value in fields.items():
        header[key] = value
    return header


def _round_up(value: int, to: int) -> int:
    return -(-value // to) * to


def _structures_hash() -> str:
    return hashlib.sha256(json.dumps(_native.layouts(), sort_keys=True).encode()).hexdigest()


def _to_json(spec: RegionSpec) -> Json:
    entry: dict[str, Json] = {"kind": spec.kind}
    for key in (item.name for item in fields(spec)):
        value = getattr(spec, key)
        entry[key] = np.lib.format.dtype_to_descr(value) if key == "dtype" else value
    return entry


def _from_json(entry: Json) -> RegionSpec:
    values = {key: value for key, value in entry.items() if key != "kind"}
    for key, value in values.items():
        if key == "dtype":
            values[key] = _dtype_from_json(value)
        elif isinstance(value, list):
            values[key] = tuple(value)
    spec: RegionSpec = _KINDS[entry["kind"]](**values)
    return spec


def _dtype_from_json(descr: Json) -> np.dtype[Any]:
    return np.lib.format.descr_to_dtype(_fields(descr))


def _fields(descr: Iterable[Json]) -> list[Json]:
    """Undo what JSON does to a dtype's description: fields are tuples, and so are their shapes."""
    return [
        (
            name,
            _fields(kind) if isinstance(kind, list) else kind,
            *(tuple(shape) for shape in shapes),
        )
        for name, kind, *shapes in descr
    ]
