"""Stands, and a cast whose breakers are not configured yet."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from pipeline import topology
from pipeline.breakers.settings import apply
from shm import Segment
from tests.pipeline.breakers.cast import Cast
from tests.pipeline.breakers.watch.stand import NewStand, Stand


@pytest.fixture
def new_stand(cast: Cast) -> NewStand:
    """Make a stand whose breakers are configured like this: ta={...}, on_open=..."""

    def new(**changes: Any) -> Stand:
        table = cast.config["breakers"]
        table["jitter_bp"] = 0
        for key, value in changes.items():
            table[key] = {**table[key], **value} if isinstance(value, dict) else value
        with contextlib.closing(cast.segment.breakers("breakers")) as group:
            apply(group, cast.config, cast.now)
        stand = Stand(cast)
        cast.begin()
        stand.run()
        return stand

    return new


@pytest.fixture
def new_cast(name: str, config: dict[str, Any], stages: Any) -> Any:
    """A cast whose breakers nobody has configured."""
    with Segment.create(name, topology.layout(config, config["affinity"])) as segment:
        yield Cast(segment, config, stages)
