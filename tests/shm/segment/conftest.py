"""A segment that a test may damage."""

from __future__ import annotations

from pathlib import Path

import pytest

from shm import Segment
from tests.shm.segment.contents import LAYOUT


@pytest.fixture
def damaged(tmp_path: Path, name: str) -> Path:
    """A whole segment's file, in a directory where it can be changed."""
    with Segment.create(name, LAYOUT) as segment:
        contents = Path(segment.path).read_bytes()
    path = tmp_path / f"bot4.{name}.x"
    path.write_bytes(contents)
    return path
