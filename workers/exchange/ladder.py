"""The book below its top: price levels that follow from the seed and from the latest quote alone.

Each quote of the seeded market is the top of a ladder. The levels under it stand on a grid of one
basis point of the price at which the market began; what lies on each is a hash of seed, instrument,
price and time, where each level has its own moments to change. So the book after any event can be
made without those before it, and still differs little from one quote to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from workers.exchange.listing import Listing
from workers.exchange.market import typical_lots

LEVELS = 50
"""Levels a side; a side of bids is shorter where prices would be below one tick."""

Levels: TypeAlias = tuple[tuple[int, int], ...]
"""Price in ticks and quantity in lots of each level, the best first."""

PERIOD = 4096
"""Events after which the quantity of a level is another one."""

_KEPT = 256  # latest books that are kept
_WORD = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Book:
    """The book of one instrument after one of its quotes."""

    update_id: int  # of the quote, its index in the market; 0 before the first
    bids: Levels
    asks: Levels


@dataclass(frozen=True, slots=True)
class Top:
    """A quote, or how a market begins."""

    update_id: int
    bid: int
    bid_quantity: int
    ask: int
    ask_quantity: int


class Ladder:
    """Makes books of quotes: a pure function of listings, seed and quote."""

    def __init__(self, listings: Sequence[Listing], seed: int) -> None:
        self._grid = [max(1, listing.price // 10_000) for listing in listings]
        self._size = [typical_lots(listing) for listing in listings]
        self._seed = [int(word) for word in np.random.PCG64([seed, 1]).random_raw(len(listings))]
        # What was made last: of each level while which quotes it holds, and books.
        self._levels: list[dict[int, tuple[int, int, tuple[int, int]]]] = [{} for _ in listings]
        self._books: dict[tuple[int, int], Book] = {}

    def book(self, instrument: int, top: Top) -> Book:
        """Return the book of which a quote is the top."""
        key = (instrument, top.update_id)
        book = self._books.get(key)
        if book is None:
            book = self._books[key] = self._make(instrument, top)
            if len(self._books) > _KEPT:
                del self._books[next(iter(self._books))]
        return book

    def _make(self, instrument: int, top: Top) -> Book:
        grid = self._grid[instrument]
        below, above = (top.bid - 1) // grid, top.ask // grid + 1
        bids = range(below, max(0, below - LEVELS + 1), -1)
        asks = range(above, above + LEVELS - 1)
        bid, ask = (top.bid, top.bid_quantity), (top.ask, top.ask_quantity)
        return Book(
            top.update_id,
            (bid, *self._side(instrument, bids, top.update_id)),
            (ask, *self._side(instrument, asks, top.update_id)),
        )

    def _side(self, instrument: int, steps: range, update_id: int) -> list[tuple[int, int]]:
        known = self._levels[instrument]
        levels = []
        for step in steps:
            found = known.get(step)
            if found is None or not found[0] <= update_id < found[1]:
                found = known[step] = self._level(instrument, step, update_id)
            levels.append(found[2])
        return levels

    def _level(
        self, instrument: int, step: int, update_id: int
    ) -> tuple[int, int, tuple[int, int]]:
        """Return from which quote until which a level is as it is, and its price and quantity."""
        level = _mixed(step + self._seed[instrument] & _WORD)
        phase = level % PERIOD
        epoch = (update_id + phase) // PERIOD
        bits = _mixed(level ^ epoch) & 1023
        # More small quantities than large ones, as at the top.
        quantity = 1 + (10 * self._size[instrument] * bits * bits >> 20)
        begin = epoch * PERIOD - phase
        return begin, begin + PERIOD, (step * self._grid[instrument], quantity)


def changes(old: Levels, new: Levels, depth: int | None = None) -> list[tuple[int, int]]:
    """Return which levels of a side differ, with their new quantities, 0 for those that are gone.

    With a `depth` both are cut off there, and a level that only fell out is not told: who keeps
    no more than `depth` levels has dropped it already.
    """
    before, after = dict(old[:depth]), dict(new[:depth])
    changed = [
        (price, quantity) for price, quantity in after.items() if before.get(price) != quantity
    ]
    gone = [price for price in before if price not in after]
    if depth is not None and len(after) == depth:
        worst = new[depth - 1][0]
        rising = len(new) > 1 and new[0][0] < new[1][0]
        gone = [price for price in gone if (price < worst) == rising]
    return [(price, 0) for price in gone] + changed


def _mixed(word: int) -> int:
    """Return a word of 64 bits that tells nothing of its origin: the finalizer of SplitMix64."""
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & _WORD
    word = (word ^ word >> 27) * 0x94D049BB133111EB & _WORD
    return word ^ word >> 31
