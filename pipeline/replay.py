"""The in-process driver: the same stages without processes, rings or clocks.

It gives a stage's kernel the inputs and contexts that it is told to, and returns what the kernel
emits: for replay of a recording, for backtest, for tests, and as the proof that a crash has changed
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline import _native
from pipeline.records import CONTEXT, TICK, Array
from pipeline.stage import Stage
from pipeline.topology import edge, edges, outputs_of
from shm import GlobalState, RecordError


class Driver:
    """One stage, driven step by step; its state begins empty."""

    def __init__(self, stage: Stage, kernel: object | None = None) -> None:
        """Drive `kernel` (default: the stage's own)."""
        self.inputs = stage.inputs
        self.outputs = outputs_of(stage.name, edges(stage.config))
        self._types = [edge(ring).dtype for ring in self.inputs]
        self._cells = stage.cells()
        self._replay = _native.Replay(
            stage.kernel() if kernel is None else kernel,
            [(group, dtype, count) for group, (dtype, count) in self._cells.items()],
            list(zip(self.inputs, self._types, strict=True)),
            [(each.ring, each.dtype) for each in self.outputs],
        )
        self._taken = dict.fromkeys([*self.inputs, "tick"], 0)
        self._step = 0

    def run(
        self, contexts: Array, inputs: Mapping[str, Array], first: Mapping[str, int] | None = None
    ) -> dict[str, Array]:
        """Run one step per record of `contexts`, shape (n,); return what was emitted, by ring.

        `inputs` are the records of each input ring from sequence `first` (default 0) on.

        Raises:
            RecordError: a context names an input that was not given, or an array has another dtype
                than its records.
        """
        self._replay.run(*self._given(contexts, inputs, first or {}))
        return self._emitted()

    def time(
        self,
        contexts: Array,
        inputs: Mapping[str, Array],
        first: Mapping[str, int] | None = None,
        *,
        batch: int = 1,
    ) -> tuple[Array, dict[str, Array]]:
        """Do what `run` does in batches of steps, as a pipeline does.

        Returns:
            How long each batch took with its commit, in ns (int64), and what was emitted.

        Raises:
            RecordError: as `run`.
        """
        took = self._replay.time(*self._given(contexts, inputs, first or {}), batch)
        return np.array(took, np.int64), self._emitted()

    def _given(
        self, contexts: Array, inputs: Mapping[str, Array], first: Mapping[str, int]
    ) -> tuple[Array, list[Array], list[int]]:
        return (
            _of_dtype("contexts", contexts, CONTEXT),
            [
                _of_dtype(ring, inputs.get(ring, np.zeros(0, dtype)), dtype)
                for ring, dtype in zip(self.inputs, self._types, strict=True)
            ],
            [first.get(ring, 0) for ring in self.inputs],
        )

    def _emitted(self) -> dict[str, Array]:
        return {
            each.ring: np.frombuffer(self._replay.take(index), each.dtype)
            for index, each in enumerate(self.outputs)
        }

    def step(
        self,
        source: str,
        record: Array | np.void | None,
        *,
        now_ns: int,
        halted: int = 0,
        mode: int = 0,
        breakers: tuple[int, int, int] = (GlobalState.CLOSED, 0, 0),
        quote: Array | np.void | None = None,
        instrument: int = 0,
    ) -> list[tuple[str, Array]]:
        """Take one step on a record of the ring `source`, or on a tick (None).

        `breakers` are the global state and the masks of blocked and of forced ones, as
        `Breakers.view` returns them.

        Returns:
            (ring, record of shape (1,)) for each output, in the order of their rings.
        """
        self._step += 1
        context = np.zeros(1, CONTEXT)
        context["step"] = self._step
        context["sequence"] = self._taken[source]
        context["now_ns"] = now_ns
        context["source"] = TICK if record is None else self.inputs.index(source)
        context["halted"] = halted
        context["mode"] = mode
        context["global"], context["blocked"], context["forced"] = breakers
        context["instrument"] = instrument
        inputs: dict[str, Array] = {}
        if record is not None:
            event = np.atleast_1d(np.asarray(record))
            context["instrument"] = event["instrument"]
            inputs[source] = event
        if quote is not None:
            fields = np.asarray(quote).reshape(-1)
            for name in fields.dtype.names or ():
                context[name] = fields[name]
        emitted = self.run(context, inputs, {source: self._taken[source]})
        self._taken[source] += 1
        return [
            (ring, records[i : i + 1])
            for ring, records in emitted.items()
            for i in range(len(records))
        ]

    def state(self, group: str) -> Array:
        """Return a copy of all records of a group of cells."""
        dtype: np.dtype[Any] = self._cells[group][0]
        # Through a bytearray: numpy's own copy leaves the gaps of a dtype as they come.
        return np.frombuffer(bytearray(self._replay.state(list(self._cells).index(group))), dtype)


def _of_dtype(what: str, records: Array, dtype: np.dtype[np.void]) -> Array:
    """Return records as the replay reads them, which is by their bytes."""
    if records.dtype != dtype:
        raise RecordError(
            f"dtype of {what} was {records.dtype}, must be {dtype}; numpy drops the gaps between "
            "fields when it joins arrays, so join their bytes"
        )
    return np.ascontiguousarray(records)
