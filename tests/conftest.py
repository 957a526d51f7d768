"""Fixtures that every test may use."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from types import ModuleType

import numpy as np
import pytest
from hypothesis import settings

import shm.reference
from shm import Layout, Segment, _native, list_segments
from shm.layout import RegionSpec

# Time limits per example would make tests depend on how busy the machine is.
settings.register_profile("bot4", deadline=None)
settings.load_profile("bot4")

TRADE = np.dtype([("sequence", "<u8"), ("price", "<i8"), ("pad", "<u8", (6,))])

_numbers = itertools.count()


@pytest.fixture
def name() -> Iterator[str]:
    """A deployment name of this test's own; the test may leave no segment of it behind."""
    name = f"test-{os.getpid()}-{next(_numbers)}"
    yield name
    assert list_segments(name) == []


@pytest.fixture(params=[_native, shm.reference], ids=["native", "reference"])
def engine(request: pytest.FixtureRequest) -> ModuleType:
    """Both implementations."""
    engine: ModuleType = request.param
    return engine


NewSegment = Callable[..., Segment]


@pytest.fixture
def new_segment(name: str, engine: ModuleType) -> Iterator[NewSegment]:
    """Make segments of the engine under test, closed when the test is over."""
    made: list[Segment] = []

    def new(*specs: RegionSpec) -> Segment:
        made.append(Segment.create(name, Layout(*specs), engine=engine))
        return made[-1]

    yield new
    for segment in made:
        segment.close()


def trades(first: int, count: int) -> np.ndarray:
    """Records numbered from `first` on, each with contents that follow from its number."""
    records = np.zeros(count, TRADE)
    records["sequence"] = np.arange(first, first + count)
    records["price"] = records["sequence"].astype("<i8") * 7 - 3
    records["pad"] = records["sequence"][:, None]
    return records
