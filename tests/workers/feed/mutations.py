"""Frames, and what may become of them on the way: to be decoded alike by all, or refused by all."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from typing import Any

_NUMBERS = (
    "0", "-0", "-1", "1e2", "1E-2", "1.5e1", "100.010", "100.0100000000000000000", "0.00000000",
    "007", "1.", ".5", "+1", "9223372036854775808", "999999999999999999999999", "0.000000001",
    "1e400",
    "1e-400", "NaN", "Infinity", "12345678901234567", "true", "null", '""', '"1e2"',
    "18446744073709551616",
)  # fmt: skip
_BYTES = b'"\\{}[]:,0123456789.-+eE \n\x00\x7f\x80\xff\xc3atbuUTsn'


def flip(text: bytes, source: random.Random) -> bytes:
    """Change some bytes."""
    changed = bytearray(text)
    for _ in range(source.randint(1, 3)):
        if changed:
            changed[source.randrange(len(changed))] = source.choice(_BYTES)
    return bytes(changed)


def cut(text: bytes, source: random.Random) -> bytes:
    """Leave some off, at either end or within."""
    first, last = sorted(source.randrange(len(text) + 1) for _ in range(2))
    return source.choice((text[:last], text[first:], text[:first] + text[last:]))


def repeat(text: bytes, source: random.Random) -> bytes:
    """Say a part of it twice."""
    first, last = sorted(source.randrange(len(text) + 1) for _ in range(2))
    return text[:last] + text[first:]


def respell(text: bytes, source: random.Random) -> bytes:
    """Write a number in another way, or another number."""
    found = list(re.finditer(rb"-?\d+(?:\.\d+)?", text))
    if not found:
        return text
    match = source.choice(found)
    other = source.choice(_NUMBERS).encode()
    if source.random() < 0.3:
        other = match[0] + source.choice((b"0", b".0", b"e0", b"E-1", b"00", b".", b"5"))
    return text[: match.start()] + other + text[match.end() :]


def escape(text: bytes, source: random.Random) -> bytes:
    r"""Write a letter as \u0061, or as one that no venue has."""
    at = [i for i, byte in enumerate(text) if chr(byte).isalpha()]
    if not at:
        return text
    place = source.choice(at)
    other = source.choice((f"\\u{text[place]:04x}", "\\ud800", "\\n", "é", "\\/", "\\u0000"))
    return text[:place] + other.encode() + text[place + 1 :]


def _reshaped(
    change: Callable[[Any, random.Random], Any],
) -> Callable[[bytes, random.Random], bytes]:
    def reshape(text: bytes, source: random.Random) -> bytes:
        try:
            value = json.loads(text, parse_float=_Written, parse_int=_Written)
        except ValueError:
            return text
        blanks = source.random() < 0.2
        return _dump(
            change(value, source), ", " if blanks else ",", ": " if blanks else ":"
        ).encode()

    return reshape


class _Written(str):
    """A number, as it was written."""


def _dump(value: Any, comma: str, colon: str) -> str:
    if isinstance(value, _Written):
        return str(value)
    if isinstance(value, dict):
        parts = [
            f"{json.dumps(key)}{colon}{_dump(each, comma, colon)}" for key, each in value.items()
        ]
        return "{" + comma.join(parts) + "}"
    if isinstance(value, list):
        return "[" + comma.join(_dump(each, comma, colon) for each in value) + "]"
    return json.dumps(value)


def _shuffled(value: Any, source: random.Random) -> Any:
    if isinstance(value, dict):
        items = [(key, _shuffled(each, source)) for key, each in value.items()]
        source.shuffle(items)
        return dict(items)
    return [_shuffled(each, source) for each in value] if isinstance(value, list) else value


def _containers(value: Any) -> list[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    found = [each for part in inner for each in _containers(part)]
    return [value, *found] if isinstance(value, dict | list) else found


def _extended(value: Any, source: random.Random) -> Any:
    extra: Any = source.choice((None, [], {"x": [_Written("1e5")]}, "text", _Written("-1.5"), True))
    target = source.choice(_containers(value) or [[]])
    if isinstance(target, dict):
        target[source.choice(("x", "new_field", "data", "e", "u", "channel", "stream", "type"))] = (
            extra
        )
    else:
        target.insert(source.randrange(len(target) + 1), extra)
    return value


def _reduced(value: Any, source: random.Random) -> Any:
    target = source.choice(_containers(value) or [[]])
    if target:
        key = source.choice(list(target) if isinstance(target, dict) else range(len(target)))
        if source.random() < 0.5:
            del target[key]
        else:
            target[key] = source.choice((None, [], {}, "", _Written("0"), False))
    return value


reorder = _reshaped(_shuffled)
extend = _reshaped(_extended)
reduce = _reshaped(_reduced)

ALL = (flip, cut, repeat, respell, escape, reorder, extend, reduce)


def mutate(text: bytes, source: random.Random) -> bytes:
    """Do some of it."""
    for _ in range(source.choice((1, 1, 1, 2, 3))):
        text = source.choice(ALL)(text, source)
    return text
