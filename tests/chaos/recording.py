"""A recording of the whole pipeline, made in one thread: the same stages, one step at a time."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from pipeline import topology
from pipeline.records import CONTEXT, QUOTE, TICK, Array
from pipeline.replay import Driver
from pipeline.vocabulary import MarketKind
from shm.breaker_types import GlobalState

STEP_NS = 1_000


class Recording:
    """What a recorder would have copied from a run over these market records.

    A tick comes after every hundredth of them.
    """

    def __init__(self, config: Mapping[str, Any], market: Array) -> None:
        self.stages = {name: topology.stage(name, config) for name in topology.STAGES}
        self._drivers = {name: Driver(stage) for name, stage in self.stages.items()}
        self._records: dict[str, list[Array]] = defaultdict(list)
        self._contexts: dict[str, list[Array]] = defaultdict(list)
        self._taken: dict[tuple[str, str], int] = defaultdict(int)
        self._quotes = np.zeros(len(config["instruments"]), QUOTE)
        self._now_ns = 1_000_000_000
        for place in range(len(market)):
            self._now_ns += STEP_NS
            self._publish_market(market[place : place + 1].copy())
            while any(self._take_one(name) for name in self.stages):
                pass
            if place % 100 == 99:
                for name in self.stages:
                    self._step(name, "tick", None)
        self._parts = {
            **{edge.ring: _joined(self._records[edge.ring], edge.dtype) for edge in topology.EDGES},
            **{f"{name}.contexts": _joined(self._contexts[name], CONTEXT) for name in self.stages},
        }
        for name, stage in self.stages.items():
            for group in stage.cells():
                self._parts[f"{name}.{group}"] = self._drivers[name].state(group)

    def records(self, name: str) -> Array:
        """Return a ring's records, or a stage's contexts; they may be changed."""
        return self._parts[name]

    def state(self, stage: str, group: str) -> Array:
        """Return the final state of a group of cells; it may be changed."""
        return self._parts[f"{stage}.{group}"]

    def replace(self, name: str, records: Array) -> None:
        """Put others in their place."""
        self._parts[name] = records

    def copy(self) -> Self:
        """Return another with the same contents, gaps of the dtypes included."""
        made = copy.copy(self)
        made._parts = {
            name: np.frombuffer(bytearray(part.tobytes()), part.dtype)
            for name, part in self._parts.items()
        }
        return made

    def _publish_market(self, record: Array) -> None:
        record["stamped_ns"] = record["received_ns"] = self._now_ns
        if record["kind"][0] == MarketKind.QUOTE:
            row = self._quotes[record["instrument"][0] :][:1]
            for field in ("bid", "bid_quantity", "ask", "ask_quantity", "received_ns"):
                row[field] = record[field]
        self._quotes["link_ns"] = self._now_ns
        for ring in ("market", "ticks"):
            self._records[ring].append(record)

    def _take_one(self, name: str) -> bool:
        for ring in self.stages[name].inputs:
            if self._taken[name, ring] < len(self._records[ring]):
                self._step(name, ring, self._records[ring][self._taken[name, ring]])
                return True
        return False

    def _step(self, name: str, source: str, record: Array | None) -> None:
        stage = self.stages[name]
        self._now_ns += STEP_NS
        sequence = self._taken[name, source]
        context = np.zeros(1, CONTEXT)
        context["step"] = len(self._contexts[name]) + 1
        context["sequence"] = sequence
        context["now_ns"] = self._now_ns
        context["source"] = TICK if record is None else stage.inputs.index(source)
        context["global"] = GlobalState.CLOSED
        if record is not None:
            context["instrument"] = record["instrument"]
        if stage.quotes:
            quote = self._quotes[context["instrument"][0]]
            for field in QUOTE.names or ():
                context[field] = quote[field]
        self._contexts[name].append(context)
        self._taken[name, source] += 1
        inputs = {} if record is None else {source: record}
        emitted = self._drivers[name].run(context, inputs, {source: sequence})
        for ring, records in emitted.items():
            for place in range(len(records)):
                one = records[place : place + 1].copy()
                one["sequence"] = len(self._records[ring])
                self._records[ring].append(one)


def _joined(parts: list[Array], dtype: np.dtype[np.void]) -> Array:
    records = np.zeros(len(parts), dtype)
    for place, part in enumerate(parts):
        records[place] = part[0]
    return records
