"""What a client asks for: the path of its WebSocket request."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

PATH = "/stream"
MOST_STREAMS = 1024
"""Streams of one connection, the limit of Binance."""

_PARAMETERS = ("streams", "timeUnit", "after", "count")
_UNITS = {"MILLISECOND": False, "MICROSECOND": True}
_LIMIT = 2**43  # further on, microseconds since the epoch would not fit 64 bits


class RequestError(ValueError):
    """A request that cannot be served; the text is for the client."""


class NoSuchPathError(RequestError):
    """The path is none of the server's."""


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """A request for a combined stream: ``/stream?streams=...&timeUnit=...&after=...&count=...``.

    `after` and `count` are the simulator's own: the events with after < index <= count are sent,
    without a `count` all that ever come.
    """

    streams: tuple[str, ...]
    microseconds: bool
    after: int
    count: int | None

    @classmethod
    def parse(cls, path: bytes, known: Collection[str]) -> StreamRequest:
        """Return what the path of a request means; `known` are the streams that there are.

        Raises:
            NoSuchPathError: it is not that of the combined stream.
            RequestError: a parameter or a stream is unknown, or a value cannot be.
        """
        try:
            parts = urlsplit(path.decode("ascii"))
            pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        except ValueError as error:
            raise RequestError(f"path was {path!r}, must be a path and a query: {error}") from None
        if parts.path != PATH:
            raise NoSuchPathError(f"path was {parts.path!r}, must be {PATH!r}")
        parameters: dict[str, str] = {}
        for name, value in pairs:
            if name not in _PARAMETERS:
                raise RequestError(
                    f"unknown parameter {name!r}, must be one of {', '.join(_PARAMETERS)}"
                )
            if name in parameters:
                raise RequestError(f"parameter {name!r} was given twice, must be once")
            parameters[name] = value
        unit = parameters.get("timeUnit", "MILLISECOND").upper()
        if unit not in _UNITS:
            raise RequestError(f"timeUnit was {unit!r}, must be one of {', '.join(_UNITS)}")
        listed = parameters.get("streams", "")
        streams = tuple(dict.fromkeys(listed.split("/"))) if listed else ()
        check_streams(streams, known)
        after = _integer("after", parameters.get("after", "0"))
        count = _integer("count", parameters["count"]) if "count" in parameters else None
        return cls(streams, _UNITS[unit], after, count)


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
