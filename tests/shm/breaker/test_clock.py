"""Time is CLOCK_MONOTONIC's, or the caller's; never the wall clock's."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

import shm
from shm.breaker_types import State
from tests.shm.breaker.desk import WHO, Desk, settings

SOURCES = Path(shm.__file__).parent
WALL_CLOCK = re.compile(
    r"CLOCK_REALTIME|CLOCK_TAI|system_clock|gettimeofday|\btime\(|time\.time|time_ns\(\)"
    r"|datetime|\bstrftime\b"
)


def test_without_a_time_the_monotonic_clock_is_read(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> float:
        raise AssertionError("the wall clock was read")

    for name in ("time", "time_ns"):
        monkeypatch.setattr(time, name, refuse)
    begun = time.monotonic_ns()
    group, breaker = desk.group(), desk.breaker()
    breaker.configure(settings(lease_ns=3600 * 10**9))
    breaker.initialise()
    permit = breaker.acquire()
    assert begun <= permit.issued_ns <= time.monotonic_ns()
    breaker.complete(permit, True)
    breaker.fail_once()
    breaker.reap()
    assert breaker.counts().calls == 2
    assert group.derive() == group.state() == group.view()[0]
    for act in ("trip", "reset", "disable", "metrics_only", "force_open"):
        getattr(breaker, act)(**WHO)
    assert breaker.state == State.FORCED_OPEN
    events = group.events()
    assert len(events) == 8
    assert (events["time_ns"] >= begun).all()
    assert (events["time_ns"] <= time.monotonic_ns()).all()
    assert 0 <= events["time_ns"][-1] - breaker.since_ns < 1 << 20


@pytest.mark.parametrize(
    "path",
    sorted(
        path
        for pattern in (
            "breaker*.py",
            "reference/breaker*.py",
            "native/breaker*.hpp",
            "native/memory.hpp",
            "native/binding/breaker.cpp",
        )
        for path in SOURCES.glob(pattern)
    ),
    ids=lambda path: path.name,
)
def test_no_source_names_the_wall_clock(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace("monotonic_ns()", "")
    assert WALL_CLOCK.search(text) is None


def test_the_sources_are_found() -> None:
    assert len(list(SOURCES.glob("native/breaker*.hpp"))) >= 5


def test_an_outcome_before_its_permit_is_not_slow(desk: Desk) -> None:
    """Times of a caller's own may disagree a little between its threads."""
    breaker = desk.closed(slow_bp=1, slow_ns=1, min_calls=9)
    permit = breaker.acquire(desk.now)
    breaker.complete(permit, True, desk.now - 5)
    assert breaker.counts(desk.now)[:3] == (1, 0, 0)
