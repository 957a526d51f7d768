"""Requests on an open connection: SUBSCRIBE, UNSUBSCRIBE, LIST_SUBSCRIPTIONS and properties.

Answers and error codes are those of Binance's "Live Subscribing/Unsubscribing to streams". The
exchange itself closes a connection at a wrong stream name; here it is an error with code 2 that
names it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from workers.exchange.request import RequestError, check_streams

_METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
_FIELDS = ("method", "params", "id")
_LONGEST_ID = 36


class _RefusedError(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Subscriptions:
    """The streams that a connection gets, changed by its requests.

    `names` and `combined`, whether messages name their stream, may be read at any time; a change
    holds from the next event that is sent.
    """

    def __init__(
        self, streams: Collection[str], known: Collection[str], *, combined: bool = True
    ) -> None:
        self.names = list(streams)
        self.combined = combined
        self._known = known

    def answer(self, message: bytes) -> bytes:
        """Carry out a request and return the answer, a result or an error."""
        identity: Any = None
        try:
            request = _parse(message)
            identity = _identity(request)
            _check_fields(request)
            result = self._carry_out(request)
        except _RefusedError as refused:
            error = {"code": refused.code, "msg": str(refused)}
            return msgspec.json.encode(error if identity is None else {**error, "id": identity})
        return msgspec.json.encode({"result": result, "id": identity})

    def _carry_out(self, request: dict[str, Any]) -> object:
        method = request["method"]
        params = request.get("params", [])
        if not isinstance(params, list):
            raise _RefusedError(2, "Invalid request: params must be a list")
        if method == "LIST_SUBSCRIPTIONS":
            if params:
                raise _RefusedError(2, "Invalid request: too many parameters")
            return list(self.names)
        if method == "SET_PROPERTY":
            _property(params, 2)
            if not isinstance(params[1], bool):
                raise _RefusedError(1, "Invalid value type: expected Boolean")
            self.combined = params[1]
            return None
        if method == "GET_PROPERTY":
            _property(params, 1)
            return self.combined
        if not params or not all(isinstance(name, str) for name in params):
            raise _RefusedError(2, "Invalid request: params must be names of streams")
        if method == "SUBSCRIBE":
            names = list(dict.fromkeys([*self.names, *params]))
            try:
                check_streams(names, self._known)
            except RequestError as error:
                raise _RefusedError(2, f"Invalid request: {error}") from None
        else:
            names = [name for name in self.names if name not in params]
        self.names = names
        return None


def _parse(message: bytes) -> dict[str, Any]:
    try:
        request = msgspec.json.decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _RefusedError(3, f"Invalid JSON: {error}") from None
    if not isinstance(request, dict):
        raise _RefusedError(2, "Invalid request: must be an object")
    return request


def _identity(request: dict[str, Any]) -> object:
    identity = request.get("id")
    number = isinstance(identity, int) and not isinstance(identity, bool)
    text = isinstance(identity, str) and len(identity) <= _LONGEST_ID and identity.isalnum()
    if not ("id" in request and (identity is None or number or text)):
        raise _RefusedError(2, "Invalid request: request ID must be an unsigned integer")
    return identity


def _check_fields(request: dict[str, Any]) -> None:
    for field in request:
        if field not in _FIELDS:
            raise _RefusedError(2, f"Invalid request: unknown field {field!r}")
    if "method" not in request:
        raise _RefusedError(2, "Invalid request: missing field `method`")
    if request["method"] not in _METHODS:
        expected = ", ".join(f"`{method}`" for method in _METHODS)
        raise _RefusedError(
            2, f"Invalid request: unknown variant {request['method']}, expected one of {expected}"
        )


def _property(params: list[Any], count: int) -> None:
    if len(params) > count:
        raise _RefusedError(2, "Invalid request: too many parameters")
    if len(params) < count or not isinstance(params[0], str):
        raise _RefusedError(2, "Invalid request: property name must be a string")
    if params[0] != "combined":
        raise _RefusedError(0, "Unknown property")
