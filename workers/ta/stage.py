"""The ta stage: market records in, rows of features out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from pipeline.stage import TICK, Stage, StageError
from workers import native
from workers.native import layouts

WINDOWS = ("fast", "slow", "rsi", "atr")


class TechnicalAnalysis(Stage):
    """Builds bars of `ta.trades_per_bar` trades; each that closes becomes a row of features."""

    name = "ta"
    emits: ClassVar = {"market": {"features": 1}, TICK: {}}

    def __init__(self, config: Mapping[str, Any]) -> None:
        """See Stage.

        Raises:
            ValueError: a window is longer than the closes that the state keeps.
        """
        super().__init__(config)
        self.settings: Mapping[str, int] = config["ta"]
        longest = layouts["TaState"]["closes"].shape[0]
        for window in WINDOWS:
            if not 1 <= self.settings[window] <= longest:
                raise StageError(
                    f"ta.{window} was {self.settings[window]}, must be in 1 .. {longest}, the "
                    "closes that are kept; choose a shorter window, or a larger ta.trades_per_bar"
                )

    def cells(self) -> dict[str, tuple[np.dtype[Any], int]]:
        """Return the state: bar, quote and indicators of each instrument."""
        return {"instruments": (layouts["TaState"], len(self.instruments))}

    def kernel(self) -> object:
        """Return the native kernel; reference.py says what it does."""
        return native.technical_analysis(
            trades_per_bar=self.settings["trades_per_bar"],
            **{window: self.settings[window] for window in WINDOWS},
            instruments=self.instruments,
        )
