"""The runtime over a real segment: its stages in this process, and one in a process of its own."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from pipeline import _native, topology
from pipeline.records import CORRELATIONS, EXECUTION, INTENT, TICK, Array
from pipeline.runtime import StopSignal, begin, build, collect_garbage, wait_strategy
from pipeline.vocabulary import Denial, ExecutionKind, OutcomeKind, Side
from shm import ArgumentError, RoleTakenError, Segment
from tests.pipeline.kernels import (
    HOUR_MS,
    PATIENCE_S,
    RECEIVED_NS,
    Counting,
    Desk,
    FailsAt,
    NewDesk,
    Probe,
    Quoted,
    assert_same,
    reference,
    replayed,
    until,
    walk,
    without_clocks,
)
from tests.workers.ml.signals import scored

OUTPUT_PUBLISHED = 4
"""The CrashPoint of that name in native/loop.hpp."""


def sound_intent(**fields: int) -> Array:
    """Return an intent to buy at a quote of 60,000, changed by `fields`."""
    intent = np.zeros(1, INTENT)
    usual = {"intent_id": 1, "side": Side.BUY, "quantity": 1000, "stop": 5_900_000}
    times = {"created_ns": time.monotonic_ns(), "ttl_ns": HOUR_MS * 1_000_000}
    for field, value in (usual | times | fields).items():
        intent[field] = value
    return intent


# The whole pipeline


def test_market_records_become_executions_and_each_intent_is_answered(new_desk: NewDesk) -> None:
    desk = new_desk()
    desk.start_all()
    desk.run(walk(1, 600))
    ring = desk.recording
    assert len(ring["market"]) == len(ring["ticks"]) == 1200
    assert len(ring["features"]) >= 100
    assert len(ring["intents"]) >= 20
    decided = np.isin(ring["outcomes"]["kind"], [OutcomeKind.DENIED, OutcomeKind.APPROVED])
    assert list(ring["outcomes"]["intent_id"][decided]) == list(ring["intents"]["intent_id"])
    assert len(ring["orders"]) >= 10
    answers = ring["executions"][ring["executions"]["order_id"] != 0]
    assert list(answers["order_id"]) == list(ring["orders"]["order_id"])
    assert set(answers["kind"]) == {ExecutionKind.FILL}
    for stage in topology.STAGES:
        assert desk.word(stage, "committed") == desk.loops[stage].steps > 0
    for edge in topology.EDGES:
        assert desk.segment.depth(edge.ring) == 0


def test_positions_agree_where_they_are_kept(new_desk: NewDesk) -> None:
    desk = new_desk()
    desk.start_all()
    desk.run(walk(2, 400))
    held = [
        list(desk.state(stage, "instruments")["position"]) for stage in ("ml", "risk", "executor")
    ]
    assert held[0] == held[1] == held[2]


def test_records_carry_sequence_cause_and_the_time_of_the_market_record(new_desk: NewDesk) -> None:
    desk = new_desk()
    desk.start_all()
    desk.run(walk(3, 300))
    for edge in topology.EDGES:
        records = desk.recording[edge.ring]
        assert list(records["sequence"]) == list(range(len(records)))
        if edge.producer in ("feed", "supervisor"):
            continue
        causes = list(zip(records["cause_step"].tolist(), records["cause_index"], strict=True))
        assert causes == sorted(set(causes))
        contexts = desk.recording[edge.producer]
        assert (records["stamped_ns"] == contexts["now_ns"][records["cause_step"] - 1]).all()
        if edge.dtype != CORRELATIONS:  # these are of an interval that is over
            assert (records["received_ns"] - records["venue_ns"] == RECEIVED_NS).all()


def test_two_runs_over_the_same_market_differ_in_nothing_but_clocks(
    new_desk: NewDesk, name: str
) -> None:
    found: list[dict[str, bytes]] = []
    for _ in range(2):
        desk = new_desk()
        desk.start_all()
        desk.run(walk(4, 400))
        found.append(
            {
                edge.ring: without_clocks(desk.recording[edge.ring]).tobytes()
                for edge in topology.EDGES
            }
        )
        desk.end_all()
        desk.segment.close()
    assert found[0] == found[1]


@pytest.mark.parametrize("live", ["native", "reference"])
def test_what_ran_live_runs_again_to_the_same_bytes_in_both_kernels(
    new_desk: NewDesk, live: str
) -> None:
    desk = new_desk()
    desk.start_all(reference if live == "reference" else None)
    desk.run(walk(5, 400))
    for name in topology.STAGES:
        stage = topology.stage(name, desk.config)
        for kernel in (None, reference(stage)):
            emitted, driver = replayed(desk, name, kernel)
            for ring, records in emitted.items():
                # Of correlations there is one a minute of the market's, and this takes no time.
                assert len(records) > 0 or topology.edge(ring).dtype == CORRELATIONS
                assert_same(records, desk.recording[ring])
            for group in stage.cells():
                assert_same(driver.state(group), desk.state(name, group))


def test_a_strategy_in_python_trades_like_the_native_one(new_desk: NewDesk) -> None:
    intents = []
    for strategy in ("moving-average", "workers.ml.strategies:MovingAverage"):
        desk = new_desk(ml={"ttl_ms": HOUR_MS, "strategy": strategy})
        desk.start_all()
        desk.run(walk(6, 300))
        intents.append(without_clocks(desk.recording["intents"]))
        desk.end_all()
        desk.segment.close()
    assert len(intents[0]) > 5
    assert_same(intents[0], intents[1])


def test_the_halt_word_is_in_the_next_context_and_nothing_is_approved_any_more(
    new_desk: NewDesk,
) -> None:
    desk = new_desk()
    desk.start_all()
    market = walk(7, 800)
    desk.run(market[:400])
    before = {name: len(desk.recording[name]) for name in (*topology.STAGES, "orders", "outcomes")}
    assert before["orders"] > 0
    desk.segment.words("run").store("halted", 3)
    desk.run(market[400:])
    for name in topology.STAGES:
        halted = desk.recording[name]["halted"]
        assert set(halted[: before[name]]) == {0}
        assert set(halted[before[name] :]) == {3}
    assert len(desk.recording["orders"]) == before["orders"]
    later = desk.recording["outcomes"][before["outcomes"] :]
    refused = later[later["kind"] == OutcomeKind.DENIED]
    assert Denial.KILLED in refused["code"]


def test_a_stage_started_over_the_work_of_another_goes_on_with_it(new_desk: NewDesk) -> None:
    desk = new_desk()
    desk.start_all()
    market = walk(8, 400)
    desk.run(market[:200])
    for name in topology.STAGES:
        desk.end(name)
        assert desk.start(name) == (0, 0)
    desk.run(market[200:])
    for name in topology.STAGES:
        for ring, records in replayed(desk, name)[0].items():
            assert_same(records, desk.recording[ring])


# Steps, contexts, ticks


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


@pytest.mark.parametrize("is_native", [True, False], ids=["native", "reference"])
@pytest.mark.parametrize(("rho", "code"), [(7000, Denial.NONE), (7001, Denial.CORRELATION)])
def test_risk_refuses_what_moves_with_a_position_as_ta_tells(
    new_desk: NewDesk, rho: int, code: Denial, is_native: bool
) -> None:
    desk = new_desk(risk={"correlated": 1, "concentration_bp": 0})
    desk.start("risk", None if is_native else reference(topology.stage("risk", desk.config)))
    desk.quote(0, 5_999_999, 6_000_001)
    fill = np.zeros(1, EXECUTION)
    fill["kind"], fill["side"], fill["instrument"] = ExecutionKind.FILL, Side.BUY, 1
    fill["quantity"], fill["price"] = 1000, 300_000
    row = np.zeros(1, CORRELATIONS)
    row["count"], row["value"][0, 1], row["samples"][0, 1] = 3, rho, 20
    for ring, record in (
        ("executions", fill),
        ("correlations", row),
        ("intents", sound_intent()),
    ):
        assert desk.segment.producer(ring).push(record)
        desk.settle()
    assert desk.state("risk", "correlations")["value"][0, :3].tolist() == [0, rho, 0]
    assert desk.recording["outcomes"]["code"].tolist() == [0, code]


@pytest.mark.parametrize("is_native", [True, False], ids=["native", "reference"])
@pytest.mark.parametrize(("rho", "share"), [(7000, 1.0), (7001, 0.5)])
def test_ml_sizes_what_moves_with_an_entry_as_ta_tells(
    new_desk: NewDesk, rho: int, share: float, is_native: bool
) -> None:
    desk = new_desk(ml={"strategy": "blend", "volatility_target_bp": 1, "cluster_cap_bp": 15_000})
    desk.start("ml", None if is_native else reference(topology.stage("ml", desk.config)))
    row = np.zeros(1, CORRELATIONS)
    row["instrument"], row["count"] = 1, 3
    row["value"][0, 0], row["samples"][0, 0] = rho, 20
    second_row = scored(1.0, close=300_000, atr=6_000.0, instrument=1)
    second_row["sequence"] = 1
    # One ATR of 2 % of either may move the account by 10, so 500 of it are entered with.
    for ring, record in (
        ("clusters", row),
        ("features", scored(1.0, close=6_000_000, atr=120_000.0)),
        ("features", second_row),
    ):
        assert desk.segment.producer(ring).push(record)
        desk.settle()
    first, second = desk.recording["intents"]["quantity"] * desk.recording["features"]["close"]
    assert first * 1e-7 == pytest.approx(500, rel=0.01)
    assert second * 1e-6 == pytest.approx(500 * share, rel=0.01)


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


# Back-pressure


def test_a_full_output_ring_stops_only_the_inputs_that_need_it(new_desk: NewDesk) -> None:
    desk = new_desk(pipeline={"tick_ms": HOUR_MS, "market_capacity": 64, "capacity": 2})
    desk.start("risk")
    intents, executions = (desk.segment.producer(ring) for ring in ("intents", "executions"))
    orders, outcomes = (desk.segment.consumer(ring) for ring in ("orders", "outcomes"))
    desk.quote(0, 5_999_999, 6_000_001)
    # Two orders fill the ring of orders; outcomes are taken away, and are no hindrance.
    for number in range(3):
        assert intents.push(sound_intent(sequence=number, intent_id=number + 1))
        desk.settle()
        outcomes.view()
        outcomes.commit()
    assert (desk.segment.depth("orders"), desk.segment.depth("intents")) == (2, 1)
    execution = np.zeros(1, EXECUTION)
    execution["kind"] = ExecutionKind.EXPIRED
    execution["order_id"] = execution["intent_id"] = 1
    assert executions.push(execution)
    desk.settle()
    assert (desk.segment.depth("executions"), desk.segment.depth("intents")) == (0, 1)
    assert desk.recording["outcomes"]["kind"][-1] == OutcomeKind.EXPIRED
    orders.view()
    orders.commit(1)
    desk.settle()
    assert desk.segment.depth("intents") == 0
    assert list(desk.recording["orders"]["intent_id"]) == [1, 2, 3]


def test_the_pipeline_gets_through_rings_of_two_records(new_desk: NewDesk) -> None:
    desk = new_desk(pipeline={"tick_ms": HOUR_MS, "market_capacity": 64, "capacity": 2})
    desk.is_recorded = False
    desk.start_all()
    for index, price, quantity, side in walk(9, 400):
        while not desk.quote(index, price - 1, price + 1):
            assert desk.turn()
        while not desk.trade(index, price, quantity, side):
            assert desk.turn()
    desk.settle()
    assert all(desk.segment.depth(edge.ring) == 0 for edge in topology.EDGES)
    assert max(desk.segment.high_water(ring) for ring in ("features", "intents", "orders")) == 2
    assert desk.state("executor", "stage")["last_trade_id"] > 10


# What it measures


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


# A process


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
