"""Booking executions, in slow, obvious Python.

What was filled is money and a position, what is left of its order stays reserved, and a round trip
that ends counts for the protections.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.money import checked
from pipeline.records import OUTCOME
from pipeline.vocabulary import Denial, ExecutionKind, Mode, OutcomeKind, Side
from workers.risk.book import book_fill, is_jump
from workers.risk.currency import worth_e8
from workers.risk.ledger import Emit, Ledger, answer
from workers.risk.portfolio import begin_periods, judge, raise_mode
from workers.risk.pricing import is_valid
from workers.risk.reservations import FILLS, expose, release
from workers.risk.verdict import mask_of

_OUTCOMES = {
    ExecutionKind.FILL: OutcomeKind.FILL,
    ExecutionKind.STOP: OutcomeKind.STOP,
    ExecutionKind.REJECTED: OutcomeKind.REJECTED,
    ExecutionKind.EXPIRED: OutcomeKind.EXPIRED,
}


def book(
    ledger: Ledger, context: np.void, execution: np.void, account: np.void, state: Any, emit: Emit
) -> None:
    """Book an execution, and tell what became of its order.

    Raises:
        IndexError: it is of an instrument that is not configured.
        ValueError: it cannot be booked: its kind, side, quantity or price.
        OverflowError: a balance does not fit int64.
        RuntimeError: money was not conserved.
    """
    _check(ledger, execution)
    settings = ledger.settings
    index, kind = int(execution["instrument"]), ExecutionKind(int(execution["kind"]))
    now = int(context["now_ns"])
    held = state.edit("instruments", index)
    begin_periods(account, int(execution["venue_ns"]))
    books = ledger.books(index, account, state)
    position, realised = int(held["position"]), int(books["realised_e8"])
    fills = kind in FILLS
    if fills:
        instrument, price = ledger.instruments[index], int(execution["price"])
        lots, fee = int(execution["side"]) * int(execution["quantity"]), int(execution["fee"])
        book_fill(books, held, instrument, lots, price, fee)
        trip = int(held["trip_e8"]) + int(books["realised_e8"]) - realised - fee
        held["trip_e8"] = checked("trip_e8", trip)
        account["fills"] = int(account["fills"]) + 1
        if held["bid"] == 0:
            held["bid"] = held["ask"] = price
        bid, ask = int(held["bid"]), int(held["ask"])
        if is_valid(context, settings.stale_ns) and not is_jump(
            bid, ask, context, settings.jump_bp
        ):
            held["bid"], held["ask"] = context["bid"], context["ask"]
        ledger.revalue_in(index, account, held, state)
        judge(account, settings)
    else:
        account["unfilled"] = int(account["unfilled"]) + 1
    release(ledger, execution, int(execution["leaves"]) if fills else 0, account, state)
    after = int(held["position"])
    if fills and position != 0 and (after == 0 or (after > 0) != (position > 0)):
        _end_trip(ledger, now, index, account, held, state)
    # A target that is hit comes as a stop too.
    is_loss = books["realised_e8"] < realised
    if kind == ExecutionKind.STOP and is_loss and settings.stop_cooldown_ns != 0:
        _cool_down(held, now + settings.stop_cooldown_ns)
    if fills:
        expose(ledger, index, int(held["bid"]), int(held["ask"]), account, state)
    ledger.check_conservation(account, state)

    outcome = answer(OUTCOME, execution)
    for field in ("intent_id", "order_id", "side", "strategy", "quantity", "price", "leaves"):
        outcome[field] = execution[field]
    outcome["kind"] = _OUTCOMES[kind]
    outcome["code"] = execution["reason"]
    outcome["failed"] = mask_of([int(execution["reason"])])
    outcome["position"] = held["position"]
    emit("outcomes", outcome)


def _check(ledger: Ledger, execution: np.void) -> None:
    """Refuse what cannot be booked. Whose order it was does not matter: money is booked."""
    which = f"execution {execution['sequence']}"
    if execution["instrument"] >= len(ledger.instruments):
        raise IndexError(
            f"{which}: instrument was {execution['instrument']}, "
            f"must be below {len(ledger.instruments)}"
        )
    rules = [("kind", int(execution["kind"]) in list(ExecutionKind), "in 1 .. 4")]
    if execution["kind"] in FILLS:
        rules += [
            ("side", int(execution["side"]) in (Side.BUY, Side.SELL), "1 or -1"),
            ("quantity", int(execution["quantity"]) > 0, "> 0"),
            ("price", int(execution["price"]) > 0, "> 0"),
        ]
    for field, holds, rule in rules:
        if not holds:
            raise ValueError(f"{which}: {field} was {execution[field]}, must be {rule}")


def _end_trip(
    ledger: Ledger, now: int, index: int, account: np.void, held: np.void, state: Any
) -> None:
    """Count what a position earned, with its fees, for the protections; it has come to an end.

    Orders that are still under way are entries into the next one.
    """
    settings, trip = ledger.settings, int(held["trip_e8"])
    account["losses"] = int(account["losses"]) + 1 if trip < 0 else 0
    if settings.losses != 0 and account["losses"] >= settings.losses:
        if account["mode"] < Mode.PAUSED:
            account["resumed"] = 0
        account["paused_until_ns"] = now + settings.losses_ns
        raise_mode(account, Mode.PAUSED, Denial.CONSEC_LOSSES)
    held["trips"] = int(held["trips"]) + 1
    held["trips_e8"] = checked("trips_e8", int(held["trips_e8"]) + trip)
    held["trip_e8"] = 0
    if settings.low_profit_trips != 0 and held["trips"] >= settings.low_profit_trips:
        currency, earned = ledger.currency(index, state), int(held["trips_e8"])
        if currency is not None:
            earned = worth_e8(earned, currency)
        if earned < settings.low_profit_e8:
            _cool_down(held, now + settings.low_profit_ns)
        held["trips"] = held["trips_e8"] = 0
    entries = int(held["position"] != 0)
    for order_id in held["orders"][: int(held["under_way"])]:
        order = state.edit("orders", int(order_id) % ledger.cells["orders"])
        order["filled"] = 0
        entries += int(order["enters"])
    held["entries"] = entries


def _cool_down(held: np.void, until: int) -> None:
    held["cooldown_until_ns"] = max(int(held["cooldown_until_ns"]), until)
