"""From intents to orders and from executions to money, in slow, obvious Python.

The documentation of `native/risk.hpp`, and held to the same tests. The checks are in `checks.py`,
the book-keeping in `book.py`; here is what a step does with them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pipeline.admission import BreakerMasks, admits
from pipeline.instruments import Instrument
from pipeline.mode import closes_positions
from pipeline.money import ceil_div, checked
from pipeline.records import INTENT, ORDER, OUTCOME
from pipeline.vocabulary import ExecutionKind, OutcomeKind, Side
from workers.risk.book import book_fill, revalue
from workers.risk.checks import (
    Facts,
    Verdict,
    collar,
    cost_e8,
    evaluate,
    is_crossed,
    is_fresh,
    mask_of,
)
from workers.risk.settings import RiskSettings

Emit = Callable[[str, Any], None]

EXECUTIONS, INTENTS = 0, 1
"""Index of that input ring; the other is that of the intents."""

_OUTCOMES = {
    ExecutionKind.FILL: OutcomeKind.FILL,
    ExecutionKind.STOP: OutcomeKind.STOP,
    ExecutionKind.REJECTED: OutcomeKind.REJECTED,
    ExecutionKind.EXPIRED: OutcomeKind.EXPIRED,
}
_FILLS = (ExecutionKind.FILL, ExecutionKind.STOP)
_HANDED_ON = ("instrument", "venue_ns", "received_ns")


class Risk:
    """The kernel: one step an execution, an intent, or a tick of one instrument.

    An intent that passes is an order and a reservation in the same step: of lots, so that orders
    under way count towards the position that the next one would make; and of money, for a buy what
    it costs at its limit with the fee. The reservation shrinks with what is left of the order.

    When all positions are to be closed (`pipeline.mode`), a tick closes its instrument's: whole, at
    the collar, reduce only, with intent id 0, as it is nobody's intent. It waits while something is
    under way on that side, the quote is not valid, the halt word is set or the venue forced open;
    what came to nothing is tried again at the next tick. Money is reserved for a buy, but need not
    be there: it must not keep us in. No record led to it, so its `received_ns` is the tick's time.

    The proceeds of a short are cash, and buying power; what it may owe is bounded by the size of a
    position only.
    """

    def __init__(
        self, settings: RiskSettings, masks: BreakerMasks, instruments: Sequence[Instrument]
    ) -> None:
        self.settings = settings
        self.masks = masks
        self.instruments = instruments

    def step(self, context: np.void, event: np.void | None, state: Any, emit: Emit) -> None:
        """Book an execution, decide about an intent, or take the mark of an instrument or close it.

        Raises:
            IndexError: an execution is of an instrument that is not configured.
            ValueError: an execution cannot be booked: its kind, side, quantity or price.
            OverflowError: a balance does not fit int64.
            RuntimeError: money was not conserved.
        """
        account = state.edit("account", 0)
        if account["begun"] == 0:
            self._begin(account)
        if event is None:
            self._look(context, account, state, emit)
        elif context["source"] == EXECUTIONS:
            self._book(context, event, account, state, emit)
        elif context["source"] == INTENTS:
            self._decide(context, event, account, state, emit)

    def _begin(self, account: np.void) -> None:
        account["begun"] = 1
        for field in ("opening_e8", "cash_e8", "equity_e8", "high_water_e8"):
            account[field] = self.settings.equity_e8
        account["next_order_id"] = 1

    # --- intents ------------------------------------------------------------------------------

    def _decide(
        self, context: np.void, intent: np.void, account: np.void, state: Any, emit: Emit
    ) -> None:
        index = int(intent["instrument"])
        known = index < len(self.instruments)
        held = state.edit("instruments", index) if known else None
        cell = self._find(state, 0)
        instrument = self.instruments[index] if known else None
        verdict = evaluate(
            intent,
            Facts(context, self.settings, self.masks, account, instrument, held, cell is not None),
        )
        outcome = _answer(OUTCOME, intent)
        for field in ("intent_id", "side", "strategy", "quantity"):
            outcome[field] = intent[field]
        outcome["position"] = 0 if held is None else held["position"]
        if verdict.failed:
            account["denied"] = int(account["denied"]) + 1
            outcome["kind"] = OutcomeKind.DENIED
            outcome["code"] = verdict.code
            outcome["failed"] = verdict.mask
            outcome["price"] = intent["limit"]
        else:
            assert cell is not None and held is not None  # or a check would have failed
            order = self._reserve(intent, verdict, account, held, state.edit("orders", cell))
            outcome["kind"] = OutcomeKind.APPROVED
            outcome["order_id"] = order["order_id"]
            outcome["price"] = order["limit"]
            outcome["leaves"] = order["quantity"]
            emit("orders", order)
        emit("outcomes", outcome)

    def _find(self, state: Any, order_id: int) -> int | None:
        """Return the cell of an order, or a free one for id 0."""
        for index in range(self.settings.open_orders + len(self.instruments)):
            if state.read("orders", index)["order_id"] == order_id:
                return index
        return None

    @staticmethod
    def _reserve(
        intent: np.void, verdict: Verdict, account: np.void, held: np.void, cell: np.void
    ) -> np.void:
        """Set aside what the order may use, before anybody can see it."""
        cost = checked("reserved_e8", verdict.cost)
        cell["order_id"] = account["next_order_id"]
        cell["leaves"] = intent["quantity"]
        cell["reserved_e8"] = cost
        for field in ("intent_id", "instrument", "side"):
            cell[field] = intent[field]
        lots = "reserved_buy" if intent["side"] == Side.BUY else "reserved_sell"
        held[lots] = checked("reserved lots", int(held[lots]) + int(intent["quantity"]))
        account["reserved_e8"] = checked("reserved_e8", int(account["reserved_e8"]) + cost)
        for field in ("next_order_id", "open_orders", "approved"):
            account[field] = int(account[field]) + 1

        order = _answer(ORDER, intent)
        for field in ("intent_id", "strategy", "side", "reduce_only", "quantity", "stop", "target"):
            order[field] = intent[field]
        order["order_id"] = cell["order_id"]
        order["limit"] = verdict.limit
        order["reserved"] = cost
        return order

    # --- executions ---------------------------------------------------------------------------

    def _book(
        self, context: np.void, execution: np.void, account: np.void, state: Any, emit: Emit
    ) -> None:
        self._check(execution)
        index, kind = int(execution["instrument"]), ExecutionKind(int(execution["kind"]))
        held = state.edit("instruments", index)
        if kind in _FILLS:
            instrument, price = self.instruments[index], int(execution["price"])
            lots = int(execution["side"]) * int(execution["quantity"])
            book_fill(account, held, instrument, lots, price, int(execution["fee"]))
            account["fills"] = int(account["fills"]) + 1
            if held["bid"] == 0:
                held["bid"] = held["ask"] = price
            if self._is_valid(context):
                held["bid"], held["ask"] = context["bid"], context["ask"]
            revalue(account, held, instrument, self.settings)
            self._release(execution, int(execution["leaves"]), account, state)
        else:
            account["unfilled"] = int(account["unfilled"]) + 1
            self._release(execution, 0, account, state)
        self._check_conservation(account, state)

        outcome = _answer(OUTCOME, execution)
        for field in ("intent_id", "order_id", "side", "strategy", "quantity", "price", "leaves"):
            outcome[field] = execution[field]
        outcome["kind"] = _OUTCOMES[kind]
        outcome["code"] = execution["reason"]
        outcome["failed"] = mask_of([int(execution["reason"])])
        outcome["position"] = held["position"]
        emit("outcomes", outcome)

    def _check(self, execution: np.void) -> None:
        """Refuse what cannot be booked. Whose order it was does not matter: money is booked."""
        which = f"execution {execution['sequence']}"
        if execution["instrument"] >= len(self.instruments):
            raise IndexError(
                f"{which}: instrument was {execution['instrument']}, "
                f"must be below {len(self.instruments)}"
            )
        rules = [("kind", int(execution["kind"]) in list(ExecutionKind), "in 1 .. 4")]
        if execution["kind"] in _FILLS:
            rules += [
                ("side", int(execution["side"]) in (Side.BUY, Side.SELL), "1 or -1"),
                ("quantity", int(execution["quantity"]) > 0, "> 0"),
                ("price", int(execution["price"]) > 0, "> 0"),
            ]
        for field, holds, rule in rules:
            if not holds:
                raise ValueError(f"{which}: {field} was {execution[field]}, must be {rule}")

    def _release(self, execution: np.void, leaves: int, account: np.void, state: Any) -> None:
        """Reduce an order's reservation to what is left of it, in proportion and rounded up."""
        order_id = int(execution["order_id"])
        index = self._find(state, order_id) if order_id != 0 else None
        if index is None:
            return
        cell = state.edit("orders", index)
        held = state.edit("instruments", int(cell["instrument"]))
        before, reserved = int(cell["leaves"]), int(cell["reserved_e8"])
        left = min(max(leaves, 0), before)
        still = ceil_div(reserved * left, before)
        lots = "reserved_buy" if cell["side"] == Side.BUY else "reserved_sell"
        held[lots] = int(held[lots]) - (before - left)
        account["reserved_e8"] = int(account["reserved_e8"]) - (reserved - still)
        cell["leaves"] = left
        cell["reserved_e8"] = still
        if left == 0:
            for field in cell.dtype.names or ():
                cell[field] = 0
            account["open_orders"] = int(account["open_orders"]) - 1

    def _check_conservation(self, account: np.void, state: Any) -> None:
        indices = range(len(self.instruments))
        cost = sum(int(state.read("instruments", index)["cost_e8"]) for index in indices)
        money = int(account["cash_e8"]) + cost
        expected = (
            int(account["opening_e8"]) + int(account["realised_e8"]) - int(account["fees_e8"])
        )
        if money != expected:
            raise RuntimeError(
                f"risk: cash + cost of positions was {money}, "
                f"must be opening equity + realised - fees, {expected}"
            )

    # --- ticks --------------------------------------------------------------------------------

    def _look(self, context: np.void, account: np.void, state: Any, emit: Emit) -> None:
        if not self._is_valid(context):
            return
        self._mark(context, account, state)
        if closes_positions(context):
            self._flatten(context, account, state, emit)

    def _mark(self, context: np.void, account: np.void, state: Any) -> None:
        """Take a valid mark; nothing else moves the high-water mark, and only up."""
        index = int(context["instrument"])
        held = state.edit("instruments", index)
        if held["bid"] != context["bid"] or held["ask"] != context["ask"]:
            held["bid"], held["ask"] = context["bid"], context["ask"]
            revalue(account, held, self.instruments[index], self.settings)
        if account["equity_e8"] > account["high_water_e8"]:
            account["high_water_e8"] = account["equity_e8"]

    def _flatten(self, context: np.void, account: np.void, state: Any, emit: Emit) -> None:
        """Order the closing of a position, unless that is under way or may not be."""
        index = int(context["instrument"])
        held = state.edit("instruments", index)
        position = int(held["position"])
        side = Side.BUY if position < 0 else Side.SELL
        under_way = held["reserved_buy" if side == Side.BUY else "reserved_sell"]
        if position == 0 or under_way != 0 or context["halted"] != 0:
            return
        cell = self._find(state, 0)
        if cell is None or not admits(context, self.masks, index, reducing=True):
            return
        intent: np.void = np.zeros(1, INTENT)[0]
        intent["instrument"] = index
        intent["received_ns"] = context["now_ns"]
        intent["side"] = side
        intent["reduce_only"] = 1
        intent["quantity"] = quantity = checked("quantity", abs(position))
        limit = collar(int(context["ask" if side == Side.BUY else "bid"]), side)
        cost = cost_e8(limit, quantity, self.instruments[index]) if side == Side.BUY else 0
        verdict = Verdict(frozenset(), limit, cost)
        emit("orders", self._reserve(intent, verdict, account, held, state.edit("orders", cell)))

    def _is_valid(self, context: np.void) -> bool:
        return is_fresh(context, self.settings.stale_ns) and not is_crossed(context)


def _answer(dtype: np.dtype[np.void], event: np.void) -> np.void:
    """Return a record that hands on where its cause came from."""
    record: np.void = np.zeros(1, dtype)[0]
    for field in _HANDED_ON:
        record[field] = event[field]
    return record
