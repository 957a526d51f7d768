"""Each fault, as a client sees it."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import time
from typing import Any

import pytest
from picows import WSHandshakeError, WSMsgType

from tests.workers.exchange.samples import (
    ALL,
    Client,
    client,
    fetch,
    run,
    serving,
    until,
)
from workers.exchange.faults import Fault
from workers.exchange.script import begin, entry_of
from workers.exchange.wire import EPOCH_US

PATH = f"/stream?streams={ALL}&after=0&count=2000"
BOOK = {"method": "subscribe", "params": {"channel": "book", "symbol": ["BTC/USDT", "ETH/USDT"]}}
LEVEL2 = {"type": "subscribe", "product_ids": ["BTC-USDT"], "channel": "level2"}


async def indices(alice: Client, last: int = 2000) -> list[int]:
    """The indices of all messages up to the last, with a second one if it is there."""
    found: list[int] = []
    while last not in found:
        found.append(json.loads(await alice.texts.get())["data"]["i"])
    while not alice.texts.empty():
        found.append(json.loads(alice.texts.get_nowait())["data"]["i"])
    return found


async def order(port: int, **what: Any) -> Any:
    status, _, answer = await fetch(port, "/control", what)
    assert status == 200, answer
    return answer


async def seen(seed: int, *faults: str) -> list[bytes]:
    """The first messages that a client is sent."""
    async with serving(0, *faults, seed=seed) as (_, port), client(port, PATH) as alice:
        return [await alice.texts.get() for _ in range(500)]


def test_the_same_seed_makes_the_same_faults() -> None:
    async def test() -> None:
        faults = ("drop=0.2", "duplicate=0.1", "malformed=0.1", "reorder=0.1")
        first, again, other = [await seen(seed, *faults) for seed in (5, 5, 6)]
        assert first == again
        assert first != other

    run(test())


def test_dropped_messages_are_missing() -> None:
    async def test() -> None:
        async with serving(0, "drop=0.1") as (server, port), client(port, PATH) as alice:
            await until(lambda: server.faults.counts["drop"] > 150)
            found = [json.loads(await alice.texts.get())["data"]["i"] for _ in range(1700)]
            assert found == sorted(set(found))
            assert found[-1] > len(found) + 100

    run(test())


def test_duplicated_messages_come_twice() -> None:
    async def test() -> None:
        async with serving(0, "duplicate=0.1") as (server, port), client(port, PATH) as alice:
            found = await indices(alice)
            assert sorted(set(found)) == list(range(1, 2001))
            assert found == sorted(found)
            assert 100 < len(found) - 2000 <= server.faults.counts["duplicate"] < 300

    run(test())


def test_reordered_messages_change_places() -> None:
    async def test() -> None:
        async with serving(0, "reorder=0.1") as (server, port), client(port, PATH) as alice:
            texts = [json.loads(await alice.texts.get())["data"]["i"] for _ in range(2000)]
            assert sorted(texts) == list(range(1, 2001))
            moved = [at for at, index in enumerate(texts, 1) if at != index]
            assert 200 < len(moved) <= 2 * server.faults.counts["reorder"]
            assert all(abs(at - index) == 1 for at, index in enumerate(texts, 1) if at != index)

    run(test())


def test_a_reordered_message_does_not_wait_for_ever() -> None:
    async def test() -> None:
        path = f"/stream?streams={ALL}&after=0&count=1"
        async with serving(0, "reorder") as (_, port), client(port, path) as alice:
            assert json.loads(await alice.texts.get())["data"]["i"] == 1

    run(test())


@pytest.mark.parametrize(
    ("path", "request_", "numbers"),
    [
        ("/stream?streams=btcusdt@trade&after=0", None, lambda m: [m["data"]["t"]]),
        ("/coinbase?after=0", LEVEL2, lambda m: [m["sequence_num"]]),
    ],
)
def test_a_sequence_gap_shows_in_the_numbers(path: str, request_: Any, numbers: Any) -> None:
    async def test() -> None:
        async with serving(0, "sequence-gap=0.05") as (server, port), client(port, path) as alice:
            if request_ is not None:
                alice.transport.send(WSMsgType.TEXT, json.dumps(request_).encode())
            found: list[int] = []
            while len(found) < 300:
                found += numbers(json.loads(await alice.texts.get()))
            gaps = sum(b != a + 1 for a, b in itertools.pairwise(found))
            assert found == sorted(found)
            assert 3 < gaps <= server.faults.counts["sequence-gap"]

    run(test())


def test_a_bad_checksum_is_another_one() -> None:
    async def test() -> None:
        async def checksums(*faults: str) -> list[int]:
            async with serving(0, *faults) as (_, port), client(port, "/v2?after=0") as alice:
                alice.transport.send(WSMsgType.TEXT, json.dumps(BOOK).encode())
                found: list[int] = []
                while len(found) < 100:
                    data = json.loads(await alice.texts.get()).get("data", [{}])[0]
                    found += [data["checksum"]] if "checksum" in data else []
                return found

        good, bad = await checksums(), await checksums("kraken:bad-checksum=0.2")
        wrong = [b - a for a, b in zip(good, bad, strict=True) if a != b]
        assert 5 < len(wrong) < 50
        assert set(wrong) == {1}

    run(test())


def test_malformed_messages_are_no_json() -> None:
    async def test() -> None:
        async with serving(0, "malformed=0.1") as (server, port), client(port, PATH) as alice:
            broken = 0
            for _ in range(2000):
                text = await alice.texts.get()
                try:
                    json.loads(text)
                except ValueError:
                    broken += 1
            assert 100 < broken == server.faults.counts["malformed"] < 300

    run(test())


def test_latency_and_jitter_delay_everything_in_order() -> None:
    async def test() -> None:
        faults = ("latency=60ms", "jitter=20ms")
        async with serving(0, *faults) as (_, port):
            began = time.monotonic()
            async with client(port, PATH) as alice:
                connected = time.monotonic()
                assert connected - began >= 0.06
                assert await indices(alice) == list(range(1, 2001))
                assert time.monotonic() - connected >= 0.05
                asked = time.monotonic()
                alice.transport.send_ping(b"x")
                await alice.pongs.get()
                assert time.monotonic() - asked >= 0.06
            asked = time.monotonic()
            await fetch(port, "/api/v3/ping")
            assert time.monotonic() - asked >= 0.06

    run(test())


def test_a_client_with_latency_is_still_sent_no_more_than_it_reads() -> None:
    async def test() -> None:
        path = f"/stream?streams={ALL}&after=0&count=8000"
        async with serving(0, "latency=10ms") as (_, port), client(port, path) as alice:
            assert await indices(alice, 8000) == list(range(1, 8001))

    run(test())


def test_a_slow_reader_makes_requests_wait() -> None:
    async def test() -> None:
        async with serving(0, "slow-reader=50ms") as (_, port), client(port, "/stream") as alice:
            began = time.monotonic()
            for number in range(3):
                await alice.ask({"method": "LIST_SUBSCRIPTIONS", "id": number})
            assert time.monotonic() - began >= 0.1

    run(test())


def test_a_half_open_connection_is_silent_while_others_work() -> None:
    async def test() -> None:
        async with serving() as (server, port), client(port, "/stream") as dead:
            await order(port, fault="half-open")
            dead.transport.send_ping(b"x")
            dead.transport.send(WSMsgType.TEXT, b'{"method":"LIST_SUBSCRIPTIONS","id":1}')
            async with client(port, PATH) as alice:
                assert await indices(alice) == list(range(1, 2001))
            assert dead.pongs.empty()
            assert dead.texts.empty()
            assert server.connections() >= 1
            assert not dead.transport.is_disconnected

    run(test())


def test_a_black_hole_swallows_all_for_its_time() -> None:
    async def test() -> None:
        path = f"/stream?streams={ALL}&after=0"
        async with serving(1000) as (_, port), client(port, path) as alice:
            await alice.texts.get()
            began = time.monotonic()
            await order(port, fault="black-hole", **{"for": 0.3})
            # What was on its way when it began is here before any answer to this could be.
            alice.transport.send_ping(b"x")
            late = asyncio.create_task(fetch(port, "/api/v3/ping"))
            await alice.pongs.get()
            assert time.monotonic() - began >= 0.3
            assert (await late)[0] == 200
            # Nothing is lost: the connection itself has survived.
            found = [json.loads(await alice.texts.get())["data"]["i"] for _ in range(400)]
            assert found == list(range(2, 402))

    run(test())


def test_a_black_hole_that_replaces_another_ends_when_it_does() -> None:
    async def test() -> None:
        path = f"/stream?streams={ALL}&after=0"
        async with serving(1000) as (server, port), client(port, path) as alice:
            await alice.texts.get()
            for seconds in (0.1, 0.2):
                begin(server.faults, entry_of({"fault": f"black-hole={seconds}s"}))
            begin(server.faults, entry_of({"fault": "binance:black-hole=50ms"}))
            await until(lambda: not server.faults.active())
            alice.transport.send_ping(b"x")
            await alice.pongs.get()

    run(test())


def test_nobody_gets_through_a_black_hole_until_it_is_cleared() -> None:
    async def test() -> None:
        async with serving(0, "binance:black-hole") as (_, port):
            waiting = asyncio.create_task(fetch(port, "/api/v3/ping"))
            assert (await fetch(port, "/0/public/Time"))[0] == 200
            assert not waiting.done()
            await order(port, clear="binance:black-hole")
            assert (await waiting)[0] == 200

    run(test())


def test_a_reset_ends_connections_at_once() -> None:
    async def test() -> None:
        async with serving() as (server, port):
            with socket.create_connection(("127.0.0.1", port)) as plain:
                plain.setblocking(False)
                loop = asyncio.get_running_loop()
                head = (
                    "GET /v2 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                    "Sec-WebSocket-Version: 13\r\n"
                    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
                )
                await loop.sock_sendall(plain, head.encode())
                await until(lambda: server.connections() == 1)
                await loop.sock_recv(plain, 4096)
                await order(port, fault="kraken:reset")
                with pytest.raises(ConnectionResetError):
                    while await loop.sock_recv(plain, 4096):
                        pass
            await until(lambda: server.connections() == 0)

    run(test())


def test_connections_are_reset_at_a_share_of_messages() -> None:
    async def test() -> None:
        async with serving(0, "reset=0.01") as (server, port), client(port, PATH) as alice:
            await alice.transport.wait_disconnected()
            assert server.faults.counts["reset"] == 1
            assert alice.texts.qsize() < 2000

    run(test())


async def dial(port: int) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    await writer.wait_closed()


async def until_served(port: int) -> None:
    while True:
        try:
            return await dial(port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.001)


def test_new_connections_are_refused_while_others_live_on() -> None:
    async def test() -> None:
        async with serving() as (server, port), client(port, "/stream") as alice:
            server.faults.begin(Fault.parse("refuse"))
            with pytest.raises(ConnectionRefusedError):
                await dial(port)
            await alice.ask({"method": "LIST_SUBSCRIPTIONS", "id": 1})
            server.faults.end("refuse")
            await until_served(port)
            await order(port, fault="refuse", **{"for": 0.01})
            await until_served(port)
            assert not alice.transport.is_disconnected

    run(test())


def test_a_restart_cuts_all_off_and_comes_back_at_the_same_port() -> None:
    async def test() -> None:
        async with serving() as (server, port), client(port, "/v2") as alice:
            await alice.texts.get()
            server.faults.begin(Fault.parse("restart=1s"))
            await alice.transport.wait_disconnected()
            with pytest.raises(ConnectionRefusedError):
                await dial(port)
            server.faults.end("restart")
            await until_served(port)
            async with client(port, "/v2") as again:
                status = json.loads(await again.texts.get())
                assert status["channel"] == "status"

    run(test())


def test_requests_fail_with_server_errors() -> None:
    async def test() -> None:
        async with serving(0, "5xx=0.5") as (server, port):
            statuses = [(await fetch(port, "/api/v3/ping"))[0] for _ in range(40)]
            assert set(statuses) <= {200, 500, 502, 503, 504}
            failed = [status for status in statuses if status != 200]
            assert 5 < len(failed) == server.faults.counts["5xx"] < 35
            assert len(set(failed)) > 1

    run(test())


def test_too_many_requests_are_told_when_to_come_back() -> None:
    async def test() -> None:
        async with serving(0, "429=7s") as (_, port):
            status, headers, _ = await fetch(port, "/0/public/Time")
            assert (status, headers["Retry-After"]) == (429, "7")
            with pytest.raises(WSHandshakeError, match="429"):
                async with client(port, "/v2"):
                    pass

    run(test())


def test_a_skewed_clock_shows_in_every_time_of_its_venue() -> None:
    async def test() -> None:
        async with serving(0, "binance:clock-skew=-2s") as (_, port):
            _, _, answer = await fetch(port, "/api/v3/time")
            assert answer["serverTime"] == EPOCH_US // 1000 - 2000
            _, _, other = await fetch(port, "/0/public/Time")
            assert other["result"]["unixtime"] == EPOCH_US // 1_000_000
            path = "/stream?streams=btcusdt@trade&after=0"
            async with client(port, path) as alice:
                [message] = await alice.messages(1)
                data: Any = message["data"]
                assert data["T"] == EPOCH_US // 1000 - 2000 + data["i"] // 2

    run(test())


def test_connections_die_at_a_share_of_messages() -> None:
    async def test() -> None:
        async with serving(0, "half-open=0.01") as (server, port), client(port, PATH) as alice:
            await until(lambda: server.faults.counts["half-open"] == 1)
            alice.transport.send_ping(b"x")
            async with client(port, "/v2") as other:
                await other.texts.get()
            assert alice.pongs.empty()
            assert not alice.transport.is_disconnected

    run(test())


def test_a_server_closes_whatever_is_wrong_with_it() -> None:
    async def test() -> None:
        async with serving(0, "black-hole") as (_, port):
            waiting = asyncio.create_task(fetch(port, "/api/v3/ping"))
            await asyncio.sleep(0)
        with pytest.raises((ConnectionError, ValueError)):
            await waiting
        async with serving() as (server, port), client(port, "/v2"):
            server.faults.begin(Fault.parse("black-hole"))
        async with serving() as (server, port), client(port, "/v2"):
            server.faults.begin(Fault.parse("refuse"))
            server.faults.clear()

    run(test())
