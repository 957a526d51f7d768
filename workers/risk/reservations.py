"""What an open order may use, in slow, obvious Python.

From its approval until nothing is left of it; and the worst cases that follow from it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.money import ceil_div, checked
from pipeline.records import ORDER
from pipeline.vocabulary import ExecutionKind, Side
from workers.risk.ledger import Ledger, answer
from workers.risk.pricing import sides_of, worst_case
from workers.risk.verdict import Verdict

FILLS = (ExecutionKind.FILL, ExecutionKind.STOP)


def reserve(
    ledger: Ledger, intent: np.void, verdict: Verdict, account: np.void, held: np.void, state: Any
) -> np.void:
    """Set aside what the order may use, before anybody can see it.

    Its id says where its cell is; one that names a cell in use is left out.
    """
    order_id, cells = int(account["next_order_id"]), ledger.cells["orders"]
    while state.read("orders", order_id % cells)["order_id"] != 0:
        order_id += 1
    cell = state.edit("orders", order_id % cells)
    cell["order_id"] = order_id
    cell["leaves"] = intent["quantity"]
    cell["reserved_e8"] = cost = checked("reserved_e8", verdict.cost)
    cell["at_risk_e8"] = at_risk = checked("at_risk_e8", verdict.at_risk)
    cell["limit"] = verdict.limit
    cell["enters"] = not verdict.reducing
    for field in ("intent_id", "instrument", "strategy", "side"):
        cell[field] = intent[field]
    lots = "reserved_buy" if intent["side"] == Side.BUY else "reserved_sell"
    held[lots] = checked("reserved lots", int(held[lots]) + int(intent["quantity"]))
    held["orders"][int(held["under_way"])] = order_id
    held["under_way"] = int(held["under_way"]) + 1
    held["entries"] = int(held["entries"]) + int(cell["enters"])
    books = ledger.books(int(intent["instrument"]), account, state)
    books["reserved_e8"] = checked("reserved_e8", int(books["reserved_e8"]) + cost)
    account["at_risk_e8"] = checked("at_risk_e8", int(account["at_risk_e8"]) + at_risk)
    account["next_order_id"] = order_id + 1
    for field in ("open_orders", "approved"):
        account[field] = int(account[field]) + 1

    order = answer(ORDER, intent)
    for field in ("intent_id", "strategy", "side", "reduce_only", "quantity", "stop", "target"):
        order[field] = intent[field]
    order["order_id"] = order_id
    order["limit"] = verdict.limit
    order["reserved"] = cost
    return order


def release(ledger: Ledger, execution: np.void, leaves: int, account: np.void, state: Any) -> None:
    """Reduce an order's reservation to what is left of it, in proportion and rounded up."""
    order_id = int(execution["order_id"])
    place = order_id % ledger.cells["orders"]
    if order_id == 0 or state.read("orders", place)["order_id"] != order_id:
        return
    cell = state.edit("orders", place)
    index = int(cell["instrument"])
    held = state.edit("instruments", index)
    before = int(cell["leaves"])
    left = min(max(leaves, 0), before)
    lots = "reserved_buy" if cell["side"] == Side.BUY else "reserved_sell"
    held[lots] = int(held[lots]) - (before - left)
    books = ledger.books(index, account, state)
    for field, whole in (("reserved_e8", books), ("at_risk_e8", account)):
        was = int(cell[field])
        cell[field] = ceil_div(was * left, before)
        whole[field] = int(whole[field]) - (was - int(cell[field]))
    if execution["kind"] in FILLS:
        cell["filled"] = 1
    cell["leaves"] = left
    if left == 0:
        if cell["enters"] and not cell["filled"]:
            held["entries"] = int(held["entries"]) - 1
        last = int(held["under_way"]) - 1
        orders = held["orders"]
        orders[list(orders).index(order_id)] = orders[last]
        orders[last] = 0
        held["under_way"] = last
        for field in cell.dtype.names or ():
            cell[field] = 0
        account["open_orders"] = int(account["open_orders"]) - 1
    expose(ledger, index, int(held["worst_bid"]), int(held["worst_ask"]), account, state)


def expose(ledger: Ledger, index: int, bid: int, ask: int, account: np.void, state: Any) -> None:
    """Value an instrument's worst cases anew, and the sums that they are part of."""
    held = state.edit("instruments", index)
    limits = ledger.limits.instruments[index]
    position, buys = int(held["position"]), int(held["reserved_buy"])
    sells = int(held["reserved_sell"])
    instrument, currency = ledger.instruments[index], ledger.currency(index, state)
    long, short = worst_case(position, buys, sells, bid, ask, instrument, currency)
    long_before, short_before = int(held["long_e8"]), int(held["short_e8"])
    added = max(long, short) - max(long_before, short_before)
    for whole in (
        account,
        state.edit("venues", limits.venue),
        state.edit("classes", limits.asset_class),
    ):
        whole["gross_e8"] = checked("gross_e8", int(whole["gross_e8"]) + added)
    account["long_e8"] = checked("long_e8", int(account["long_e8"]) + long - long_before)
    account["short_e8"] = checked("short_e8", int(account["short_e8"]) + short - short_before)
    held["long_e8"], held["short_e8"] = checked("long_e8", long), checked("short_e8", short)
    held["worst_bid"], held["worst_ask"] = bid, ask
    bits = state.edit("open", 0)
    word, bit = index // 64, 1 << index % 64
    was_open = bool((int(bits["long"][word]) | int(bits["short"][word])) & bit)
    is_open = {"long": position + buys > 0, "short": sells - position > 0}
    for side, is_set in is_open.items():
        others = int(bits[side][word]) & ~bit
        bits[side][word] = others | bit if is_set else others
    account["positions"] = int(account["positions"]) + any(is_open.values()) - was_open


def expose_order(
    ledger: Ledger, intent: np.void, context: np.void, account: np.void, held: np.void, state: Any
) -> None:
    """Value the worst cases by the price that the order was judged by."""
    buys = bool(intent["side"] == Side.BUY)
    bid, ask = sides_of(held, buys, int(context["ask" if buys else "bid"]))
    expose(ledger, int(intent["instrument"]), bid, ask, account, state)
