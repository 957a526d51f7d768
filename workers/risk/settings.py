"""The limits that risk decides by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pipeline.instruments import to_e8

_NS_PER_MS = 1_000_000


class RiskSettings(NamedTuple):
    """Limits in integers; the fields of `native/state.hpp`.

    Attributes:
        equity_e8: Opening equity.
        position_bp: Most that a position may be worth, of equity; that much passes.
        stale_ns: Oldest word from a link; that old passes.
        stop_distance_bp: Farthest stop, of the reference price; that far passes.
        drawdown_bp: Fall from the high-water mark, of that mark; that much is refused.
        open_orders: Most orders under way; reducing ones do not count against it.
    """

    equity_e8: int
    position_bp: int
    stale_ns: int
    stop_distance_bp: int
    drawdown_bp: int
    open_orders: int

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> RiskSettings:
        """Return those of a resolved configuration."""
        risk = config["risk"]
        return cls(
            equity_e8=to_e8(config["equity"]),
            position_bp=risk["position_bp"],
            stale_ns=risk["stale_ms"] * _NS_PER_MS,
            stop_distance_bp=risk["stop_distance_bp"],
            drawdown_bp=risk["drawdown_bp"],
            open_orders=risk["open_orders"],
        )
