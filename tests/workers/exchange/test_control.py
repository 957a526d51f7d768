"""Requests on an open connection."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.exchange.control import Subscriptions

KNOWN = ("btcusdt@trade", "btcusdt@bookTicker", "ethusdt@trade")


def answer(subscriptions: Subscriptions, **request: Any) -> Any:
    return msgspec.json.decode(subscriptions.answer(msgspec.json.encode(request)))


def test_streams_come_and_go() -> None:
    subscriptions = Subscriptions(["btcusdt@trade"], KNOWN)
    more = ["ethusdt@trade", "btcusdt@trade"]
    assert answer(subscriptions, method="SUBSCRIBE", params=more, id=1) == {"result": None, "id": 1}
    assert answer(subscriptions, method="LIST_SUBSCRIPTIONS", id="a3") == {
        "result": ["btcusdt@trade", "ethusdt@trade"],
        "id": "a3",
    }
    gone = ["btcusdt@trade", "never@subscribed"]
    assert answer(subscriptions, method="UNSUBSCRIBE", params=gone, id=None) == {
        "result": None,
        "id": None,
    }
    assert subscriptions.names == ["ethusdt@trade"]


def test_messages_name_their_stream_unless_it_is_switched_off() -> None:
    subscriptions = Subscriptions([], KNOWN, combined=False)
    assert answer(subscriptions, method="GET_PROPERTY", params=["combined"], id=1) == {
        "result": False,
        "id": 1,
    }
    answer(subscriptions, method="SET_PROPERTY", params=["combined", True], id=1)
    assert answer(subscriptions, method="GET_PROPERTY", params=["combined"], id=2) == {
        "result": True,
        "id": 2,
    }
    assert answer(subscriptions, method="SET_PROPERTY", params=["combined", True], id=5) == {
        "result": None,
        "id": 5,
    }


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        ({"method": "SUBSCRIBE", "params": ["x@trade"], "id": 1}, 2, "unknown stream 'x@trade'"),
        ({"method": "SUBSCRIBE", "params": [], "id": 1}, 2, "params must be names"),
        ({"method": "SUBSCRIBE", "params": [7], "id": 1}, 2, "params must be names"),
        ({"method": "SUBSCRIBE", "params": "x@trade", "id": 1}, 2, "params must be a list"),
        ({"method": "LIST_SUBSCRIPTIONS", "params": [1], "id": 1}, 2, "too many parameters"),
        ({"method": "SUBSCRIB", "id": 1}, 2, "unknown variant SUBSCRIB, expected one of"),
        ({"params": [], "id": 1}, 2, "missing field `method`"),
        ({"method": "LIST_SUBSCRIPTIONS", "id": 1, "x": 2}, 2, "unknown field 'x'"),
        ({"method": "SET_PROPERTY", "params": ["combined", 1], "id": 1}, 1, "expected Boolean"),
        ({"method": "SET_PROPERTY", "params": ["other", True], "id": 1}, 0, "Unknown property"),
        ({"method": "GET_PROPERTY", "params": [], "id": 1}, 2, "name must be a string"),
        ({"method": "GET_PROPERTY", "params": ["a", "b"], "id": 1}, 2, "too many parameters"),
    ],
)
def test_what_cannot_be_done_is_an_error_with_its_id(
    request_: dict[str, Any], code: int, message: str
) -> None:
    subscriptions = Subscriptions(["btcusdt@trade"], KNOWN)
    error = answer(subscriptions, **request_)
    assert (error["code"], error["id"]) == (code, 1)
    assert message in error["msg"]
    assert subscriptions.names == ["btcusdt@trade"]


@pytest.mark.parametrize("identity", [{}, {"id": 1.5}, {"id": "x" * 37}, {"id": True}, {"id": []}])
def test_an_id_must_be_given_and_be_one(identity: dict[str, Any]) -> None:
    error = answer(Subscriptions([], KNOWN), method="LIST_SUBSCRIPTIONS", **identity)
    assert error == {
        "code": 2,
        "msg": "Invalid request: request ID must be an unsigned integer",
    }


def test_what_is_no_json_object_is_an_error() -> None:
    subscriptions = Subscriptions([], KNOWN)
    assert msgspec.json.decode(subscriptions.answer(b"{"))["code"] == 3
    assert msgspec.json.decode(subscriptions.answer(b"[" * 100_000))["code"] == 3
    assert msgspec.json.decode(subscriptions.answer(b"[]"))["code"] == 2


@given(st.binary())
def test_any_bytes_are_answered(message: bytes) -> None:
    assert "code" in msgspec.json.decode(Subscriptions([], KNOWN).answer(message))
