"""The steps of a stage, their contexts and ticks, and when its loop runs and ends."""

from __future__ import annotations

import time

import numpy as np
import pytest

from pipeline import _native, topology
from pipeline.records import TICK
from pipeline.runtime import build
from pipeline.vocabulary import Denial, OutcomeKind
from shm import ArgumentError, Segment
from tests.pipeline.kernels import HOUR_MS, RECEIVED_NS, NewDesk, Probe, Quoted, until
from tests.pipeline.runtime.intents import sound_intent


def test_contexts_number_the_steps_and_name_their_inputs(
    new_desk: NewDesk, probe: type[Probe]
) -> None:
    desk = new_desk()
    desk.start("ta")
    for price in range(100):
        assert desk.trade(price % 3, 100 + price)
    began = time.monotonic_ns()
    desk.settle()
    contexts = desk.recording["ta"]
    assert list(contexts["step"]) == list(range(1, 101))
    assert list(contexts["sequence"]) == list(range(100))
    assert set(contexts["source"]) == {0}
    assert list(contexts["instrument"]) == [number % 3 for number in range(100)]
    clock = list(contexts["now_ns"])
    assert clock == sorted(clock)
    assert began <= clock[0] <= clock[-1] <= time.monotonic_ns()


def test_a_turn_takes_no_more_than_a_batch(new_desk: NewDesk, probe: type[Probe]) -> None:
    desk = new_desk()
    desk.start("ta")
    for _ in range(_native.BATCH + 1):
        assert desk.trade(0, 100)
    loop = desk.loops["ta"]
    assert loop.turn()
    assert loop.steps == desk.word("ta", "committed") == _native.BATCH
    assert loop.turn()
    assert not loop.turn()
    assert loop.steps == _native.BATCH + 1


def test_contexts_carry_the_quote_of_the_inputs_instrument(
    new_desk: NewDesk, quoted: type[Quoted]
) -> None:
    desk = new_desk()
    desk.start("ta")
    desk.quote(1, 90, 110)
    desk.trade(0, 100)
    desk.trade(1, 101)
    desk.settle()
    contexts = desk.recording["ta"]
    # All three were published before the first was taken: a context holds the quote of its step.
    assert list(contexts["bid"]) == [90, 0, 90]
    assert list(contexts["ask_quantity"]) == [400, 0, 400]
    first, second, third = (RECEIVED_NS + 1_000_000 * number for number in (1, 2, 3))
    assert list(contexts["received_ns"]) == [first, 0, first]
    assert list(contexts["link_ns"]) == [third, second, third]


def test_an_instrument_that_is_not_configured_has_no_quote(
    new_desk: NewDesk, quoted: type[Quoted]
) -> None:
    desk = new_desk()
    desk.start("risk")
    intents = desk.segment.producer("intents")
    assert intents.push(sound_intent(instrument=7))
    desk.settle()
    [context] = desk.recording["risk"]
    assert (context["instrument"], context["bid"], context["link_ns"]) == (7, 0, 0)
    [outcome] = desk.recording["outcomes"]
    assert (outcome["kind"], outcome["code"]) == (OutcomeKind.DENIED, Denial.UNKNOWN_INSTRUMENT)


# Ticks


def test_silence_makes_ticks(new_desk: NewDesk, probe: type[Probe]) -> None:
    desk = new_desk(pipeline={"tick_ms": 1, "market_capacity": 64, "capacity": 64})
    desk.start("ta")
    until(lambda: desk.loops["ta"].turn() and desk.loops["ta"].steps >= 3, "a third tick")
    contexts = desk.recording["ta"]
    assert set(contexts["source"]) == {TICK}
    assert list(contexts["sequence"][:3]) == [0, 1, 2]
    gaps = np.diff(contexts["now_ns"])
    assert (gaps >= 1_000_000).all()
    assert desk.state("ta", "stage")["ticks"] == [len(contexts)]


def test_a_tick_looks_at_each_instrument_if_the_stage_wants_quotes(
    new_desk: NewDesk, quoted: type[Quoted]
) -> None:
    desk = new_desk(pipeline={"tick_ms": 1, "market_capacity": 64, "capacity": 64})
    desk.quote(2, 90, 110)
    desk.segment.consumer("market").close()
    desk.start("ta")
    until(lambda: desk.loops["ta"].turn() and desk.loops["ta"].steps >= 7, "a third tick")
    contexts = desk.recording["ta"]
    ticks = contexts[contexts["source"] == TICK]
    assert [number % 3 for number in ticks["sequence"]] == list(ticks["instrument"])
    assert set(ticks["bid"][ticks["instrument"] == 2]) == {90}


# Its loop


def test_running_ends_when_the_bell_is_rung(new_desk: NewDesk) -> None:
    desk = new_desk()
    desk.start("ta")
    bell = desk.segment.doorbell("ta")
    loop = desk.loops["ta"]
    assert not loop.run(bell.pointer, bell.strategy, 0)  # from now on it listens
    desk.segment.bell("ta").ring()
    assert loop.run(bell.pointer, bell.strategy, HOUR_MS * 1_000_000)


def test_a_loop_that_did_not_recover_does_not_run(new_desk: NewDesk) -> None:
    desk = new_desk()
    with Segment.attach(desk.segment.name) as own:
        loop = build(topology.stage("ta", desk.config), own)
        bell = own.doorbell("ta")
        with pytest.raises(ArgumentError, match="a stage must recover before it runs"):
            loop.run(bell.pointer, bell.strategy, 0)
        del loop
