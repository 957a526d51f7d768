"""A WebSocket connection that is made again whenever it is lost."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from picows import (
    WSCloseCode,
    WSError,
    WSFrame,
    WSHandshakeError,
    WSListener,
    WSMsgType,
    WSParsedURL,
    WSTransport,
    ws_connect,
)

# What waits in the kernel is old when it is read, and picows doubles its own buffer for each read
# that fills it, to as much as the kernel holds: some 10 MB unless told otherwise.
_RECEIVE_BYTES = 1 << 19

_TEXT = WSMsgType.TEXT
_MOST_BYTES = 16 << 20  # of a message in parts; snapshots of whole books have a few
_FAREWELL = 1.0  # seconds for what is still to be sent

# Causes are reported, not logged.
_SILENT = logging.Logger("session", logging.CRITICAL)  # or picows formats what nobody reads
_SILENT.addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds, and a share of one. The defaults suit a venue that pings each half second.

    Attributes:
        dial_every: From the beginning of one attempt to that of the next.
        jitter: By which share of it that time varies either way, so that clients of a venue that
            comes back do not all dial at once.
        attempt: An attempt is given up after that.
        silence: A connection on which nothing at all came for so long is dead; None: never.
        ping: After so much silence the other side is asked whether it is there; None: never.
    """

    dial_every: float = 1.0
    jitter: float = 0.2
    attempt: float = 1.0
    silence: float | None = 1.5
    ping: float | None = None


@dataclass(slots=True)
class Counts:
    """What has happened so far."""

    dials: int = 0
    connects: int = 0
    disconnects: int = 0
    messages: int = 0


class Session:
    """Keeps one connection, and hands each of its text messages to `on_message`.

    `url_for` is called at each attempt, so the address can say where to go on. `on_message` gets
    the payload, which is valid during the call only, and when it was received, in ns of
    CLOCK_MONOTONIC; what it raises ends the session. `on_connected` hears of each connection that
    was made, `on_lost` at once when it is no more, and whether that is because of its silence,
    `on_disconnected`, after that, of the cause, and of that of each attempt that failed. `may_dial`
    says after how many seconds the next attempt may be made, however short the grid is.

    Attributes:
        counts: What has happened so far.
        heard_ns: When the last frame of any kind came, a PING also; 0 before the first.
        has_ended: Whether the venue has closed the connection with `ends_with`; there is no other.
        ping_text: The message that asks whether the venue is there; None: a PING frame.
    """

    def __init__(
        self,
        url_for: Callable[[], str],
        on_message: Callable[[memoryview, int], None],
        *,
        on_connected: Callable[[], None] = lambda: None,
        on_lost: Callable[[bool], None] = lambda silent: None,
        on_disconnected: Callable[[str], None] = lambda cause: None,
        may_dial: Callable[[], float] = lambda: 0.0,
        timing: Timing | None = None,
        ping_text: str | None = None,
        ends_with: bytes | None = None,
        seed: int = 0,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.counts = Counts()
        self.heard_ns = 0
        self.has_ended = False
        self.ping_text = ping_text
        self._ends_with = ends_with
        self._url_for = url_for
        self._on_message = on_message
        self._on_connected = on_connected
        self._on_lost = on_lost
        self._on_disconnected = on_disconnected
        self._may_dial = may_dial
        self._timing = timing or Timing()
        self._random = random.Random(seed)  # noqa: S311 - jitter is no secret
        self._clock = clock_ns
        self._stop = asyncio.Event()
        self.is_stopped = False
        self._link: _Link | None = None

    def stop(self) -> None:
        """End `run` in order; no message is handed over any more."""
        self.is_stopped = True
        self._stop.set()

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection now."""
        return self._link is not None

    def send(self, text: str) -> None:
        """Send a message if there is a connection."""
        if self._link is not None:
            self._link.send(text)

    def drop(self, cause: str) -> None:
        """Give the connection up, if there is one, and make another."""
        if self._link is not None:
            self._link.cause = cause
            self._link.end()

    async def run(self) -> None:
        """Connect, and again whenever the connection is lost, until `stop`.

        Raises:
            Exception: what one of the callbacks raised.
        """
        loop = asyncio.get_running_loop()
        next_dial = loop.time()
        while not self._stop.is_set():
            if (wait := next_dial - loop.time()) > 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), wait)
                continue
            jitter = self._random.uniform(1 - self._timing.jitter, 1 + self._timing.jitter)
            if (wait := self._may_dial()) > 0:
                next_dial = loop.time() + wait
                continue
            next_dial = loop.time() + self._timing.dial_every * jitter
            await self._connect_once()

    async def _connect_once(self) -> None:
        """Make one attempt and, if it succeeds, stay until the connection is over."""
        self.counts.dials += 1
        link = _Link(self)
        silent = False
        try:
            cause = await _Dial(self._url_for(), link, self._timing.attempt).make(self._stop)
            if cause is None:
                self.counts.connects += 1
                silent = await self._stay(link)
                self.counts.disconnects += 1
                if not self._stop.is_set():
                    self._on_lost(silent)
        finally:
            # Who is silent would not take leave either.
            await link.leave(abruptly=silent)
        if link.error is not None:
            raise link.error
        if not self._stop.is_set():
            self._on_disconnected(cause or link.cause)

    async def _stay(self, link: _Link) -> bool:
        """Return, when the connection is over, whether that is because of its silence."""
        stop = asyncio.ensure_future(self._stop.wait())
        over = asyncio.ensure_future(link.over.wait())
        silence, ping = self._timing.silence, self._timing.ping
        link.heard_ns = self._clock()
        pinged_ns = 0
        self._link = link
        try:
            self._on_connected()
            while not (stop.done() or over.done()):
                # If this process itself stood still, what came meanwhile has been read: the loop
                # looks at sockets before timers.
                quiet = (self._clock() - link.heard_ns) / 1e9
                left = []
                if silence is not None:
                    if quiet >= silence:
                        link.cause = f"nothing came for {silence:g} s"
                        return True
                    left.append(silence - quiet)
                if ping is not None:
                    if quiet < ping:
                        left.append(ping - quiet)
                    elif pinged_ns <= link.heard_ns:
                        pinged_ns = self._clock()
                        link.ping(self.ping_text)
                wait = min(left, default=None)
                await asyncio.wait((stop, over), timeout=wait, return_when=asyncio.FIRST_COMPLETED)
            return False
        finally:
            self._link = None
            stop.cancel()
            over.cancel()


class _Link(WSListener):
    """One connection's callbacks. None of them raises: picows would log it."""

    def __init__(self, session: Session) -> None:
        self.over = asyncio.Event()
        self.is_over = False  # the same, for each message to look at
        self.cause = "the venue closed the connection"
        self.error: Exception | None = None
        self.heard_ns = 0
        self._session = session
        self._counts = session.counts
        self._clock = session._clock
        self._on_message = session._on_message
        self._transport: WSTransport | None = None
        self._parts = bytearray()

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        # Of each message: no name is looked up twice, and nothing called that need not be.
        session = self._session
        now = self._clock()
        self.heard_ns = session.heard_ns = now
        if self.is_over or session.is_stopped:
            return
        if frame.msg_type == _TEXT and frame.fin:
            message = frame.get_payload_as_memoryview()
        elif (whole := self._whole(transport, frame)) is not None:
            message = whole
        else:
            return
        self._counts.messages += 1
        try:
            self._on_message(message, now)
        except Exception as error:
            self.error = error
            self.end()

    def _whole(self, transport: WSTransport, frame: WSFrame) -> memoryview | None:
        """See to a frame that is not a message; return one of which this is the last part."""
        kind = frame.msg_type
        if kind in (_TEXT, WSMsgType.CONTINUATION):
            self._parts += frame.get_payload_as_memoryview()
            if len(self._parts) > _MOST_BYTES:
                self.cause = f"a message in parts was longer than {_MOST_BYTES >> 20} MiB"
                self.end()
            elif frame.fin:
                message, self._parts = self._parts, bytearray()
                return memoryview(message)
        elif kind == WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif kind == WSMsgType.CLOSE:
            code, text = frame.get_close_code(), frame.get_close_message() or b""
            self.cause = f"the venue closed with code {int(code)} {text!r}"  # type: ignore[call-overload]
            if text == self._session._ends_with:
                self._session.has_ended = True
                self._session.stop()
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()
        return None

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.end()

    def end(self) -> None:
        """Hand nothing over any more, and have the connection closed."""
        self.is_over = True
        self.over.set()

    def pause_writing(self) -> None:
        """Nothing is written but PONGs."""

    def resume_writing(self) -> None:
        """See `pause_writing`."""

    def send(self, text: str) -> None:
        """Send a message, unless the connection is about to end."""
        if self._transport is not None and not self.is_over:
            self._transport.send(WSMsgType.TEXT, text.encode())

    def ping(self, text: str | None) -> None:
        """Ask whether the other side is there."""
        if text is not None:
            self.send(text)
        elif self._transport is not None:
            self._transport.send_ping()

    async def leave(self, *, abruptly: bool = False) -> None:
        """Close the connection, if there is one, and wait until it is gone."""
        transport = self._transport
        if transport is None:
            return
        if not abruptly:
            transport.send_close(WSCloseCode.OK)
        transport.disconnect(graceful=not abruptly)
        try:
            try:
                await asyncio.wait_for(transport.wait_disconnected(), _FAREWELL)
            except TimeoutError:
                transport.disconnect(graceful=False)
                await transport.wait_disconnected()
        except WSError as error:
            self.cause = f"the venue broke the protocol: {error}"


class _Dial:
    """One attempt to connect, which can be given up at any time without a socket left behind."""

    def __init__(self, url: str, link: _Link, limit: float) -> None:
        self._url = url
        self._link = link
        self._limit = limit
        self._socket: socket.socket | None = None

    async def make(self, stop: asyncio.Event) -> str | None:
        """Return None if the link is connected, else why it could not be."""
        dialling = asyncio.ensure_future(self._dial())
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait(
                (dialling, stopping), timeout=self._limit, return_when=asyncio.FIRST_COMPLETED
            )
        finally:  # also if the caller is cancelled
            stopping.cancel()
            given_up = not dialling.done()
            if given_up:
                self._give_up(dialling)
                await asyncio.wait((dialling,))
        if given_up and (dialling.cancelled() or dialling.result() is not None):
            return f"no connection within {self._limit:g} s"
        return dialling.result()

    def _give_up(self, dialling: asyncio.Task[str | None]) -> None:
        if self._socket is None:
            dialling.cancel()
        else:
            # Not cancelled any more: picows would leave its transport open. It ends by itself
            # when the socket does.
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    async def _dial(self) -> str | None:
        try:
            _, link = await ws_connect(
                lambda: self._link,
                self._url,
                websocket_handshake_timeout=None,
                enable_auto_pong=False,  # what pings is alive, so they are to be seen
                socket_factory=self._connected_socket,
                max_redirects=0,
                logger_name=_SILENT,
            )
        except WSHandshakeError as error:
            answer = (error.raw_body or b"").decode(errors="replace").strip()
            return f"the venue refused: {error}{': ' if answer else ''}{answer}"
        except (OSError, ValueError, WSError) as error:
            return f"could not connect: {error}"
        if link is None:
            return "the venue closed the connection before it was upgraded"
        return None

    async def _connected_socket(self, url: WSParsedURL) -> socket.socket:
        loop = asyncio.get_running_loop()
        error: OSError | None = None
        where = {"type": socket.SOCK_STREAM}
        try:
            found = socket.getaddrinfo(url.host, url.port, **where, flags=socket.AI_NUMERICHOST)
        except socket.gaierror:  # a name, to be looked up in a thread
            found = await loop.getaddrinfo(url.host, url.port, **where)
        for family, kind, protocol, _, address in found:
            candidate = socket.socket(family, kind, protocol)
            candidate.setblocking(False)
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
            try:
                await loop.sock_connect(candidate, address)
            except OSError as failed:
                candidate.close()
                error = error or failed
            except BaseException:
                candidate.close()
                raise
            else:
                self._socket = candidate
                return candidate
        assert error is not None
        raise error
