"""What a client may ask about the past of the market: latest quote, latest trades, statistics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from workers.exchange.ladder import Top
from workers.exchange.listing import Listing
from workers.exchange.market import BLOCK, QUOTE, TRADE, Events, SeededMarket, typical_lots

_FARTHEST = 64  # blocks that are searched for trades


@dataclass(frozen=True, slots=True)
class Statistics:
    """Trades of an instrument over a while; prices in ticks, volume in lots."""

    open: int
    last: int
    low: int
    high: int
    volume: int
    turnover: int  # sum of price times quantity
    trades: int


class History:
    """The past of a market, as seen after one of its events."""

    def __init__(self, market: SeededMarket, listings: tuple[Listing, ...]) -> None:
        self._market = market
        self._first = [
            Top(0, listing.price, typical_lots(listing), listing.price + 1, typical_lots(listing))
            for listing in listings
        ]
        self._statistics: dict[tuple[int, int], Statistics] = {}

    def top(self, instrument: int, index: int) -> Top:
        """Return the latest quote at or before event `index`, or how the market began."""
        for events in self._back(index):
            found = np.flatnonzero((events["instrument"] == instrument) & (events["kind"] == QUOTE))
            if len(found):
                return top_of(Event._make(events[found[-1]].tolist()))
        return self._first[instrument]

    def tops(self, instrument: int, after: int, until: int) -> list[Top]:
        """Return the quotes after one event until another, in their order."""
        events = self._market.events(after + 1, until - after)
        found = events[(events["instrument"] == instrument) & (events["kind"] == QUOTE)]
        return [top_of(event) for event in rows(found)]

    def trades(self, instrument: int, index: int, most: int) -> Events:
        """Return the latest trades at or before event `index`, at most so many, oldest first."""
        parts: list[Events] = []
        for number, events in enumerate(self._back(index)):
            found = events[(events["instrument"] == instrument) & (events["kind"] == TRADE)]
            parts.insert(0, found[max(0, len(found) - most) :])
            most -= len(parts[0])
            if most <= 0 or number == _FARTHEST:
                break
        return np.concatenate(parts) if parts else self._market.events(1, 0)

    def trades_from(self, instrument: int, trade_id: int, index: int, most: int) -> Events:
        """Return the first trades with that id or a higher one, as of event `index`."""
        parts: list[Events] = []
        for number, events in enumerate(self._back(index)):
            trades = events[(events["instrument"] == instrument) & (events["kind"] == TRADE)]
            parts.insert(0, trades[trades["trade_id"] >= trade_id])
            if len(parts[0]) < len(trades) or number == _FARTHEST:
                break
        return np.concatenate(parts)[:most] if parts else self._market.events(1, 0)

    def trades_after(self, instrument: int, after: int, index: int, most: int) -> Events:
        """Return the first trades after one event and until another, oldest first."""
        parts = [self._market.events(1, 0)]
        while after < index and most > 0:
            end = min(index, (after // BLOCK + 1) * BLOCK)
            events = self._market.events(after + 1, end - after)
            found = events[(events["instrument"] == instrument) & (events["kind"] == TRADE)]
            parts.append(found[:most])
            most -= len(parts[-1])
            after = end
        return np.concatenate(parts)

    def last_price(self, instrument: int, index: int) -> int:
        """Return the price of the latest trade at or before event `index`, in ticks."""
        last = self.trades(instrument, index, 1)
        return int(last["price"][0]) if len(last) else self._first[instrument].bid

    def statistics(self, instrument: int, index: int) -> Statistics:
        """Return what stands for those of a day: of the last whole block of events.

        A day would be up to 10**11 events; these are as good to see that the fields are read.
        """
        block = max(0, (index - 1) // BLOCK)
        key = (instrument, block)
        if key not in self._statistics:
            trades = self.trades(instrument, block * BLOCK, BLOCK)
            if len(self._statistics) > BLOCK:
                self._statistics.clear()
            self._statistics[key] = self._of(instrument, trades)
        return self._statistics[key]

    def _of(self, instrument: int, trades: Events) -> Statistics:
        if not len(trades):
            price = self._first[instrument].bid
            return Statistics(price, price, price, price, 0, 0, 0)
        prices: list[int] = trades["price"].tolist()
        quantities: list[int] = trades["quantity"].tolist()
        return Statistics(
            open=prices[0],
            last=prices[-1],
            low=min(prices),
            high=max(prices),
            volume=sum(quantities),
            turnover=sum(p * q for p, q in zip(prices, quantities, strict=True)),
            trades=len(prices),
        )

    def _back(self, index: int) -> Iterator[Events]:
        """Yield the events up to `index`, the latest block of them first."""
        while index > 0:
            begin = (index - 1) // BLOCK * BLOCK
            yield self._market.events(begin + 1, index - begin)
            index = begin


class Event(NamedTuple):
    """An event as Python has it: much faster to read than a row of an array."""

    number: int  # its index in the market
    instrument: int
    kind: int
    aggressor: int
    price: int
    quantity: int
    bid: int
    bid_quantity: int
    ask: int
    ask_quantity: int
    trade_id: int
    update_id: int


def rows(events: Events) -> Iterator[Event]:
    """Return the events of an array one by one."""
    return map(Event._make, events.tolist())


def top_of(quote: Event) -> Top:
    """Return a quote of the market as the top of a book."""
    return Top(quote.number, quote.bid, quote.bid_quantity, quote.ask, quote.ask_quantity)
