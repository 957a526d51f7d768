"""What a full ring holds up, and what not."""

from __future__ import annotations

import numpy as np

from pipeline import topology
from pipeline.records import EXECUTION
from pipeline.vocabulary import ExecutionKind, OutcomeKind
from tests.pipeline.kernels import HOUR_MS, NewDesk, walk
from tests.pipeline.runtime.intents import sound_intent


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
