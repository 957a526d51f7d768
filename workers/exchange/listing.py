"""What is traded on the simulated exchange."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.instruments import InstrumentError, to_e8

_OPTIONAL = ("base", "quote", "min_notional", "maker_fee", "taker_fee")
_SYMBOL = re.compile(r"[A-Za-z0-9.:_-]+")


class ListingError(ValueError):
    """An instrument that the exchange cannot list."""


@dataclass(frozen=True, slots=True)
class Listing:
    """An instrument and where its market begins."""

    symbol: str
    tick_e8: int  # of a price, in 1e-8 of the quote currency
    lot_e8: int  # of a quantity, in 1e-8 of the base currency
    price: int  # ticks
    base: str = ""  # currencies; without them they are read off the symbol
    quote: str = ""
    min_notional: str = "0"  # smallest value of an order, in the quote currency
    maker_fee: str = "0.001"  # rates
    taker_fee: str = "0.001"

    @property
    def pair(self) -> tuple[str, str]:
        """Return base and quote, of which each venue makes a name of its own.

        Raises:
            ListingError: they were not given, and the symbol does not tell.
        """
        if self.base and self.quote:
            return self.base, self.quote
        for quote in _QUOTES:
            if self.symbol.endswith(quote) and self.symbol != quote:
                return self.symbol.removesuffix(quote).rstrip("-_.:"), quote
        raise ListingError(
            f"base and quote of {self.symbol} were not given, must be: its symbol ends with none "
            f"of {', '.join(_QUOTES)}"
        )


_QUOTES = ("USDT", "USDC", "USD", "EUR", "GBP", "BTC", "ETH")


def listings_from(instruments: Sequence[Mapping[str, Any]]) -> tuple[Listing, ...]:
    """Return the instruments of venue "sim" of a resolved configuration, in its order.

    Each has the strings `symbol`, `tick`, `lot` and `price`, and perhaps `venue`, `base`, `quote`,
    `min_notional`, `maker_fee` and `taker_fee`.

    Raises:
        ListingError: there is none, or one lacks a value or has one that cannot be.
    """
    listings = tuple(_listing(entry) for entry in instruments if entry.get("venue", "sim") == "sim")
    if not listings:
        raise ListingError('instruments of venue "sim" were none, must be at least one')
    symbols = [listing.symbol for listing in listings]
    for symbol in symbols:
        if symbols.count(symbol) > 1:
            raise ListingError(f"symbol {symbol} was listed twice, must be once")
    return listings


def _listing(entry: Mapping[str, Any]) -> Listing:
    symbol = entry.get("symbol")
    if not isinstance(symbol, str) or not _SYMBOL.fullmatch(symbol):
        # A "/" would end the name of a stream.
        raise ListingError(f"symbol was {symbol!r}, must be letters, digits, '.', ':', '_' or '-'")
    tick_e8, lot_e8, price_e8 = (
        _e8(symbol, key, entry.get(key)) for key in ("tick", "lot", "price")
    )
    price, rest = divmod(price_e8, tick_e8)
    if rest:
        raise ListingError(
            f"price of {symbol} was {entry['price']}, must be a multiple of tick {entry['tick']}"
        )
    more = {key: str(entry[key]) for key in _OPTIONAL if entry.get(key) is not None}
    return Listing(symbol.upper(), tick_e8, lot_e8, price, **more)


def _e8(symbol: str, key: str, text: object) -> int:
    try:
        value = to_e8(str(text))
    except InstrumentError as error:
        raise ListingError(f"{key} of {symbol}: {error}") from None
    if value <= 0:
        raise ListingError(f"{key} of {symbol} was {text}, must be > 0")
    return value
