"""What a client asks for: the path of its WebSocket request."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

COMBINED = "/stream"
RAW = "/ws"
KRAKEN = "/v2"
COINBASE = ("/coinbase", "/")
PATHS = (COMBINED, f"{RAW}/...", KRAKEN, *COINBASE)
"""Where WebSockets are to be had: Binance's two, Kraken's, Coinbase's."""

MOST_STREAMS = 1024
"""Streams of one connection, the limit of Binance."""

_PARAMETERS = ("streams", "timeUnit", "after", "count")
_OWN = ("after", "count")
_UNITS = {"MILLISECOND": False, "MICROSECOND": True}
_LIMIT = 2**43  # further on, microseconds since the epoch would not fit 64 bits
_ANY = re.compile(r"[0-9]*")  # as a name of a raw stream, what some clients number connections by


class RequestError(ValueError):
    """A request that cannot be served; the text is for the client."""


class NoSuchPathError(RequestError):
    """The path is none of the server's."""


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """A request for a stream, of Binance: ``/stream?streams=...&timeUnit=...``, ``/ws/<stream>``.

    ``after`` and ``count`` are the simulator's own, for all venues: the events with
    after < index <= count are sent, without a `count` all that ever come, without `after` (None)
    those from where the market stands.
    """

    venue: str
    streams: tuple[str, ...]
    combined: bool
    microseconds: bool
    after: int | None
    count: int | None

    @classmethod
    def parse(cls, path: bytes, known: Collection[str]) -> StreamRequest:
        """Return what the path of a request means; `known` are Binance's streams that there are.

        Raises:
            NoSuchPathError: it is none of a WebSocket.
            RequestError: a parameter or a stream is unknown, or a value cannot be.
        """
        try:
            parts = urlsplit(path.decode("ascii"))
            pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        except ValueError as error:
            raise RequestError(f"path was {path!r}, must be a path and a query: {error}") from None
        place = venue_of(parts.path)
        if place is None:
            raise NoSuchPathError(f"path was {parts.path!r}, must be one of {', '.join(PATHS)}")
        allowed = _PARAMETERS if place == "binance" else _OWN
        parameters: dict[str, str] = {}
        for name, value in pairs:
            if name not in allowed:
                raise RequestError(
                    f"unknown parameter {name!r}, must be one of {', '.join(allowed)}"
                )
            if name in parameters:
                raise RequestError(f"parameter {name!r} was given twice, must be once")
            parameters[name] = value
        unit = parameters.get("timeUnit", "MILLISECOND").upper()
        if unit not in _UNITS:
            raise RequestError(f"timeUnit was {unit!r}, must be one of {', '.join(_UNITS)}")
        combined = parts.path == COMBINED
        text = parameters.get("streams", "")
        listed = text.split("/") if text else []
        if not combined and place == "binance":
            raw = (unquote(name) for name in parts.path.removeprefix(RAW).split("/"))
            listed += [name for name in raw if not _ANY.fullmatch(name)]
        streams = tuple(dict.fromkeys(listed))
        check_streams(streams, known)
        after = _integer("after", parameters["after"]) if "after" in parameters else None
        count = _integer("count", parameters["count"]) if "count" in parameters else None
        return cls(place, streams, combined, _UNITS[unit], after, count)


def venue_of(path: str) -> str | None:
    """Return whose WebSocket is at a path, None if there is none."""
    if path in (COMBINED, RAW) or path.startswith(f"{RAW}/"):
        return "binance"
    if path == KRAKEN:
        return "kraken"
    return "coinbase" if path in COINBASE else None


def check_streams(streams: Collection[str], known: Collection[str]) -> None:
    """Refuse streams that there are not.

    Raises:
        RequestError: it names the first of them.
    """
    for stream in streams:
        if stream not in known:
            raise RequestError(f"unknown stream {stream!r}, must be one of {', '.join(known)}")
    if len(streams) > MOST_STREAMS:
        raise RequestError(f"streams were {len(streams)}, must be at most {MOST_STREAMS}")


def _integer(name: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 13 or int(text) > _LIMIT:
        raise RequestError(f"{name} was {text!r}, must be an integer from 0 to {_LIMIT}")
    return int(text)
