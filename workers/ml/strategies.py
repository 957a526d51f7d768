"""What decides when to trade: a strategy scores rows of features, the ml stage does the rest.

A strategy is a class with a `STATE` and an `on_features`. It is named in the configuration, by
`ml.strategy`: "blend" or "moving-average" are built in; one of yours is "path/to/file.py:Class",
"package.module:Class" or the name of an entry point of the group `bot4.strategies`. README.md says
more, and example.py is one.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import math
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Final, Protocol, cast

import numpy as np

from pipeline.stage import StageError
from workers.native import layouts
from workers.ta.features import FEATURE_NAMES

BLEND = "blend"
MOVING_AVERAGE = "moving-average"

ENTRY_POINTS = "bot4.strategies"
"""The group of a package's entry points that are strategies."""

_FORMS = (
    f'"{BLEND}", "{MOVING_AVERAGE}", "path/to/file.py:Class", "package.module:Class" or the name '
    f"of an entry point of {ENTRY_POINTS}: see `bot4 strategies`"
)


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
                name: value
                for place, (name, value) in enumerate(
                    zip(FEATURE_NAMES, record["value"].tolist(), strict=False)
                )
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


class Blend:
    """With the trend where there is one, against the swing where there is none.

    ```
    trend     1/2 clamp(distance to the slow EMA / 2 ATR) + 1/2 clamp(MACD histogram / 0.25 ATR)
    swing     1/2 clamp((RSI - 50) / 20) + 1/2 clamp(place in the Bollinger bands)
    strength  clamp((ADX - 15) / 15) from 0 to 1: of the trend (Wilder: none below 20, one from 25)
    score     strength * trend - (1 - strength) * swing
    ```

    All are clamped to -1 .. 1, so the score has the meaning of 2 p - 1: 1 a rise for certain, 0
    neither. The divisors are where an indicator is called extreme. The native one is
    `native/blend.hpp`; this is what it does.
    """

    STATE: ClassVar[np.dtype[Any]] = np.dtype([])

    def on_features(self, row: Row, state: np.void) -> float | None:
        """Return a score wherever all that it takes is valid."""
        try:
            distance = row.features["ema_slow_distance"]
            histogram = row.features["macd_histogram_scaled"]
            rsi = row.features["rsi_balance"]
            bands = row.features["bollinger_position"]
            adx = row.features["adx_share"]
        except KeyError:
            return None
        trend = 0.5 * _clamp(distance / 2.0, -1.0) + 0.5 * _clamp(histogram / 0.25, -1.0)
        swing = 0.5 * _clamp(rsi / 0.4, -1.0) + 0.5 * _clamp(bands, -1.0)
        strength = _clamp((adx - 0.15) / 0.15, 0.0)
        return strength * trend - (1.0 - strength) * swing


def _clamp(value: float, least: float) -> float:
    return max(least, min(1.0, value))


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
    if name in _BUILT_IN:
        return _BUILT_IN[name]()
    was = f"ml.strategy was {name!r}"
    if ":" not in name:
        return _made(was, "its entry point is no class", _entry_point(was, name))
    module_name, _, class_name = name.rpartition(":")
    if not (module_name and class_name):
        raise StrategyError(f"{was}, must be {_FORMS}")
    is_file = module_name.endswith(".py")
    module = _file(was, Path(module_name)) if is_file else _module(was, module_name)
    lack = f"{Path(module_name).name if is_file else module_name} has no class {class_name}"
    return _made(was, lack, getattr(module, class_name, None))


def available() -> Iterator[tuple[str, str, str]]:
    """Yield the name of each strategy that has one, its class, and what it says of itself."""
    classes = {name: f"{kind.__module__}:{kind.__name__}" for name, kind in _BUILT_IN.items()}
    found = importlib.metadata.entry_points(group=ENTRY_POINTS)
    for name, value in [*classes.items(), *sorted((each.name, each.value) for each in found)]:
        try:
            made = load(name)
        except StrategyError as error:
            yield name, value, str(error)
        else:
            yield name, value, (made.__doc__ or "").strip().partition("\n")[0]


def path_of(name: str) -> Path | None:
    """Return the file that a strategy is in, if it is named by one."""
    file, colon, _ = name.rpartition(":")
    return Path(file) if colon and file.endswith(".py") else None


def _entry_point(was: str, name: str) -> object:
    found = list(importlib.metadata.entry_points(group=ENTRY_POINTS, name=name))
    if not found:
        raise StrategyError(f"{was}, must be {_FORMS}")
    if len(found) > 1:
        values = ", ".join(sorted(each.value for each in found))
        raise StrategyError(f"{was}, which several packages have: {values}; name the class itself")
    try:
        return found[0].load()
    except (Exception, SystemExit) as error:
        raise StrategyError(
            f"{was}, but {found[0].value} cannot be loaded: {type(error).__name__}: {error}"
        ) from error


def _file(was: str, path: Path) -> ModuleType:
    """Return the module in a file, which can be anywhere."""
    if not path.is_file():
        raise StrategyError(f"{was}, but there is no file {path.absolute()}; name one")
    # By its path: two files of the same name are two modules.
    digest = hashlib.sha256(str(path.absolute()).encode()).hexdigest()
    name = f"bot4_strategy_{path.stem}_{digest[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and typing look a class's module up there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise StrategyError(
            f"{was}, but the file cannot be run: {type(error).__name__}: {error}"
        ) from error
    return module


def _module(was: str, module_name: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise StrategyError(
                f"{was}, but its module needs {error.name}, which is missing; install it"
            ) from error
        raise StrategyError(
            f"{was}, but there is no module {error.name}; install it, or put its folder on "
            "PYTHONPATH"
        ) from error
    except (Exception, SystemExit) as error:
        raise StrategyError(
            f"{was}, but its module cannot be imported: {type(error).__name__}: {error}"
        ) from error


def _made(was: str, lack: str, kind: object) -> Strategy:
    """Return a strategy of a class, if it is one; `lack` says that it is none."""
    if not isinstance(kind, type):
        raise StrategyError(f"{was}, but {lack}; name one that it has")
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


_BUILT_IN: Final[Mapping[str, type[Blend] | type[MovingAverage]]] = {
    BLEND: Blend,
    MOVING_AVERAGE: MovingAverage,
}


def _check_state(was: str, kind: type) -> None:
    state = getattr(kind, "STATE", None)
    if not isinstance(state, np.dtype) or state.names is None or state.hasobject:
        raise StrategyError(
            f"{was}, but its STATE was {state!r}, must be a structured numpy dtype of plain "
            'values; write for example STATE = np.dtype([("seen", "<i8")])'
        )


def asked_score(name: str, strategy: Strategy, row: Row, state: np.void) -> float | None:
    """Return a strategy's score of a row, None where it has no signal.

    Raises:
        StrategyError: it failed, where that was, or what it returned is no score.
    """
    try:
        score = strategy.on_features(row, state)
    except (Exception, SystemExit) as error:
        # Of what the error has come through the last line of the strategy's own file tells most.
        file = sys.modules[type(strategy).__module__].__file__
        frames = [
            each for each in traceback.extract_tb(error.__traceback__) if each.filename == file
        ]
        where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
        raise StrategyError(
            f"ml.strategy {name!r} failed at bar {row.bar} of instrument {row.instrument}: "
            f"{type(error).__name__}: {error}{where}; correct its on_features"
        ) from error
    return None if score is None else checked_score(name, row, score)


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
