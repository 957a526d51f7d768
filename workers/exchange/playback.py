"""A captured file as an exchange: its frames, one by one, to each client from where it asks."""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import msgspec
import numpy as np

from workers.exchange.dialect import Dialect
from workers.exchange.http import Response
from workers.exchange.market import Events
from workers.exchange.pacing import Pace
from workers.exchange.source import Source
from workers.feed.capture import CaptureError, Kind, merged

MOST_RATE = 10_000_000

_BOOK = b'{"lastUpdateId":'

MOST_FACTOR = 10_000

Mode = Literal["recorded", "fixed", "max"]

_FACTOR = re.compile(r"\d{1,5}(?:\.\d{1,3})?x", re.ASCII)

_NO_TRADES = {
    "/api/v3/trades": b"[]",
    "/api/v3/aggTrades": b"[]",
    "/0/public/Trades": b'{"error":[],"result":{"trades":[],"last":"0"}}',
}
_NO_TICKER = b'{"trades":[],"best_bid":"","best_ask":""}'


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast frames are sent: as they were received, at a rate, or as fast as clients read.

    `factor` is how much faster than they were received, `rate` in frames a second.
    """

    mode: Mode = "recorded"
    rate: int = 0
    factor: float = 1.0

    @classmethod
    def parse(cls, text: str) -> Speed:
        """Return the speed of a text: ``recorded``, ``10x``, ``fixed:RATE``, ``max``.

        Raises:
            CaptureError: it is none of them.
        """
        if text == "recorded":
            return cls("recorded")
        if text == "max":
            return cls("max")
        if _FACTOR.fullmatch(text):
            factor = float(text[:-1])
            if not 0 < factor <= MOST_FACTOR:
                raise CaptureError(f"speed was {text}, must be above 0x, at most {MOST_FACTOR}x")
            return cls("recorded", factor=factor)
        name, _, rate = text.partition(":")
        if name != "fixed" or not rate.isascii() or not rate.isdigit() or len(rate) > 9:
            raise CaptureError(
                f"speed was {text!r}, must be recorded, fixed:RATE, max, or a factor such as 10x"
            )
        if not 1 <= int(rate) <= MOST_RATE:
            raise CaptureError(f"rate of speed was {rate}, must be from 1 to {MOST_RATE}")
        return cls("fixed", int(rate))


@dataclass(frozen=True, slots=True)
class Recording:
    """The frames of captured files in the order of time, and the books fetched meanwhile.

    Attributes:
        times: When each frame was received, in ns; None where the file does not tell.
        books: The first REST snapshot of the book of each symbol, "" where the file does not tell.
    """

    texts: tuple[bytes, ...]
    times: tuple[int | None, ...]
    books: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def load(cls, paths: Sequence[Path]) -> Recording:
        """Read captured files.

        Raises:
            CaptureError: one of them cannot be read as such, or there is no frame in them.
            OSError: one of them cannot be read.
        """
        texts: list[bytes] = []
        times: list[int | None] = []
        books: dict[str, bytes] = {}
        for frame in merged(paths):
            if frame.kind is Kind.FRAME:
                texts.append(frame.text)
                times.append(frame.received_ns or None)
            elif frame.kind is Kind.REST and frame.text.startswith(_BOOK):
                symbol = parse_qs(urlsplit(frame.url).query).get("symbol", [""])[0]
                books.setdefault(symbol, frame.text)
        if not texts:
            names = ", ".join(map(str, paths))
            raise CaptureError(f"{names} had no frames, must have some")
        return cls(tuple(texts), tuple(times), books)

    def book(self, symbol: str) -> bytes | None:
        """Return the first snapshot of a symbol's book, None if there is none."""
        return self.books.get(symbol) or self.books.get("")

    @property
    def acknowledges(self) -> bool:
        """Tell whether the answers to what the client asked for are among the frames."""
        return any(b'"method":"subscribe"' in text for text in self.texts[:100])


class RecordedPace:
    """The schedule of recorded frames: each is due as long after the first as it was received.

    With a `factor`, in so much less time. Frames up to `known` are due at once, and the first is
    then the one behind them.
    """

    def __init__(
        self,
        times: Sequence[int | None],
        first: int,
        start_ns: int,
        *,
        factor: float = 1.0,
        known: int = 0,
    ) -> None:
        self._due: list[int] = []
        latest = 0
        origin: int | None = None
        for number, time in enumerate(times[first - 1 :], first):
            if time is not None and number > known:
                origin = time if origin is None else origin
                latest = max(latest, round((time - origin) / factor))
            self._due.append(start_ns + latest)
        self._first = first

    def due(self, now_ns: int) -> int:
        """Return the last frame that is due, ``first - 1`` if none is."""
        return self._first - 1 + bisect.bisect_right(self._due, now_ns)

    def wait(self, index: int, now_ns: int) -> float:
        """Return the seconds until frame `index` is due, at least 0."""
        return max(0, self._due[index - self._first] - now_ns) / 1e9


class Replay(Dialect):
    """Sends frames as they were captured; requests are acknowledged as the venue would.

    `alone`: but nothing is sent that was not captured, so that a client can count frames.
    """

    chunk = 256

    def __init__(
        self, recording: Recording, venue: str, *, begins: bool, alone: bool = False
    ) -> None:
        self.venue = venue
        self.pings = venue == "binance" or alone
        self.recording = recording
        self._begun = begins
        self._alone = alone

    def subscribed(self) -> bool:
        """Tell whether the client has asked for anything; what, does not matter."""
        return self._begun

    def encode(self, events: Events) -> Sequence[str | bytes]:
        """Return frames, of which `events` are the numbers."""
        first = int(events[0])
        return self.recording.texts[first - 1 : first - 1 + len(events)]

    def answer(self, request: bytes, position: int) -> Sequence[str | bytes]:
        """Acknowledge a request."""
        try:
            message = msgspec.json.decode(request)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return ()
        if not isinstance(message, dict):
            return ()
        if self.venue == "kraken" and message.get("method") == "ping":
            if self._alone:
                return ()
            return (msgspec.json.encode({"method": "pong", "req_id": message.get("req_id")}),)
        self._begun = True
        if self._alone:
            return ()
        return tuple(self._acknowledged(message))

    def _acknowledged(self, message: dict[str, Any]) -> list[bytes]:
        if self.venue == "binance":
            return [msgspec.json.encode({"result": None, "id": message.get("id")})]
        params = message.get("params")
        if self.venue != "kraken" or self.recording.acknowledges or not isinstance(params, dict):
            return []
        symbols = params.get("symbol")
        return [
            msgspec.json.encode(
                {
                    "method": message.get("method"),
                    "result": {**params, "symbol": symbol},
                    "success": True,
                    "req_id": message.get("req_id"),
                }
            )
            for symbol in (symbols if isinstance(symbols, list) else [])
        ]


class Playback(Source):
    """Frame numbers in the place of events; each client begins with the first.

    Those up to `known` are then due at once, and the pace is that of what follows.
    """

    def __init__(
        self,
        recording: Recording,
        speed: Speed,
        clock: Callable[[], int],
        *,
        known: int = 0,
        farewell: bytes = b"",
    ) -> None:
        self.recording = recording
        self.last = len(recording.texts)
        self.farewell = farewell
        self._speed = speed
        self._clock = clock
        self._known = known

    def known_to(self, client: int) -> Playback:
        """Return the same for a client that knows the first so many frames."""
        return Playback(
            self.recording, self._speed, self._clock, known=client, farewell=self.farewell
        )

    def respond(self, path: str, symbol: str) -> Response | None:
        """Answer a request for what was captured, or was not; None: it is about something else."""
        if path == "/api/v3/depth":
            book = self.recording.book(symbol)
            if book is not None:
                return Response(200, book)
            return Response.of({"code": -1121, "msg": "no book of it was captured"}, 400)
        if path in _NO_TRADES:
            return Response(200, _NO_TRADES[path])
        if path.startswith("/api/v3/brokerage/market/products/") and path.endswith("/ticker"):
            return Response(200, _NO_TICKER)
        return None

    def begin(self) -> int:
        """Return that nothing was sent."""
        return 0

    def approach(self, index: int, most: int) -> bool:
        """Return that every frame is near."""
        return True

    def events(self, first: int, count: int) -> Events:
        """Return the numbers of frames."""
        return np.arange(first, first + count)

    def pace(self, first: int, *, live: bool) -> RecordedPace | Pace | None:
        """Return when frames are due from `first` on, None: as fast as the client reads."""
        if self._speed.mode == "max":
            return None
        if self._speed.mode == "fixed":
            return Pace(max(first, self._known + 1), self._speed.rate, self._clock())
        return RecordedPace(
            self.recording.times,
            first,
            self._clock(),
            factor=self._speed.factor,
            known=self._known,
        )
