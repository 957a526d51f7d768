"""A book of price levels, as they were written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, TypeAlias


class Level(NamedTuple):
    """A quantity at a price, in lots and ticks and as it was written."""

    price: int
    quantity: int
    price_text: str
    quantity_text: str


class Change(NamedTuple):
    """A level of one side."""

    side: str  # "bids" or "asks"
    level: Level


Top: TypeAlias = tuple[int, int, int, int]
"""Bid, its quantity, ask, its quantity; 0 where there is none."""


class Book:
    """Levels by price."""

    def __init__(self) -> None:
        self.bids: dict[int, Level] = {}
        self.asks: dict[int, Level] = {}

    def apply(self, changes: Iterable[Change]) -> None:
        """Set levels; a quantity of 0 removes one."""
        for side, level in changes:
            levels = self.bids if side == "bids" else self.asks
            if level.quantity:
                levels[level.price] = level
            else:
                levels.pop(level.price, None)

    def truncate(self, depth: int) -> None:
        """Keep the best so many of each side."""
        for levels, best_first in ((self.bids, True), (self.asks, False)):
            for price in sorted(levels, reverse=best_first)[depth:]:
                del levels[price]

    def best(self, count: int) -> tuple[list[Level], list[Level]]:
        """Return the best bids and the best asks, best first."""
        return (
            [self.bids[price] for price in sorted(self.bids, reverse=True)[:count]],
            [self.asks[price] for price in sorted(self.asks)[:count]],
        )

    def top(self) -> Top:
        """Return the best prices."""
        bid = self.bids[max(self.bids)] if self.bids else None
        ask = self.asks[min(self.asks)] if self.asks else None
        return (
            bid.price if bid else 0,
            bid.quantity if bid else 0,
            ask.price if ask else 0,
            ask.quantity if ask else 0,
        )


def crossed(top: Top) -> bool:
    """Return whether the best bid is not below the best ask."""
    bid, _, ask, _ = top
    return bid != 0 and ask != 0 and bid >= ask
