"""What a stage declares about itself, and nothing about how it is run.

A stage is a deterministic function from a state, an input and a step's context to outputs. The same
objects run live (`pipeline.runtime`), and in replay, tests and backtest (`pipeline.replay`).
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Protocol

import numpy as np

from pipeline import _native
from pipeline.instruments import Instrument, instruments_from

TICK: Final = "tick"
"""Stands for the input "some time has passed" in `Stage.emits`."""


class StageError(ValueError):
    """A stage cannot be made from its configuration; the message names the key and its value."""


class Kernel(Protocol):
    """A stage's function, written in Python. Native ones are capsules around a C++ `Kernel`."""

    def step(
        self, context: np.void, event: np.void | None, state: _native.State, emit: _native.Emit
    ) -> None:
        """Take one step; `event` is a record of an input ring, or None for a tick."""


class Stage:
    """Base of the stages: what each reads, keeps and publishes."""

    name: ClassVar[str]
    emits: ClassVar[Mapping[str, Mapping[str, int]]]
    """Input ring, or TICK -> output ring -> the most records that one step on it publishes there.

    Inputs are taken in this order: the ones that lead back come first.
    """

    quotes: ClassVar[bool] = False
    """Whether contexts carry the latest quote of the input's instrument; ticks then come once for
    each instrument."""

    timed: ClassVar[bool] = False
    """Whether the time that each step takes is measured: where others' code runs in it."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Keep the resolved configuration (plain data; decimals as strings)."""
        self.config = config
        self.instruments: tuple[Instrument, ...] = instruments_from(config)

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Stage:
        """Return the stage for a resolved configuration: one of a subclass, if that asks for it."""
        return cls(config)

    def cells(self) -> dict[str, tuple[np.dtype[np.void], int]]:
        """Return the groups of cells that hold its state: name -> (dtype, count)."""
        raise NotImplementedError

    def check(self) -> None:
        """Raise StageError if what the configuration names cannot be used; before a run begins."""

    def kernel(self) -> object:
        """Return a new kernel: a capsule, or an object with `step`."""
        raise NotImplementedError

    @property
    def inputs(self) -> tuple[str, ...]:
        """Its input rings, in the order in which they are taken."""
        return tuple(ring for ring in self.emits if ring != TICK)

    @property
    def tick_steps(self) -> int:
        """How many steps a tick makes."""
        return len(self.instruments) if self.quotes else 1


def load_object(path: str) -> Any:
    """Return the object that ``package.module:name`` names."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)
