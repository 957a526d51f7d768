"""What a stage measures and notes of its work, once."""

from __future__ import annotations

import time

import pytest

from pipeline import topology
from tests.pipeline.kernels import Counting, FailsAt, NewDesk, Probe, walk


def test_hops_and_the_way_through_are_measured_once_a_record(new_desk: NewDesk) -> None:
    desk = new_desk()
    desk.start_all()
    desk.run(walk(10, 300))
    ring = desk.recording
    for name in topology.STAGES:
        histograms = desk.segment.histograms(f"{name}.latency")
        stage = topology.stage(name, desk.config)
        assert tuple(histograms) == topology.histograms_of(stage)
        for source in stage.inputs:
            assert histograms[f"hop.{source}"].count == len(ring[source])
        outputs = sum(len(ring[edge.ring]) for edge in topology.outputs_of(name))
        assert histograms["through"].count == outputs
        if stage.timed:
            assert histograms["step"].count == sum(len(ring[source]) for source in stage.inputs)
    last = desk.segment.histograms("executor.latency")["tick_to_order"]
    assert last.count == len(ring["orders"]) > 0


def test_what_was_run_again_is_not_measured_again(new_desk: NewDesk, probe: type[Probe]) -> None:
    desk = new_desk()
    desk.start("ta", FailsAt(5, Counting()))
    for price in range(5):
        desk.trade(0, price)
    with pytest.raises(RuntimeError):
        desk.settle()
    desk.end("ta")
    assert desk.start("ta") == (5, 5)
    histograms = desk.segment.histograms("ta.latency")
    assert histograms["hop.market"].count == histograms["through"].count == 5


def test_the_first_record_and_the_beat_are_noted(new_desk: NewDesk, probe: type[Probe]) -> None:
    desk = new_desk()
    desk.start("ta")
    bell = desk.segment.doorbell("ta")
    before = time.monotonic_ns()
    assert not desk.loops["ta"].run(bell.pointer, bell.strategy, 1_000_000)
    assert before < desk.word("ta", "beat") <= time.monotonic_ns()
    assert desk.word("ta", "first_ns") == 0
    desk.trade(0, 100)
    desk.settle()
    first = desk.word("ta", "first_ns")
    assert before < first <= time.monotonic_ns()
    desk.trade(0, 100)
    desk.settle()
    assert desk.word("ta", "first_ns") == first
