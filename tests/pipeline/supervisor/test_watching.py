"""What the supervisor watches: the breakers, to their end, and the account."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import runtime, topology
from pipeline._native import Emit, State
from pipeline.breakers.audit import FILE, read
from pipeline.kill.latch import LatchFile
from pipeline.kill.words import is_killed
from pipeline.requests import risk_account
from pipeline.supervisor import Supervisor
from pipeline.vocabulary import Denial, Mode
from shm import EventKind, Segment
from tests.pipeline.kernels import Doing, until


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(config: dict[str, Any], tmp_path: Path, said: list[str]) -> Supervisor:
    config["state_dir"] = str(tmp_path)
    return Supervisor(config, said.append)


def test_events_that_found_no_place_are_told_at_the_end(
    supervisor: Supervisor, segment: Segment, said: list[str]
) -> None:
    with (
        supervisor._watching(segment, resumed=False),
        contextlib.closing(segment.breakers("breakers")) as other,
    ):
        while other.drops()[EventKind.TRANSITION] < 2:
            other.breaker("ml").reset(actor="ann", reason="to see")
    assert said[-1] == (
        "events of the breakers are missing: full rings dropped 2 of kind transition"
    )


def test_what_happened_last_is_on_the_disk_although_its_breaker_is_open(
    supervisor: Supervisor, segment: Segment, tmp_path: Path, said: list[str]
) -> None:
    with supervisor._watching(segment, resumed=False):
        with contextlib.closing(segment.breakers("breakers")) as other:
            other.breaker("storage").trip(actor="ann", reason="to see")
        supervisor._watch.tick(time.monotonic_ns())
    assert "tripped" in [entry.cause for entry in read(tmp_path / FILE)[0]]
    assert not any("missing" in each for each in said)


def test_why_the_disk_did_not_take_the_last_events_is_told(
    supervisor: Supervisor, segment: Segment, tmp_path: Path, said: list[str]
) -> None:
    (tmp_path / FILE).mkdir()
    with supervisor._watching(segment, resumed=False):
        with contextlib.closing(segment.breakers("breakers")) as other:
            other.breaker("storage").trip(actor="ann", reason="to see")
        supervisor._watch.tick(time.monotonic_ns())
    assert f"events of the breakers are missing in {tmp_path / FILE}: " in said[-1]
    assert "Is a directory" in said[-1]


def test_a_trail_that_cannot_be_read_is_told(
    supervisor: Supervisor, segment: Segment, tmp_path: Path, said: list[str]
) -> None:
    (tmp_path / FILE).mkdir()
    with supervisor._watching(segment, resumed=False):
        assert said[0].startswith(f"{tmp_path / FILE} cannot be read (Is a directory): ")


@pytest.mark.parametrize(
    ("code", "trip", "reason"),
    [
        (Denial.DRAWDOWN, "drawdown", "limit reached: DRAWDOWN (risk.drawdown_bp)"),
        (Denial.DAILY, "loss", "limit reached: DAILY (risk.daily_loss)"),
    ],
)
def test_a_limit_that_risk_found_breached_kills_and_latches(
    supervisor: Supervisor,
    config: dict[str, Any],
    segment: Segment,
    tmp_path: Path,
    code: Denial,
    trip: str,
    reason: str,
) -> None:
    def breach(_: np.void, __: np.void | None, state: State, ___: Emit) -> None:
        state.edit("account", 0)["killed"] = code

    risk = runtime.build(topology.stage("risk", config), segment, Doing(breach))
    risk.recover()
    supervisor._latched.begin()
    with supervisor._latched.of(segment):
        supervisor._check_account(segment, risk_account(segment))
        assert not is_killed(segment)
        until(lambda: risk.turn() and segment.words("risk.words").load("committed"), "a tick")
        supervisor._check_account(segment, risk_account(segment))
        assert is_killed(segment)
    held = LatchFile(tmp_path).read()
    assert (held.mode, held.trip, held.reason) == (Mode.EMERGENCY, trip, reason)
