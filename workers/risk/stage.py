"""The risk stage: intents in, orders out, and the account's books."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from pipeline.admission import BreakerMasks
from pipeline.stage import TICK, Stage
from workers import native
from workers.native import layouts
from workers.risk.settings import RiskSettings


class Risk(Stage):
    """Decides about each intent, books each execution, and closes all positions if told to.

    Executions come first: an intent is judged by an account that is as new as it can be. What was
    decided is told by outcomes, before the order that follows from it can have one itself.
    """

    name = "risk"
    emits: ClassVar[Mapping[str, Mapping[str, int]]] = {
        "executions": {"outcomes": 1},
        "intents": {"orders": 1, "outcomes": 1},
        "correlations": {},
        TICK: {"orders": 1},
    }
    quotes = True

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        self.settings = RiskSettings.of(config)
        self.masks = BreakerMasks.of(config)

    def cells(self) -> dict[str, tuple[np.dtype[Any], int]]:
        """Return the state: the account, each instrument's position, each open order.

        Reducing orders may pass the limit of open orders; there is room for one an instrument more.
        """
        count = len(self.instruments)
        return {
            "account": (layouts["RiskAccount"], 1),
            "instruments": (layouts["RiskInstrument"], count),
            "orders": (layouts["RiskOrder"], self.settings.open_orders + count),
        }

    def kernel(self) -> object:
        """Return the native kernel; reference.py says what it does."""
        return native.risk(
            **self.settings._asdict(), **self.masks._asdict(), instruments=self.instruments
        )
