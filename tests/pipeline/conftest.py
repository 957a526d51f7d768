"""Fixtures of the tests of the pipeline."""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator

import pytest

from pipeline import topology
from shm import Segment
from tests.pipeline.kernels import Desk, NewDesk, Probe, Quoted, config, encoded, layout


@pytest.fixture
def new_desk(name: str) -> Iterator[NewDesk]:
    """Make desks of this test's own name, one after the other."""
    made: list[Desk] = []

    def new(**tables: object) -> Desk:
        resolved = config(**tables)  # type: ignore[arg-type]
        segment = Segment.create(name, layout(resolved), blobs={"config": encoded(resolved)})
        made.append(Desk(segment, resolved))
        return made[-1]

    yield new
    for desk in made:
        desk.end_all()
        desk.segment.close()


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> type[Probe]:
    """Have a stage with a kernel in Python, and two groups of cells, in the place of ta."""
    monkeypatch.setitem(topology.STAGES, "ta", f"{Probe.__module__}:Probe")
    return Probe


@pytest.fixture
def quoted(monkeypatch: pytest.MonkeyPatch) -> type[Quoted]:
    """The same with quotes in its contexts."""
    monkeypatch.setitem(topology.STAGES, "ta", f"{Quoted.__module__}:Quoted")
    return Quoted


@pytest.fixture
def collector() -> Iterator[None]:
    """Give the garbage collector back as it was."""
    yield
    gc.enable()
    gc.unfreeze()


@pytest.fixture
def handlers() -> Iterator[None]:
    """Give the signal handlers back as they were."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
