"""The closing of positions on ticks, in slices, in slow, obvious Python.

When all positions are to be closed (`pipeline.mode`), a tick closes its instrument's: at the
collar, reduce only, with intent id 0, as it is nobody's intent. It waits while something is under
way on that side, the quote is not valid, the halt word is set or the venue forced open; what came
to nothing is tried again at the next tick. Money is reserved for a buy, but need not be there: it
must not keep us in. No record led to it, so its `received_ns` is the tick's time.

An order closes a slice: no more than the venue takes, and than the limits of one order allow at its
limit price (403 to 405), but no less than the venue takes. Neither may be less what is left behind
it, so a slice may be smaller for that, or larger if nothing else will do. The next one waits for
its end. A position that is itself less than the venue takes is still tried.

In REDUCED `risk.reduced_bp` of the equity may stay of each position, by the value that the limit of
a position (701) goes by. What is beyond it goes in the same slices, if the venue takes as much.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from pipeline.admission import admits
from pipeline.mode import mode_of
from pipeline.money import BASIS_POINTS, INT64_MAX, ceil_div, checked, notional_e8
from pipeline.records import INTENT
from pipeline.vocabulary import Mode, Side
from workers.risk.currency import measured_e8
from workers.risk.ledger import Emit, Ledger
from workers.risk.pricing import collar, cost_e8
from workers.risk.reservations import expose_order, reserve
from workers.risk.verdict import Verdict


class Bounds(NamedTuple):
    """What an order may be, in lots.

    Attributes:
        step: It is a multiple of it.
        least: The venue takes no less.
        most: Our own limits allow no more, as far as the venue lets them.
        largest: The venue takes no more.
    """

    step: int
    least: int
    most: int
    largest: int


def flatten(ledger: Ledger, context: np.void, account: np.void, state: Any, emit: Emit) -> None:
    """Order the next slice of what is to go of a position, unless it is under way or may not be."""
    index = int(context["instrument"])
    held = state.edit("instruments", index)
    position = int(held["position"])
    side = Side.BUY if position < 0 else Side.SELL
    under_way = held["reserved_buy" if side == Side.BUY else "reserved_sell"]
    if position == 0 or under_way != 0 or context["halted"] != 0:
        return
    if (
        int(account["open_orders"]) >= ledger.cells["orders"]
        or int(held["under_way"]) >= len(held["orders"])
        or not admits(context, ledger.masks, index, reducing=True)
    ):
        return
    lots = checked("quantity", abs(position))
    bid, ask = int(context["bid"]), int(context["ask"])
    limit = collar(ask if side == Side.BUY else bid, side, ledger.settings.collar_bp)
    bounds = _bounds(ledger, index, lots, limit, state)
    going = lots
    if mode_of(int(context["mode"])) is Mode.REDUCED and ledger.settings.reduced_bp != 0:
        reference = bid if side == Side.BUY else ask  # that of an order which would add to it
        going = _excess(ledger, index, lots, reference, bounds, account, state)
    if going == 0:
        return
    intent: np.void = np.zeros(1, INTENT)[0]
    intent["instrument"] = index
    intent["received_ns"] = context["now_ns"]
    intent["side"] = side
    intent["reduce_only"] = 1
    intent["quantity"] = quantity = checked("quantity", _slice(going, bounds))
    verdict = Verdict()
    verdict.reducing = True
    verdict.limit = limit
    if side == Side.BUY:
        verdict.cost = cost_e8(limit, quantity, ledger.instruments[index])
    order = reserve(ledger, intent, verdict, account, held, state)
    expose_order(ledger, intent, context, account, held, state)
    emit("orders", order)


def _slice(lots: int, bounds: Bounds) -> int:
    """Return the next order of those that close so many lots."""
    if lots <= bounds.most:
        return lots
    if lots - bounds.most >= bounds.least:
        return bounds.most
    smaller = _floor_to(lots - bounds.least, bounds.step)
    if smaller >= bounds.least:
        return smaller
    return lots if lots <= bounds.largest else bounds.most


def _excess(
    ledger: Ledger,
    index: int,
    lots: int,
    reference: int,
    bounds: Bounds,
    account: np.void,
    state: Any,
) -> int:
    """Return how much is to go of a position of which a share of the equity may stay.

    Nothing stays that the venue would not take by itself; nor does less go.
    """
    share = int(account["equity_e8"]) * ledger.settings.reduced_bp
    instrument, currency = ledger.instruments[index], ledger.currency(index, state)

    def may_stay(of: int) -> bool:
        value = measured_e8(notional_e8(reference, of, instrument), currency)
        return value * BASIS_POINTS <= share

    staying = _most_lots(lots, may_stay)
    if staying == lots:
        return 0
    going = min(lots, ceil_div(lots - staying, bounds.step) * bounds.step)
    if lots - going < bounds.least:
        going = lots
    return going if going >= bounds.least else 0


def _bounds(ledger: Ledger, index: int, lots: int, limit: int, state: Any) -> Bounds:
    """Return those of orders at a limit that close up to so many lots."""
    instrument, currency = ledger.instruments[index], ledger.currency(index, state)
    limits = ledger.limits.instruments[index]
    step = limits.quantity_step

    def is_too_few(of: int) -> bool:
        return (
            of < limits.min_lots or notional_e8(limit, of, instrument) < instrument.min_notional_e8
        )

    def is_allowed(of: int) -> bool:
        value = measured_e8(notional_e8(limit, of, instrument), currency)
        return limits.order_notional_e8 == 0 or value <= limits.order_notional_e8

    least = (_most_lots(lots, is_too_few) // step + 1) * step
    largest = limits.max_lots or INT64_MAX
    most = min(_most_lots(lots, is_allowed), largest, limits.order_lots or INT64_MAX)
    if limits.adv_lots != 0:
        most = min(most, limits.adv_lots * ledger.settings.adv_bp // BASIS_POINTS)
    return Bounds(step, least, max(_floor_to(most, step), least), largest)


def _most_lots(lots: int, fits: Callable[[int], bool]) -> int:
    """Return the most lots of up to `lots` that fit, or 0. Of what fits, less does too."""
    return bisect_left(range(1, lots + 1), True, key=lambda of: not fits(of))


def _floor_to(lots: int, step: int) -> int:
    return lots // step * step
