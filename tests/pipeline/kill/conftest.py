"""A segment like that of a run, without the processes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline import topology
from pipeline.breakers.settings import begin
from pipeline.cli.run import configure
from pipeline.stage import Stage
from shm import Segment


@pytest.fixture
def config(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The default configuration, resolved, with small rings."""
    monkeypatch.chdir(tmp_path)  # where no config.toml is
    for variable in [each for each in os.environ if each.startswith("BOT4_")]:
        monkeypatch.delenv(variable)
    small = {"pipeline.market_capacity": "256", "pipeline.capacity": "256"}
    config = configure(None, name, small)
    del config["notes"]
    return config


@pytest.fixture
def segment(name: str, config: Mapping[str, Any]) -> Iterator[Segment]:
    """The segment that a run with this configuration would have."""
    layout = topology.layout(config, config["affinity"])
    with Segment.create(name, layout) as segment:
        with contextlib.closing(segment.breakers("breakers")) as breakers:
            begin(breakers, config)
        yield segment


@pytest.fixture
def stages(config: Mapping[str, Any]) -> dict[str, Stage]:
    """The stages of that run."""
    return {each: topology.stage(each, config) for each in topology.STAGES}
