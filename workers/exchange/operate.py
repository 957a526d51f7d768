"""``/control``: what is wrong with the exchange, told and changed while it runs.

::

    POST /control {"fault": "drop=0.01,latency=50ms", "for": 2.0}
    POST /control {"clear": "drop"}                a venue's: "kraken:drop"; all: true
    GET  /control
"""

from __future__ import annotations

from typing import Any

import msgspec

from workers.exchange.exchange import Exchange
from workers.exchange.faults import KINDS, Fault, FaultError, Faults
from workers.exchange.http import Request, Response
from workers.exchange.script import begin, entry_of


def respond(faults: Faults, exchange: Exchange, request: Request, *, is_local: bool) -> Response:
    """Carry out a request for ``/control``; only those from loopback are heard."""
    if not is_local:
        return Response.of({"error": "control is for clients on loopback only"}, 403)
    if request.method == "GET":
        return _state(faults, exchange)
    if request.method != "POST":
        text = f"method of /control was {request.method}, must be GET or POST"
        return Response.of({"error": text}, 405, Allow="GET, POST")
    try:
        _carry_out(faults, request.body)
    except FaultError as error:
        return Response.of({"error": str(error)}, 400)
    return _state(faults, exchange)


def _carry_out(faults: Faults, body: bytes) -> None:
    try:
        order = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FaultError(f"body was no JSON: {error}") from None
    if isinstance(order, dict) and "clear" in order:
        if len(order) > 1:
            raise FaultError(f"keys were {', '.join(order)}, must be clear alone")
        _clear(faults, order["clear"])
        return
    entry = entry_of(order)
    if entry.at:
        raise FaultError("at was given, must be left out: a fault begins with the request")
    for fault in entry.faults:
        if fault.name == "refuse" and entry.lasts is None and not fault.value:
            raise FaultError("refuse had no time, must have one: no request could clear it")
    begin(faults, entry)


def _clear(faults: Faults, what: Any) -> None:
    if what is True:
        faults.clear()
        return
    venue, _, name = str(what).rpartition(":")
    if name not in KINDS:
        raise FaultError(f"clear was {what!r}, must be true or one of {', '.join(KINDS)}")
    faults.end(name, venue or None)


def _state(faults: Faults, exchange: Exchange) -> Response:
    return Response.of(
        {
            "active": [_entry(fault) for fault in faults.active()],
            "counts": {name: count for name, count in faults.counts.items() if count},
            "position": exchange.position(),
        }
    )


def _entry(fault: Fault) -> dict[str, Any]:
    entry: dict[str, Any] = {"fault": fault.name, "value": fault.value}
    if fault.venue is not None:
        entry["venue"] = fault.venue
    return entry
