"""Numbers of ticks or lots as the decimal text that venues send."""

from __future__ import annotations

from collections.abc import Callable


class Decimals:
    """Writes a number of units, each of `unit_e8` 1e-8, with the unit's decimals.

    Attributes:
        places: How many decimals that is.
        text: Returns the decimal of so many units.
        digits: Returns the same without point and leading zeros, as checksums want it.
        unit: One unit, as text.
    """

    def __init__(self, unit_e8: int) -> None:
        places, multiple = 8, unit_e8
        while places and multiple % 10 == 0:
            places, multiple = places - 1, multiple // 10
        self.places = places

        def whole(units: int) -> str:
            return str(units * multiple)

        def fraction(units: int) -> str:
            digits = str(units * multiple).zfill(places + 1)
            return f"{digits[:-places]}.{digits[-places:]}"

        self.text: Callable[[int], str] = fraction if places else whole
        self.digits: Callable[[int], str] = whole
        self.unit = self.text(1)
