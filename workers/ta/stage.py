"""The ta stage: market records in, rows of features and of correlations out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from pipeline.stage import TICK, Stage, StageError
from workers import native
from workers.native import layouts
from workers.ta.correlation import MOST_INSTRUMENTS
from workers.ta.features import WINDOWS


class TechnicalAnalysis(Stage):
    """Builds bars as `[ta]` says; each that closes becomes a row of features.

    At whole intervals the returns of all instruments become a sample of their correlations, whose
    rows are published one a step: to risk, and the same to ml.

    The cells of what each record changes, the bar that is being built, are apart from those of what
    a closed bar changes: a cell is copied before it is changed, and the latter are fifty times as
    large.
    """

    name = "ta"
    emits: ClassVar = {
        "market": {"features": 1, "correlations": 1, "clusters": 1},
        TICK: {},
    }

    def __init__(self, config: Mapping[str, Any]) -> None:
        """See Stage.

        Raises:
            StageError: a window is longer than what the state keeps.
        """
        super().__init__(config)
        self.settings: Mapping[str, Any] = config["ta"]
        if len(self.instruments) > MOST_INSTRUMENTS:
            raise StageError(
                f"instruments were {len(self.instruments)}, must be at most {MOST_INSTRUMENTS}, "
                "whose correlations are kept; trade fewer of them"
            )
        for name, longest in WINDOWS.items():
            if not 1 <= self.settings[name] <= longest:
                raise StageError(
                    f"ta.{name} was {self.settings[name]}, must be in 1 .. {longest}; choose a "
                    "shorter window, or longer bars"
                )

    def cells(self) -> dict[str, tuple[np.dtype[Any], int]]:
        """Return the state: of each instrument, and of the correlations of all."""
        count = len(self.instruments)
        words = native.Correlation(count).size // 8
        return {
            "bars": (layouts["BarState"], count),
            "indicators": (layouts["IndicatorState"], count),
            "clock": (layouts["SampleClock"], 1),
            "samples": (layouts["SampleState"], count),
            "correlation": (np.dtype([("words", "<u8", (words,))]), 1),
        }

    def kernel(self) -> object:
        """Return the native kernel; `reference` says what it does."""
        return native.technical_analysis(self.settings, len(self.instruments))
