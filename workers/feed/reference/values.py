"""What may stand in a message: JSON with every decimal as it was written, and nothing but that."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NoReturn

from workers.feed.decoding import MOST_CHARACTERS, Payload, PlainError, Step, number

_MOST_DIGITS = 18
_DECIMAL = re.compile(r"(?:0|[1-9][0-9]*)(?:\.[0-9]{1,18})?")
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z", re.ASCII)
_YEARS = range(1970, 2200)
YEAR_2200_S = 7_258_118_400


class MalformedError(ValueError):
    """A message that says what cannot be; the text says in what."""


def parse(text: Payload) -> Any:
    """Return a message, numbers with decimals as Decimal.

    Raises:
        MalformedError: it is no JSON.
    """
    try:
        value = json.loads(
            bytes(text).decode("utf-8"),
            parse_float=number,
            parse_int=_integer,
            parse_constant=_refuse,
            object_pairs_hook=_members if rb"\u" in bytes(text) else None,
        )
        _encode(value)
        return value
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"message was {bytes(text[:80])!r}: {error}") from None


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _encode(pairs)
    return dict(pairs)


def _encode(value: Any) -> None:
    """Refuse half a surrogate pair, which is no character."""
    json.dumps(value, default=str, ensure_ascii=False).encode("utf-8")


def _integer(text: str) -> int:
    if len(text) > MOST_CHARACTERS:
        raise PlainError(f"number was {text[:40]}, must have at most {MOST_CHARACTERS} characters")
    return int(text)


def _refuse(text: str) -> NoReturn:
    raise MalformedError(f"number was {text}, must be finite")


def string(value: Any) -> str:
    """Return a string."""
    if not isinstance(value, str):
        raise MalformedError(f"value was {value!r}, must be a string")
    return value


def boolean(value: Any) -> bool:
    """Return true or false."""
    if not isinstance(value, bool):
        raise MalformedError(f"value was {value!r}, must be true or false")
    return value


def signed_whole(value: Any) -> int:
    """Return a whole number of at most 18 digits."""
    if type(value) is not int or abs(value) >= 10**_MOST_DIGITS:
        raise MalformedError(f"value was {value!r}, must be a whole number of at most 18 digits")
    return value


def whole(value: Any) -> int:
    """Return a whole number from 0."""
    if signed_whole(value) < 0:
        raise MalformedError(f"value was {value}, must be >= 0")
    return signed_whole(value)


def quoted(value: Any) -> str:
    """Return a decimal that is a string."""
    return _decimal(string(value))


def quoted_whole(value: Any) -> int:
    """Return a whole number that is a string."""
    text = quoted(value)
    if "." in text:
        raise MalformedError(f"value was {text}, must be a whole number")
    return int(text)


def bare(value: Any) -> str:
    """Return a decimal that is a number, as it was written."""
    if type(value) is int:
        return _decimal(str(value))
    if isinstance(value, Decimal):
        return _decimal(format(value, "f"))
    raise MalformedError(f"value was {value!r}, must be a number")


def _decimal(text: str) -> str:
    if not _DECIMAL.fullmatch(text) or len(text.replace(".", "").lstrip("0")) > _MOST_DIGITS:
        raise MalformedError(
            f"value was {text[:40]!r}, must be a plain decimal of at most 18 digits"
        )
    return text


def objects(value: Any) -> list[Mapping[str, Any]]:
    """Return a list of objects."""
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise MalformedError("value must be a list of objects")
    return value


def members(value: Any, checks: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    """Return those members of an object that have a check, each as that returns it."""
    return {key: checks[key](each) for key, each in value.items() if key in checks}


def need(fields: Mapping[str, Any], *names: str) -> None:
    """Refuse a message that is without one of these."""
    missing = [name for name in names if name not in fields]
    if missing:
        raise MalformedError(f"message was without {', '.join(missing)}")


def units(text: str, step: Step) -> int:
    """Return a decimal in ticks or lots, exactly."""
    result, rest = _divided(text, step)
    if rest or result >= 1 << 63:
        raise MalformedError(f"value was {text}, must be a multiple of {step.unit}e-{step.places}")
    return result


def whole_units(text: str, step: Step) -> int:
    """Return how many whole ticks or lots a decimal has."""
    result, _ = _divided(text, step)
    if result >= 1 << 63:
        raise MalformedError(f"value was {text}, must be less than 2**63 of its steps")
    return result


def _divided(text: str, step: Step) -> tuple[int, int]:
    whole_part, _, fraction = text.partition(".")
    numerator = int(whole_part + fraction) * int(10**step.places)
    return divmod(numerator, step.unit * int(10 ** len(fraction)))


def unix_ns(text: str) -> int:
    """Return a time such as 2026-06-19T05:45:47.859908Z in ns since 1970."""
    match = _TIME.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        time = datetime.fromisoformat(match[1]).replace(tzinfo=UTC)
    except ValueError:
        raise MalformedError(f"time was {text[:40]!r}, must be RFC 3339 in UTC") from None
    if time.year not in _YEARS:
        raise MalformedError(f"time was {text}, must be of a year in 1970 .. 2199")
    return int(time.timestamp()) * 10**9 + int((match[2] or "").ljust(9, "0"))
