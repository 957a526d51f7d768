"""What keys a configuration may have, and which one was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from pipeline.config.lines import KeyPath
from pipeline.config.model import Config


def dotted(path: KeyPath) -> str:
    """Return a path as it is written, e.g. "risk.position_bp"."""
    return ".".join(map(str, path))


def path_of(parts: Sequence[str]) -> KeyPath:
    """Return the path that is written as these parts; numbers are indices where there is a list."""
    path: KeyPath = ()
    for part in parts:
        is_index = get_origin(_kind(path)) is tuple and part.isdecimal() and part.isascii()
        path = (*path, int(part) if is_index else part)
    return path


def is_text(path: KeyPath) -> bool:
    """Return whether the value there is text (as decimals are)."""
    kind = _kind(path)
    options = get_args(kind)
    # One that may be left out is a union of an annotated decimal and None.
    annotated = {get_args(each)[0] for each in options if get_origin(each) is Annotated}
    is_one_of = not {str, Decimal}.isdisjoint(options) or Decimal in annotated
    return kind is str or kind is Decimal or is_one_of


def meant(path: KeyPath) -> KeyPath | None:
    """Return a key that there is and that is like this one, which there is not."""
    unknown = str(path[-1])
    elsewhere = [key for key in _keys(Config, deep=True) if key[-1] == unknown]
    # In another table, unless a letter or two make it a key of this one.
    close = difflib.get_close_matches(unknown, siblings(path), 1, 0.8 if elsewhere else 0.6)
    if close:
        return (*path[:-1], close[0])
    return elsewhere[0] if elsewhere else None


def siblings(path: KeyPath) -> list[str]:
    """Return the keys of the table that a key stands in."""
    return [str(key[-1]) for key in _keys(_kind(path[:-1]), deep=False)]


def _kind(path: KeyPath) -> Any:
    """Return the type of what is at a path; None if nothing is there."""
    kind: Any = Config
    for part in path:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            field = kind.model_fields.get(str(part))
            kind = field.annotation if field else _of_others(kind)
        elif get_origin(kind) is tuple and isinstance(part, int):
            kind = get_args(kind)[0]
        elif get_origin(kind) is dict:
            kind = get_args(kind)[1]
        else:
            return None
    return kind


def _of_others(kind: type[BaseModel]) -> Any:
    """Return the type of keys that a table may have beside those of its own."""
    if kind.model_config.get("extra") != "allow":
        return None
    return get_args(get_type_hints(kind)["__pydantic_extra__"])[1]


def _keys(kind: Any, *, deep: bool, under: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return
    for name, field in kind.model_fields.items():
        yield (*under, name)
        if deep:
            yield from _keys(field.annotation, deep=True, under=(*under, name))
