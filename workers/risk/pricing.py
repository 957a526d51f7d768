"""Whether a quote may be relied on, and what is worth what by it, in slow, obvious Python.

An order costs at most so much, and a position may come to be worth so much.
"""

from __future__ import annotations

import numpy as np

from pipeline.instruments import Instrument
from pipeline.money import BASIS_POINTS, INT64_MAX, ceil_div, fee_e8, notional_e8
from workers.risk.currency import measured_e8


def is_fresh(context: np.void, stale_ns: int) -> bool:
    """Whether the feed stands by it, and word came over its link recently: quiet is not stale."""
    age = int(context["now_ns"]) - int(context["link_ns"])
    return bool(context["received_ns"] != 0 and context["stale"] == 0) and age <= stale_ns


def is_crossed(context: np.void) -> bool:
    """Whether the quote has no two sides with a price between them."""
    bid, ask = int(context["bid"]), int(context["ask"])
    return bid <= 0 or ask <= 0 or bid >= ask


def is_valid(context: np.void, stale_ns: int) -> bool:
    """Whether a step's quote is one to go by."""
    return is_fresh(context, stale_ns) and not is_crossed(context)


def collar(reference: int, side: int, collar_bp: int) -> int:
    """Return the worst price of a market order, rounded towards the reference."""
    price = reference * (BASIS_POINTS + side * collar_bp)
    return min(price // BASIS_POINTS, INT64_MAX) if side > 0 else ceil_div(price, BASIS_POINTS)


def cost_e8(limit: int, quantity: int, instrument: Instrument) -> int:
    """Return what a buy costs at most: at its limit, with the fee."""
    cost = notional_e8(limit, quantity, instrument)
    return cost + max(0, fee_e8(cost, instrument.taker_fee_e8))


def worst_case(
    position: int,
    buys: int,
    sells: int,
    bid: int,
    ask: int,
    instrument: Instrument,
    currency: np.void | None,
) -> tuple[int, int]:
    """Return the worth of a position on each side, if all open orders of that side filled."""
    return (
        measured_e8(notional_e8(ask, max(0, position + buys), instrument), currency),
        measured_e8(notional_e8(bid, max(0, sells - position), instrument), currency),
    )


def sides_of(held: np.void, buys: bool, reference: int) -> tuple[int, int]:
    """Return the bid and the ask by which an order's worst case is valued.

    That of its own side is the one it is judged by; of the other nothing new is believed.
    """
    bid, ask = int(held["worst_bid"]), int(held["worst_ask"])
    return (bid or reference, reference) if buys else (reference, ask or reference)
