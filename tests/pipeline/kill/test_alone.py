"""The executor alone: a process, over a segment that has nothing but what is held."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipeline import topology
from pipeline.breakers.settings import begin
from pipeline.instruments import instruments_from
from pipeline.kill.alone import Alone, closing_order, slices
from pipeline.kill.positions import committed, executor_cells, held
from pipeline.kill.words import halt, kill
from pipeline.records import CONTEXT, TICK, Array
from pipeline.supervisor.start import encoded
from pipeline.vocabulary import Side
from shm import Segment


@pytest.fixture
def left(name: str, config: dict[str, Any]) -> Iterator[Segment]:
    """What is left of a run on two venues: long at one, short at the other, flat in the third."""
    config["instruments"][1]["venue"] = "far"
    layout = topology.layout(config, config["affinity"])
    with Segment.create(name, layout, blobs={"config": encoded(config)}) as segment:
        with contextlib.closing(segment.breakers("breakers")) as breakers:
            begin(breakers, config)
        writer = segment.cells_writer("executor.instruments", 0)
        for index, position in enumerate((3, -5, 0)):
            cell = writer.edit(index)
            cell["bid"], cell["ask"], cell["position"] = 1000, 1001, position
        writer.stamp(1)
        writer.close()
        context = np.zeros(1, CONTEXT)
        context["step"], context["source"] = 1, TICK
        contexts = segment.observer_producer("executor.contexts")
        contexts.push(context)
        contexts.close()
        segment.words("executor.words").store("committed", 1)
        kill(segment, "enough", "anna")
        yield segment


def close_all(left: Segment, config: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    said: list[str] = []
    return Alone(left, config, said.append).close_all(), said


def test_it_closes_what_is_held_at_every_venue(left: Segment, config: dict[str, Any]) -> None:
    assert list(held(left, config)) == ["BTCUSDT@sim", "ETHUSDT@far"]
    assert close_all(left, config) == ({}, [])
    assert executor_cells(left)["position"].tolist() == [0, 0, 0]


def test_a_venue_that_refuses_does_not_stop_the_others(
    left: Segment, config: dict[str, Any]
) -> None:
    with contextlib.closing(left.breakers("breakers")) as breakers:
        breakers.breaker("orders.sim").force_open(actor="anna", reason="a test")
    assert close_all(left, config) == ({"BTCUSDT@sim": "0.00003"}, [])
    assert executor_cells(left)["position"].tolist() == [3, 0, 0]


def test_it_is_repeatable(left: Segment, config: dict[str, Any]) -> None:
    assert close_all(left, config) == ({}, [])
    assert close_all(left, config) == ({}, [])


def test_under_the_halt_word_it_sends_nothing(left: Segment, config: dict[str, Any]) -> None:
    halt(left, "enough", "anna")
    assert close_all(left, config)[0] == {"BTCUSDT@sim": "0.00003", "ETHUSDT@far": "-0.0005"}


@pytest.mark.parametrize(("position", "side", "limit"), [(3, Side.SELL, 950), (-3, Side.BUY, 1051)])
def test_an_order_closes_at_the_collar(
    left: Segment, position: int, side: Side, limit: int
) -> None:
    cell: Array = executor_cells(left)[:1].copy()
    cell["position"] = position
    order = closing_order(2, cell[0], 3, 77)
    told = ["instrument", "order_id", "side", "reduce_only", "quantity", "limit", "stop"]
    assert order[told][0].tolist() == (2, 77, side, 1, 3, limit, 0)


def test_it_sends_no_order_that_is_larger_than_the_venue_takes(
    left: Segment, config: dict[str, Any]
) -> None:
    config["instruments"][0]["max_quantity"] = "0.00001"  # a lot
    config["instruments"][1]["max_quantity"] = "0.0004"  # 4 lots
    config["instruments"][0]["min_quantity"] = config["instruments"][1]["min_quantity"] = "0"
    assert close_all(left, config) == ({}, [])
    executor: Any = committed(left, "executor", "stage")[0]
    assert executor["last_trade_id"] == 3 + 2


@pytest.mark.parametrize(
    ("lots", "largest", "quantities"),
    [
        *((0, 0, []), (5, 0, [5]), (0, 4, []), (4, 4, [4])),
        *((5, 4, [3, 2]), (13, 4, [4, 3, 3, 3]), (2**63 - 1, 2**62, [2**62, 2**62 - 1])),
    ],
)
def test_slices_are_few_and_alike(
    config: dict[str, Any], lots: int, largest: int, quantities: list[int]
) -> None:
    instrument = replace(instruments_from(config)[0], lot_e8=1, max_quantity_e8=largest)
    assert list(slices(lots, instrument)) == quantities
