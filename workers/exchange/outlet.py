"""The way of one connection's messages to its socket, on which faults await them."""

from __future__ import annotations

import asyncio
import hashlib
import re
import struct
from collections import deque
from collections.abc import Callable, Sequence

from workers.exchange.faults import Conditions, Faults
from workers.exchange.wire import frames

BACKLOG = 4096
"""Delayed messages after which no more of the market are made."""

_NUMBERED = re.compile(r'"(?:t|u|sequence_num|trade_id|checksum)":')
_CHECKSUM = re.compile(r'"checksum":(\d+)')
_FATE = struct.Struct("<8I")
_WHOLE = float(1 << 32)
_HELD_AT_MOST = 0.1  # seconds that a message waits for the one that shall overtake it


class Outlet:
    """Sends messages, or does to them what is in force.

    What happens to the n-th message of a kind is a pure function of the faults' seed, the
    connection's number, the kind (`market` or not) and n. The callbacks `reset` and `die` are for
    faults of the connection itself.
    """

    def __init__(
        self,
        faults: Faults,
        venue: str,
        number: int,
        write: Callable[[bytes], None],
        *,
        reset: Callable[[], None],
        die: Callable[[], None],
    ) -> None:
        self._faults = faults
        self._venue = venue
        self._number = number
        self._write = write
        self._reset = reset
        self._die = die
        self._sent = [0, 0]
        self._held: bytes | None = None
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._frozen = False
        self._closed = False
        self._loop = asyncio.get_running_loop()

    @property
    def full(self) -> bool:
        """Tell whether so much is delayed that no more shall come."""
        return len(self._waiting) > BACKLOG

    def send(self, messages: Sequence[str | bytes], *, market: bool) -> None:
        """Send messages, as text frames; those of the market are counted apart."""
        if self._faults.spare(self._venue) and not self._waiting and self._held is None:
            self._sent[market] += len(messages)
            if not self._frozen and not self._closed and messages:
                self._write(frames(messages))
            return
        for message in messages:
            if self._closed:
                return
            self._sent[market] += 1
            text = message if isinstance(message, str) else message.decode()
            conditions = self._faults.of(self._venue)
            self._meet(text, conditions, self._fate(market))
        self._flush()

    def send_frame(self, frame: bytes) -> None:
        """Send a frame that is no message, a PING for example; it is delayed like them."""
        self._queue(frame, self._faults.of(self._venue), 0.0)
        self._flush()

    def freeze(self) -> None:
        """Send nothing until `thaw`."""
        self._frozen = True

    def thaw(self) -> None:
        """Go on."""
        self._frozen = False
        self._flush()

    def close(self) -> None:
        """Send nothing any more."""
        self._closed = True
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _fate(self, market: bool) -> tuple[float, ...]:
        key = struct.pack("<QQQQ", self._faults.seed, self._number, market, self._sent[market])
        digest = hashlib.blake2b(key, digest_size=_FATE.size).digest()
        return tuple(word / _WHOLE for word in _FATE.unpack(digest))

    def _meet(self, text: str, now: Conditions, fate: tuple[float, ...]) -> None:
        drop, twice, swap, bad, wrong, where, late, end = fate
        count = self._faults.count
        if end < now.reset:
            count("reset")
            self._reset()
            return
        if 1 - end < now.half_open:
            count("half-open")
            self._die()
            return
        if drop < now.drop:
            count("drop")
            return
        if 1 - drop < now.sequence_gap and _NUMBERED.search(text):
            count("sequence-gap")
            return
        if wrong < now.bad_checksum and (match := _CHECKSUM.search(text)):
            count("bad-checksum")
            other = (int(match[1]) + 1) % (1 << 32)
            text = f"{text[: match.start(1)]}{other}{text[match.end(1) :]}"
        if bad < now.malformed:
            count("malformed")
            text = _spoilt(text, where)
        frame = frames((text,))
        if self._held is not None:
            self._queue(frame, now, late)
            self._release()
        elif swap < now.reorder:
            count("reorder")
            self._held = frame
            self._loop.call_later(_HELD_AT_MOST, self._release)
        else:
            self._queue(frame, now, late)
        if twice < now.duplicate:
            count("duplicate")
            self._queue(frame, now, late)

    def _release(self) -> None:
        """Let go of the message that was held back."""
        if self._held is not None:
            held, self._held = self._held, None
            self._queue(held, self._faults.of(self._venue), 0.0)
            self._flush()

    def _queue(self, frame: bytes, now: Conditions, late: float) -> None:
        due = self._loop.time() + now.latency + now.jitter * late
        if self._waiting:
            due = max(due, self._waiting[-1][0])  # a TCP connection keeps the order
        self._waiting.append((due, frame))

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._frozen or self._closed:
            return
        now = self._loop.time()
        ready = []
        while self._waiting and self._waiting[0][0] <= now:
            ready.append(self._waiting.popleft()[1])
        if ready:
            self._write(b"".join(ready))
        if self._waiting:
            self._timer = self._loop.call_at(self._waiting[0][0], self._flush)


def _spoilt(text: str, where: float) -> str:
    """Return a text cut off, or with a character in it that JSON does not have; never valid."""
    at = 1 + int(where * (len(text) - 1))
    return text[:at] if int(where * 1e6) % 2 else f"{text[:at]}\x01{text[at:]}"
