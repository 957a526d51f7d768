"""What a client told, compared with the market: valid books, trades that are missing or doubled."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from perf.outage.clients import Ints
from perf.outage.venue import LISTINGS, RATE, REPLAYED, FailedError, past
from pipeline.vocabulary import MarketKind
from workers.exchange.market import QUOTE, TRADE, SeededMarket

_KIND, _INSTRUMENT, _ID, _TIME = range(4)
_CHUNK = 1 << 16
_EARLY = RATE // 20
"""Events by which one may be off about where the market stood: 50 ms."""


class Tops:
    """The best prices of all instruments after one event of the market."""

    def __init__(self, market: SeededMarket, after: int) -> None:
        after = max(0, after - _EARLY)
        self._market = market
        self._end = after
        history = past(market)
        tops = ((index, history.top(index, after)) for index in range(len(LISTINGS)))
        self._known = {(index, top.bid, top.ask) for index, top in tops}

    def has(self, instrument: int, bid: int, ask: int, until: int) -> bool:
        """Tell whether these were the best prices at any time until an event."""
        until += _EARLY
        if until > self._end:
            events = self._market.events(self._end + 1, until - self._end)
            quotes = events[events["kind"] == QUOTE]
            columns = (quotes[name].tolist() for name in ("instrument", "bid", "ask"))
            self._known.update(zip(*columns, strict=True))
            self._end = until
        return (instrument, bid, ask) in self._known


class Books:
    """Which instruments are stale by a client's own word, and when each was valid again.

    A book is valid if it is not stale and its best prices are the market's, after the outage.
    """

    def __init__(self) -> None:
        self._stale = [False] * len(LISTINGS)
        self._valid_ns: dict[int, int] = {}
        self._since_ns = 0

    def forget(self, since_ns: int) -> None:
        """Let only what is told from a time on make a book valid."""
        self._since_ns = since_ns
        self._valid_ns.clear()

    def add(self, rows: Ints, is_true: Callable[[int, int, int], bool] | None = None) -> None:
        """Take what was told; `is_true` says of a quote whether it is one of those awaited."""
        for kind, instrument, _, now, bid, ask in rows.T.tolist():
            if kind == MarketKind.STALE:
                self._stale[instrument] = True
                self._valid_ns.pop(instrument, None)
            elif kind == MarketKind.RESYNC:
                self._stale[instrument] = False
            elif (
                kind == MarketKind.QUOTE
                and is_true is not None
                and now >= self._since_ns
                and not self._stale[instrument]
                and instrument not in self._valid_ns
                and is_true(instrument, bid, ask)
            ):
                self._valid_ns[instrument] = now

    @property
    def valid_ns(self) -> int | None:
        """When the last of all books became valid, None if one is not yet."""
        if len(self._valid_ns) < len(LISTINGS):
            return None
        return max(self._valid_ns.values())


class Trades:
    """The trades that one process told, from its first on."""

    def __init__(self, market: SeededMarket) -> None:
        self._market = market
        self._parts: list[Ints] = []
        self._resumed: list[list[int]] = [[] for _ in LISTINGS]

    def add(self, rows: Ints) -> None:
        """Take what was told."""
        self._parts.append(rows[:, rows[_KIND] == MarketKind.TRADE])

    def resumed(self, position: int) -> None:
        """Note that the client is back, at an event: up to there nothing has to be missing."""
        history = past(self._market)
        for index, latest in enumerate(self._resumed):
            found = history.trades(index, position, 1)
            latest.append(int(found["trade_id"][0]) if len(found) else 0)

    @property
    def has_all(self) -> bool:
        """Whether some of each instrument were told."""
        told = self._told()
        return all(np.any(told[_INSTRUMENT] == index) for index in range(len(LISTINGS)))

    @property
    def lost(self) -> int:
        """How many are missing that the venue could still tell when the client was back."""
        told = self._told()
        return sum(
            _lost(told[_ID, told[_INSTRUMENT] == index], latest)
            for index, latest in enumerate(self._resumed)
        )

    @property
    def duplicated(self) -> int:
        """How many were told again."""
        told = self._told()[[_INSTRUMENT, _ID]]
        return int(told.shape[1] - np.unique(told, axis=1).shape[1])

    def check(self) -> None:
        """Compare each with the market's.

        Raises:
            FailedError: one is not the market's.
        """
        told = self._told()
        for index, listing in enumerate(LISTINGS):
            mine = told[:, told[_INSTRUMENT] == index]
            most = int(mine[_ID].max(initial=0))
            true = self._true(index, most)
            places = mine[_ID] - 1
            if np.any(places < 0) or not np.array_equal(mine[4:], true[:, places]):
                raise FailedError(f"a trade of {listing.symbol} was told that never was")

    def _told(self) -> Ints:
        self._parts = [np.concatenate(self._parts, axis=1)] if self._parts else []
        return self._parts[0] if self._parts else np.empty((6, 0), np.int64)

    def _true(self, index: int, most: int) -> Ints:
        """Return price and quantity of an instrument's first trades; their ids count from 1."""
        parts: list[Ints] = []
        found, first = 0, 1
        while found < most:
            events = self._market.events(first, _CHUNK)
            own = events[(events["instrument"] == index) & (events["kind"] == TRADE)]
            parts.append(np.array([own["price"], own["quantity"]]))
            found, first = found + len(own), first + _CHUNK
        return np.concatenate(parts, axis=1) if parts else np.empty((2, 0), np.int64)


def _lost(ids: Ints, resumed: Sequence[int]) -> int:
    """Return how many ids of one instrument are lost.

    `resumed` has, for each time that the client came back, the latest trade of that time. Those
    before the first that was told are not missing.
    """
    if not len(ids):
        return 0
    expected = np.arange(ids.min(), max(int(ids.max()), *resumed, 0) + 1)
    missing = np.setdiff1d(expected, ids)
    latest = np.array([*resumed, np.iinfo(np.int64).max - REPLAYED])
    back = latest[np.searchsorted(latest, missing)]
    is_after_all = back == latest[-1]
    return int(np.count_nonzero(is_after_all | (missing > back - REPLAYED)))
