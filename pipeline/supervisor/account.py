"""What the books of risk say at one moment: the account, how near its limits are, and denials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.instruments import money_to_text
from pipeline.kill.positions import committed_together
from pipeline.records import Array
from pipeline.stage import Stage, load_object
from pipeline.vocabulary import CHECKS, Denial, Mode
from shm import Segment

PERIODS = ("day", "week", "month")
"""Whose results have limits."""

_E6_PER_BP = 100


@dataclass(frozen=True, slots=True)
class Balance:
    """What there is of one currency, in 1e-8 of it.

    Attributes:
        value_e8: Of the positions at their marks.
        worth_e8: Of cash and positions, in 1e-8 of the account's currency.
        is_known: Whether it is known what it is worth; if not it counts as 0.
    """

    cash_e8: int
    value_e8: int
    reserved_e8: int
    worth_e8: int
    is_known: bool


@dataclass(frozen=True, slots=True)
class Account:
    """The account. Money is in 1e-8 of its currency, a limit of 0 is none.

    Attributes:
        mode: Risk's own; that of the run may be higher.
        mode_code: What led there.
        killed: What asked for the kill switch.
        opening_e8: Equity with which the run began; what there was of other currencies by the
            first rates, all else of them by the last.
        unrealised_e8: Of what is held, at its marks.
        drawdown_e6, max_drawdown_e6: Below the high-water mark, now and at most, in 1e-6 of it.
        drawdown_limit_bp: Which kills.
        results_e8: Since the beginning of each of `PERIODS`; below minus the limit it pauses.
        gross_e8: Worst cases of all that is held and under way.
        positions: Instruments in which something is held or under way.
        balances: By currency, if there are several; the account's own first.
        denied: How often each check was the first to fail, the most frequent first.
    """

    mode: Mode
    mode_code: Denial
    killed: Denial
    opening_e8: int
    equity_e8: int
    cash_e8: int
    reserved_e8: int
    fees_e8: int
    realised_e8: int
    unrealised_e8: int
    flows_e8: int
    nav_e12: int
    drawdown_e6: int
    max_drawdown_e6: int
    drawdown_limit_bp: int
    results_e8: Mapping[str, int]
    result_limits_e8: Mapping[str, int]
    gross_e8: int
    gross_limit_e8: int
    open_orders: int
    open_orders_limit: int
    positions: int
    positions_limit: int
    approved: int
    fills: int
    denied: Mapping[Denial, int]
    balances: Mapping[str, Balance]

    @property
    def why(self) -> str:
        """What led to the mode, and what asked for the kill switch; empty if nothing did."""
        named = dict.fromkeys(code for code in (self.mode_code, self.killed) if code)
        return ", ".join(f"{code.value} {code.name}" for code in named)

    def as_json(self, currency: str) -> dict[str, Any]:
        """Return it as JSON data: money as exact text in `currency`, null for a limit that is off.

        Args:
            currency: Of all its money.
        """
        money = {
            "opening": self.opening_e8,
            "equity": self.equity_e8,
            "cash": self.cash_e8,
            "reserved": self.reserved_e8,
            "fees": self.fees_e8,
            "realised": self.realised_e8,
            "unrealised": self.unrealised_e8,
            "flows": self.flows_e8,
            "gross": self.gross_e8,
        }
        return {
            "currency": currency,
            "mode": self.mode.label,
            "mode_code": self.mode_code.name if self.mode_code else None,
            "killed_by": self.killed.name if self.killed else None,
            **{name: money_to_text(amount) for name, amount in money.items()},
            "gross_limit": _limit(self.gross_limit_e8),
            "results": {
                name: {
                    "result": money_to_text(self.results_e8[name]),
                    "loss_limit": _limit(self.result_limits_e8[name]),
                }
                for name in PERIODS
            },
            "nav_per_unit": money_to_text(self.nav_e12 // 10_000),
            "drawdown_bp": self.drawdown_e6 / _E6_PER_BP,
            "max_drawdown_bp": self.max_drawdown_e6 / _E6_PER_BP,
            "drawdown_limit_bp": self.drawdown_limit_bp,
            "open_orders": self.open_orders,
            "open_orders_limit": self.open_orders_limit,
            "positions": self.positions,
            "positions_limit": self.positions_limit or None,
            "denied": {code.name: count for code, count in self.denied.items()},
            "balances": {
                name: {
                    "cash": money_to_text(each.cash_e8),
                    "positions": money_to_text(each.value_e8),
                    "reserved": money_to_text(each.reserved_e8),
                    "worth": money_to_text(each.worth_e8) if each.is_known else None,
                }
                for name, each in self.balances.items()
            },
        }


def _limit(e8: int) -> str | None:
    return money_to_text(e8) if e8 else None


def account(segment: Segment, stages: Mapping[str, Stage]) -> Account:
    """Read the account of a run, all of it as of one step of risk."""
    risk: Any = stages["risk"]
    account, instruments, codes, limits, currencies = committed_together(
        segment, "risk", "account", "instruments", "codes", "limits", "currencies"
    )
    others = _Others(risk, currencies, instruments)
    changed = {int(i): int(limits["value"][i]) for i in np.flatnonzero(limits["changed"])}
    settings = risk.limits.changed(changed).settings
    cell = account[0]
    begun = cell["begun"] != 0
    opening = int(cell["opening_e8"]) + int(cell["joined_e8"])
    opening = opening if begun else risk.opening.equity_e8
    equity = int(cell["equity_e8"]) if begun else opening
    high, nav = int(cell["high_water_e12"]), int(cell["nav_e12"])
    counts = {code: int(count) for code, count in zip(CHECKS, codes[0]["count"], strict=False)}
    frequent = sorted(counts.items(), key=lambda each: -each[1])
    return Account(
        mode=Mode(int(cell["mode"])),
        mode_code=Denial(int(cell["mode_code"])),
        killed=Denial(int(cell["killed"])),
        opening_e8=opening,
        equity_e8=equity,
        cash_e8=int(cell["cash_e8"]) + others.worth("cash_e8") if begun else opening,
        reserved_e8=int(cell["reserved_e8"]) + others.worth("reserved_e8"),
        fees_e8=int(cell["fees_e8"]) + others.worth("fees_e8"),
        realised_e8=int(cell["realised_e8"]) + others.worth("realised_e8"),
        unrealised_e8=int(cell["value_e8"]) - others.cost(0) + others.unrealised(),
        flows_e8=int(cell["flows_e8"]) + others.worth("flows_e8"),
        nav_e12=nav if begun else 10**12,
        drawdown_e6=-(-(high - nav) * 1_000_000 // high) if high > 0 else 0,
        max_drawdown_e6=int(cell["max_drawdown_e6"]),
        drawdown_limit_bp=settings.drawdown_bp,
        results_e8={
            name: equity - int(cell[f"{name}_open_e8"]) if begun else 0 for name in PERIODS
        },
        result_limits_e8=dict(
            zip(
                PERIODS,
                (settings.daily_e8, settings.weekly_e8, settings.monthly_e8),
                strict=True,
            )
        ),
        gross_e8=int(cell["gross_e8"]),
        gross_limit_e8=settings.gross_e8,
        open_orders=int(cell["open_orders"]),
        open_orders_limit=settings.open_orders,
        positions=int(cell["positions"]),
        positions_limit=settings.positions,
        approved=int(cell["approved"]),
        fills=int(cell["fills"]),
        denied={code: count for code, count in frequent if count},
        balances=others.balances(str(risk.config["currency"]), cell) if begun else {},
    )


class _Others:
    """What there is of other currencies, converted."""

    def __init__(self, risk: Any, cells: Array, instruments: Array) -> None:
        self._names: tuple[str, ...] = risk.currencies.names
        self._cells = cells[: len(self._names)]
        self._quoted = np.array(risk.currencies.quoted)
        self._costs = instruments["cost_e8"]
        self._worth: Any = load_object("workers.risk.currency:worth_e8")

    def cost(self, number: int) -> int:
        """Return what was paid for what is held in the currency of a number, in it."""
        return int(self._costs[self._quoted == number].sum())

    def worth(self, field: str) -> int:
        """Return what a field of all of them is worth."""
        return sum(self._worth(int(cell[field]), cell) for cell in self._cells)

    def unrealised(self) -> int:
        """Return what the results in them that are not realised yet are worth."""
        return sum(
            self._worth(int(cell["value_e8"]) - self.cost(number), cell)
            for number, cell in enumerate(self._cells, 1)
        )

    def balances(self, own: str, account: np.void) -> dict[str, Balance]:
        """Return them all, if there are several."""
        if not self._names:
            return {}
        worth_e8 = int(account["cash_e8"]) + int(account["value_e8"])
        return {own: _balance(account, worth_e8, is_known=True)} | {
            name: _balance(cell, int(cell["worth_e8"]), is_known=bool(cell["bid_e8"]))
            for name, cell in zip(self._names, self._cells, strict=True)
        }


def _balance(cell: np.void, worth_e8: int, *, is_known: bool) -> Balance:
    cash_e8, value_e8, reserved_e8 = (
        int(cell[field]) for field in ("cash_e8", "value_e8", "reserved_e8")
    )
    return Balance(cash_e8, value_e8, reserved_e8, worth_e8, is_known)
