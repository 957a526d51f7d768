"""Where in a TOML file each key stands; tomllib does not say."""

from __future__ import annotations

import tomllib
from typing import Any

KeyPath = tuple[str | int, ...]
"""From the top of a document: keys, and indices of arrays."""


def lines_of(text: str) -> dict[KeyPath, int]:
    """Return the line, from 1, of each key, table and array entry of a valid TOML document.

    A document is a sequence of statements, each of which is a document of its own: tomllib reads
    them one at a time. A statement is complete when it can be read, because a value that goes on in
    the next line has a bracket or quotes still open.
    """
    lines: dict[KeyPath, int] = {}
    last: dict[KeyPath, int] = {}  # array of tables -> index of its last table
    header: KeyPath = ()
    pending = ""
    start = 1
    for number, line in enumerate(text.split("\n"), 1):
        start, pending = (number, line) if not pending else (start, f"{pending}\n{line}")
        try:
            statement = tomllib.loads(pending)
        except tomllib.TOMLDecodeError:
            continue
        if statement and pending.lstrip().startswith("["):
            header = _open(statement, last)
            for depth in range(1, len(header) + 1):
                lines.setdefault(header[:depth], start)
        else:
            _note(statement, header, start, lines)
        pending = ""
    return lines


def _open(statement: dict[str, Any], last: dict[KeyPath, int]) -> KeyPath:
    """Return the table that `[a.b]` or `[[a.b]]` begins; count the latter in `last`."""
    path: KeyPath = ()
    value: Any = statement
    while value:
        if isinstance(value, list):
            last[path] = last.get(path, -1) + 1
            return (*path, last[path])
        if path in last:
            path = (*path, last[path])
        key = next(iter(value))
        path, value = (*path, key), value[key]
    return path


def _note(value: Any, path: KeyPath, line: int, lines: dict[KeyPath, int]) -> None:
    """Give a value and all that is in it this line, unless it was begun by an earlier one."""
    if path:
        lines.setdefault(path, line)
    if isinstance(value, dict):
        for key, entry in value.items():
            _note(entry, (*path, key), line, lines)
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            _note(entry, (*path, index), line, lines)
