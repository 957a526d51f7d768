"""Types of the native runtime; `native/loop.hpp` and `native/replay.hpp` say what each does."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

TICK: int
BATCH: int

_Array = np.ndarray[Any, np.dtype[Any]]
_Named = Iterable[tuple[str, np.dtype[Any]]]

def layouts() -> dict[str, Any]: ...

class State:
    """The cells of a stage, during one of its steps."""

    def read(self, group: str, index: int) -> np.void: ...
    def edit(self, group: str, index: int) -> np.void: ...

class Emit:
    """Where a step's outputs go."""

    def __call__(self, ring: str, record: np.void | _Array) -> None: ...

class Loop:
    def __init__(
        self,
        *,
        kernel: object,
        groups: _Named,
        group_cells: Iterable[object],
        cursors: object,
        contexts: object,
        quotes: object | None,
        breakers: object,
        words: object,
        run_words: object,
        tick_ns: int,
        tick_steps: int,
        tick_needs: Sequence[int],
        latency: object,
        through: int,
        end_to_end: int | None,
        step: int | None,
        end_to_end_input: int,
        sabotage: str,
    ) -> None: ...
    def add_input(
        self,
        name: str,
        dtype: np.dtype[Any],
        ring: object,
        bell: object | None,
        needs: Sequence[int],
        hop: int,
    ) -> None: ...
    def add_output(
        self, name: str, dtype: np.dtype[Any], ring: object, bell: object | None
    ) -> None: ...
    def recover(self) -> tuple[int, int]: ...
    def run(self, doorbell: object, strategy: tuple[int, int, int], for_ns: int) -> bool: ...
    def turn(self) -> bool: ...
    @property
    def steps(self) -> int: ...

class Replay:
    def __init__(
        self,
        kernel: object,
        groups: Iterable[tuple[str, np.dtype[Any], int]],
        inputs: _Named,
        outputs: _Named,
    ) -> None: ...
    def run(self, contexts: _Array, inputs: Sequence[_Array], first: Sequence[int]) -> None: ...
    def time(
        self, contexts: _Array, inputs: Sequence[_Array], first: Sequence[int], batch: int
    ) -> list[int]: ...
    def take(self, ring: int) -> bytes: ...
    def state(self, group: int) -> bytes: ...
