"""What the account and its limits are like right now, for commands outside the stage."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np

from pipeline.instruments import money_to_text
from pipeline.money import BASIS_POINTS
from pipeline.records import Array
from pipeline.rules import RULES
from pipeline.vocabulary import Denial
from workers.native import layouts
from workers.risk.portfolio import breaches, reset, value_units
from workers.risk.settings import RiskLimits, RiskOpening

_OPEN = {
    Denial.DAILY: ("since 00:00 UTC", "day_open_e8", "daily_e8"),
    Denial.WEEKLY: ("since Monday", "week_open_e8", "weekly_e8"),
    Denial.MONTHLY: ("since the first of the month", "month_open_e8", "monthly_e8"),
}


def limits_in_force(config: Mapping[str, Any], cells: Array) -> RiskLimits:
    """Return those of a resolved configuration, with what the cells `limits` say was changed."""
    changed = np.flatnonzero(cells["changed"])
    return RiskLimits.of(config).changed({int(i): int(cells["value"][i]) for i in changed})


def standing(account: np.void, limits: RiskLimits, currency: str) -> list[str]:
    """Return a line for each limit of loss that is reached, with the figures."""
    lines = []
    for code in breaches(account, limits.settings):
        key = f"risk.{RULES[code].key}"
        if code is Denial.DRAWDOWN:
            settings = limits.settings
            kills = fall_bp(account) >= settings.drawdown_bp
            bound = settings.drawdown_bp if kills else settings.reduce_bp
            key = key if kills else "risk.reduce_bp"
            lines.append(
                f"{code.name}: a unit is worth {unit_text(int(account['nav_e12']))}, "
                f"{fall_bp(account)} bp below its high-water mark "
                f"{unit_text(int(account['high_water_e12']))}; the limit is {bound} bp ({key})"
            )
            continue
        since, opened, limit = _OPEN[code]
        result = int(account["equity_e8"]) - int(account[opened])
        bound = getattr(limits.settings, limit)
        lines.append(
            f"{code.name}: {money_to_text(result)} {currency} {since}; "
            f"the limit is {money_to_text(bound)} ({key})"
        )
    return lines


def repeating(signals: Array, limits: RiskLimits) -> list[tuple[int, int, int, int]]:
    """Return what 605 refuses until it is begun anew, from the cells `signals`.

    Returns:
        Strategy, instrument, side and number of the orders in a row of each.
    """
    most, count = limits.settings.repeated, len(limits.instruments)
    return [
        (*divmod(int(i), count), int(signals["side"][i]), int(signals["count"][i]))
        for i in np.flatnonzero(signals["count"] >= most)
        if most != 0
    ]


def fall_bp(account: np.void) -> int:
    """Return how far a unit is below its high-water mark, in basis points, rounded down."""
    high = int(account["high_water_e12"])
    return (high - int(account["nav_e12"])) * BASIS_POINTS // high if high else 0


def unit_text(e12: int) -> str:
    """Return what a unit is worth, to 6 places."""
    return str((Decimal(e12) / 10**12).quantize(Decimal("0.000001")))


def cell_of(figures: Mapping[str, int]) -> np.void:
    """Return an account that is kept (`pipeline.account`) as a run begins with it."""
    account: np.void = np.zeros(1, layouts["RiskAccount"])[0]
    for field in RiskOpening._fields:
        account[field] = figures[field]
    account["cash_e8"] = figures["equity_e8"]
    value_units(account)
    return account


def reset_kept(
    figures: Mapping[str, int], config: Mapping[str, Any], *, rebase: bool
) -> tuple[dict[str, int], list[str]]:
    """Return a kept account after an operator's reset, and what stands against it.

    If anything does, the account is as it was.
    """
    account, limits = cell_of(figures), RiskLimits.of(config)
    why = [] if rebase else standing(account, limits, config["currency"])
    if not why:
        reset(account, limits.settings, rebase=rebase)
    return {**figures, **{field: int(account[field]) for field in RiskOpening._fields}}, why
