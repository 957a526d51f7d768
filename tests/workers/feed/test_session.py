"""The connection that is made again, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest
from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    ws_create_server,
)

from tests.workers.exchange.samples import ALL, exchange, run, serving, until
from workers.exchange.server import ExchangeServer
from workers.feed.session import Session, Timing

QUICK = Timing(dial_every=0.01, jitter=0.2, attempt=5.0, silence=5.0)


class Reader:
    """Keeps the positions that a session brings, and goes on after the last."""

    def __init__(self, last: int, timing: Timing = QUICK) -> None:
        self.port = 0
        self.positions: list[int] = []
        self.causes: list[str] = []
        self.connected = 0
        self._last = last
        self.session = Session(
            self._url,
            self._on_message,
            on_connected=self._on_connected,
            on_disconnected=self.causes.append,
            timing=timing,
        )

    def _url(self) -> str:
        after = self.positions[-1] if self.positions else 0
        return f"ws://127.0.0.1:{self.port}/stream?streams={ALL}&after={after}"

    def _on_connected(self) -> None:
        self.connected += 1

    def _on_message(self, payload: memoryview, received_ns: int) -> None:
        position = msgspec.json.decode(payload)["data"]["i"]
        self.positions.append(position)
        if position == self._last:
            self.session.stop()


def test_messages_come_in_order_with_the_time_of_their_receipt() -> None:
    async def test() -> None:
        times: list[int] = []

        def on_message(payload: memoryview, received_ns: int) -> None:
            times.append(received_ns)
            if len(times) == 1000:
                session.stop()

        async with serving() as (_, port):
            url = f"ws://127.0.0.1:{port}/stream?streams={ALL}"
            session = Session(lambda: url, on_message, timing=QUICK)
            before = time.monotonic_ns()
            await session.run()
        assert before < times[0]
        assert times == sorted(times)
        assert session.heard_ns >= times[-1]
        counts = session.counts
        assert (counts.dials, counts.connects, counts.messages) == (1, 1, 1000)

    run(test())


def test_after_a_death_of_the_server_it_goes_on_without_gap_or_duplicate() -> None:
    async def test() -> None:
        reader = Reader(last=20_000)
        server = exchange(rate=50_000)
        reader.port = await server.start()
        reading = asyncio.ensure_future(reader.session.run())
        try:
            for enough in (2_000, 5_000, 9_000):
                await until(lambda enough=enough: len(reader.positions) >= enough)  # type: ignore[misc]
                await server.abort()
                server = exchange(rate=50_000)
                reader.port = await server.start()
            await reading
        finally:
            await server.close()
        assert reader.positions == list(range(1, 20_001))
        assert reader.connected == reader.session.counts.connects == 4
        assert len(reader.causes) >= 3

    run(test())


def test_it_dials_until_somebody_answers() -> None:
    async def test() -> None:
        server = exchange()
        port = await server.start()
        await server.close()
        reader = Reader(last=10)
        reader.port = port
        reading = asyncio.ensure_future(reader.session.run())
        await until(lambda: len(reader.causes) >= 3)
        assert reader.connected == 0
        assert "could not connect" in reader.causes[0]
        assert str(port) in reader.causes[0]
        async with serving() as (_, port):
            reader.port = port
            await reading
        assert reader.positions == list(range(1, 11))

    run(test())


def test_dials_keep_their_distance_and_are_jittered() -> None:
    async def test() -> None:
        times: list[float] = []

        def url() -> str:
            times.append(asyncio.get_running_loop().time())
            if len(times) == 6:
                session.stop()
            return "ws://127.0.0.1:1/"

        timing = Timing(dial_every=0.05, jitter=0.2)
        session = Session(url, lambda payload, now: None, timing=timing)
        await session.run()
        # Later than due is the machine's doing, earlier would be ours.
        distances = [after - before for before, after in itertools.pairwise(times)]
        assert all(distance >= 0.04 for distance in distances)
        assert session.counts.dials == 6

    run(test())


def test_a_refusal_is_reported_with_its_reason() -> None:
    async def test() -> None:
        async with serving() as (_, port):
            causes: list[str] = []

            def on_disconnected(cause: str) -> None:
                causes.append(cause)
                session.stop()

            url = f"ws://127.0.0.1:{port}/stream?streams=x@trade"
            session = Session(
                lambda: url, lambda payload, now: None, on_disconnected=on_disconnected
            )
            await session.run()
            assert "the venue refused" in causes[0]
            assert "400" in causes[0]

    run(test())


async def one_cause(url: str, timing: Timing = QUICK) -> str:
    """Run a session until it reports something."""
    causes: list[str] = []

    def on_disconnected(cause: str) -> None:
        causes.append(cause)
        session.stop()

    session = Session(
        lambda: url, lambda payload, now: None, on_disconnected=on_disconnected, timing=timing
    )
    await session.run()
    return causes[0]


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/", "ws://", "ws://127.0.0.1:99999/", f"ws://{'x' * 64}/"]
)
def test_an_address_that_leads_nowhere_is_reported(url: str) -> None:
    async def test() -> None:
        assert "could not connect" in await one_cause(url)

    run(test())


@contextlib.asynccontextmanager
async def raw_server(answer: bytes | None) -> AsyncIterator[str]:
    """A server that answers any request so and closes, or (None) is a black hole."""
    writers: list[asyncio.StreamWriter] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        if answer is not None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()
        for writer in writers:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


def test_an_attempt_that_nobody_answers_is_given_up() -> None:
    async def test() -> None:
        async with raw_server(None) as url:
            cause = await one_cause(url, Timing(attempt=0.05))
            assert cause == "no connection within 0.05 s"

    run(test())


def test_it_can_be_stopped_while_it_dials() -> None:
    async def test() -> None:
        async with raw_server(None) as url:
            session = Session(lambda: url, lambda payload, now: None, timing=Timing(attempt=60))
            running = asyncio.ensure_future(session.run())
            await until(lambda: session.counts.dials == 1)
            session.stop()
            await running

    run(test())


def test_it_can_be_cancelled_while_it_dials() -> None:
    async def test() -> None:
        async with raw_server(None) as url:
            session = Session(lambda: url, lambda payload, now: None, timing=Timing(attempt=60))
            running = asyncio.ensure_future(session.run())
            await until(lambda: session.counts.dials == 1)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running

    run(test())


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (b"", "before it was upgraded"),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\nlater", "the venue refused.*503"),
        (b"nonsense\r\n\r\n", "the venue refused"),
    ],
)
def test_an_answer_that_is_no_upgrade_is_reported(answer: bytes, cause: str) -> None:
    async def test() -> None:
        async with raw_server(answer) as url:
            reported = await one_cause(url)
            for part in cause.split(".*"):
                assert part in reported

    run(test())


class Venue(WSListener):
    """A venue that does as it is told once it is connected."""

    def __init__(self, act: Callable[[WSTransport], None]) -> None:
        self._act = act
        self.pongs: list[bytes] = []

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._act(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.PONG:
            self.pongs.append(frame.get_payload_as_bytes())


@contextlib.asynccontextmanager
async def venue(act: Callable[[WSTransport], None]) -> AsyncIterator[tuple[str, list[Venue]]]:
    """The address of a venue, and its connections."""
    made: list[Venue] = []
    transports: list[WSTransport] = []

    def connected(transport: WSTransport) -> None:
        transports.append(transport)
        act(transport)

    def listener(request: WSUpgradeRequest) -> WSListener:
        made.append(Venue(connected))
        return made[-1]

    server = await ws_create_server(listener, "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/", made
    finally:
        server.close()
        for transport in transports:
            transport.disconnect(graceful=False)
            await transport.wait_disconnected()


def test_silence_means_death() -> None:
    async def test() -> None:
        async with venue(lambda transport: None) as (url, _):
            cause = await one_cause(url, Timing(silence=0.05))
            assert cause == "nothing came for 0.05 s"

    run(test())


def test_pings_are_answered_and_break_the_silence() -> None:
    async def test() -> None:
        def ping(transport: WSTransport) -> None:
            transport.send_ping(b"abc")

        async with venue(ping) as (url, made):
            session = Session(lambda: url, lambda payload, now: None, timing=QUICK)
            running = asyncio.ensure_future(session.run())
            await until(lambda: bool(made and made[0].pongs))
            assert made[0].pongs == [b"abc"]
            assert session.heard_ns > 0
            assert session.counts.messages == 0
            session.stop()
            await running

    run(test())


def test_the_simulator_pings_often_enough_to_be_known_alive() -> None:
    async def test() -> None:
        async with serving() as (_, port):
            session = Session(
                lambda: f"ws://127.0.0.1:{port}/stream?count=0", lambda payload, now: None
            )
            running = asyncio.ensure_future(session.run())
            await until(lambda: session.heard_ns > 0)
            session.stop()
            await running
            assert session.counts.disconnects == 1

    run(test())


@pytest.mark.parametrize(
    ("farewell", "cause"),
    [
        (b"\x88\x0d\x03\xe9maintenance", "the venue closed with code 1001 b'maintenance'"),
        (b"\x88\x02\x0f\xa0", "the venue closed with code 4000 b''"),
        (b"\x88\x00", "the venue closed with code 0 b''"),
    ],
)
def test_a_farewell_is_reported_with_its_code(farewell: bytes, cause: str) -> None:
    async def test() -> None:
        def leave(transport: WSTransport) -> None:
            transport.underlying_transport.write(farewell)

        async with venue(leave) as (url, _):
            assert await one_cause(url) == cause

    run(test())


def test_a_breach_of_the_protocol_is_reported() -> None:
    async def test() -> None:
        def breach(transport: WSTransport) -> None:
            # A frame with reserved bits and an opcode that does not exist.
            transport.underlying_transport.write(b"\xff\x01x")

        async with venue(breach) as (url, _):
            assert "the venue broke the protocol" in await one_cause(url)

    run(test())


def test_a_message_in_parts_is_put_together() -> None:
    async def test() -> None:
        def parts(transport: WSTransport) -> None:
            transport.send(WSMsgType.TEXT, b"one ", fin=False)
            transport.send_ping(b"in between")
            transport.send(WSMsgType.CONTINUATION, b"mes", fin=False)
            transport.send(WSMsgType.CONTINUATION, b"sage")
            transport.send(WSMsgType.TEXT, b"next")

        received: list[bytes] = []

        def on_message(payload: memoryview, now: int) -> None:
            received.append(bytes(payload))
            if len(received) == 2:
                session.stop()

        async with venue(parts) as (url, _):
            session = Session(lambda: url, on_message, timing=QUICK)
            await session.run()
        assert received == [b"one message", b"next"]

    run(test())


def test_a_message_that_never_ends_ends_the_connection() -> None:
    async def test() -> None:
        def parts(transport: WSTransport) -> None:
            part = bytes(1 << 20)
            transport.send(WSMsgType.TEXT, part, fin=False)
            for _ in range(16):
                transport.send(WSMsgType.CONTINUATION, part, fin=False)

        async with venue(parts) as (url, _):
            assert await one_cause(url) == "a message in parts was longer than 16 MiB"

    run(test())


def test_an_error_in_the_receiver_ends_the_session_and_reaches_the_caller() -> None:
    async def test() -> None:
        handed_over: list[int] = []

        def on_message(payload: memoryview, now: int) -> None:
            handed_over.append(now)
            raise ZeroDivisionError("defect")

        async with serving() as (server, port):
            url = f"ws://127.0.0.1:{port}/stream?streams={ALL}"
            session = Session(lambda: url, on_message, timing=QUICK)
            with pytest.raises(ZeroDivisionError, match="defect"):
                await session.run()
            assert len(handed_over) == 1
            await until(lambda: server.connections() == 0)

    run(test())


def test_an_error_in_another_callback_reaches_the_caller_too() -> None:
    async def test() -> None:
        def on_connected() -> None:
            raise ZeroDivisionError("defect")

        async with serving() as (server, port):
            session = Session(
                lambda: f"ws://127.0.0.1:{port}/stream",
                lambda payload, now: None,
                on_connected=on_connected,
            )
            with pytest.raises(ZeroDivisionError, match="defect"):
                await session.run()
            await until(lambda: server.connections() == 0)

    run(test())


def test_after_a_stop_nothing_is_handed_over() -> None:
    async def test() -> None:
        reader = Reader(last=100)
        async with serving() as (server, reader.port):
            await reader.session.run()
            await until(lambda: server.connections() == 0)
        assert reader.positions == list(range(1, 101))
        assert reader.causes == []

    run(test())


def test_a_session_that_is_cancelled_leaves_no_connection() -> None:
    async def test() -> None:
        async with serving(rate=1) as (server, port):
            session = Session(
                lambda: f"ws://127.0.0.1:{port}/stream", lambda payload, now: None, timing=QUICK
            )
            running = asyncio.ensure_future(session.run())
            await until(lambda: server.connections() == 1)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            await until(lambda: server.connections() == 0)

    run(test())


def test_a_name_is_looked_up() -> None:
    async def test() -> None:
        async with serving() as (_, port):
            url = f"ws://localhost:{port}/stream?streams={ALL}"
            session = Session(lambda: url, lambda payload, now: session.stop(), timing=QUICK)
            await session.run()
        assert session.counts.connects == 1

    run(test())


def test_a_restarted_server_sends_the_same_market() -> None:
    async def once(server: ExchangeServer) -> list[bytes]:
        received: list[bytes] = []

        def on_message(payload: memoryview, now: int) -> None:
            received.append(bytes(payload))
            if len(received) == 500:
                session.stop()

        port = await server.start()
        session = Session(
            lambda: f"ws://127.0.0.1:{port}/stream?streams={ALL}&after=77", on_message, timing=QUICK
        )
        await session.run()
        await server.close()
        return received

    async def test() -> None:
        assert await once(exchange()) == await once(exchange())

    run(test())
