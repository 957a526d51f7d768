"""Captured market data, frame by frame, whatever the format of the file.

`*.jsonl`: bare frames. `*.jsonl.gz` (hftbacktest): `<received unix ns> <frame>`, a REST depth
snapshot among them. `*.txt.xz` (cryptofeed): `<received unix s>: <frame>`, `URL <-> s` for a
connection, `URL <- s: <json>` for what the client sent, `URL -> s: <json>` for a REST answer. What
compresses a file follows from its last suffix, the rest from its lines.
"""

from __future__ import annotations

import enum
import gzip
import heapq
import lzma
import re
import zlib
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import IO, NamedTuple, cast

END = b"the capture has ended"
"""With which the exchange closes a connection over which a run was sent all of its capture."""


class CaptureError(ValueError):
    """A line that no format has; the text says which."""


class Kind(enum.Enum):
    """What a line of a capture is."""

    CONNECT = "connect"  # a new connection
    SENT = "sent"  # from the client, over the connection
    FRAME = "frame"  # from the venue, over the connection
    REST = "rest"  # an answer to a request


class Frame(NamedTuple):
    """A line of a capture.

    Attributes:
        received_ns: Unix time in ns; 0 if the file does not say.
        kind: What it is.
        text: The message; empty for CONNECT.
        url: Of CONNECT, SENT and REST, where the file has it.
    """

    received_ns: int
    kind: Kind
    text: bytes
    url: str = ""


_STAMPED_NS = re.compile(rb"(\d{1,19}) ")
_STAMPED_S = re.compile(rb"(\d{1,10}(?:\.\d+)?): ")
_URL = re.compile(rb"([a-z]+://\S+) (<->|<-|->) (\d{1,10}(?:\.\d+)?)(?:: |$)")
_URL_KINDS = {b"<->": Kind.CONNECT, b"<-": Kind.SENT, b"->": Kind.REST}
_REST = b'{"lastUpdateId":'
"""A depth snapshot among frames: no stream sends one without an envelope, in these captures."""


def frames(path: Path) -> Iterator[Frame]:
    """Yield what a file has, in its order.

    Raises:
        CaptureError: a line is in none of the formats, or the file is cut off or no archive.
        OSError: it cannot be read.
    """
    with _opened(path) as lines:
        try:
            for number, line in enumerate(lines, 1):
                stripped = line.strip()
                if not stripped or stripped.startswith(b"configuration: "):
                    continue
                frame = _frame(stripped)
                if frame is None:
                    raise CaptureError(
                        f"line was {stripped[:60]!r}, must begin with a JSON text, a time or a URL "
                        f"({path}:{number})"
                    )
                if number == 1 and frame.received_ns == 0:
                    # Nothing says whether it goes on from another file: it counts as a connection.
                    yield Frame(0, Kind.CONNECT, b"")
                yield frame
        except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
            raise CaptureError(
                f"{path} could not be decompressed, must be whole: {error}"
            ) from None


def merged(paths: Iterable[Path]) -> Iterator[Frame]:
    """Yield what several files have in the order of time; those without times one after the other.

    Raises:
        CaptureError: as `frames`.
        OSError: as `frames`.
    """
    yield from heapq.merge(*map(frames, paths), key=lambda frame: frame.received_ns)


def _opened(path: Path) -> IO[bytes]:
    match path.suffix:
        case ".gz":
            return cast("IO[bytes]", gzip.GzipFile(path))
        case ".xz":
            return lzma.LZMAFile(path)
    return path.open("rb")


def _frame(line: bytes) -> Frame | None:
    if line[:1] in (b"{", b"["):
        return _of(0, line)
    if match := _STAMPED_NS.match(line):
        return _of(int(match[1]), line[match.end() :])
    if match := _STAMPED_S.match(line):
        return _of(_to_ns(match[1]), line[match.end() :])
    if match := _URL.match(line):
        return Frame(
            _to_ns(match[3]),
            _URL_KINDS[match[2]],
            line[match.end() :],
            match[1].decode("utf-8", "replace"),
        )
    return None


def _of(received_ns: int, text: bytes) -> Frame:
    return Frame(received_ns, Kind.REST if text.startswith(_REST) else Kind.FRAME, text)


def _to_ns(seconds: bytes) -> int:
    return int(Decimal(seconds.decode()).scaleb(9))
