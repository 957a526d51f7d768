"""An instrument's mark at each tick, and what it moves, in slow, obvious Python.

That is values, worst cases, spreads and rates of currencies; then, if all positions are to be
closed, it closes its instrument's (`closing.py`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.mode import closes_positions
from pipeline.money import checked
from workers.risk.book import is_jump
from workers.risk.closing import flatten
from workers.risk.ledger import Emit, Ledger
from workers.risk.portfolio import convert, join, judge, resume
from workers.risk.pricing import is_valid
from workers.risk.reservations import expose


def look(ledger: Ledger, context: np.void, account: np.void, state: Any, emit: Emit) -> None:
    """Take the mark of an instrument if it is valid, and close its position if that is asked."""
    account["tick_ns"] = context["now_ns"]
    resume(account, ledger.settings, int(context["now_ns"]))
    if not is_valid(context, ledger.settings.stale_ns):
        if number := ledger.currencies.converts[int(context["instrument"])]:
            state.edit("currencies", number - 1)["invalid"] = 1
        return
    _mark(ledger, context, account, state)
    if closes_positions(context):
        flatten(ledger, context, account, state, emit)


def _mark(ledger: Ledger, context: np.void, account: np.void, state: Any) -> None:
    """Take a valid mark: if it is far from the last one, only after another that is near it.

    Nothing else moves the high-water mark, and only up.
    """
    index = int(context["instrument"])
    held = state.edit("instruments", index)
    is_far = held["bid"] != 0 and _is_jump(ledger, held, "", context)
    if is_far and (held["jump_bid"] == 0 or _is_jump(ledger, held, "jump_", context)):
        held["jump_bid"], held["jump_ask"] = context["bid"], context["ask"]
        return
    held["jump_bid"] = held["jump_ask"] = 0
    if ledger.settings.spread_factor != 0:
        _measure_spread(context, held, state)
    if held["bid"] != context["bid"] or held["ask"] != context["ask"]:
        held["bid"], held["ask"] = context["bid"], context["ask"]
        ledger.revalue_in(index, account, held, state)
        judge(account, ledger.settings)
        expose(ledger, index, int(held["bid"]), int(held["ask"]), account, state)
    if number := ledger.currencies.converts[index]:
        _see_rate(ledger, number, context, account, state)
    account["high_water_e12"] = max(int(account["high_water_e12"]), int(account["nav_e12"]))


def _is_jump(ledger: Ledger, held: np.void, which: str, context: np.void) -> bool:
    bid, ask = int(held[f"{which}bid"]), int(held[f"{which}ask"])
    return is_jump(bid, ask, context, ledger.settings.jump_bp)


def _measure_spread(context: np.void, held: np.void, state: Any) -> None:
    spreads = state.edit("spreads", int(context["instrument"]))
    bid, ask = int(context["bid"]), int(context["ask"])
    most = len(spreads["value"])
    spreads["value"][int(spreads["count"]) % most] = (ask - bid) * 2_000_000 // (ask + bid)
    spreads["count"] = int(spreads["count"]) + 1
    if spreads["count"] >= most:
        held["spread_e6"] = max(1, sorted(map(int, spreads["value"]))[most // 2])


def _see_rate(ledger: Ledger, number: int, context: np.void, account: np.void, state: Any) -> None:
    """Take what a mark says of the currency that its instrument converts.

    What there is of it is worth another amount, and so are the worst cases in it.
    """
    currency = state.edit("currencies", number - 1)
    step = ledger.instruments[int(context["instrument"])].tick_e8
    rate = {f"{side}_e8": int(context[side]) * step for side in ("bid", "ask")}
    for field, price in rate.items():
        checked(field, price)
    currency["seen_ns"] = context["link_ns"]
    currency["invalid"] = 0
    before = {field: int(currency[field]) for field in rate}
    if rate == before:
        return
    for field, price in rate.items():
        currency[field] = price
    if before["bid_e8"] == 0:
        join(account, currency)
    else:
        convert(account, currency)
    judge(account, ledger.settings)
    for index, of in enumerate(ledger.currencies.quoted):
        held = state.read("instruments", index)
        if of == number and held["worst_bid"] != 0:
            bid, ask = int(held["worst_bid"]), int(held["worst_ask"])
            expose(ledger, index, bid, ask, account, state)
