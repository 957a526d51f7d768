"""Fixtures of the tests of the pipeline."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline import topology
from pipeline.breakers.settings import begin
from pipeline.cli.run import configure
from pipeline.stage import Stage
from shm import Segment
from tests.pipeline import kernels
from tests.pipeline.kernels import Desk, NewDesk, Probe, Quoted


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder without a config.toml, and without what the user who tests has configured."""
    monkeypatch.chdir(tmp_path)
    for variable in [each for each in os.environ if each.startswith("BOT4_")]:
        monkeypatch.delenv(variable)


@pytest.fixture
def config(name: str, tmp_path: Path, elsewhere: None) -> dict[str, Any]:
    """The default configuration, resolved, with small rings and a state directory of its own."""
    settings = {
        "pipeline.market_capacity": "256",
        "pipeline.capacity": "256",
        "state_dir": str(tmp_path),
    }
    config = configure(None, name, settings)
    del config["notes"]
    return config


@pytest.fixture
def segment(name: str, config: Mapping[str, Any]) -> Iterator[Segment]:
    """The segment that a run with this configuration would have, without its processes."""
    layout = topology.layout(config, config["affinity"])
    with Segment.create(name, layout) as segment:
        with contextlib.closing(segment.breakers("breakers")) as breakers:
            begin(breakers, config)
        yield segment


@pytest.fixture
def stages(config: Mapping[str, Any]) -> dict[str, Stage]:
    """The stages of that run."""
    return {each: topology.stage(each, config) for each in topology.STAGES}


@pytest.fixture
def new_desk(name: str) -> Iterator[NewDesk]:
    """Make desks of this test's own name, one after the other."""
    made: list[Desk] = []

    def new(**tables: object) -> Desk:
        resolved = kernels.config(**tables)  # type: ignore[arg-type]
        blobs = {"config": kernels.encoded(resolved)}
        segment = Segment.create(name, kernels.layout(resolved), blobs=blobs)
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
