"""The risk stage: intents in, orders out, and the account's books."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from pipeline.admission import BreakerMasks
from pipeline.stage import TICK, Stage
from workers import native
from workers.native import layouts
from workers.risk import reference
from workers.risk.currency import Currencies
from workers.risk.settings import RiskLimits, RiskOpening
from workers.ta.kept import row_dtype

DECISIONS = 4096
"""How many of the last ones are remembered."""


class Risk(Stage):
    """Decides about each intent, books each execution, and closes all positions if told to.

    Executions come first: an intent is judged by an account that is as new as it can be. What was
    decided is told by outcomes, before the order that follows from it can have one itself.
    """

    name = "risk"
    emits: ClassVar[Mapping[str, Mapping[str, int]]] = {
        "executions": {"outcomes": 1},
        # Before the intents, or a run of them would keep an operator waiting.
        "control": {},
        "intents": {"orders": 1, "outcomes": 1},
        "correlations": {},
        TICK: {"orders": 1},
    }
    quotes = True

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        self.opening = RiskOpening.of(config)
        self.currencies = Currencies.of(config)
        self.limits = RiskLimits.of(config)
        self.masks = BreakerMasks.of(config)

    def cells(self) -> dict[str, tuple[np.dtype[Any], int]]:
        """Return the state; `native/state.hpp` explains it.

        Reducing orders may pass the limit of open orders; there is room for one an instrument more.
        A group has at least one cell: without another currency it is unused.
        """
        count = len(self.instruments)
        words = -(-count // 64)
        bits = np.dtype([("long", "<u8", (words,)), ("short", "<u8", (words,))])
        return {
            "account": (layouts["RiskAccount"], 1),
            "instruments": (layouts["RiskInstrument"], count),
            "orders": (layouts["RiskOrder"], self.limits.settings.open_orders + count),
            "venues": (layouts["RiskPart"], self.limits.venues),
            "classes": (layouts["RiskPart"], self.limits.asset_classes),
            "strategies": (layouts["RiskStrategy"], len(self.limits.strategies)),
            "signals": (layouts["RiskSignal"], len(self.limits.strategies) * count),
            "recent": (layouts["RiskRecent"], count),
            "spreads": (layouts["RiskSpreads"], count),
            "open": (bits, 1),
            "correlations": (row_dtype(count), count),
            "decisions": (layouts["RiskDecision"], DECISIONS),
            "codes": (layouts["RiskCodes"], 1),
            "limits": (layouts["RiskLimit"], len(self.limits.flat())),
            "currencies": (layouts["RiskCurrency"], max(1, len(self.currencies.names))),
        }

    def kernel(self) -> object:
        """Return the native kernel; reference.py says what it does."""
        return native.risk(
            opening=self.opening,
            currencies=self.currencies,
            settings=self.limits.settings,
            instrument_limits=self.limits.instruments,
            strategy_limits=self.limits.strategies,
            **self.masks._asdict(),
            instruments=self.instruments,
        )

    def reference(self) -> reference.Risk:
        """Return the same in slow, obvious Python."""
        counts = {group: count for group, (_, count) in self.cells().items()}
        return reference.Risk(
            self.opening, self.currencies, self.limits, self.masks, self.instruments, counts
        )
