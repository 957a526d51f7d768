"""What operators ask for, in slow, obvious Python: flows of money, modes and limits."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.vocabulary import ControlKind, Mode
from workers.risk.ledger import Ledger
from workers.risk.portfolio import book_flow, reset, resume


def obey(ledger: Ledger, context: np.void, control: np.void, account: np.void, state: Any) -> None:
    """Do what an operator asks for, once, whoever hands it on how often."""
    request = int(control["request"])
    if 0 != request <= account["request"]:
        return
    if control["kind"] == ControlKind.SET:
        _set(ledger, control, state)
        return
    is_done = _act(ledger, context, control, account, state)
    if request != 0:
        account["request"] = request
        account["refused"] = not is_done


def _act(ledger: Ledger, context: np.void, control: np.void, account: np.void, state: Any) -> bool:
    """Do what a control says; False if that is refused."""
    kind, amount = int(control["kind"]), int(control["amount"])
    if kind == ControlKind.FLOW:
        number, most = int(control["index"]), len(ledger.currencies.names)
        if number > most:
            raise ValueError(
                f"control {control['sequence']}: index was {number}, must be at most {most}"
            )
        currency = state.edit("currencies", number - 1) if number else None
        is_booked = book_flow(account, currency, amount)
        ledger.check_conservation(account, state)
        return is_booked
    if kind == ControlKind.RESET:
        is_reset = reset(account, ledger.settings, rebase=amount == 1)
        if is_reset:
            _enable(ledger, state)
        return is_reset
    if kind == ControlKind.RESUME:
        _enable(ledger, state)
        # A pause that is there, and none that is still to come.
        if account["mode"] == Mode.PAUSED:
            account["resumed"] = 1
        resume(account, ledger.settings, int(context["now_ns"]))
    elif kind == ControlKind.RECONCILED:
        account["unreconciled"] = amount != 1
    elif kind == ControlKind.APPLY:
        _apply(ledger, int(control["request"]), account, state)
    else:
        raise ValueError(f"control {control['sequence']}: kind was {kind}, must be in 1 .. 6")
    return True


def _enable(ledger: Ledger, state: Any) -> None:
    """Begin the counts of orders in a row anew: an operator has seen to what they were of."""
    for index in range(ledger.cells["signals"]):
        if state.read("signals", index)["count"] != 0:
            signal = state.edit("signals", index)
            signal["side"] = signal["count"] = 0


def _set(ledger: Ledger, control: np.void, state: Any) -> None:
    """Keep what a limit is to be; nothing is compared with it yet."""
    index = int(control["index"])
    if index >= ledger.cells["limits"]:
        raise ValueError(
            f"control {control['sequence']}: index was {index}, "
            f"must be below {ledger.cells['limits']}"
        )
    limit = state.edit("limits", index)
    limit["request"], limit["next"] = control["request"], control["amount"]


def _apply(ledger: Ledger, request: int, account: np.void, state: Any) -> None:
    """Put the limits in force that this request has set."""
    for index in range(ledger.cells["limits"]):
        if request != 0 and state.read("limits", index)["request"] == request:
            limit = state.edit("limits", index)
            limit["changed"], limit["value"] = 1, limit["next"]
            limit["request"] = limit["next"] = 0
    account["limits"] = int(account["limits"]) + 1
