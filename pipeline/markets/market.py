"""One market of a venue, as a configuration needs it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self

from pipeline.markets.exact import exact, plain
from pipeline.markets.venue import Venue, VenueError

_BY_ID = frozenset({"binance", "coinbase"})
"""Venues that are subscribed to by their own ids; Kraken (v2) and ccxt take the unified symbols."""

_NUMBERS = ("tick", "lot", "min_notional", "min_quantity", "max_quantity", "maker_fee", "taker_fee")
_TEXTS = ("symbol", "id", "unified", "base", "quote")


@dataclass(frozen=True, slots=True)
class Market:
    """A spot market. None stands for what the venue does not say.

    Attributes:
        symbol: What the configuration calls it; the id where a unified name has several markets.
        id: What the venue's REST interface calls it.
        unified: What ccxt calls it, BASE/QUOTE.
        base: Currency of quantities.
        quote: Currency of prices.
        tick: Smallest step of a price, in the quote currency; None also if it moves with the price.
        lot: Smallest step of a quantity, in the base currency.
        min_notional: Smallest value of an order, in the quote currency.
        min_quantity: Smallest quantity of an order, in the base currency.
        max_quantity: Largest quantity of an order, in the base currency.
        maker_fee: Rate on an order that rested, for a new account; below 0 is a rebate.
        taker_fee: Rate on an order that took, for a new account.
        active: Whether it is traded now.
    """

    symbol: str
    id: str
    unified: str
    base: str
    quote: str
    tick: Decimal | None
    lot: Decimal | None
    min_notional: Decimal | None
    min_quantity: Decimal | None
    max_quantity: Decimal | None
    maker_fee: Decimal | None
    taker_fee: Decimal | None
    active: bool | None

    def as_json(self) -> dict[str, str | bool | None]:
        """Return it as plain data; decimals are text."""
        numbers = ((name, getattr(self, name)) for name in _NUMBERS)
        return {
            **{name: getattr(self, name) for name in _TEXTS},
            **{name: None if value is None else plain(value) for name, value in numbers},
            "active": self.active,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return what `as_json` made.

        Raises:
            KeyError, TypeError, ValueError: it did not.
        """
        for name in _TEXTS:
            if not isinstance(data[name], str):
                raise TypeError(f"{name} must be text")
        if not isinstance(data["active"], bool | None):
            raise TypeError("active must be true, false or null")
        fields: dict[str, Any] = {name: data[name] for name in (*_TEXTS, "active")}
        for name in _NUMBERS:
            if not isinstance(value := data[name], str | None):
                raise TypeError(f"{name} must be text or null")
            fields[name] = None if value is None else exact(value)
        return cls(**fields)


def spot_entries(venue: Venue) -> list[dict[str, Any]]:
    """Ask a venue for its spot markets, as ccxt describes them, in the order of their names.

    Some venues list a name twice (Kraken had dark pools); ccxt then forgets one of them. Here the
    one that is traded counts, and if that does not decide, all are there.

    Raises:
        VenueError: it does not answer.
    """
    venue.ask("load_markets")
    by_name: dict[str, list[dict[str, Any]]] = {}
    for entries in venue.exchange.markets_by_id.values():
        for entry in entries:
            if entry.get("spot"):
                by_name.setdefault(str(entry["symbol"]), []).append(entry)
    found = []
    for name in sorted(by_name):
        traded = [entry for entry in by_name[name] if entry.get("active")]
        found += traded or by_name[name]
    # What a market does not say of its own holds for all of the venue.
    general = venue.exchange.fees.get("trading") or {}
    return [
        {**general, **{key: value for key, value in entry.items() if value is not None}}
        for entry in found
    ]


def spot_markets(venue: Venue) -> tuple[Market, ...]:
    """Ask a venue for its spot markets, in the order of their names.

    Raises:
        VenueError: it does not answer, or has none.
    """
    entries = spot_entries(venue)
    names = Counter(entry["symbol"] for entry in entries)
    read = (_market(venue, entry, alone=names[entry["symbol"]] == 1) for entry in entries)
    markets = tuple(market for market in read if market is not None)
    if not markets:
        raise VenueError(venue.unreadable("no spot markets"))
    return markets


def _market(venue: Venue, entry: Mapping[str, Any], *, alone: bool) -> Market | None:
    names = [entry.get(key) for key in ("symbol", "id", "base", "quote")]
    # What goes to a terminal must not be able to steer it.
    if not all(isinstance(name, str) and name.isprintable() for name in names):
        return None
    unified, market_id, base, quote = map(str, names)
    precision, limits = entry.get("precision") or {}, entry.get("limits") or {}
    # ccxt 4.5.90 takes the decimals of Kraken's prices for their tick, which may be more of them.
    own_tick = (entry.get("info") or {}).get("tick_size") if venue.name == "kraken" else None
    # Fees that are amounts and not rates cannot be expressed.
    rates = entry if entry.get("percentage", True) else {}
    return Market(
        symbol=unified if alone and venue.name not in _BY_ID else market_id,
        id=market_id,
        unified=unified,
        base=base,
        quote=quote,
        tick=_step(venue, precision.get("price") if own_tick is None else own_tick),
        lot=_step(venue, precision.get("amount")),
        min_notional=_number((limits.get("cost") or {}).get("min")),
        min_quantity=_number((limits.get("amount") or {}).get("min")),
        max_quantity=_number((limits.get("amount") or {}).get("max")),
        maker_fee=_number(rates.get("maker")),
        taker_fee=_number(rates.get("taker")),
        active=entry.get("active"),
    )


def _step(venue: Venue, precision: Any) -> Decimal | None:
    """Return a step of prices or quantities, whichever way ccxt describes this venue's."""
    number = _number(precision)
    if number is None:
        return None
    match venue.precision:
        case "tick":
            return number if number > 0 else None
        case "places":
            return exact(f"1e{-int(number)}")
        case _:  # significant digits: it changes with the price
            return None


def _number(value: Any) -> Decimal | None:
    try:
        return None if value is None else exact(value)
    except ValueError:
        return None
