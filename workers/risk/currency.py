"""Other currencies than the account's, in slow, obvious Python.

What they hold, and what that is in the account's money, by the quote of the instrument that
converts them: of the markets between the two the first one configured. The one rounding of a
conversion is against us, and the price itself is never inverted, so nothing is lost on the way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pipeline.account import balances_of
from pipeline.instruments import E8, Instrument, converters, instruments_from
from pipeline.money import SATURATED


class CurrencyOpening(NamedTuple):
    """What an account begins a run with in another currency.

    Attributes:
        bid_e8, ask_e8: By which it was converted last; 0: never yet.
    """

    balance_e8: int
    bid_e8: int = 0
    ask_e8: int = 0


class Currencies(NamedTuple):
    """Which there are besides the account's. They have numbers from 1; 0 is the account's own.

    Attributes:
        names: In the order of their numbers.
        quoted: Per instrument: that of its prices.
        converts: Per instrument: that which its quote converts, or 0.
        is_base: Per currency 1 if its instrument has it as the base, else 0.
        openings: Per currency.
    """

    names: tuple[str, ...]
    quoted: list[int]
    converts: list[int]
    is_base: list[int]
    openings: tuple[CurrencyOpening, ...]

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Currencies:
        """Return those of a resolved configuration."""
        instruments = instruments_from(config)
        own = currency_of(config, instruments)
        kept = balances_of(config)
        others = {each.quote for each in instruments} | kept.keys()
        names = tuple(sorted(others - {own}))
        numbers = {name: number for number, name in enumerate(names, 1)} | {own: 0}
        by = converters(own, ((each.base, each.quote) for each in instruments))
        converts = [0] * len(instruments)
        for name in names:
            converts[by[name]] = numbers[name]
        return cls(
            names=names,
            quoted=[numbers[each.quote] for each in instruments],
            converts=converts,
            is_base=[int(instruments[by[name]].base == name) for name in names],
            openings=tuple(CurrencyOpening(*kept.get(name, (0,))) for name in names),
        )


def currency_of(config: Mapping[str, Any], instruments: Sequence[Instrument]) -> str:
    """Return the account's currency."""
    return str(config.get("currency", instruments[0].quote))


def has_rate(currency: np.void) -> bool:
    """Whether it is known what it is worth."""
    return bool(currency["bid_e8"] != 0)


def is_rate_fresh(currency: np.void, now_ns: int, stale_ns: int) -> bool:
    """Whether the quote that converts it is valid, and as new as one has to be."""
    age = now_ns - int(currency["seen_ns"])
    return has_rate(currency) and currency["invalid"] == 0 and age <= stale_ns


def worth_e8(amount: int, currency: np.void) -> int:
    """Return what an amount of a currency is worth, in the account's; nothing without a rate.

    An asset at the bid and rounded down, a debt at the ask and rounded up.
    """
    bid, ask = int(currency["bid_e8"]), int(currency["ask_e8"])
    if bid == 0:
        return 0
    if currency["is_base"]:
        return _saturate(amount * (ask if amount < 0 else bid)) // E8
    return _saturate(amount * E8) // (bid if amount < 0 else ask)


def measured_e8(amount: int, currency: np.void | None) -> int:
    """Return the measure of limits: at the ask, rounded up; None is the account's own currency."""
    return amount if currency is None else -worth_e8(-amount, currency)


def _saturate(product: int) -> int:
    return max(-SATURATED, min(SATURATED, product))
