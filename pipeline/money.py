"""Money as integers: from ticks and lots to 1e-8 of the quote currency, each rounding said by name.

The slow, obvious form of `native/money.hpp`, for the reference kernels.
"""

from __future__ import annotations

from pipeline.instruments import E8, Instrument

BASIS_POINTS = 10_000

SATURATED = 1 << 100
"""The largest magnitude of a product of price and quantity; far beyond what any account holds."""

INT64_MIN, INT64_MAX = -(1 << 63), (1 << 63) - 1


def ceil_div(a: int, b: int) -> int:
    """Return a / b towards plus infinity; b > 0."""
    return -(-a // b)


def notional_e8(ticks: int, lots: int, instrument: Instrument) -> int:
    """Return what a quantity at a price is worth, rounded up: the measure of limits and fees."""
    return ceil_div(_exact_e16(ticks, lots, instrument), E8)


def amount_e8(ticks: int, lots: int, instrument: Instrument) -> int:
    """Return the money that a signed quantity is, rounded against us: an asset down, a debt up."""
    return _exact_e16(ticks, lots, instrument) // E8


def fee_e8(notional: int, rate_e8: int) -> int:
    """Return the fee on a notional at a rate in 1e-8, rounded up; negative for a rebate."""
    return ceil_div(_saturate(notional * rate_e8), E8)


def checked(what: str, value: int) -> int:
    """Return the value.

    Raises:
        OverflowError: it does not fit int64.
    """
    if not INT64_MIN <= value <= INT64_MAX:
        raise OverflowError(f"{what} was {value}, must fit int64")
    return value


def _exact_e16(ticks: int, lots: int, instrument: Instrument) -> int:
    return _saturate(ticks * lots * instrument.tick_e8 * instrument.lot_e8)


def _saturate(product: int) -> int:
    return max(-SATURATED, min(SATURATED, product))
