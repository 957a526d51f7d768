"""A run without its processes, in a folder of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import topology
from pipeline.cli.run import configure
from pipeline.supervisor.start import encoded
from shm import Segment
from tests.pipeline.cli_breaker.without_processes import Run


@pytest.fixture
def config(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)  # where no config.toml is
    for variable in [each for each in os.environ if each.startswith("BOT4_")]:
        monkeypatch.delenv(variable)
    settings = {
        "pipeline.market_capacity": "256",
        "pipeline.capacity": "256",
        "state_dir": str(tmp_path),
    }
    config = configure(None, name, settings)
    del config["notes"]
    return config


@pytest.fixture
def run(name: str, config: dict[str, Any]) -> Iterator[Run]:
    layout = topology.layout(config, config["affinity"])
    with Segment.create(name, layout, blobs={"config": encoded(config)}) as segment:
        yield Run(segment, config)
