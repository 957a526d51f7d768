"""The figures that stand beside a notice: how the account is at that moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline import topology
from pipeline.instruments import money_to_text
from pipeline.kill.positions import held
from pipeline.kill.words import mode
from pipeline.supervisor.account import account
from shm import Segment


def figures_of(segment: Segment, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return them as JSON data; money and quantities are exact text, `held` is signed."""
    books = account(segment, {"risk": topology.stage("risk", config)})
    return {
        "mode": max(mode(segment), books.mode).label,
        "currency": config["currency"],
        "equity": money_to_text(books.equity_e8),
        "day_result": money_to_text(books.results_e8["day"]),
        "drawdown_bp": books.drawdown_e6 / 100,
        "held": held(segment, config),
    }
