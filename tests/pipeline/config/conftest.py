"""A folder of each test's own, where it writes its configuration."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In that folder; what is in the environment, each test says itself."""
    monkeypatch.chdir(tmp_path)
