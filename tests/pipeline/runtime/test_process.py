"""What a stage's process does beside its loop, and processes in the loops' place."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time

import pytest

from pipeline import topology
from pipeline.records import TICK
from pipeline.runtime import StopSignal, begin, collect_garbage, wait_strategy
from shm import RoleTakenError
from tests.pipeline.kernels import (
    HOUR_MS,
    PATIENCE_S,
    Desk,
    NewDesk,
    assert_same,
    replayed,
    until,
    walk,
)

OUTPUT_PUBLISHED = 4
"""The CrashPoint of that name in native/loop.hpp."""


def test_its_beginning_is_noted_and_the_collector_off(new_desk: NewDesk, collector: None) -> None:
    desk = new_desk()
    desk.segment.words("ta.words").store("first_ns", 7)  # of its predecessor
    before = time.monotonic_ns()
    begin(desk.segment, "ta")
    assert desk.word("ta", "pid") == os.getpid()
    assert desk.word("ta", "first_ns") == 0
    assert before <= desk.word("ta", "started_ns") <= desk.word("ta", "beat")
    assert not gc.isenabled()
    assert gc.get_freeze_count() > 0


@pytest.mark.parametrize("idle", [True, False])
def test_young_garbage_is_collected_when_idle(
    collector: None, monkeypatch: pytest.MonkeyPatch, idle: bool
) -> None:
    gc.disable()
    generations: list[int] = []
    monkeypatch.setattr(gc, "collect", generations.append)
    monkeypatch.setattr(gc, "get_count", lambda: (50_000, 0, 0))
    collect_garbage(idle=idle)
    assert generations == ([1] if idle else [])


def test_a_busy_stage_collects_before_there_is_too_much(
    collector: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    gc.disable()
    generations: list[int] = []
    monkeypatch.setattr(gc, "collect", generations.append)
    monkeypatch.setattr(gc, "get_count", lambda: (50_001, 0, 0))
    collect_garbage(idle=False)
    assert generations == [0]


def test_sigterm_is_a_wish_to_stop_and_sigint_is_the_supervisors(handlers: None) -> None:
    stop = StopSignal()
    os.kill(os.getpid(), signal.SIGINT)
    assert not stop.wanted
    os.kill(os.getpid(), signal.SIGTERM)
    assert stop.wanted


@pytest.mark.parametrize(
    ("wait", "expected"), [("auto", None), ("futex", "futex"), ("spin-futex", "spin-futex")]
)
def test_auto_lets_the_wait_follow_from_the_cpus(wait: str, expected: str | None) -> None:
    assert wait_strategy({"pipeline": {"wait": wait}}) == expected


# Processes of their own


def start(desk: Desk, stage: str, parent: int | None = None) -> subprocess.Popen[str]:
    """Start a stage as the supervisor does."""
    command = [sys.executable, "-m", f"workers.{stage}", desk.segment.name, desk.segment.run_id]
    return subprocess.Popen(
        [*command, str(parent or os.getpid())], stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("strategy", ["moving-average", "workers.ml.strategies:MovingAverage"])
def test_processes_do_what_the_loops_do_here(new_desk: NewDesk, strategy: str) -> None:
    desk = new_desk(
        pipeline={"tick_ms": 5, "market_capacity": 4096, "capacity": 1024},
        ml={"ttl_ms": HOUR_MS, "strategy": strategy},
    )
    processes = [start(desk, "ta"), start(desk, "ml")]
    try:
        for index, price, quantity, side in walk(11, 200):
            assert desk.trade(index, price, quantity, side)
        until(lambda: len(desk.recording["intents"]) > 0, "an intent")
        until(lambda: (desk.recording["ml"]["source"] == TICK).any(), "a tick")
        assert [desk.word(name, "pid") for name in ("ta", "ml")] == [
            process.pid for process in processes
        ]
        beat = desk.word("ml", "beat")
        until(lambda: desk.word("ml", "beat") > beat, "a beat")
        with pytest.raises(RoleTakenError):
            desk.segment.consumer("market")
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        errors = [process.communicate(timeout=PATIENCE_S)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    # They have given everything back, and committed what they took.
    for name in ("ta", "ml"):
        emitted, driver = replayed(desk, name)
        for ring, records in emitted.items():
            assert_same(records, desk.recording[ring])
        for group in topology.stage(name, desk.config).cells():
            assert_same(driver.state(group), desk.state(name, group))
        assert desk.start(name) == (0, 0)


def test_a_process_takes_over_from_one_that_killed_itself(new_desk: NewDesk) -> None:
    desk = new_desk()
    words = desk.segment.words("ta.words")
    words.store("crash", OUTPUT_PUBLISHED << 56 | 20)
    for index, price, quantity, side in walk(12, 60):
        assert desk.trade(index, price, quantity, side)
    killed = start(desk, "ta")
    assert killed.communicate(timeout=PATIENCE_S)[1] == ""
    assert killed.returncode == -signal.SIGKILL
    assert desk.word("ta", "committed") == 0
    replayed_steps = len(desk.recording["ta"])
    published = sum(len(desk.recording[edge.ring]) for edge in topology.outputs_of("ta"))
    assert published > 0
    successor = start(desk, "ta")
    try:
        until(lambda: desk.word("ta", "committed") == 60, "the last commit")
    finally:
        successor.send_signal(signal.SIGTERM)
        errors = successor.communicate(timeout=PATIENCE_S)[1]
    assert successor.returncode == 0, errors
    counters = desk.segment.counters("ta.counters")
    assert counters == {"replayed": replayed_steps, "suppressed": published}
    assert_same(replayed(desk, "ta")[0]["features"], desk.recording["features"])


def test_a_process_whose_parent_is_gone_ends_at_once(new_desk: NewDesk) -> None:
    desk = new_desk()
    process = start(desk, "ta", parent=1)
    errors = process.communicate(timeout=PATIENCE_S)[1]
    assert (process.returncode, errors) == (1, "ta: parent 1 is gone\n")
