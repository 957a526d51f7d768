"""The port: what connects, and whether it wants a WebSocket or has a request of HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib
import importlib.metadata
import ipaddress
import logging
from collections.abc import Callable
from typing import Any

from picows import (
    WSAutoPingStrategy,
    WSListener,
    WSUpgradeRequest,
    WSUpgradeResponseWithListener,
)

from workers.exchange.faults import Faults
from workers.exchange.http import HttpError, Request, Response, take

_log = logging.getLogger("picows.server")
_SERVER_ERRORS = (500, 502, 503, 504)
_KNOWN = "2.3.1"
_MOST_READ = 10 * 1024 * 1024

Accept = Callable[[WSUpgradeRequest], WSListener | WSUpgradeResponseWithListener]
"""Makes a listener of a request for a WebSocket, or says why not; see `picows`."""


def websocket_protocol(accept: Accept) -> Any:
    """Return picows' protocol for a connection that exists already.

    `ws_create_server`, the public way, makes connections of its own, and so would need a port apart
    from that of HTTP. It hands the same arguments to the same class.

    Raises:
        ImportError: this picows does it otherwise.
    """
    try:
        protocol = importlib.import_module("picows.picows").WSProtocol(
            None,  # host and port, of a client
            None,  # path, of a client
            False,  # is a client
            accept,
            _log,
            True,  # disconnect on exceptions
            5.0,  # seconds for the handshake, which is here already
            False,  # no PINGs of its own: those of venues differ
            20.0,
            20.0,
            WSAutoPingStrategy.PING_WHEN_IDLE,
            False,  # nor PONGs: faults must be able to withhold them
            _MOST_READ,
            None,  # headers, of a client
            16 * 1024,
        )
        for name in ("connection_made", "get_buffer", "buffer_updated"):
            getattr(protocol, name)
    except (AttributeError, TypeError) as error:
        version = importlib.metadata.version("picows")
        raise ImportError(
            f"picows was {version}, must be one whose server protocol takes over connections, such "
            f"as {_KNOWN}: {error}"
        ) from None
    return protocol


class Front(asyncio.Protocol):
    """One connection, until it is known what it is: a WebSocket is handed over to picows.

    `venue_of` says whose a path is, None for what belongs to no venue and has no faults; `respond`
    answers a request from loopback or not. Faults of HTTP and black holes are met here.
    """

    def __init__(
        self,
        faults: Faults,
        fronts: set[Front],
        venue_of: Callable[[str], str | None],
        respond: Callable[[Request, bool], Response],
        accept: Accept,
    ) -> None:
        self._faults = faults
        self._fronts = fronts
        self._venue_of = venue_of
        self._respond = respond
        self._accept = accept
        self._received = bytearray()
        self._transport: asyncio.Transport
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take up the connection."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._fronts.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        """Forget it."""
        self._fronts.discard(self)
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        """Answer, as soon as a request is complete."""
        self._received += data
        if self._task is None:
            self._next()

    def abort(self) -> None:
        """Cut the connection off."""
        self._transport.abort()

    def _next(self) -> None:
        while self._task is None and not self._transport.is_closing():
            try:
                taken = take(self._received)
            except HttpError as error:
                self._send(Response.of({"error": str(error)}, 400), keep_alive=False)
                return
            if taken is None:
                return
            request, raw = taken
            if self._must_wait(request):
                self._task = asyncio.get_running_loop().create_task(self._later(request, raw))
                self._task.add_done_callback(self._done)
            elif self._meet(request, raw):
                return

    def _must_wait(self, request: Request) -> bool:
        venue = self._venue_of(request.path)
        if venue is None:
            return False
        conditions = self._faults.of(venue)
        return bool(conditions.black_hole or conditions.latency or conditions.jitter)

    async def _later(self, request: Request, raw: bytes) -> None:
        venue = self._venue_of(request.path)
        assert venue is not None
        self._transport.pause_reading()
        while self._faults.of(venue).black_hole:
            await asyncio.sleep(0.001)
        conditions = self._faults.of(venue)
        share = _share(self._faults, f"late {request.target}")
        await asyncio.sleep(conditions.latency + conditions.jitter * share)
        self._transport.resume_reading()
        self._meet(request, raw)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled() and task.exception() is None:
            self._next()

    def _meet(self, request: Request, raw: bytes) -> bool:
        """Answer a request; return whether the connection is a WebSocket from now on."""
        venue = self._venue_of(request.path)
        refused = None if venue is None else self._refused(venue, request)
        if refused is not None:
            self._send(refused, keep_alive=request.keeps_alive and not request.is_upgrade)
        elif request.is_upgrade:
            self._upgrade(raw)
            return True
        else:
            response = self._respond(request, self._is_local())
            self._send(response, keep_alive=request.keeps_alive)
        return False

    def _refused(self, venue: str, request: Request) -> Response | None:
        conditions = self._faults.of(venue)
        if conditions.retry_after is not None:
            self._faults.count("429")
            seconds = str(max(1, round(conditions.retry_after)))
            text = {"code": -1003, "msg": "Too many requests."}
            return Response.of(text, 429, Retry_After=seconds)
        if conditions.server_error:
            share = _share(self._faults, f"5xx {request.target}")
            if share < conditions.server_error:
                self._faults.count("5xx")
                status = _SERVER_ERRORS[int(share * 1e6) % len(_SERVER_ERRORS)]
                return Response.of({"code": -1000, "msg": "Internal error."}, status)
        return None

    def _upgrade(self, raw: bytes) -> None:
        """Hand the connection over, with all that was received on it."""
        self._fronts.discard(self)
        protocol = websocket_protocol(self._accept)
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        waiting = memoryview(raw + bytes(self._received))
        while len(waiting) and not self._transport.is_closing():
            buffer = protocol.get_buffer(-1)
            size = min(len(buffer), len(waiting))
            buffer[:size] = waiting[:size]
            protocol.buffer_updated(size)
            waiting = waiting[size:]

    def _send(self, response: Response, *, keep_alive: bool) -> None:
        self._transport.write(response.encode(keep_alive=keep_alive))
        if not keep_alive:
            self._transport.close()

    def _is_local(self) -> bool:
        peer = self._transport.get_extra_info("peername")
        with contextlib.suppress(TypeError, ValueError, IndexError):
            return ipaddress.ip_address(peer[0]).is_loopback
        return False


def _share(faults: Faults, what: str) -> float:
    """Return a number from 0 to 1 that follows from the seed, what it is for and how often."""
    number = faults.requests.get(what, 0)
    faults.requests[what] = number + 1
    digest = hashlib.blake2b(f"{faults.seed} {number} {what}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / float(1 << 64)
