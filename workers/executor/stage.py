"""The executor stage on paper: orders and the market in, executions out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from pipeline.admission import BreakerMasks
from pipeline.stage import TICK, Stage
from workers import native
from workers.native import layouts


class PaperExecutor(Stage):
    """Fills orders at the quote, and holds the protective stops of positions.

    The market comes first: an order is matched against all that had happened when it arrived.
    """

    name = "executor"
    emits: ClassVar[Mapping[str, Mapping[str, int]]] = {
        "ticks": {"executions": 1},
        "orders": {"executions": 1},
        TICK: {},
    }
    quotes = False

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        self.masks = BreakerMasks.of(config)

    def cells(self) -> dict[str, tuple[np.dtype[Any], int]]:
        """Return the state: each instrument's quote, position and stop; the last trade's id."""
        return {
            "instruments": (layouts["ExecutorInstrument"], len(self.instruments)),
            "stage": (layouts["ExecutorStage"], 1),
        }

    def kernel(self) -> object:
        """Return the native kernel; reference.py says what it does."""
        return native.paper_executor(
            slippage_bp=self.config["executor"]["slippage_bp"],
            **self.masks._asdict(),
            instruments=self.instruments,
        )
