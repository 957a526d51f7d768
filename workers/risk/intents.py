"""Deciding on intents, in slow, obvious Python.

What is known of one is gathered, the checks judge it; what passes is reserved, counted and sent.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.money import INT64_MAX, INT64_MIN
from pipeline.records import OUTCOME
from pipeline.vocabulary import CHECKS, OutcomeKind, Side
from workers.risk.checks import evaluate
from workers.risk.ledger import Emit, Ledger, answer
from workers.risk.portfolio import begin_periods
from workers.risk.reservations import expose_order, reserve
from workers.risk.verdict import Facts, Verdict

_CONTENT = (
    *("instrument", "strategy", "side", "reduce_only", "quantity", "limit", "stop", "target"),
    *("created_ns", "ttl_ns"),
)
"""What makes two intents the same, besides their id."""


def decide(
    ledger: Ledger, context: np.void, intent: np.void, account: np.void, state: Any, emit: Emit
) -> None:
    """Answer an intent; one that passes is an order, too."""
    begin_periods(account, int(intent["venue_ns"]))
    index, intent_id = int(intent["instrument"]), int(intent["intent_id"])
    known = index < len(ledger.instruments)
    held = state.edit("instruments", index) if known else None
    before = state.read("decisions", intent_id % ledger.cells["decisions"])
    newest = int(before["intent_id"])
    outcome = answer(OUTCOME, intent)
    for field in ("intent_id", "side", "strategy", "quantity"):
        outcome[field] = intent[field]
    outcome["position"] = 0 if held is None else held["position"]
    if 0 != newest == intent_id and all(before[field] == intent[field] for field in _CONTENT):
        account["repeated"] = int(account["repeated"]) + 1
        denied = before["failed"] != 0
        outcome["kind"] = OutcomeKind.DENIED if denied else OutcomeKind.APPROVED
        for field in ("order_id", "code", "failed", "price"):
            outcome[field] = before[field]
        outcome["leaves"] = 0 if denied else before["quantity"]
        emit("outcomes", outcome)
        return
    verdict = evaluate(intent, _facts(ledger, context, intent, account, state))
    if verdict.failed:
        account["denied"] = int(account["denied"]) + 1
        counts = state.edit("codes", 0)["count"]
        place = CHECKS.index(verdict.code)
        counts[place] = int(counts[place]) + 1
        outcome["kind"] = OutcomeKind.DENIED
        outcome["code"] = verdict.code
        outcome["failed"] = verdict.mask
        outcome["price"] = intent["limit"]
    else:
        assert held is not None  # or a check would have failed
        order = reserve(ledger, intent, verdict, account, held, state)
        _spend(ledger, context, intent, verdict, account, held, state)
        expose_order(ledger, intent, context, account, held, state)
        outcome["kind"] = OutcomeKind.APPROVED
        outcome["order_id"] = order["order_id"]
        outcome["price"] = order["limit"]
        outcome["leaves"] = order["quantity"]
        emit("orders", order)
    if intent_id > newest:
        _remember(ledger, context, intent, verdict, outcome, state)
    emit("outcomes", outcome)


def _facts(
    ledger: Ledger, context: np.void, intent: np.void, account: np.void, state: Any
) -> Facts:
    index, number = int(intent["instrument"]), int(intent["strategy"])
    intent_id = int(intent["intent_id"])
    newest = int(state.read("decisions", intent_id % ledger.cells["decisions"])["intent_id"])
    facts: dict[str, Any] = {"is_id_used": 0 != intent_id <= newest}
    if number < len(ledger.limits.strategies):
        facts["strategy"] = ledger.limits.strategies[number]
        facts["pace"] = state.read("strategies", number)
    if index < len(ledger.instruments):
        limits = ledger.limits.instruments[index]
        held = state.read("instruments", index)
        under_way = int(held["under_way"])
        side = int(intent["side"])
        buys = side == Side.BUY
        opposite = [
            int(order["limit"])
            for order in (
                state.read("orders", int(order_id) % ledger.cells["orders"])
                for order_id in held["orders"][:under_way]
            )
            if (order["side"] > 0) != buys
        ]
        has_cell = int(account["open_orders"]) < ledger.cells["orders"]
        facts |= {
            "instrument": ledger.instruments[index],
            "limits": limits,
            "held": held,
            "venue": state.read("venues", limits.venue),
            "asset_class": state.read("classes", limits.asset_class),
            "recent": state.read("recent", index),
            "currency": ledger.currency(index, state),
            "has_free_cell": has_cell and under_way < len(held["orders"]),
            "opposite": (min if buys else max)(opposite, default=0),
        }
        if ledger.settings.correlated != 0:
            facts["correlated"] = _correlated(ledger, index, 1 if buys else -1, state)
        if number < len(ledger.limits.strategies):
            facts["signal"] = state.read("signals", number * len(ledger.instruments) + index)
    return Facts(context, ledger.settings, ledger.masks, account, **facts)


def _correlated(ledger: Ledger, index: int, side: int, state: Any) -> int:
    """Count the other instruments that are held, or may be, so that they move with this."""
    row = state.read("correlations", index)
    count = 0
    for other in range(len(ledger.instruments)):
        rho = int(row["value"][other])
        if (
            other == index
            or row["samples"][other] < ledger.settings.correlation_samples
            or abs(rho) <= ledger.settings.correlation_bp
        ):
            continue
        held = state.read("instruments", other)
        position = int(held["position"])
        if rho * side > 0:
            count += position + int(held["reserved_buy"]) > 0
        else:
            count += int(held["reserved_sell"]) - position > 0
    return count


def _spend(
    ledger: Ledger,
    context: np.void,
    intent: np.void,
    verdict: Verdict,
    account: np.void,
    held: np.void,
    state: Any,
) -> None:
    """Count an approval towards the rates, and as one of its kind."""
    index, number = int(intent["instrument"]), int(intent["strategy"])
    now, settings = int(context["now_ns"]), ledger.settings
    for counted, interval in (
        (state.edit("strategies", number), ledger.limits.strategies[number].rate_ns),
        (held, settings.symbol_ns),
        (state.edit("venues", ledger.limits.instruments[index].venue), settings.venue_ns),
        (account, settings.global_ns),
    ):
        if interval != 0:
            counted["tat_ns"] = max(int(counted["tat_ns"]), now) + interval
    signal = state.edit("signals", number * len(ledger.instruments) + index)
    is_same_side = signal["side"] == int(intent["side"])
    signal["count"] = int(signal["count"]) + 1 if is_same_side else 1
    signal["side"] = intent["side"]
    if verdict.reducing or settings.dup_count == 0:
        return
    recent = state.edit("recent", index)
    at = int(recent["next"]) % len(recent["at_ns"])
    recent["next"] = int(recent["next"]) + 1
    recent["at_ns"][at] = now
    for field in ("quantity", "limit", "strategy", "side"):
        recent[field][at] = intent[field]


def _remember(
    ledger: Ledger,
    context: np.void,
    intent: np.void,
    verdict: Verdict,
    outcome: np.void,
    state: Any,
) -> None:
    decision = state.edit("decisions", int(intent["intent_id"]) % ledger.cells["decisions"])
    for field in ("intent_id", *_CONTENT):
        decision[field] = intent[field]
    for field in ("order_id", "failed", "price", "code"):
        decision[field] = outcome[field]
    decision["decided_ns"] = context["now_ns"]
    decision["reference"] = verdict.reference
    for field, number in zip(("value", "bound"), verdict.compared, strict=True):
        decision[field] = max(INT64_MIN, min(INT64_MAX, number))
