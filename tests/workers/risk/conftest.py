"""Fixtures of the risk stage's tests."""

from __future__ import annotations

import pytest

from tests.workers.risk.desk import ENGINES, Desk


@pytest.fixture(params=ENGINES)
def kind(request: pytest.FixtureRequest) -> str:
    """Which implementation."""
    return str(request.param)


@pytest.fixture
def desk(kind: str) -> Desk:
    """Risk with the usual limits."""
    return Desk(kind)
