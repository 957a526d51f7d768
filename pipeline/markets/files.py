"""Files of the state directory that are replaced as a whole, and are nobody else's business."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from urllib.parse import quote, urlsplit


def replace(path: Path, text: str) -> None:
    """Write a file in such a way that a reader finds either the old or the new one; mode 0600.

    Raises:
        OSError: it cannot be written; the old one is still there.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # made with mode 0600
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def file_name(text: str) -> str:
    """Return text as the name of a file, e.g. "BTC%2FUSD"; different texts have different names."""
    return quote(text, safe="")


def venue_name(venue: str, url: str | None) -> str:
    """Return a name for a venue's files; what another server said is kept apart from its own."""
    if url is None:
        return venue
    parts = urlsplit(url)
    return file_name(f"{venue}@{parts.netloc}{parts.path.rstrip('/')}")
