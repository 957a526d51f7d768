"""What is traded: integers inside, decimals at the edges.

Inside, a price is a number of ticks, a quantity a number of lots, and money a number of 1e-8 of the
quote currency (`_e8`). Decimals come in from configuration and venues and go out to them; every
conversion is exact or refused, nothing is rounded here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

SIMULATOR = "sim"
"""The venue that is simulated by the process `exchange`."""

E8 = 100_000_000
"""Units of money, price or quantity in one whole."""

_INT64_MAX = (1 << 63) - 1
_MOST_DIGITS = 11  # before the point, of what int64 can hold in 1e-8
_LEAST = {
    "tick_e8": 1,
    "lot_e8": 1,
    "min_notional_e8": 0,
    "index": 0,
    "min_quantity_e8": 0,
    "max_quantity_e8": 0,
}


class InstrumentError(ValueError):
    """A number that an instrument or the 1e-8 unit cannot represent exactly."""


def to_e8(value: Decimal | str) -> int:
    """Return a decimal in units of 1e-8, exactly.

    Raises:
        InstrumentError: it is no finite decimal, has more than 8 places, or does not fit int64.
    """
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise InstrumentError(f"number was {value!r}, must be a decimal") from None
    if not number.is_finite():
        raise InstrumentError(f"number was {value}, must be finite")
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    whole = int("".join(map(str, digits)))
    if whole == 0:
        return 0
    # Looked at before any power of ten is made: an exponent can be a billion.
    if number.adjusted() >= _MOST_DIGITS:
        raise InstrumentError(_too_large(value))
    shift = exponent + 8
    rest = 0
    if shift >= 0:
        units = whole * int(10**shift)
    else:
        units, rest = divmod(whole, int(10**-shift)) if -shift <= len(digits) else (0, whole)
    if rest:
        raise InstrumentError(f"number was {value}, must have at most 8 decimal places")
    if units > _INT64_MAX:
        raise InstrumentError(_too_large(value))
    return -units if sign else units


def _too_large(value: object) -> str:
    most = money_to_text(_INT64_MAX)
    return f"number was {value}, must be within {most} (int64 in units of 1e-8)"


def money_to_text(e8: int) -> str:
    """Return an amount in 1e-8 as a plain decimal without trailing zeros, e.g. "-0.05"."""
    whole, rest = divmod(abs(e8), E8)
    fraction = f".{rest:08d}".rstrip("0") if rest else ""
    return f"{'-' if e8 < 0 else ''}{whole}{fraction}"


@dataclass(frozen=True, slots=True)
class Instrument:
    """One market of one venue. Its index is how records name it.

    Attributes:
        symbol: The venue's name for it.
        venue: Where it is traded.
        base: Currency of quantities.
        quote: Currency of prices and money.
        tick_e8: Smallest step of a price, in 1e-8 of the quote currency.
        lot_e8: Smallest step of a quantity, in 1e-8 of the base currency.
        min_notional_e8: Smallest value of an order, in 1e-8 of the quote currency.
        maker_fee_e8: Fee for an order that rested, in 1e-8 of its value; below 0 is a rebate.
        taker_fee_e8: Fee for an order that took, in 1e-8 of its value.
        index: Position among the configured instruments, from 0.
        min_quantity_e8: Smallest quantity of an order, in 1e-8 of the base currency; 0: one lot.
        max_quantity_e8: Largest quantity of an order, likewise; 0: there is none.
    """

    symbol: str
    venue: str
    base: str
    quote: str
    tick_e8: int
    lot_e8: int
    min_notional_e8: int
    maker_fee_e8: int
    taker_fee_e8: int
    index: int
    min_quantity_e8: int = 0
    max_quantity_e8: int = 0

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if not least <= value <= _INT64_MAX:
                raise InstrumentError(
                    f"{name} of {self.symbol} was {value}, must be in {least} .. {_INT64_MAX}"
                )
        for name in ("min_quantity_e8", "max_quantity_e8"):
            value = getattr(self, name)
            if value % self.lot_e8:
                raise InstrumentError(
                    f"{name} of {self.symbol} was {value}, must be a multiple of lot_e8, "
                    f"{self.lot_e8}"
                )
        if 0 < self.max_quantity_e8 < self.min_quantity_e8:
            raise InstrumentError(
                f"max_quantity_e8 of {self.symbol} was {self.max_quantity_e8}, must be 0 or at "
                f"least min_quantity_e8, {self.min_quantity_e8}"
            )

    def price_to_ticks(self, price: Decimal | str) -> int:
        """Return a price in ticks.

        Raises:
            InstrumentError: it is no multiple of the tick, or not representable in 1e-8.
        """
        return self._steps("price", price, "tick", self.tick_e8)

    def quantity_to_lots(self, quantity: Decimal | str) -> int:
        """Return a quantity in lots.

        Raises:
            InstrumentError: it is no multiple of the lot, or not representable in 1e-8.
        """
        return self._steps("quantity", quantity, "lot", self.lot_e8)

    def ticks_to_price(self, ticks: int) -> Decimal:
        """Return a price in the quote currency."""
        return Decimal(money_to_text(ticks * self.tick_e8))

    def lots_to_quantity(self, lots: int) -> Decimal:
        """Return a quantity in the base currency."""
        return Decimal(money_to_text(lots * self.lot_e8))

    def _steps(self, what: str, value: Decimal | str, step: str, step_e8: int) -> int:
        try:
            steps, rest = divmod(to_e8(value), step_e8)
        except InstrumentError as error:
            raise InstrumentError(f"{what} of {self.symbol}: {error}") from None
        if rest:
            raise InstrumentError(
                f"{what} of {self.symbol} was {value}, must be a multiple of its {step}, "
                f"{money_to_text(step_e8)}"
            )
        return steps


def converters(own: str, markets: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Return which market's quote converts each other currency to `own`: the first between them.

    Args:
        own: The account's currency.
        markets: (base, quote) of each instrument.
    """
    found: dict[str, int] = {}
    for index, (base, quote) in enumerate(markets):
        if own in (base, quote):
            found.setdefault(quote if base == own else base, index)
    return found


def instruments_from(resolved: Mapping[str, Any]) -> tuple[Instrument, ...]:
    """Return the instruments of a resolved configuration (`Config.resolved()`), in its order.

    Raises:
        InstrumentError: a number that cannot be represented.
    """
    return tuple(
        Instrument(
            symbol=entry["symbol"],
            venue=entry["venue"],
            base=entry["base"],
            quote=entry["quote"],
            tick_e8=to_e8(entry["tick"]),
            lot_e8=to_e8(entry["lot"]),
            min_notional_e8=to_e8(entry["min_notional"]),
            maker_fee_e8=to_e8(entry["maker_fee"]),
            taker_fee_e8=to_e8(entry["taker_fee"]),
            index=index,
            min_quantity_e8=to_e8(entry.get("min_quantity", "0")),
            max_quantity_e8=to_e8(entry.get("max_quantity", "0")),
        )
        for index, entry in enumerate(resolved["instruments"])
    )
