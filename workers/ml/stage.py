"""The ml stage: rows of features and outcomes in, intents out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from pipeline.instruments import to_e8
from pipeline.stage import TICK, Stage
from workers import native
from workers.ml import reference
from workers.ml.strategies import MOVING_AVERAGE, load
from workers.native import layouts

WORD = 8


class Strategies(Stage):
    """Asks the strategy for a score at each row of features, and makes an intent of a signal.

    Outcomes come first: what is held and pending is as new as it can be when a row is looked at.
    They are answered with nothing, or risk and ml could wait for each other for ever.
    """

    name = "ml"
    emits: ClassVar = {"outcomes": {}, "features": {"intents": 1}, TICK: {}}

    def __init__(self, config: Mapping[str, Any]) -> None:
        """See Stage.

        Raises:
            StrategyError: `ml.strategy` names none, or one that lacks what a strategy has.
        """
        super().__init__(config)
        self.settings: Mapping[str, Any] = config["ml"]
        self.strategy = load(self.settings["strategy"])

    def cells(self) -> dict[str, tuple[np.dtype[Any], int]]:
        """Return the state: of the instruments, the stage, the strategy in each instrument."""
        count = len(self.instruments)
        return {
            "instruments": (layouts["MlState"], count),
            "stage": (layouts["MlStage"], 1),
            "strategy": (_in_whole_words(self.strategy.STATE), count),
        }

    def kernel(self) -> object:
        """Return the native kernel for "moving-average", that of reference.py for any other."""
        if self.settings["strategy"] != MOVING_AVERAGE:
            return reference.MachineLearning(self.settings, self.instruments, self.strategy)
        return native.moving_average(
            weight_bp=self.settings["weight_bp"],
            threshold_bp=self.settings["threshold_bp"],
            order_notional_e8=to_e8(self.settings["order_notional"]),
            stop_atr_bp=self.settings["stop_atr_bp"],
            ttl_ns=self.settings["ttl_ms"] * 1_000_000,
            instruments=self.instruments,
        )


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
