"""What a watch makes of others' events, of those that were lost, and of dead owners."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from shm.host import process_start
from tests.pipeline.breakers.cast import SECOND
from tests.pipeline.breakers.watch.stand import LOOK, NewStand


def test_the_probe_of_a_dead_process_is_released(new_stand: NewStand) -> None:
    stand = new_stand()
    storage = stand.breaker("storage")
    storage.trip(stand.cast.now, actor="ann", reason="to see")
    stand.run(31 * SECOND)
    stand.said.clear()
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert storage.acquire(stand.cast.now, owner=(gone.pid, 1))
    assert storage.acquire(stand.cast.now, owner=(os.getpid(), process_start(os.getpid())))
    stand.run()
    assert storage.in_flight == 1
    dead = "breaker storage: the process that had a probe died, and the probe does not count"
    assert dead in stand.said
    stand.run(11 * SECOND)
    assert storage.in_flight == 0
    late = "breaker storage: a probe has outlived its lease, and counts as failed"
    assert late in stand.said


def test_events_that_were_lost_are_made_good_from_the_words(
    new_stand: NewStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand = new_stand()
    other = stand.cast.segment.breakers("breakers")
    stand.breaker("ta").trip(stand.cast.now, actor="ann", reason="to see")
    lost = stand.group.events()  # as if whoever tripped it had been killed before it could tell
    assert len(lost) > 0
    other.close()
    stand.run(2 * LOOK)
    (told,) = stand.said
    assert told.startswith("breaker ta: closed -> open: ")
    assert "lost" in told
    assert [int(event["breaker"]) for event in stand.events[-1:]] == [stand.breaker("ta").index]


def test_settings_that_somebody_else_has_loaded_are_told(new_stand: NewStand) -> None:
    stand = new_stand()
    code = (
        "import sys, dataclasses\n"
        "from shm import Segment, BreakerSettings\n"
        "with Segment.attach(sys.argv[1], run_id=sys.argv[2]) as segment:\n"
        "    segment.breakers('breakers').breaker('ml').configure(BreakerSettings())\n"
    )
    segment = stand.cast.segment
    command = [sys.executable, "-c", code, segment.name, segment.run_id]
    subprocess.run(command, check=True)
    stand.run()
    assert stand.said == ["breaker ml has new settings"]


def test_more_events_than_are_read_at_once_are_all_read_in_one_look(
    new_stand: NewStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand = new_stand()
    monkeypatch.setattr("pipeline.breakers.watch._MOST_EVENTS", 2)
    for _ in range(4):
        stand.breaker("ta").reset(stand.cast.now, actor="ann", reason="to see")
    stand.run()
    assert stand.said == ["breaker ta: closed -> closed: to see (by ann)"] * 4
