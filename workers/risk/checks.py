"""Whether an intent may become an order, in slow, obvious Python.

Every check is evaluated each time, so that the answer names all that is wrong; the code is that of
the first in the order of `pipeline.vocabulary.CHECKS`. A REDUCING order is one against the position
that, with all that is under way on its side, does not go beyond it.

| code | refused when | a reducing order |
|---|---|---|
| 101 BAD_FIELD | quantity <= 0, side not 1 or -1, limit or stop < 0, reduce_only not 0 or 1 | too |
| 102 UNKNOWN_INSTRUMENT | it is not configured | too |
| 201 KILLED | the halt word is set; or mode EMERGENCY, and it is not flagged reduce_only | too |
| 202 MODE_PAUSED | mode PAUSED | never |
| 203 MODE_REDUCE_ONLY | mode REDUCED or EMERGENCY | never |
| 207 REDUCE_ONLY_INCREASES | flagged reduce_only, and not reducing | never |
| 204 BREAKER_OPEN | a breaker does not let it go on | only if it is the venue's, forced open |
| 109 INTENT_EXPIRED | now - created > ttl | too |
| 301 MD_STALE | no quote yet, or now - last word from the link > stale_ms | too |
| 302 MD_CROSSED | a side is missing, or bid >= ask | too |
| 108 NOTIONAL_MIN | quantity at the reference < the venue's minimum | never |
| 701 POSITION_SIZE | abs(W) at the reference > position_bp of equity | never |
| 709 OPEN_ORDERS | open_orders are under way | only if no cell is free |
| 711 BUYING_POWER | a buy: cash - reserved < cost at its limit + taker fee | too |
| 801 STOP_REQUIRED | it has no stop | never |
| 802 STOP_WRONG_SIDE | side * (reference - stop) <= 0 | never |
| 803 STOP_TOO_FAR | side * (reference - stop) > stop_distance_bp of the reference | never |
| 808 DRAWDOWN | the account has ever been drawdown_bp below its high-water mark | never |

`pipeline.admission` says which breakers those are. Reference: ask for a buy, bid for a sell. W: the
position if this order, and all that is under way on its side, fills. Under the halt word not even a
flagged reducing order passes: it says that nothing may be sent any more, and the executor holds to
it as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pipeline.admission import BreakerMasks, admits
from pipeline.instruments import Instrument
from pipeline.mode import refusals
from pipeline.money import BASIS_POINTS, INT64_MAX, ceil_div, fee_e8, notional_e8
from pipeline.vocabulary import CHECKS, Denial, Side
from workers.risk.settings import RiskSettings

COLLAR_BP = 500
"""How far from the reference price a market order may trade."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What an intent is judged by; the instrument and what is held of it are None if unknown."""

    context: np.void
    settings: RiskSettings
    masks: BreakerMasks
    account: np.void
    instrument: Instrument | None
    held: np.void | None
    has_free_cell: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the checks found, and what the order would be.

    Attributes:
        failed: All failing checks.
        limit: Worst price of the order, in ticks.
        cost: Money that a buy needs at most, in 1e-8; 0 for a sell.
    """

    failed: frozenset[Denial]
    limit: int = 0
    cost: int = 0

    @property
    def code(self) -> Denial:
        """The first failing check in the order of evaluation."""
        return next((check for check in CHECKS if check in self.failed), Denial.NONE)

    @property
    def mask(self) -> int:
        """A bit for each failing check."""
        return mask_of(self.failed)


def mask_of(codes: Iterable[int]) -> int:
    """Return the bits of codes; one that is no check has none."""
    return sum(1 << CHECKS.index(Denial(code)) for code in codes if code in CHECKS)


def is_fresh(context: np.void, stale_ns: int) -> bool:
    """Whether the feed stands by it, and word came over its link recently: quiet is not stale."""
    age = int(context["now_ns"]) - int(context["link_ns"])
    return bool(context["received_ns"] != 0 and context["stale"] == 0) and age <= stale_ns


def is_crossed(context: np.void) -> bool:
    """Whether the quote has no two sides with a price between them."""
    bid, ask = int(context["bid"]), int(context["ask"])
    return bid <= 0 or ask <= 0 or bid >= ask


def collar(reference: int, side: int) -> int:
    """Return the worst price of a market order, rounded towards the reference."""
    price = reference * (BASIS_POINTS + side * COLLAR_BP)
    return min(price // BASIS_POINTS, INT64_MAX) if side > 0 else ceil_div(price, BASIS_POINTS)


def cost_e8(limit: int, quantity: int, instrument: Instrument) -> int:
    """Return what a buy costs at most: at its limit, with the fee."""
    cost = notional_e8(limit, quantity, instrument)
    return cost + max(0, fee_e8(cost, instrument.taker_fee_e8))


def evaluate(intent: np.void, facts: Facts) -> Verdict:
    """Evaluate all checks.

    With a bad field or an unknown instrument only what needs neither is checked; without a
    reference price, only what needs none.
    """
    context, settings, account = facts.context, facts.settings, facts.account
    instrument, held = facts.instrument, facts.held
    side, quantity = int(intent["side"]), int(intent["quantity"])
    limit, stop, reduce_only = int(intent["limit"]), int(intent["stop"]), int(intent["reduce_only"])
    is_well_formed = (
        quantity > 0
        and side in (Side.BUY, Side.SELL)
        and limit >= 0
        and stop >= 0
        and reduce_only in (0, 1)
    )
    flagged = reduce_only == 1
    age = int(context["now_ns"]) - int(intent["created_ns"])
    checks = {
        Denial.BAD_FIELD: not is_well_formed,
        Denial.UNKNOWN_INSTRUMENT: instrument is None,
        Denial.INTENT_EXPIRED: age > int(intent["ttl_ns"]),
        **refusals(context, reducing=True, flagged=flagged),
    }
    if not is_well_formed or instrument is None or held is None:
        return Verdict(_failing(checks))

    buys = side == Side.BUY
    position = int(held["position"])
    under_way = int(held["reserved_buy" if buys else "reserved_sell"])
    reducing = position * side < 0 and under_way + quantity <= abs(position)
    worst = position + side * (under_way + quantity)
    reference = int(context["ask" if buys else "bid"])
    if limit == 0 and reference > 0:
        limit = collar(reference, side)

    checks |= refusals(context, reducing=reducing, flagged=flagged)
    checks |= {
        Denial.REDUCE_ONLY_INCREASES: reduce_only == 1 and not reducing,
        Denial.BREAKER_OPEN: not admits(
            context, facts.masks, int(intent["instrument"]), reducing=reducing
        ),
        Denial.MD_STALE: not is_fresh(context, settings.stale_ns),
        Denial.MD_CROSSED: is_crossed(context),
    }
    open_orders = int(account["open_orders"])
    checks[Denial.OPEN_ORDERS] = not facts.has_free_cell or (
        not reducing and open_orders >= settings.open_orders
    )
    cost = 0
    if buys:
        cost = cost_e8(limit, quantity, instrument)
        free = int(account["cash_e8"]) - int(account["reserved_e8"])
        checks[Denial.BUYING_POWER] = free < cost
    if not reducing:
        checks[Denial.STOP_REQUIRED] = stop == 0
        checks[Denial.DRAWDOWN] = account["drawdown"] != 0
    if not reducing and reference > 0:
        exposure = notional_e8(reference, abs(worst), instrument) * BASIS_POINTS
        checks |= {
            Denial.NOTIONAL_MIN: notional_e8(reference, quantity, instrument)
            < instrument.min_notional_e8,
            Denial.POSITION_SIZE: exposure > int(account["equity_e8"]) * settings.position_bp,
        }
        if stop != 0:
            distance = side * (reference - stop)
            farthest = reference * settings.stop_distance_bp
            checks |= {
                Denial.STOP_WRONG_SIDE: distance <= 0,
                Denial.STOP_TOO_FAR: distance * BASIS_POINTS > farthest,
            }
    return Verdict(_failing(checks), limit, cost)


def _failing(checks: dict[Denial, bool]) -> frozenset[Denial]:
    return frozenset(check for check, fails in checks.items() if fails)
