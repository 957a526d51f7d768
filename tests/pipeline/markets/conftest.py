"""Fixtures of the tests of the markets."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.pipeline.markets.venues import Server, serving


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that has no answers yet."""
    with serving() as server:
        yield server


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration of the user who runs the tests."""
    for variable in [name for name in os.environ if name.startswith("BOT4_")]:
        monkeypatch.delenv(variable)
