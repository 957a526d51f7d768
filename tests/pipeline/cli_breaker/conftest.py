"""A run without its processes, in a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pipeline import topology
from pipeline.supervisor.start import encoded
from shm import Segment
from tests.pipeline.cli_breaker.without_processes import Run


@pytest.fixture
def run(name: str, config: dict[str, Any]) -> Iterator[Run]:
    layout = topology.layout(config, config["affinity"])
    with Segment.create(name, layout, blobs={"config": encoded(config)}) as segment:
        yield Run(segment, config)
