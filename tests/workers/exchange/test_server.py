"""The server, over real sockets."""

from __future__ import annotations

import asyncio
import socket
import sys
import types

import msgspec
import numpy as np
import pytest
from picows import WSCloseCode, WSHandshakeError, WSMsgType

from tests.workers.exchange.samples import ALL, LISTINGS, client, exchange, run, serving, until
from workers.exchange import connection
from workers.exchange.exchange import NOMINAL_RATE
from workers.exchange.listing import ListingError
from workers.exchange.market import SeededMarket
from workers.exchange.wire import Encoder

MARKET = SeededMarket(LISTINGS, 1, 2)


def expected(
    first: int, count: int, rate: int = NOMINAL_RATE, microseconds: bool = False
) -> list[str]:
    events = MARKET.events(first, count)
    return Encoder(LISTINGS, rate).encode(events, microseconds=microseconds)


@pytest.mark.parametrize("rate", [0, 500_000])
def test_exactly_the_events_that_were_asked_for_are_sent(rate: int) -> None:
    async def test() -> None:
        async with (
            serving(rate) as (_, port),
            client(port, f"/stream?streams={ALL}&after=4000&count=9000") as alice,
        ):
            texts = [(await alice.texts.get()).decode() for _ in range(5000)]
            assert texts == expected(4001, 5000, rate or NOMINAL_RATE)
            # It stays open, and still answers: nothing else was sent in between.
            assert await alice.ask({"method": "LIST_SUBSCRIPTIONS", "id": 1}) == {
                "result": ALL.split("/"),
                "id": 1,
            }

    run(test())


def test_times_are_in_microseconds_if_asked_for() -> None:
    async def test() -> None:
        async with serving() as (_, port):
            path = f"/stream?streams={ALL}&timeUnit=MICROSECOND&count=10"
            async with client(port, path) as alice:
                texts = [(await alice.texts.get()).decode() for _ in range(10)]
                assert texts == expected(1, 10, microseconds=True)

    run(test())


def test_only_the_streams_that_were_asked_for_are_sent() -> None:
    async def test() -> None:
        wanted = "ethusdt@bookTicker"
        events = MARKET.events(1, 2000)
        indices = events["index"][(events["instrument"] == 1) & (events["kind"] == 2)]
        async with (
            serving() as (_, port),
            client(port, f"/stream?streams={wanted}&count=2000") as alice,
        ):
            messages = await alice.messages(len(indices))
            assert {message["stream"] for message in messages} == {wanted}
            assert [message["data"]["i"] for message in messages] == indices.tolist()  # type: ignore[index]
            await alice.ask({"method": "LIST_SUBSCRIPTIONS", "id": 1})
            assert alice.texts.empty()

    run(test())


def test_the_market_ends_where_the_server_is_told() -> None:
    async def test() -> None:
        server = exchange(last=7)
        port = await server.start()
        try:
            async with client(port, f"/stream?streams={ALL}&after=5&count=100") as alice:
                assert len(await alice.messages(2)) == 2
                await alice.ask({"method": "LIST_SUBSCRIPTIONS", "id": 1})
        finally:
            await server.close()

    run(test())


def test_clients_do_not_disturb_each_other() -> None:
    async def test() -> None:
        async with serving() as (server, port):
            async with (
                client(port, f"/stream?streams={ALL}&count=3000") as alice,
                client(port, f"/stream?streams={ALL}&after=20000&count=23000") as bob,
            ):
                mine, other = await asyncio.gather(alice.messages(3000), bob.messages(3000))
                assert server.connections() == 2
            assert [message["data"]["i"] for message in mine] == list(range(1, 3001))  # type: ignore[index]
            assert [message["data"]["i"] for message in other] == list(range(20_001, 23_001))  # type: ignore[index]

    run(test())


def test_a_stream_that_is_subscribed_to_later_comes_from_then_on() -> None:
    async def test() -> None:
        async with (
            serving(rate=20_000) as (_, port),
            client(port, "/stream") as alice,
        ):
            request = {"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": 1}
            assert await alice.ask(request) == {"result": None, "id": 1}
            messages = await alice.messages(20)
            assert {message["stream"] for message in messages} == {"btcusdt@trade"}
            ids = [message["data"]["t"] for message in messages]  # type: ignore[index]
            assert ids == list(range(ids[0], ids[0] + 20))

    run(test())


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/stream?streams=xrpusdt@trade", "400.*unknown stream 'xrpusdt@trade'"),
        ("/stream?streams=&after=x", "400.*after was 'x'"),
        ("/other", "404.*path was '/other', must be one of /stream"),
    ],
)
def test_a_bad_request_is_refused_with_a_reason(path: str, message: str) -> None:
    async def test() -> None:
        async with serving() as (_, port):
            with pytest.raises(WSHandshakeError) as caught:
                async with client(port, path):
                    pass
            assert caught.value.response is not None
            status, text = message.split(".*")
            assert caught.value.response.status == int(status)
            assert text in (caught.value.raw_body or b"").decode()

    run(test())


def test_a_request_that_cannot_be_carried_out_is_an_error_and_no_more() -> None:
    async def test() -> None:
        async with serving() as (_, port), client(port, "/stream") as alice:
            answer = await alice.ask(b"nonsense")
            assert isinstance(answer, dict)
            assert answer["code"] == 3
            assert await alice.ask({"method": "LIST_SUBSCRIPTIONS", "id": 1}) == {
                "result": [],
                "id": 1,
            }

    run(test())


def test_what_is_no_single_text_frame_ends_the_connection() -> None:
    async def test() -> None:
        async with serving() as (server, port), client(port, "/stream") as alice:
            alice.transport.send(WSMsgType.BINARY, b"{}")
            await alice.transport.wait_disconnected()
            assert alice.close_code == WSCloseCode.UNSUPPORTED_DATA
            await until(lambda: server.connections() == 0)

    run(test())


def test_a_ping_is_answered_with_its_payload() -> None:
    async def test() -> None:
        async with serving() as (_, port), client(port, "/stream") as alice:
            alice.transport.send_ping(b"are you there")
            assert await alice.pongs.get() == b"are you there"

    run(test())


def test_silence_is_broken_by_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LONGEST_SILENCE", 0.01)

    async def test() -> None:
        async with serving() as (_, port), client(port, "/stream", auto_pong=False) as alice:
            for _ in range(3):
                await alice.pings.get()
                alice.transport.send_pong()

    run(test())


def test_a_client_that_is_never_silent_is_pinged_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "PING_EVERY", 0.01)
    monkeypatch.setattr(connection, "LONGEST_SILENCE", 0.02)

    async def test() -> None:
        async with (
            serving(rate=5_000) as (_, port),
            client(port, f"/stream?streams={ALL}", auto_pong=False) as alice,
        ):
            await alice.pings.get()
            await alice.pings.get()

    run(test())


def test_who_does_not_answer_pings_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LONGEST_SILENCE", 0.01)
    monkeypatch.setattr(connection, "PONG_WITHIN", 0.05)

    async def test() -> None:
        async with (
            serving() as (server, port),
            client(port, "/stream", auto_pong=False) as alice,
        ):
            await alice.transport.wait_disconnected()
            await until(lambda: server.connections() == 0)

    run(test())


def test_a_client_that_does_not_read_is_waited_for() -> None:
    async def test() -> None:
        count = 40_000
        async with serving() as (server, port):
            loop = asyncio.get_running_loop()
            with socket.create_connection(("127.0.0.1", port)) as slow:
                slow.setblocking(False)
                path = f"/stream?streams={ALL}&count={count}"
                await loop.sock_sendall(
                    slow,
                    f"GET {path} HTTP/1.1\r\nHost: x\r\n"
                    "Connection: Upgrade\r\nUpgrade: websocket\r\n"
                    "Sec-WebSocket-Version: 13\r\n"
                    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode(),
                )
                await until(lambda: server.connections() == 1)
                [held] = server._connections
                await until(lambda: not held._writable.is_set())
                transport = held._transport.underlying_transport
                assert transport.get_write_buffer_size() < 1 << 20
                assert not held.task.done()
                received = bytearray()
                last = f'"i":{count}}}}}'.encode()
                while not received.endswith(last):
                    received += await loop.sock_recv(slow, 1 << 20)
                indices = [int(part.split(b"}", 1)[0]) for part in received.split(b'"i":')[1:]]
                assert np.array_equal(indices, np.arange(1, count + 1))

    run(test())


def test_a_far_position_is_reached_without_holding_up_others() -> None:
    async def test() -> None:
        async with serving() as (_, port):
            far = f"/stream?streams={ALL}&after=2000000&count=2000001"
            async with client(port, far) as distant, client(port, "/stream") as near:
                await near.ask({"method": "LIST_SUBSCRIPTIONS", "id": 1})
                assert distant.texts.empty()
                [message] = await distant.messages(1)
                assert message["data"]["i"] == 2_000_001  # type: ignore[index]

    run(test())


def test_clients_are_told_when_the_server_closes() -> None:
    async def test() -> None:
        async with serving() as (server, port), client(port, "/stream") as alice:
            await server.close()
            await alice.transport.wait_disconnected()
            assert alice.close_code == WSCloseCode.GOING_AWAY

    run(test())


def test_nobody_is_told_when_the_server_is_aborted() -> None:
    async def test() -> None:
        async with serving() as (server, port), client(port, "/stream") as alice:
            await server.abort()
            await alice.transport.wait_disconnected()
            assert alice.close_code is None

    run(test())


def test_a_defect_is_reported_by_close(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(market: SeededMarket, first: int, count: int) -> None:
        raise ZeroDivisionError("defect")

    monkeypatch.setattr(SeededMarket, "events", broken)

    async def test() -> None:
        server = exchange()
        port = await server.start()
        async with client(port, f"/stream?streams={ALL}") as alice:
            await server.wait_failed()
            await alice.transport.wait_disconnected()
        with pytest.raises(ZeroDivisionError, match="defect"):
            await server.close()

    run(test())


def test_a_rate_that_cannot_be_is_refused() -> None:
    with pytest.raises(ListingError, match=r"exchange\.rate was -1, must be from 0 to 1000000"):
        exchange(rate=-1)


def test_the_simulators_position_is_in_every_message() -> None:
    for text in expected(1, 100):
        assert msgspec.json.decode(text)["data"]["i"] >= 1


@pytest.mark.parametrize("other", [None, type("WSProtocol", (), {})])
def test_a_picows_that_does_it_otherwise_is_named_at_the_start(
    other: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.SimpleNamespace() if other is None else types.SimpleNamespace(WSProtocol=other)
    monkeypatch.setitem(sys.modules, "picows.picows", module)

    async def test() -> None:
        with pytest.raises(ImportError, match=r"picows was [0-9.]+, must be one whose server"):
            await exchange().start()

    run(test())
