"""As much of HTTP/1.1 as the public REST of the venues needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

LONGEST_HEAD = 16 * 1024
LONGEST_BODY = 64 * 1024


class HttpError(ValueError):
    """A request that is none; the text is for the client."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request; the names of headers are in lower case."""

    method: str
    target: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""

    @property
    def is_upgrade(self) -> bool:
        """Tell whether it wants a WebSocket."""
        return self.headers.get("upgrade", "").lower() == "websocket"

    @property
    def keeps_alive(self) -> bool:
        """Tell whether more may follow on the connection."""
        return self.headers.get("connection", "").lower() != "close"


@dataclass(frozen=True, slots=True)
class Response:
    """One response."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, document: Any, status: int = 200, **headers: str) -> Response:
        """Return a response of a JSON document; underscores in names of headers are hyphens."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return cls(status, msgspec.json.encode(document), named)

    def encode(self, *, keep_alive: bool) -> bytes:
        """Return it as it is sent."""
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(self.body)),
            "Connection": "keep-alive" if keep_alive else "close",
            **self.headers,
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}\r\n{lines}\r\n"
        return head.encode() + self.body


def take(buffer: bytearray) -> tuple[Request, bytes] | None:
    """Remove a request from the front of what was received, once it is complete.

    Returns:
        It, and the bytes that it was; None if more must come.

    Raises:
        HttpError: it is none, or too long.
    """
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        if len(buffer) > LONGEST_HEAD:
            raise HttpError(f"head was over {LONGEST_HEAD} bytes")
        return None
    try:
        first, *lines = buffer[:end].decode("latin-1").split("\r\n")
        method, target, version = first.split(" ")
        headers = {}
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon:
                raise ValueError("a header has no colon")
            headers[name.strip().lower()] = value.strip()
        length = int(headers.get("content-length", "0"))
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
    except ValueError as error:
        raise HttpError(f"request was no HTTP: {error}") from None
    if not version.startswith("HTTP/1."):
        raise HttpError(f"version was {version!r}, must be HTTP/1.1")
    if not 0 <= length <= LONGEST_BODY:
        raise HttpError(f"body was {length} bytes, must be at most {LONGEST_BODY}")
    size = end + 4 + length
    if len(buffer) < size:
        return None
    raw = bytes(buffer[:size])
    del buffer[:size]
    body = raw[end + 4 :]
    return Request(method, target, unquote(parts.path), query, headers, body), raw
