"""From orders to executions on paper, in slow, obvious Python.

The documentation of `native/executor.hpp`, and held to the same tests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pipeline.admission import BreakerMasks, admits
from pipeline.instruments import Instrument
from pipeline.mode import refusals
from pipeline.money import BASIS_POINTS, ceil_div, checked, fee_e8, notional_e8
from pipeline.records import EXECUTION
from pipeline.vocabulary import Denial, ExecutionKind, MarketKind, Side

Emit = Callable[[str, Any], None]

TICKS = 0
"""Index of that input ring; the other is that of the orders."""


class PaperExecutor:
    """The kernel: one step a market record or an order.

    ```
    an order, when                                          becomes
    the halt word or the mode forbids it (pipeline.mode)    REJECTED 201, 202, 203
    the breakers do not let it go on                        REJECTED 204
    its side of the quote is missing                        REJECTED 302
    it is reduce only, and there is nothing to reduce       REJECTED 207
    the quote with the slippage is worse than its limit     EXPIRED: immediate or cancel
    otherwise                                               FILL, whole; reduce only: what is held
    ```

    The breakers (`pipeline.admission`) and the mode are asked here too: they may have changed since
    risk looked. An order reduces if all that it would fill is held on the other side.

    The size of the quote is not looked at. A stop and a target belong to a position: the fill that
    opens it sets them, one that adds may replace them, and they go with the position. A quote that
    reaches the stop closes the position at that quote, one that reaches the target at the target,
    which rested there; the stop comes first. That is so halted or not, and whatever the breakers
    say: the venue already has them. Both are reported as STOP, and pay the taker's fee.
    """

    def __init__(
        self, slippage_bp: int, masks: BreakerMasks, instruments: Sequence[Instrument]
    ) -> None:
        self.slippage_bp = slippage_bp
        self.masks = masks
        self.instruments = instruments

    def step(self, context: np.void, event: np.void | None, state: Any, emit: Emit) -> None:
        """Take a market record or an order; a tick changes nothing.

        Raises:
            IndexError: the record is of an instrument that is not configured.
            OverflowError: a price, fee or position does not fit int64.
        """
        if event is None:
            return
        is_tick = context["source"] == TICKS
        index = int(event["instrument"])
        if index >= len(self.instruments):
            raise IndexError(
                f"{'tick' if is_tick else 'order'} {event['sequence']}: instrument was {index}, "
                f"must be below {len(self.instruments)}"
            )
        held = state.edit("instruments", index)
        if is_tick:
            self._see(event, held, state, emit)
        else:
            self._execute(context, event, held, state, emit)

    def _see(self, tick: np.void, held: np.void, state: Any, emit: Emit) -> None:
        held["venue_ns"] = tick["venue_ns"]
        if tick["kind"] != MarketKind.QUOTE:
            return
        for field in ("bid", "ask", "received_ns"):
            held[field] = tick[field]
        price = _closing_price(held)
        if price == 0:
            return
        position = int(held["position"])
        execution = _answer(tick, held, int(held["strategy"]))
        execution["kind"] = ExecutionKind.STOP
        execution["side"] = Side.SELL if position > 0 else Side.BUY
        self._fill(execution, abs(position), price, (0, 0), held, state)
        emit("executions", execution)

    def _execute(
        self, context: np.void, order: np.void, held: np.void, state: Any, emit: Emit
    ) -> None:
        execution = _answer(order, held, int(order["strategy"]))
        for field in ("order_id", "intent_id", "side"):
            execution[field] = order[field]
        buys, reduces = order["side"] == Side.BUY, order["reduce_only"] != 0
        quantity, limit = int(order["quantity"]), int(order["limit"])
        # What is held on the other side: all that a reducing order may take away.
        reducible = max(0, int(held["position"]) * (-1 if buys else 1))
        filled = min(quantity, reducible) if reduces else quantity
        quoted = int(held["ask"] if buys else held["bid"])
        index, reducing = int(order["instrument"]), filled <= reducible
        refused = refusals(context, reducing=reducing, flagged=bool(reduces))
        if any(refused.values()):
            _reject(execution, next(code for code, fails in refused.items() if fails))
        elif not admits(context, self.masks, index, reducing=reducing):
            _reject(execution, Denial.BREAKER_OPEN)
        elif quoted <= 0:
            _reject(execution, Denial.MD_CROSSED)
        elif reduces and reducible == 0:
            _reject(execution, Denial.REDUCE_ONLY_INCREASES)
        else:
            price = self._worsened(quoted, buys=bool(buys))
            if price > limit if buys else price < limit:
                execution["kind"] = ExecutionKind.EXPIRED
            else:
                execution["kind"] = ExecutionKind.FILL
                levels = int(order["stop"]), int(order["target"])
                self._fill(execution, filled, price, levels, held, state)
        execution["position"] = held["position"]
        emit("executions", execution)

    def _worsened(self, quoted: int, *, buys: bool) -> int:
        """Return the quote with the slippage, rounded against the order."""
        slippage = ceil_div(quoted * self.slippage_bp, BASIS_POINTS)
        return checked("price", quoted + slippage if buys else max(1, quoted - slippage))

    def _fill(
        self,
        execution: np.void,
        quantity: int,
        price: int,
        levels: tuple[int, int],
        held: np.void,
        state: Any,
    ) -> None:
        instrument = self.instruments[int(execution["instrument"])]
        stage = state.edit("stage", 0)
        stage["last_trade_id"] = int(stage["last_trade_id"]) + 1
        execution["trade_id"] = stage["last_trade_id"]
        execution["quantity"] = quantity
        execution["price"] = price
        fee = fee_e8(notional_e8(price, quantity, instrument), instrument.taker_fee_e8)
        execution["fee"] = checked("fee", fee)

        side, before = int(execution["side"]), int(held["position"])
        after = checked("position", before + side * quantity)
        held["position"] = after
        execution["position"] = after
        stop, target = levels
        # Opened, through zero too: it must not inherit the levels of a position that is gone.
        opens, adds = before * after <= 0, before * side > 0
        if after == 0:
            held["stop"] = held["target"] = held["strategy"] = 0
            return
        if opens or (adds and stop != 0):
            held["stop"] = stop
            held["strategy"] = execution["strategy"]
        if opens or (adds and target != 0):
            held["target"] = target


def _is_stopped_out(held: np.void) -> bool:
    position, stop = int(held["position"]), int(held["stop"])
    bid, ask = int(held["bid"]), int(held["ask"])
    if stop == 0:
        return False
    if position > 0:
        return 0 < bid <= stop
    return position < 0 and ask > 0 and ask >= stop


def _closing_price(held: np.void) -> int:
    """Return what the quote closes the position at; 0: it does not."""
    position, target = int(held["position"]), int(held["target"])
    bid, ask = int(held["bid"]), int(held["ask"])
    if _is_stopped_out(held):
        return bid if position > 0 else ask
    if target <= 0 or position == 0:
        return 0
    is_reached = bid >= target if position > 0 else 0 < ask <= target
    return target if is_reached else 0


def _answer(event: np.void, held: np.void, strategy: int) -> np.void:
    """Return an execution with its header and owner; all else is yet to be said."""
    execution: np.void = np.zeros(1, EXECUTION)[0]
    execution["instrument"] = event["instrument"]
    execution["venue_ns"] = held["venue_ns"]
    execution["received_ns"] = event["received_ns"]
    execution["strategy"] = strategy
    return execution


def _reject(execution: np.void, reason: Denial) -> None:
    execution["kind"] = ExecutionKind.REJECTED
    execution["reason"] = reason
