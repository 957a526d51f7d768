"""One client of the simulated exchange."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Sequence

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from workers.exchange.dialect import Dialect
from workers.exchange.exchange import Exchange
from workers.exchange.outlet import Outlet
from workers.exchange.source import Source

LONGEST_SILENCE = 0.5
"""Seconds after which a venue that pings sends a PING if nothing else was, so silence is death."""

PING_EVERY = 20.0
"""Seconds between PINGs of a connection that is never silent, as on Binance."""

PONG_WITHIN = 60.0
"""Seconds for the answer to a PING; the connection is closed after that, as on Binance."""

BEAT_EVERY = 1.0
"""Seconds between heartbeats of a venue that sends messages instead of PINGs."""

_BLOCKS = 16  # blocks of the market that are passed over before others get their turn
_PING = b"\x89\x00"
_LONGEST_CONTROL = 125  # bytes in a control frame (RFC 6455, 5.5)
_RST = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST


class Connection(WSListener):
    """Sends what the dialect makes of the market, each event when it is due, and its answers."""

    def __init__(
        self,
        exchange: Exchange,
        source: Source,
        dialect: Dialect,
        number: int,
        opened: Callable[[Connection], None],
        *,
        after: int | None = None,
        count: int | None = None,
    ) -> None:
        self.venue = dialect.venue
        self._exchange = exchange
        self._source = source
        self._dialect = dialect
        self._number = number
        self._opened = opened
        self._after = after
        self._count = count
        self._position = 0
        self._writable = asyncio.Event()
        self._writable.set()
        self._wanted = asyncio.Event()
        self._gone = asyncio.Event()
        self._is_dead = False  # half open: the exchange has forgotten it
        self._frozen = False  # in a black hole
        self._congested = False
        self._unanswered: float | None = None
        self.task: asyncio.Task[None]
        """Ends when the connection does; an exception in it is a defect of the server."""

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Begin to send."""
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._outlet = Outlet(
            self._exchange.faults,
            self.venue,
            self._number,
            self._write,
            reset=self.reset,
            die=self.die,
        )
        self._sent = self._pinged = self._began = self._loop.time()
        self._position = self._source.begin() if self._after is None else self._after
        self.task = self._loop.create_task(self._serve())
        self._opened(self)
        self._send(self._dialect.greet(self._position))
        if self._exchange.faults.of(self.venue).black_hole:
            self.freeze()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Answer a request or a PING."""
        if self._is_dead:
            return
        kind = frame.msg_type
        if kind == WSMsgType.PONG:
            self._unanswered = None
        elif kind == WSMsgType.PING:
            payload = frame.get_payload_as_bytes()[:_LONGEST_CONTROL]
            self._outlet.send_frame(bytes((0x8A, len(payload))) + payload)
        elif kind == WSMsgType.CLOSE:
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()
        elif kind == WSMsgType.TEXT and frame.fin:
            self._answer(frame.get_payload_as_bytes())
        else:
            transport.send_close(
                WSCloseCode.UNSUPPORTED_DATA, b"requests must be text in a single frame"
            )
            transport.disconnect()
        if pause := self._exchange.faults.of(self.venue).slow_reader:
            self._exchange.faults.count("slow-reader")
            self._read_again_after(pause)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """End the task."""
        self._gone.set()
        self._outlet.close()
        self._writable.set()

    def pause_writing(self) -> None:
        """Stop sending: the client does not read as fast."""
        self._congested = True
        self._writable.clear()

    def resume_writing(self) -> None:
        """Go on."""
        self._congested = False
        if not (self._gone.is_set() or self._is_dead or self._frozen):
            self._writable.set()

    def close(self) -> None:
        """Say farewell and close."""
        self._transport.send_close(WSCloseCode.GOING_AWAY, b"the exchange shuts down")
        self._transport.disconnect()

    def abort(self) -> None:
        """Cut the connection off, whatever is still to be sent."""
        self._transport.disconnect(graceful=False)

    def reset(self) -> None:
        """Cut the connection off with a RST, as a machine that has crashed does."""
        self._outlet.close()
        transport = self._transport.underlying_transport
        connected = transport.get_extra_info("socket")
        if connected is not None and not transport.is_closing():
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
        transport.abort()

    def die(self) -> None:
        """Stay open and do nothing any more: what comes is read and forgotten."""
        self._is_dead = True
        self._outlet.close()
        self._writable.clear()

    def freeze(self) -> None:
        """Fall into a black hole: nothing comes, nothing goes."""
        self._frozen = True
        self._outlet.freeze()
        self._writable.clear()
        self._transport.underlying_transport.pause_reading()

    def thaw(self) -> None:
        """Come out of it: what was on its way arrives."""
        if not self._frozen:
            return
        self._frozen = False
        if not self._gone.is_set():
            self._outlet.thaw()
            self._resume_reading()
            if not (self._congested or self._is_dead):
                self._writable.set()

    def _answer(self, request: bytes) -> None:
        answers = self._dialect.answer(request, self._position)
        self._send(answers)
        if self._dialect.subscribed():
            self._wanted.set()

    def _read_again_after(self, pause: float) -> None:
        self._transport.underlying_transport.pause_reading()
        self._loop.call_later(pause, self._resume_reading)

    def _resume_reading(self) -> None:
        if not self._frozen and not self._transport.underlying_transport.is_closing():
            self._transport.underlying_transport.resume_reading()

    async def _serve(self) -> None:
        sender = self._loop.create_task(self._send_events())
        keeper = self._loop.create_task(self._ping() if self._dialect.pings else self._beat())
        gone = self._loop.create_task(self._gone.wait())
        tasks = {sender, keeper, gone}
        try:
            while not gone.done():
                done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            self.abort()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _send_events(self) -> None:
        source, dialect, clock = self._source, self._dialect, self._exchange.clock
        pace = source.pace(self._position + 1, live=self._after is None)
        ends = [last for last in (self._count, source.last) if last is not None]
        while not source.approach(self._position + 1, _BLOCKS):
            await asyncio.sleep(0)
        while not ends or self._position < min(ends):
            await self._writable.wait()
            if not dialect.subscribed():
                self._wanted.clear()
                await self._wanted.wait()
                continue
            if self._outlet.full:
                await asyncio.sleep(0.001)
                continue
            last = min([self._position + dialect.chunk, *ends])
            if pace is not None:
                last = min(last, pace.due(clock()))
            if last <= self._position:
                await asyncio.sleep(pace.wait(self._position + 1, clock()) if pace else 0)
                continue
            messages = dialect.encode(source.events(self._position + 1, last - self._position))
            self._position = last
            if self._after is None:
                source.reached(last)
            self._send(messages, market=True)
            await asyncio.sleep(0)
        if source.farewell:
            self._transport.send_close(WSCloseCode.OK, source.farewell)
            self._transport.disconnect()

    def _send(self, messages: Sequence[str | bytes], *, market: bool = False) -> None:
        if messages:
            self._outlet.send(messages, market=market)
            self._sent = self._loop.time()

    def _write(self, data: bytes) -> None:
        transport = self._transport
        # After a CLOSE nothing may follow.
        if transport.is_close_frame_sent or transport.underlying_transport.is_closing():
            return
        transport.underlying_transport.write(data)

    async def _ping(self) -> None:
        while True:
            now = self._loop.time()
            if self._unanswered is not None and now - self._unanswered >= PONG_WITHIN:
                self.abort()
            if now - self._sent >= LONGEST_SILENCE or now - self._pinged >= PING_EVERY:
                if not (self._frozen or self._is_dead):
                    self._outlet.send_frame(_PING)
                    if self._unanswered is None:
                        self._unanswered = now
                self._sent = self._pinged = now
            await asyncio.sleep(max(0.0, self._sent + LONGEST_SILENCE - self._loop.time()))

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_EVERY)
            now = self._loop.time()
            if self._dialect.is_tired(now - self._began) and not self._is_dead:
                self.abort()
            if not (self._frozen or self._is_dead):
                silence = (now - self._sent) / BEAT_EVERY
                self._send(self._dialect.beat(self._position, silence))
