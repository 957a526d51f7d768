"""A segment like that of a run, whose processes a test plays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pipeline.stage import Stage
from shm import Segment
from tests.pipeline.breakers.cast import Cast


@pytest.fixture
def cast(segment: Segment, config: dict[str, Any], stages: Mapping[str, Stage]) -> Cast:
    """All processes, none of which has begun."""
    return Cast(segment, config, stages)
