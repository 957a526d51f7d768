"""Whom an operator's kill trusts to close positions, by a clock that the test turns."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import topology
from pipeline.breakers.settings import begin
from pipeline.kill import sequence
from pipeline.kill.sequence import Kill
from pipeline.kill.words import halt
from pipeline.notify.notifier import Notifier
from pipeline.supervisor.start import encoded
from shm import Segment


class Clock:
    """Stands for `time`: each sleep lasts as long as the test says."""

    def __init__(self, sleep: Callable[[], float]) -> None:
        self._now = time.monotonic_ns()
        self._sleep = sleep

    def monotonic_ns(self) -> int:
        return self._now

    def monotonic(self) -> float:
        return self._now / 1e9

    def sleep(self, seconds: float) -> None:
        self._now += int(self._sleep() * 1e9)


@pytest.fixture
def running(name: str, config: dict[str, Any]) -> Iterator[Segment]:
    """A run of this process, nobody of which beats."""
    layout = topology.layout(config, config["affinity"])
    with Segment.create(name, layout, blobs={"config": encoded(config)}) as segment:
        with contextlib.closing(segment.breakers("breakers")) as breakers:
            begin(breakers, config)
        yield segment


def killed(
    running: Segment,
    config: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    sleep: Callable[[], float],
) -> list[str]:
    """Kill it; return what was said."""
    said: list[str] = []
    monkeypatch.setattr(sequence, "time", Clock(sleep))
    # What comes behind it ends processes, and is shown with real ones.
    monkeypatch.setattr(Kill, "_end", lambda self, segment, config: None)
    with Notifier(config, said.append) as notifier:
        folder = Path(config["state_dir"])
        Kill(running.name, folder, "anna", "enough", said.append, notifier).run()
    return said


def test_an_executor_that_does_not_beat_for_a_second_is_not_waited_for(
    running: Segment, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert killed(running, config, monkeypatch, lambda: 0.005) == ["no executor has beaten for 1 s"]


def test_nobody_is_late_by_the_clock_of_a_kill_that_was_late_itself(
    running: Segment, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    stalls = iter((0.6, 0.6, 0.6, 0.6))

    def sleep() -> float:
        stall = next(stalls, None)
        if stall is None:  # the machine is back, and the run has closed its positions
            halt(running, "enough", "anna")
        return stall or 0.005

    assert killed(running, config, monkeypatch, sleep) == []


def test_a_machine_that_stalls_again_and_again_is_not_waited_for_either(
    running: Segment, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    longest = config["kill"]["flatten_s"] + config["supervisor"]["heartbeat_s"]
    assert killed(running, config, monkeypatch, lambda: 0.6) == [
        f"positions were not closed within {longest:g} s"
    ]
