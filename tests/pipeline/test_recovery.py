"""Failure and takeover: what the next process of a stage finds, repeats, and does not repeat."""

from __future__ import annotations

import gc
from collections.abc import Callable

import numpy as np
import pytest

from pipeline import _native, topology
from pipeline.records import CONTEXT, FEATURES
from pipeline.runtime import build
from shm import ArgumentError, RoleTakenError, Segment
from tests.pipeline.kernels import (
    HOUR_MS,
    Counting,
    Doing,
    FailsAt,
    NewDesk,
    Probe,
    assert_same,
    replayed,
)


@pytest.mark.parametrize("at", [1, 20, 63, 64])
def test_a_step_that_raises_leaves_the_batch_to_the_next_process(
    new_desk: NewDesk, probe: type[Probe], at: int
) -> None:
    desk = new_desk()
    desk.start("ta", FailsAt(at, Counting()))
    for price in range(64):
        assert desk.trade(price % 3, 100 + price)
    with pytest.raises(RuntimeError, match=f"step {at} failed"):
        desk.settle()
    assert desk.word("ta", "committed") == 0
    assert desk.segment.depth("market") == 64
    assert set(desk.state("ta", "counts")["seen"]) == {0}
    desk.end("ta")
    # Their contexts and outputs are out: all but those of later steps are run again, silently.
    assert desk.start("ta") == (at, at)
    assert desk.word("ta", "committed") == at
    desk.settle()
    assert len(desk.recording["ta"]) == len(desk.recording["features"]) == 64
    emitted, driver = replayed(desk, "ta")
    assert_same(emitted["features"], desk.recording["features"])
    assert_same(driver.state("counts"), desk.state("ta", "counts"))


def test_a_record_that_no_kernel_takes_fails_every_process_at_the_same_step(
    new_desk: NewDesk, probe: type[Probe]
) -> None:
    desk = new_desk()
    desk.start("ta")
    desk.trade(0, 100)
    desk.settle()
    desk.end("ta")
    desk.trade(1, 101)
    desk.start("ta", FailsAt(2, Counting()))
    with pytest.raises(RuntimeError, match="step 2 failed"):
        desk.settle()
    desk.end("ta")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="step 2 failed"):
            desk.start("ta", FailsAt(2, Counting()))
        desk.end("ta")
    assert desk.word("ta", "committed") == 1
    assert len(desk.recording["features"]) == 2


def test_a_loop_whose_step_failed_goes_on_only_by_recovery(
    new_desk: NewDesk, probe: type[Probe]
) -> None:
    desk = new_desk()
    failed: list[bool] = []

    def once(context: np.void, event: object, state: object, emit: _native.Emit) -> None:
        emit("features", np.zeros(1, FEATURES))
        if context["step"] == 2 and not failed:
            failed.append(True)
            raise RuntimeError("once")

    desk.start("ta", Doing(once))
    for _ in range(3):
        desk.trade(0, 100)
    loop = desk.loops["ta"]
    with pytest.raises(RuntimeError, match="once"):
        loop.turn()
    with pytest.raises(ArgumentError, match="a stage must recover before it runs"):
        loop.turn()
    assert loop.steps == 0
    assert loop.recover() == (2, 2)
    desk.settle()
    assert list(desk.recording["features"]["cause_step"]) == [1, 2, 3]
    assert list(desk.recording["ta"]["step"]) == [1, 2, 3]


def test_a_stage_recovers_once_and_before_it_runs(new_desk: NewDesk) -> None:
    desk = new_desk()
    desk.start("ta")
    with pytest.raises(ArgumentError, match="a stage recovers once"):
        desk.loops["ta"].recover()


def test_no_stage_can_be_built_twice(new_desk: NewDesk) -> None:
    desk = new_desk()
    desk.start_all()
    for name in topology.STAGES:
        with Segment.attach(desk.segment.name) as other:
            stage = topology.stage(name, desk.config)
            with pytest.raises(RoleTakenError, match="is held by a live process"):
                build(stage, other)


@pytest.mark.parametrize(
    ("take", "what"),
    [
        (lambda segment: segment.consumer("market"), "consumer of ring 'market'"),
        (lambda segment: segment.producer("features"), "producer of ring 'features'"),
        (lambda segment: segment.observer_producer("ta.contexts"), "'ta.contexts'"),
        (lambda segment: segment.cells_writer("ta.bars", 0), "cells 'ta.bars'"),
        (lambda segment: segment.cells_writer("ta.cursors", 0), "cells 'ta.cursors'"),
        (lambda segment: segment.histograms_writer("ta.latency"), "'ta.latency'"),
    ],
)
def test_a_loop_keeps_each_of_its_roles(
    new_desk: NewDesk, take: Callable[[Segment], object], what: str
) -> None:
    desk = new_desk()
    desk.start("ta")
    gc.collect()
    with pytest.raises(RoleTakenError, match=what):
        take(desk.segment)
    desk.end("ta")
    assert take(desk.segment) is not None


def test_recovery_refuses_inputs_that_are_not_what_they_were(
    new_desk: NewDesk, probe: type[Probe]
) -> None:
    desk = new_desk()
    desk.start("ml")
    row = np.zeros(1, FEATURES)
    row["sequence"] = 1
    assert desk.segment.producer("features").push(row)
    with pytest.raises(RuntimeError, match="record 0 of an input ring is missing or carries anoth"):
        desk.settle()


def test_recovery_refuses_contexts_that_are_not_those_of_its_steps(new_desk: NewDesk) -> None:
    desk = new_desk()
    contexts = desk.segment.observer_producer("ta.contexts")
    contexts.push(np.zeros(1, CONTEXT))
    contexts.close()
    with pytest.raises(RuntimeError, match="the context of step 1 is that of step 0"):
        desk.start("ta")


def test_a_step_that_emits_too_much_is_refused_when_the_ring_is_full(
    new_desk: NewDesk, probe: type[Probe]
) -> None:
    def thrice(context: object, event: object, state: object, emit: _native.Emit) -> None:
        for _ in range(3):
            emit("features", np.zeros(1, FEATURES))

    desk = new_desk(pipeline={"tick_ms": HOUR_MS, "market_capacity": 64, "capacity": 2})
    desk.start("ta", Doing(thrice))
    desk.trade(0, 100)
    with pytest.raises(RuntimeError, match="step 1 emitted more than its stage declares"):
        desk.settle()
