"""The control endpoint."""

from __future__ import annotations

from typing import Any

import pytest

from tests.workers.exchange.samples import exchange, fetch, run, serving
from workers.exchange.http import Request
from workers.exchange.operate import respond


async def order(port: int, **what: Any) -> Any:
    status, _, answer = await fetch(port, "/control", what)
    assert status == 200, answer
    return answer


def test_control_tells_and_changes_what_is_wrong() -> None:
    async def test() -> None:
        async with serving() as (_, port):
            state = await order(port, fault="kraken:drop=0.5,latency=1ms")
            assert state["active"] == [
                {"fault": "drop", "value": 0.5, "venue": "kraken"},
                {"fault": "latency", "value": 0.001},
            ]
            assert (await order(port, clear="latency"))["active"] == state["active"][:1]
            assert (await order(port, clear=True))["active"] == []
            assert (await fetch(port, "/control"))[2] == {
                "active": [],
                "counts": {},
                "position": 0,
            }

    run(test())


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"x", "body was no JSON"),
        ({}, "fault was None"),
        ({"fault": "x"}, "fault was 'x', must be one of"),
        ({"fault": "reset", "at": 1}, "at was given, must be left out"),
        ({"fault": "refuse"}, "refuse had no time, must have one: no request could clear it"),
        ({"clear": "x"}, "clear was 'x', must be true or one of"),
        ({"clear": True, "fault": "reset"}, "must be clear alone"),
    ],
)
def test_a_wrong_order_is_refused_by_name(body: object, message: str) -> None:
    async def test() -> None:
        async with serving() as (_, port):
            status, _, answer = await fetch(port, "/control", body)
            assert status == 400
            assert message in answer["error"]

    run(test())


def test_control_hears_loopback_only() -> None:
    server = exchange()
    request = Request("POST", "/control", "/control", {}, {}, b'{"fault":"reset"}')
    response = respond(server.faults, server.exchange, request, is_local=False)
    assert response.status == 403
    assert server.faults.counts["reset"] == 0
    put = Request("PUT", "/control", "/control", {}, {})
    assert respond(server.faults, server.exchange, put, is_local=True).status == 405
