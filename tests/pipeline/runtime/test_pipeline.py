"""All stages of a run in this process: what becomes of market records, and that it does again."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline import topology
from pipeline.records import CORRELATIONS
from pipeline.vocabulary import Denial, ExecutionKind, OutcomeKind
from tests.pipeline.kernels import (
    HOUR_MS,
    RECEIVED_NS,
    NewDesk,
    assert_same,
    reference,
    replayed,
    walk,
    without_clocks,
)


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
