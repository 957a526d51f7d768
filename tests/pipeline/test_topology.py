"""The declared pipeline: what must be true of it for the runtime to keep its promises."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter

import pytest

from pipeline import _native, topology
from pipeline.config import ConfigError, load
from pipeline.records import CURSORS
from pipeline.stage import TICK, Stage
from shm import (
    CellsSpec,
    DoorbellSpec,
    HistogramsSpec,
    LayoutError,
    ObserverSpec,
    RingSpec,
)
from shm.layout import Region
from tests.pipeline.kernels import HOUR_MS, config, layout

RINGS = {edge.ring: edge for edge in topology.EDGES}


def stages() -> Iterator[Stage]:
    """Make each stage of the pipeline."""
    for name in topology.STAGES:
        yield topology.stage(name, config())


def regions() -> dict[str, Region]:
    """Return the regions of the default layout."""
    return dict(layout(config()).regions)


# Edges and stages


def test_without_a_simulated_instrument_there_is_no_exchange() -> None:
    resolved = load().config.resolved()
    assert topology.processes(resolved) == topology.PROCESSES
    resolved["instruments"] = [{**each, "venue": "kraken"} for each in resolved["instruments"]]
    assert topology.processes(resolved) == topology.PIPELINE


def test_rings_have_names_of_their_own_and_ends_that_there_are() -> None:
    assert len(RINGS) == len(topology.EDGES)
    for edge in topology.EDGES:
        assert edge.producer in ("supervisor", *topology.PIPELINE)
        assert edge.consumer in topology.STAGES
        assert topology.edge(edge.ring) is edge
        assert edge in topology.outputs_of(edge.producer)


def test_each_stage_reads_exactly_the_rings_that_lead_to_it() -> None:
    for stage in stages():
        incoming = {edge.ring for edge in topology.EDGES if edge.consumer == stage.name}
        assert set(stage.inputs) == incoming
        assert TICK in stage.emits


def test_each_stage_emits_to_its_own_output_rings_and_uses_all_of_them() -> None:
    for stage in stages():
        outgoing = {edge.ring for edge in topology.outputs_of(stage.name)}
        emitted = {ring for needs in stage.emits.values() for ring in needs}
        assert emitted == outgoing
        assert all(most >= 1 for needs in stage.emits.values() for most in needs.values())


def test_the_runtimes_own_cell_has_room_for_each_input() -> None:
    assert max(len(stage.inputs) for stage in stages()) <= CURSORS["taken"].shape[0]


# Why the loops of the pipeline cannot stop each other


def leads_back(ring: str) -> bool:
    """Return whether a ring goes against the way from source to sink."""
    edge = RINGS[ring]
    order = ("supervisor", *topology.PIPELINE)
    return order.index(edge.producer) > order.index(edge.consumer)


def test_the_pipeline_has_loops() -> None:
    assert {ring for ring in RINGS if leads_back(ring)} == {"outcomes", "executions"}


def test_steps_on_rings_that_lead_back_emit_only_to_rings_that_lead_back() -> None:
    for stage in stages():
        for source, needs in stage.emits.items():
            if source != TICK and leads_back(source):
                assert all(leads_back(ring) for ring in needs), f"{stage.name} on {source}"


def test_no_ring_waits_for_itself() -> None:
    """A record waits in its ring for room on the rings that its step may publish to.

    If no chain of these waits comes back to where it began, the last ring of each chain is always
    emptied, then the one before it, and so on: nothing can stand still. A tick that publishes waits
    for room too, but nothing waits for it: it does not hold up the records of its stage.
    """
    waits: dict[str, set[str]] = {ring: set() for ring in RINGS}
    for stage in stages():
        for source in stage.inputs:
            waits[source] |= set(stage.emits[source])
    order = list(TopologicalSorter(waits).static_order())  # raises CycleError
    assert set(order) == set(RINGS)
    # The ones that lead back are free of all others.
    last = [ring for ring in order if leads_back(ring)]
    assert last[0] == "outcomes"
    assert not waits["outcomes"]


def test_inputs_that_lead_back_are_taken_first() -> None:
    for stage in stages():
        back = [leads_back(ring) for ring in stage.inputs]
        assert back == sorted(back, reverse=True)


def test_who_is_not_woken_by_a_ring_is_woken_by_another_of_the_same_producer_or_by_ticks() -> None:
    for edge in topology.EDGES:
        if not edge.wakes:
            assert any(each.wakes for each in topology.EDGES if each.consumer == edge.consumer)


# The layout


def test_each_ring_is_in_the_layout_with_the_bells_of_its_ends() -> None:
    found = regions()
    for edge in topology.EDGES:
        spec = found[edge.ring].spec
        assert isinstance(spec, RingSpec)
        assert spec.dtype == edge.dtype
        assert spec.producer_bell == (None if edge.ring == "control" else edge.producer)
        assert spec.consumer_bell == (edge.consumer if edge.wakes else None)


def test_each_stage_has_its_regions() -> None:
    found = regions()
    for stage in stages():
        assert isinstance(found[stage.name].spec, DoorbellSpec)
        contexts = found[f"{stage.name}.contexts"].spec
        assert isinstance(contexts, ObserverSpec)
        latency = found[f"{stage.name}.latency"].spec
        assert isinstance(latency, HistogramsSpec)
        assert latency.names == topology.histograms_of(stage)
        for group, (dtype, count) in {**stage.cells(), "cursors": (CURSORS, 1)}.items():
            cells = found[f"{stage.name}.{group}"].spec
            assert isinstance(cells, CellsSpec)
            assert (cells.dtype, cells.count) == (dtype, count)


def test_tick_to_order_is_measured_by_the_last_stage_only() -> None:
    measuring = [
        stage.name for stage in stages() if "tick_to_order" in topology.histograms_of(stage)
    ]
    assert measuring == [RINGS[topology.LAST].consumer] == [topology.PIPELINE[-1]]


def test_cpus_go_to_the_doorbells() -> None:
    cpus = {process: (number % 2,) for number, process in enumerate(topology.PIPELINE)}
    assert topology.layout(config(), cpus).affinity() == cpus
    assert set(layout(config()).affinity().values()) == {None}


def test_equal_configurations_give_equal_layouts() -> None:
    assert layout(config()) == layout(config())
    smaller = {"tick_ms": HOUR_MS, "market_capacity": 4096, "capacity": 512}
    assert layout(config()) != layout(config(pipeline=smaller))


# Capacities


def test_a_batch_of_contexts_fits_whatever_capacity_is_configured() -> None:
    with pytest.raises(ConfigError) as error:
        load(flags={"pipeline.market_capacity": "32", "pipeline.capacity": "1"}, environ={})
    assert "pipeline.market_capacity was 32, must be" in str(error.value)
    assert "pipeline.capacity was 1, must be" in str(error.value)
    least = load(flags={"pipeline.market_capacity": "64", "pipeline.capacity": "64"}, environ={})
    assert least.config.pipeline.market_capacity == _native.BATCH


@pytest.mark.parametrize(
    ("key", "value", "least"), [("market_capacity", 32, 64), ("capacity", 1, 2)]
)
def test_a_layout_that_could_not_recover_is_refused(key: str, value: int, least: int) -> None:
    pipeline = {"tick_ms": HOUR_MS, "market_capacity": 64, "capacity": 2}
    assert layout(config(pipeline=pipeline))
    with pytest.raises(LayoutError, match=rf"pipeline\.{key} was {value}, must be >= {least}"):
        layout(config(pipeline=pipeline | {key: value}))


# Processes


def test_the_topology_is_declared_without_the_code_of_the_stages() -> None:
    code = "import sys, pipeline.topology; print(*sorted(m for m in sys.modules if 'worker' in m))"
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""


@pytest.mark.parametrize("name", [*topology.STAGES, "feed"])
def test_a_process_imports_nothing_that_starts_slowly(name: str) -> None:
    module = f"workers.{name}.__main__"
    stage = f"workers.{name}.stage"
    code = f"import sys, {module}, {stage}; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not {"pydantic", "click", "pandas", "sklearn", "rich"} & set(found.stdout.split())
