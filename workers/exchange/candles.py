"""Bars of the market's trades: the same ones whoever asks, when, and for how many."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workers.exchange.market import TRADE
from workers.exchange.wire import EPOCH_US

if TYPE_CHECKING:
    from workers.exchange.exchange import Exchange

MINUTE_S = 60

_KEPT = 1 << 16  # latest units that are kept
_AT_ONCE = 1 << 15  # events


@dataclass(frozen=True, slots=True)
class Candle:
    """The trades of a while; prices in ticks, quantities in lots.

    Attributes:
        begin_s: When it begins, in seconds since 1970.
        turnover: Sum of price times quantity.
        bought: Volume of those whose aggressor bought.
        spent: Their turnover.
        trades: How many there were; without any all prices are the last one before.
    """

    begin_s: int
    open: int
    high: int
    low: int
    close: int
    volume: int = 0
    turnover: int = 0
    bought: int = 0
    spent: int = 0
    trades: int = 0


class Candles:
    """Makes bars, of trades as a venue dates them."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._ready = EPOCH_US // 1_000_000 // MINUTE_S  # the minute that `keep_up` makes next
        # By instrument, length, number, and how far the venue's clock was off.
        self._units: dict[tuple[int, int, int, int], Candle] = {}

    def keep_up(self, index: int) -> None:
        """Make one minute, if one is over, so that who asks for many need not wait for them."""
        if (self._ready + 1) * MINUTE_S * 1_000_000 <= self._exchange.time_us(index, "binance"):
            for instrument in range(len(self._exchange.listings)):
                self._unit(instrument, MINUTE_S, self._ready, index, 0)
            self._ready += 1

    def span(self, venue: str, step_s: int, index: int, shift_s: int = 0) -> range:
        """Return when the bars up to an event begin, in seconds since 1970.

        Args:
            venue: Whose clock it is.
            step_s: Length of a bar.
            index: The latest event; its bar need not be over.
            shift_s: When one of the bars begins.
        """
        skew_us = self._exchange.skew_us(venue)
        first, last = (
            (time // 1_000_000 - shift_s) // step_s * step_s + shift_s
            for time in (EPOCH_US + skew_us, self._exchange.time_us(index, venue))
        )
        return range(first, last + step_s, step_s)

    def bars(self, venue: str, instrument: int, begins: range, index: int) -> Iterator[Candle]:
        """Yield bars that begin at some of the times of `span`, of trades up to an event."""
        skew_us = self._exchange.skew_us(venue)
        step_s = abs(begins.step)
        # All lengths but seconds are made of minutes, which are made once.
        unit_s = MINUTE_S if step_s % MINUTE_S == 0 else step_s
        for begin in begins:
            parts = (
                self._unit(instrument, unit_s, second // unit_s, index, skew_us)
                for second in range(begin, begin + step_s, unit_s)
            )
            yield _joined(begin, [part for part in parts if part is not None])

    def _unit(
        self, instrument: int, unit_s: int, number: int, index: int, skew_us: int
    ) -> Candle | None:
        """Return a unit, None if it is before the market or begins after the event."""
        rate = self._exchange.nominal_rate
        key = (instrument, unit_s, number, skew_us)
        # Times of events are cut off, so this rounds up to the first one that is not before.
        begin_us = number * unit_s * 1_000_000 - EPOCH_US - skew_us
        first = max(1, -(-begin_us * rate // 1_000_000))
        end = -(-(begin_us + unit_s * 1_000_000) * rate // 1_000_000)
        if begin_us + unit_s * 1_000_000 <= 0 or first > max(index, 1):
            return None
        found = self._units.get(key)
        if found is not None and end - 1 <= index:
            return found
        made = self._make(instrument, number * unit_s, first, min(end - 1, index))
        if end - 1 <= index:
            self._units[key] = made
            if len(self._units) > _KEPT:
                del self._units[next(iter(self._units))]
        return made

    def _make(self, instrument: int, begin_s: int, first: int, last: int) -> Candle:
        prices: list[int] = []
        quantities: list[int] = []
        bought: list[bool] = []
        for at in range(first, last + 1, _AT_ONCE):
            events = self._exchange.events(at, min(_AT_ONCE, last + 1 - at))
            chosen = events[(events["instrument"] == instrument) & (events["kind"] == TRADE)]
            prices += chosen["price"].tolist()
            quantities += chosen["quantity"].tolist()
            bought += (chosen["aggressor"] > 0).tolist()
        if not prices:
            price = self._exchange.history.last_price(instrument, first - 1)
            return Candle(begin_s, price, price, price, price)
        worths = [price * quantity for price, quantity in zip(prices, quantities, strict=True)]
        return Candle(
            begin_s,
            prices[0],
            max(prices),
            min(prices),
            prices[-1],
            sum(quantities),
            sum(worths),
            sum(each for each, buy in zip(quantities, bought, strict=True) if buy),
            sum(each for each, buy in zip(worths, bought, strict=True) if buy),
            len(prices),
        )


def _joined(begin_s: int, parts: list[Candle]) -> Candle:
    """Return one bar of those that follow each other; at least one of them there is."""
    return Candle(
        begin_s,
        parts[0].open,
        max(part.high for part in parts),
        min(part.low for part in parts),
        parts[-1].close,
        sum(part.volume for part in parts),
        sum(part.turnover for part in parts),
        sum(part.bought for part in parts),
        sum(part.spent for part in parts),
        sum(part.trades for part in parts),
    )
