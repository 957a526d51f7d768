"""The ml stage: rows of features and of correlations and outcomes in, intents out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np

from pipeline.stage import TICK, Stage
from pipeline.topology import asks
from pipeline.vocabulary import BOOKS
from workers import native
from workers.ml import reference
from workers.ml.models import Model
from workers.ml.running import checked_model, until_ns
from workers.ml.settings import EntryCaps, MlSettings
from workers.ml.strategies import BLEND, MOVING_AVERAGE, load
from workers.native import layouts
from workers.ta.kept import row_dtype

WORD = 8

NATIVE: Final = {BLEND: native.blend, MOVING_AVERAGE: native.moving_average}


class Strategies(Stage):
    """Asks strategy and model for a score at each row of features, and makes an intent of a signal.

    Outcomes come first: what is held and pending is as new as it can be when a row is looked at.
    They are answered with nothing, or risk and ml could wait for each other for ever.
    """

    name = "ml"
    emits: ClassVar = {"outcomes": {}, "features": {"intents": 1}, "clusters": {}, TICK: {}}
    timed = True

    def __init__(self, config: Mapping[str, Any]) -> None:
        """See Stage.

        Raises:
            StrategyError: `ml.strategy` names none, or one that lacks what a strategy has.
        """
        super().__init__(config)
        self.strategy_name: str = config["ml"]["strategy"]
        self.strategy = load(self.strategy_name)

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Strategies:
        """Return the stage, which asks another process if the model is not evaluated natively."""
        if asks(config):
            from workers.ml.asking import AskingStrategies  # which needs this module

            return AskingStrategies(config)
        return cls(config)

    def cells(self) -> dict[str, tuple[np.dtype[Any], int]]:
        """Return the state: of instruments, the stage, the books, strategy and correlations."""
        count = len(self.instruments)
        return {
            "instruments": (layouts["MlState"], count),
            "stage": (layouts["MlStage"], 1),
            "books": (layouts["MlBook"], count * len(BOOKS)),
            "strategy": (_in_whole_words(self.strategy.STATE), count),
            "correlations": (row_dtype(count), count),
        }

    def check(self) -> None:
        """Refuse a model that cannot be used, before anything is started.

        Raises:
            ModelError: it is missing, damaged, of undated data, or made for other features.
        """
        self.model()

    def model(self) -> Model | None:
        """Return the model that `ml.model` names, None if there is none.

        Raises:
            ModelError: as `check`.
        """
        return checked_model(self.config)

    def kernel(self) -> object:
        """Return the native kernel for a strategy that is built in, else that of reference.py.

        Raises:
            ModelError: as `check`.
        """
        if self.strategy_name not in NATIVE:
            return self.reference()
        model = self.model()
        settings = self._settings(model)
        own = None if model is None else model.native
        return NATIVE[self.strategy_name](settings, self._caps(), own, self.instruments)

    def reference(self) -> reference.MachineLearning:
        """Return the kernel in Python, for whichever strategy.

        Raises:
            ModelError: as `check`.
        """
        model = self.model()
        settings = self._settings(model)
        return reference.MachineLearning(
            settings, self._caps(), self.instruments, self.strategy, model, self.strategy_name
        )

    def _caps(self) -> list[EntryCaps]:
        return EntryCaps.of(self.config)

    def _settings(self, model: Model | None) -> MlSettings:
        manifest = None if model is None else model.manifest
        return MlSettings.of(self.config, until_ns(self.config, manifest))


def _in_whole_words(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the same fields in a record whose size is a multiple of 8, as cells want it."""
    assert dtype.names is not None and dtype.fields is not None
    fields = [dtype.fields[name] for name in dtype.names]
    return np.dtype(
        {
            "names": list(dtype.names),
            "formats": [field[0] for field in fields],
            "offsets": [field[1] for field in fields],
            "itemsize": max(WORD, -(-dtype.itemsize // WORD) * WORD),
        }
    )
