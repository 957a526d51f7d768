"""The desk, with either engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.shm.breaker.desk import NAMES, Desk, NativeDesk, ReferenceDesk

NewDesk = Callable[..., Desk]


@pytest.fixture(params=["native", "reference"])
def new_desk(request: pytest.FixtureRequest, name: str) -> Iterator[NewDesk]:
    """Make desks with breakers of given names."""
    made: list[Desk] = []

    def new(names: tuple[str, ...] = NAMES) -> Desk:
        made.append(NativeDesk(name, names) if request.param == "native" else ReferenceDesk(names))
        return made[-1]

    yield new
    for desk in made:
        desk.close()


@pytest.fixture
def desk(new_desk: NewDesk) -> Desk:
    """Three breakers that nobody has used."""
    return new_desk()
