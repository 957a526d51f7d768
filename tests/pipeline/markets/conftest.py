"""Fixtures of the tests of the markets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pipeline.markets.venues import Server, serving


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that has no answers yet."""
    with serving() as server:
        yield server


@pytest.fixture(autouse=True)
def alone(elsewhere: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test knows of the user who runs it, or keeps anything there."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
