"""One client of the simulated exchange."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from workers.exchange.control import Subscriptions
from workers.exchange.market import Events, SeededMarket
from workers.exchange.pacing import Pace
from workers.exchange.request import StreamRequest
from workers.exchange.wire import Encoder, frames

LONGEST_SILENCE = 0.5
"""Seconds after which a PING is sent if nothing else was, so that silence means death."""

PING_EVERY = 20.0
"""Seconds between PINGs of a connection that is never silent, as on Binance."""

PONG_WITHIN = 60.0
"""Seconds for the answer to a PING; the connection is closed after that, as on Binance."""

_CHUNK = 256  # events that are sent before others get their turn
_BLOCKS = 16  # blocks of the market that are passed over before others get theirs


@dataclass(frozen=True, slots=True)
class Venue:
    """What all connections share."""

    market: SeededMarket
    encoder: Encoder
    streams: tuple[str, ...]
    """Names; an event's is at ``2 * instrument + kind - 1``."""
    rate: int
    """Events a second, 0: as fast as the client reads."""
    last: int | None
    """The event with which the market ends; None: it never does."""
    clock: Callable[[], int]
    """Monotonic, in ns."""


class Connection(WSListener):
    """Sends the events that were asked for, each when it is due, and answers requests."""

    def __init__(
        self, venue: Venue, request: StreamRequest, opened: Callable[[Connection], None]
    ) -> None:
        self._venue = venue
        self._request = request
        self._opened = opened
        self._subscriptions = Subscriptions(request.streams, venue.streams)
        self._writable = asyncio.Event()
        self._writable.set()
        self._gone = asyncio.Event()
        self._unanswered: float | None = None
        self.task: asyncio.Task[None]
        """Ends when the connection does; an exception in it is a defect of the server."""

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Begin to send."""
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._sent = self._pinged = self._loop.time()
        self.task = self._loop.create_task(self._serve())
        self._opened(self)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Answer a request; PINGs are answered by the library."""
        if frame.msg_type == WSMsgType.PONG:
            self._unanswered = None
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()
        elif frame.msg_type == WSMsgType.TEXT and frame.fin:
            answer = self._subscriptions.answer(frame.get_payload_as_bytes())
            transport.send(WSMsgType.TEXT, answer)
        else:
            transport.send_close(
                WSCloseCode.UNSUPPORTED_DATA, b"requests must be text in a single frame"
            )
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """End the task."""
        self._gone.set()
        self._writable.set()

    def pause_writing(self) -> None:
        """Stop sending: the client does not read as fast."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Go on."""
        if not self._gone.is_set():
            self._writable.set()

    def close(self) -> None:
        """Say farewell and close."""
        self._transport.send_close(WSCloseCode.GOING_AWAY, b"the exchange shuts down")
        self._transport.disconnect()

    def abort(self) -> None:
        """Cut the connection off, whatever is still to be sent."""
        self._transport.disconnect(graceful=False)

    async def _serve(self) -> None:
        sender = self._loop.create_task(self._send_events())
        pinger = self._loop.create_task(self._ping())
        gone = self._loop.create_task(self._gone.wait())
        tasks = {sender, pinger, gone}
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
        venue = self._venue
        position = self._request.after
        ends = [last for last in (self._request.count, venue.last) if last is not None]
        pace = Pace(position + 1, venue.rate, venue.clock())
        while not venue.market.approach(position + 1, _BLOCKS):
            await asyncio.sleep(0)
        while not ends or position < min(ends):
            await self._writable.wait()
            last = min([position + _CHUNK, *ends])
            if venue.rate:
                last = min(last, pace.due(venue.clock()))
            if last <= position:
                await asyncio.sleep(pace.wait(position + 1, venue.clock()))
                continue
            events = self._subscribed(venue.market.events(position + 1, last - position))
            self._write(venue.encoder.encode(events, microseconds=self._request.microseconds))
            position = last
            await asyncio.sleep(0)

    def _subscribed(self, events: Events) -> Events:
        streams = self._venue.streams
        names = self._subscriptions.names
        if len(names) == len(streams):
            return events
        wanted = np.array([stream in names for stream in streams])
        selected: Events = events[wanted[2 * events["instrument"] + events["kind"] - 1]]
        return selected

    def _write(self, messages: Sequence[str]) -> None:
        transport = self._transport
        # After a CLOSE nothing may follow.
        if transport.is_close_frame_sent or transport.underlying_transport.is_closing():
            return
        if messages:
            transport.underlying_transport.write(frames(messages))
            self._sent = self._loop.time()

    async def _ping(self) -> None:
        while True:
            now = self._loop.time()
            if self._unanswered is not None and now - self._unanswered >= PONG_WITHIN:
                self.abort()
            if now - self._sent >= LONGEST_SILENCE or now - self._pinged >= PING_EVERY:
                self._transport.send_ping()
                self._sent = self._pinged = now
                if self._unanswered is None:
                    self._unanswered = now
            await asyncio.sleep(max(0.0, self._sent + LONGEST_SILENCE - self._loop.time()))
