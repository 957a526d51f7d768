"""From trades to bars: by time, by number of trades, or by volume.

A *time bar* is that of the trades dated in one interval: from a whole multiple of its length since
the epoch to the next one, which is not part of it. It closes with the first trade of a later
interval, as no clock says that all trades of an interval have arrived. The interval in which the
first trade is seen has no bar: its beginning was not seen.

A bar of *ticks* or of *volume* closes with the trade that completes it. That trade belongs to it as
a whole: no trade is split, so a bar of volume may hold more than was asked for.

What does not go by the book:

- A trade dated in an interval that is closed is *late*: counted, and in no bar. So is one with a
  lower id than one before it, in bars that go by the order of trades; in a time bar it counts, but
  is not the close. A trade without a date is of the interval that is being built.
- A trade dated further back than gaps are bridged, with an id in order: the venue's clock was set
  back, or was wrong before. All begins anew there, or every trade to come would be late.
- Intervals without trades, up to `flat_bars`, are bars at the last close with a volume of 0; after
  more, the indicators begin anew.
- After a STALE that is no mere matter of the book, the next trade has to bear the next id. If it
  does not, trades are missing: the bar is dropped, and the indicators begin anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

NONE, PARTIAL, WHOLE = 0, 1, 2
"""Values of `progress`: no trade yet, in an interval not seen from its beginning, in any other."""

CHECKSUM, CROSSED = 2, 3
"""The StaleReasons of feed/native/sink.hpp that are about the book only."""

MOST_VOLUME: Final = 1 << 53
"""Beyond this a double does not hold a volume exactly."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar that has closed. `end_ns`: where the interval of a time bar ends; 0 for others."""

    high: int
    low: int
    close: int
    volume: int
    signed_volume: int
    end_ns: int


@dataclass(slots=True)
class Events:
    """What a trade has led to, in this order."""

    is_lost: bool = False
    """Trades are missing: what is known of the past leads no further."""
    bar: Bar | None = None
    flat: int = 0
    """Intervals without trades."""
    is_gap: bool = False
    """Too many of them: the past is too long ago."""


class BarBuilder:
    """Builds the bars of any number of instruments; `own` is the state of one."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.kind: str = settings["bar"]
        self.trades: int = settings["trades_per_bar"]
        self.interval_ns: int = settings["interval_ms"] * 1_000_000
        self.lots: int = settings["lots_per_bar"]
        self.flat_bars: int = settings["flat_bars"]

    def take_quote(self, market: np.void, own: np.void) -> None:
        """Keep the latest quote."""
        for field in ("bid", "bid_quantity", "ask", "ask_quantity"):
            own[field] = market[field]

    def take_stale(self, market: np.void, own: np.void) -> None:
        """Forget the quote; trades may be lost, if it is not the book that is wrong."""
        for field in ("bid", "bid_quantity", "ask", "ask_quantity"):
            own[field] = 0
        if market["venue_sequence"] not in (CHECKSUM, CROSSED):
            own["in_doubt"] = 1

    def take_trade(self, market: np.void, own: np.void) -> Events:
        """Take a trade with a price and a quantity above 0."""
        events = Events()
        trade, last = int(market["venue_sequence"]), int(own["last_trade"])
        is_next = trade != 0 and last != 0 and trade == last + 1
        is_in_order = trade == 0 or trade > last
        if own["in_doubt"] and not is_next and own["progress"] != NONE:
            events.is_lost = True
            _forget(own)
        own["in_doubt"] = 0
        own["last_trade"] = trade if events.is_lost else max(last, trade)
        is_taken = (
            self._is_in_time(market, own, is_in_order, events)
            if self.kind == "time"
            else own["progress"] == NONE or is_in_order
        )
        if not is_taken:
            own["late"] += 1
            return events
        if self.kind != "time":
            own["progress"] = WHOLE
        _add(market, own, is_in_order or own["trades"] == 0)
        if (self.kind == "tick" and own["trades"] >= self.trades) or (
            self.kind == "volume" and own["volume"] >= self.lots
        ):
            _close(own, events, 0)
        return events

    def _is_in_time(self, market: np.void, own: np.void, is_in_order: bool, events: Events) -> bool:
        """Close the bar if the trade is of a later interval; return whether it is not too late."""
        at_ns, current = int(market["venue_ns"]), int(own["interval"])
        interval = at_ns // self.interval_ns if at_ns > 0 else current
        if own["progress"] == NONE:
            if at_ns <= 0:
                return False  # of an interval that is not known
            own["interval"], own["progress"] = interval, PARTIAL
        elif interval > current:
            self._close_interval(own, interval, events)
        elif interval < current:
            if not is_in_order or current - interval <= self.flat_bars + 1:
                return False
            events.is_lost = True
            _forget(own)
            own["interval"], own["progress"] = interval, PARTIAL
        return True

    def _close_interval(self, own: np.void, following: int, events: Events) -> None:
        current = int(own["interval"])
        is_whole = own["progress"] == WHOLE
        if is_whole:
            _close(own, events, (current + 1) * self.interval_ns)
        own["trades"] = 0
        own["progress"] = WHOLE
        own["interval"] = following
        empty = following - current - 1
        if empty == 0 or not is_whole:
            return
        if empty > self.flat_bars:
            events.is_gap = True
            own["restarts"] += 1
        else:
            events.flat = empty
            own["bars"] += empty


def _forget(own: np.void) -> None:
    own["trades"] = 0
    own["progress"] = NONE
    own["restarts"] += 1


def _add(market: np.void, own: np.void, is_last: bool) -> None:
    price = int(market["price"])
    if own["trades"] == 0:
        own["open"] = own["high"] = own["low"] = price
        own["volume"] = own["signed_volume"] = 0
    own["high"] = max(int(own["high"]), price)
    own["low"] = min(int(own["low"]), price)
    if is_last:
        own["close"] = price
    quantity = min(int(market["quantity"]), MOST_VOLUME - int(own["volume"]))
    own["volume"] += quantity
    own["signed_volume"] += quantity * int(market["aggressor"])
    own["trades"] += 1


def _close(own: np.void, events: Events, end_ns: int) -> None:
    fields = ("high", "low", "close", "volume", "signed_volume")
    events.bar = Bar(**{field: int(own[field]) for field in fields}, end_ns=end_ns)
    own["trades"] = 0
    own["bars"] += 1
