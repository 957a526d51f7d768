"""A run on a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pipeline.cli_run.terminal import Terminal
from tests.pipeline.supervisor.started import SETTINGS


@pytest.fixture
def terminal(name: str, tmp_path: Path) -> Iterator[Terminal]:
    flags = ["--name", name, "--set", f"state_dir={tmp_path}"]
    for key, value in SETTINGS.items():
        flags += ["--set", f"{key}={value}"]
    terminal = Terminal(flags, tmp_path)
    yield terminal
    terminal.close()
