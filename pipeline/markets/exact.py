"""Decimals as the venue wrote them: ccxt's own numbers are floats unless it is told otherwise."""

from __future__ import annotations

import json
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Any

_MOST_DIGITS = 40
"""Before or behind the point; 18 are the most that any venue uses."""


def exact(value: object) -> Decimal:
    """Return a number without rounding it.

    Args:
        value: Text, an integer or a decimal. A float is a literal in ccxt's source, such as a fee,
            and is taken as it is written there.

    Raises:
        ValueError: it is no finite decimal, or has more digits than any price or quantity.
    """
    text = repr(value) if isinstance(value, float) else str(value)
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"number was {text[:60]!r}, must be a decimal") from None
    if not number.is_finite():
        raise ValueError(f"number was {text[:60]}, must be finite")
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    # Before anything is printed in full: an exponent can be a billion.
    if number.adjusted() > _MOST_DIGITS or exponent < -_MOST_DIGITS:
        raise ValueError(f"number was {text[:60]}, must have at most {_MOST_DIGITS} digits")
    return number


def plain(number: Decimal) -> str:
    """Return a decimal without exponent and trailing zeros, e.g. "0.00001"."""
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def loads(text: str | bytes) -> Any:
    """Parse JSON; a number with a point or an exponent stays the text that it was.

    ccxt's source has such numbers quoted before it is translated to Python, and reads text
    wherever it reads a number.
    """
    return json.loads(text, parse_float=str)


class ExactNumbers:
    """Goes before a ccxt exchange class: its numbers are decimals, and none has been a float."""

    number = staticmethod(exact)
    on_json_response = staticmethod(loads)

    # ccxt reads back what it has parsed, but overlooks decimals, and would take its default.

    def safe_string(self, dictionary: Any, key: Any, default_value: Any = None) -> Any:
        """Return an entry as text."""
        return self.safe_string_n(dictionary, (key,), default_value)

    def safe_string_2(
        self, dictionary: Any, key1: Any, key2: Any, default_value: Any = None
    ) -> Any:
        """Return the first entry that is there as text."""
        return self.safe_string_n(dictionary, (key1, key2), default_value)

    def safe_string_n(
        self, dictionary: Any, key_list: Iterable[Any], default_value: Any = None
    ) -> Any:
        """Return the first entry that is there as text."""
        for key in key_list:
            try:
                value = dictionary[key]
            except (LookupError, TypeError):
                continue
            if isinstance(value, Decimal):
                return plain(value)
            if isinstance(value, str | int | float) and not isinstance(value, bool) and value != "":
                return str(value)
        return default_value
