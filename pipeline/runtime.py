"""What every stage's process does: attach, pin, take over, run, beat, stop.

The loop itself is native (`native/loop.hpp`); this takes the roles in the segment, hands them to
it, and keeps house between its runs.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import time
from collections.abc import Mapping
from types import FrameType
from typing import Any, Final

from pipeline import _native, topology
from pipeline.process import become_worker
from pipeline.stage import TICK, Stage
from shm import Segment

HOUSEKEEPING_NS: Final = 100_000_000
"""How long the native loop runs before Python has a look."""

_BOUNDED_GC = 50_000
"""Allocations after which the youngest generation is collected although the stage is busy."""


class StopSignal:
    """Set by SIGTERM. SIGINT, which a terminal sends to the whole group, is the supervisor's."""

    def __init__(self) -> None:
        """Install the handlers."""
        self.wanted = False
        signal.signal(signal.SIGTERM, self._handle)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.wanted = True


def run_stage(name: str, deployment: str, run_id: str, parent: str) -> None:
    """Run a stage until SIGTERM, in this process, as the child of `parent` (a pid)."""
    stop = StopSignal()
    with Segment.attach(deployment, run_id=run_id) as segment:
        become_worker(name, segment.layout.affinity()[name] or (), int(parent))
        config = json.loads(segment.blob("config"))
        stage = topology.stage(name, config)
        doorbell = segment.doorbell(name, wait_strategy(config))
        kernel = stage.kernel()
        loop = build(stage, segment, kernel)
        replayed, suppressed = loop.recover()
        counters = segment.counters_writer(f"{name}.counters")
        counters.add("replayed", replayed)
        counters.add("suppressed", suppressed)
        begin(segment, name)
        is_python = hasattr(kernel, "step")
        while not stop.wanted:
            before = loop.steps
            loop.run(doorbell.pointer, doorbell.strategy, HOUSEKEEPING_NS)
            if is_python:
                collect_garbage(idle=loop.steps - before < stage.tick_steps * 4)


def wait_strategy(config: Mapping[str, Any]) -> str | None:
    """Return the configured wait strategy; None if it is to follow from the CPUs."""
    wait = config["pipeline"]["wait"]
    return None if wait == "auto" else wait


def begin(segment: Segment, name: str) -> None:
    """Say that this process is there, and turn the garbage collector off: it would pause it."""
    words = segment.words(f"{name}.words")
    words.store("first_ns", 0)
    words.store("pid", os.getpid())
    words.store("started_ns", time.monotonic_ns())
    words.store("beat", time.monotonic_ns())
    gc.collect()
    gc.freeze()
    gc.disable()


def collect_garbage(*, idle: bool) -> None:
    """Collect what is young: while there is nothing to do, or before there is too much of it."""
    if idle:
        gc.collect(1)
    elif gc.get_count()[0] > _BOUNDED_GC:
        gc.collect(0)


def build(stage: Stage, segment: Segment, kernel: object | None = None) -> _native.Loop:
    """Take all of a stage's roles in `segment` and return the loop over them.

    Raises:
        RoleTakenError: a predecessor is still alive.
    """
    outputs = topology.outputs_of(stage.name, topology.edges(stage.config))
    latencies = topology.histograms_of(stage)
    groups = stage.cells()
    is_last = topology.LAST in stage.inputs

    def needs(source: str) -> list[int]:
        return [stage.emits.get(source, {}).get(edge.ring, 0) for edge in outputs]

    committed = segment.words(f"{stage.name}.words").load("committed")

    def cells(group: str) -> object:
        return segment.cells_writer(f"{stage.name}.{group}", committed)

    loop = _native.Loop(
        kernel=stage.kernel() if kernel is None else kernel,
        groups=[(group, dtype) for group, (dtype, _) in groups.items()],
        group_cells=[cells(group) for group in groups],
        cursors=cells("cursors"),
        contexts=segment.observer_producer(f"{stage.name}.contexts"),
        quotes=segment.table_reader("quotes") if stage.quotes else None,
        breakers=segment.breakers("breakers", observe=True),
        words=segment.words(f"{stage.name}.words"),
        run_words=segment.words("run"),
        tick_ns=stage.config["pipeline"]["tick_ms"] * 1_000_000,
        tick_steps=stage.tick_steps,
        tick_needs=needs(TICK),
        latency=segment.histograms_writer(f"{stage.name}.latency"),
        through=latencies.index("through"),
        end_to_end=latencies.index("tick_to_order") if is_last else None,
        step=latencies.index("step") if stage.timed else None,
        end_to_end_input=stage.inputs.index(topology.LAST) if is_last else 0,
        sabotage=stage.config.get("run", {}).get("sabotage", ""),
    )
    for ring in stage.inputs:
        edge = topology.edge(ring)
        bell = None if edge.producer_bell is None else segment.bell(edge.producer_bell)
        hop = latencies.index(f"hop.{ring}")
        loop.add_input(ring, edge.dtype, segment.consumer(ring), bell, needs(ring), hop)
    for edge in outputs:
        woken = segment.bell(edge.consumer) if edge.wakes else None
        loop.add_output(edge.ring, edge.dtype, segment.producer(edge.ring), woken)
    return loop
