"""What decides when to trade: a strategy scores rows of features, the ml stage does the rest.

A strategy is a class with a `STATE` and an `on_features`. It is named in the configuration:
`ml.strategy = "moving-average"` for the one that is built in, `"package.module:Class"` for one of
yours. README.md has an example.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, cast

import numpy as np

from pipeline.stage import StageError
from workers.native import layouts
from workers.ta.features import FEATURE_NAMES

MOVING_AVERAGE = "moving-average"


class StrategyError(StageError):
    """The strategy named by `ml.strategy` cannot be loaded, or did what a strategy may not."""


@dataclass(frozen=True, slots=True)
class Row:
    """What a strategy sees when a bar closes.

    Attributes:
        instrument: Index of the instrument among the configured ones.
        bar: Number of the bar, from 1.
        close: Its last price, in ticks.
        features: Those that are valid, by their names in `workers.ta.features.FEATURE_NAMES`.
    """

    instrument: int
    bar: int
    close: int
    features: Mapping[str, float]

    @classmethod
    def of(cls, record: np.void) -> Row:
        """Return a record of the features ring as a row."""
        valid = int(record["valid"])
        return cls(
            instrument=int(record["instrument"]),
            bar=int(record["bar"]),
            close=int(record["close"]),
            features={
                name: float(record["value"][place])
                for place, name in enumerate(FEATURE_NAMES)
                if valid >> place & 1
            },
        )


class Strategy(Protocol):
    """A function of features and of what it remembers; it reads nothing else, not even a clock."""

    STATE: ClassVar[np.dtype[Any]]
    """What it remembers of an instrument: a structured dtype. It begins as zeros."""

    def on_features(self, row: Row, state: np.void) -> float | None:
        """Return a score where there is a signal: above 0 to be long, below 0 to be flat.

        Args:
            row: The features of the bar that has just closed.
            state: A record of dtype STATE, that of the row's instrument; may be changed.

        Returns:
            -1 .. 1, or None where there is no signal.
        """
        ...


class MovingAverage:
    """Long from where the fast mean crosses above the slow one, flat from where it crosses below.

    The native one is `native/moving_average.hpp`; this is what it does.
    """

    STATE: ClassVar[np.dtype[Any]] = layouts["MovingAverageState"]

    def on_features(self, row: Row, state: np.void) -> float | None:
        """Return +1 or -1 where the means have crossed."""
        if not {"sma_fast", "sma_slow", "atr"} <= row.features.keys():
            return None
        fast, slow = row.features["sma_fast"], row.features["sma_slow"]
        if fast == slow:
            return None
        before = int(state["sign"])
        sign = 1 if fast > slow else -1
        state["sign"] = sign
        # The first sign says on which side the means are, not that they have crossed.
        return float(sign) if before == -sign else None


def load(name: str) -> Strategy:
    """Return a new strategy by the name that the configuration gives it.

    Raises:
        StrategyError: there is none of that name, or it lacks what a strategy has.
    """
    if name == MOVING_AVERAGE:
        return MovingAverage()
    was = f"ml.strategy was {name!r}"
    module_name, colon, class_name = name.partition(":")
    if not (module_name and colon and class_name):
        raise StrategyError(f'{was}, must be "{MOVING_AVERAGE}" or "package.module:Class"')
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise StrategyError(
                f"{was}, but its module needs {error.name}, which is missing; install it"
            ) from error
        raise StrategyError(
            f"{was}, but there is no module {error.name}; install it, or put its folder on "
            "PYTHONPATH"
        ) from error
    except Exception as error:
        raise StrategyError(
            f"{was}, but its module cannot be imported: {type(error).__name__}: {error}"
        ) from error
    kind = getattr(module, class_name, None)
    if not isinstance(kind, type):
        raise StrategyError(
            f"{was}, but {module_name} has no class {class_name}; name one that it has"
        )
    _check_state(was, kind)
    if not callable(getattr(kind, "on_features", None)):
        raise StrategyError(
            f"{was}, but it has no method on_features; add on_features(self, row, state)"
        )
    try:
        return cast(Strategy, kind())
    except Exception as error:
        raise StrategyError(
            f"{was}, but it cannot be made without arguments: {type(error).__name__}: {error}"
        ) from error


def _check_state(was: str, kind: type) -> None:
    state = getattr(kind, "STATE", None)
    if not isinstance(state, np.dtype) or state.names is None or state.hasobject:
        raise StrategyError(
            f"{was}, but its STATE was {state!r}, must be a structured numpy dtype of plain "
            'values; write for example STATE = np.dtype([("seen", "<i8")])'
        )


def checked_score(name: str, row: Row, score: object) -> float:
    """Return what `on_features` gave back, if it is a score.

    Raises:
        StrategyError: it is no number in -1 .. 1.
    """
    is_number = isinstance(score, int | float | np.integer | np.floating)
    value = float(cast(float, score)) if is_number else math.nan
    if not -1.0 <= value <= 1.0:
        raise StrategyError(
            f"ml.strategy {name!r} returned {score!r} for bar {row.bar} of instrument "
            f"{row.instrument}, must be in -1 .. 1, or None for no signal; correct its on_features"
        )
    return value
