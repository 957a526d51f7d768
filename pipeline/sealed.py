"""Small JSON files of the state directory that are believed whole, or not at all.

What is written is on the disk when `replace` returns: a file beside it, synced, renamed over it,
and the directory synced. A checksum tells a file that is whole from one that is not.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def encoded(data: Mapping[str, Any], version: int) -> bytes:
    """Return JSON data as a line with a version and a checksum."""
    return _payload({"version": version, "crc32": _checksum(data), **data}) + b"\n"


def decoded(text: bytes, version: int) -> dict[str, Any]:
    """Return the JSON data of a line; `check` tells whether it is what was written.

    Raises:
        KeyError, RecursionError, ValueError: it is no such line.
    """
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError("must be a table")
    if document["version"] != version:
        raise ValueError(f"version was {document['version']}, must be {version}")
    return document


def check(document: Mapping[str, Any], data: Mapping[str, Any]) -> None:
    """Check what was made of a decoded line.

    Raises:
        ValueError: it is not what was written.
    """
    if document["crc32"] != _checksum(data):
        raise ValueError("crc32 must be that of the rest")


def replace(path: Path, data: bytes, made: str) -> None:
    """Put a file on the disk, whole or not at all; its owner alone may read it.

    Args:
        path: Of the file.
        data: All that is in it then.
        made: Name of an empty file beside it, which says that there must be one from now on.

    Raises:
        OSError: it is not there; then the last one is.
    """
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            if os.write(fd, data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(beside))
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(beside, path)
        os.close(os.open(path.with_name(made), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Have the names in a directory be on the disk.

    Raises:
        OSError: they may not be.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _payload(data: Mapping[str, Any]) -> bytes:
    return json.dumps(data, sort_keys=True, separators=(",", ":")).encode()


def _checksum(data: Mapping[str, Any]) -> int:
    return zlib.crc32(_payload(data))
