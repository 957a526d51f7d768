"""The book-keeping of fills and marks, in slow, obvious Python.

Cash is rounded once, when a fill is booked; what a position cost is kept as a total, so nothing is
ever lost to an average, and at all times, exactly,

    cash + cost of all positions == opening + flows + realised - fees, in each currency.
"""

from __future__ import annotations

import numpy as np

from pipeline.instruments import Instrument
from pipeline.money import BASIS_POINTS, amount_e8, checked


def book_fill(
    books: np.void, held: np.void, instrument: Instrument, lots: int, price: int, fee: int
) -> None:
    """Book a signed quantity at a price: what it closes is realised, what it opens is cost.

    The books are those of the instrument's currency: the account or a `RiskCurrency`.

    Raises:
        OverflowError: a balance does not fit int64.
    """
    position, cost = int(held["position"]), int(held["cost_e8"])
    closing = 0
    if position > 0 > lots:
        closing = max(lots, -position)
    elif position < 0 < lots:
        closing = min(lots, -position)
    flow = amount_e8(price, -lots, instrument)  # into cash
    # Of a fill through zero a part: rounded by itself, and what is left of the flow opens.
    closing_flow = amount_e8(price, -closing, instrument)
    released = cost * abs(closing) // abs(position) if closing else 0

    books["cash_e8"] = checked("cash_e8", int(books["cash_e8"]) + flow - fee)
    realised = int(books["realised_e8"]) + closing_flow - released
    books["realised_e8"] = checked("realised_e8", realised)
    books["fees_e8"] = checked("fees_e8", int(books["fees_e8"]) + fee)
    held["cost_e8"] = checked("cost_e8", cost - released - (flow - closing_flow))
    held["position"] = checked("position", position + lots)


def revalue(books: np.void, held: np.void, instrument: Instrument) -> None:
    """Value a position at the side of the quote where it could be closed.

    Raises:
        OverflowError: a value does not fit int64.
    """
    position, before = int(held["position"]), int(held["value_e8"])
    mark = int(held["bid"]) if position > 0 else int(held["ask"]) if position < 0 else 0
    value = checked("value_e8", amount_e8(mark, position, instrument))
    held["mark"] = mark
    held["value_e8"] = value
    books["value_e8"] = checked("value_e8", int(books["value_e8"]) - before + value)


def is_jump(bid: int, ask: int, context: np.void, jump_bp: int) -> bool:
    """Whether a quote is so far from the last one that another has to confirm it; 0 bp: never."""
    before = bid + ask
    moved = abs(int(context["bid"]) + int(context["ask"]) - before)
    return jump_bp != 0 and moved * BASIS_POINTS > before * jump_bp
