"""What a stage declares, and how it is found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from pipeline import topology
from pipeline.instruments import InstrumentError
from pipeline.stage import TICK, Stage, load_object
from shm import CellsSpec
from tests.pipeline.kernels import Probe, Quoted, config, reference


class Merging(Stage):
    """One with inputs in an order of its own."""

    name = "merging"
    emits: ClassVar = {"executions": {}, TICK: {}, "intents": {"orders": 1}}


def test_inputs_are_taken_in_the_order_in_which_they_are_declared() -> None:
    assert Merging(config()).inputs == ("executions", "intents")


def test_a_tick_is_a_step_or_one_for_each_instrument_whose_quote_is_wanted() -> None:
    assert Probe(config()).tick_steps == 1
    assert Quoted(config()).tick_steps == len(config()["instruments"]) == 3


def test_a_stage_knows_its_configuration_and_the_instruments_in_it() -> None:
    resolved = config()
    stage = Probe(resolved)
    assert stage.config is resolved
    assert [each.symbol for each in stage.instruments] == ["BTCUSDT", "ETHUSDT", "SOLUSDT"]
    assert [each.index for each in stage.instruments] == [0, 1, 2]


def test_instruments_that_cannot_be_represented_make_no_stage() -> None:
    resolved = config()
    resolved["instruments"][1]["tick"] = "0.000000001"
    with pytest.raises(InstrumentError):
        Probe(resolved)


@pytest.mark.parametrize("call", [Stage.cells, Stage.kernel])
def test_a_stage_has_to_say_what_it_keeps_and_does(call: Callable[[Stage], object]) -> None:
    with pytest.raises(NotImplementedError):
        call(Merging(config()))


def test_an_object_is_found_by_its_path() -> None:
    assert load_object("tests.pipeline.kernels:Probe") is Probe


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("tests.pipeline.nowhere:Probe", ModuleNotFoundError),
        ("tests.pipeline.kernels:Nothing", AttributeError),
    ],
)
def test_an_object_that_there_is_not_is_refused(path: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        load_object(path)


@pytest.mark.parametrize("name", topology.STAGES)
def test_each_stage_of_the_pipeline_can_be_made_from_the_defaults(name: str) -> None:
    stage = topology.stage(name, config())
    assert stage.name == name
    for group, (dtype, count) in stage.cells().items():
        assert CellsSpec(group, dtype, count).region_bytes > 0
    # A kernel keeps nothing that a run would change: each is a new one.
    assert stage.kernel() is not stage.kernel()


@pytest.mark.parametrize("name", topology.STAGES)
def test_each_stage_has_a_native_kernel_and_a_reference(name: str) -> None:
    stage: Any = topology.stage(name, config())
    assert type(stage.kernel()).__name__ == "PyCapsule"
    assert callable(reference(stage).step)  # type: ignore[attr-defined]
