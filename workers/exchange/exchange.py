"""What all connections and requests share: the market, its clock, and what is wrong with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache

from workers.exchange.candles import Candles
from workers.exchange.decimals import Decimals
from workers.exchange.faults import Faults
from workers.exchange.history import History
from workers.exchange.ladder import Book, Ladder
from workers.exchange.listing import Listing, ListingError
from workers.exchange.market import Events, SeededMarket
from workers.exchange.pacing import Leashed, Pace
from workers.exchange.source import Source
from workers.exchange.wire import EPOCH_US, Encoder

NOMINAL_RATE = 2_000
"""Events a second by the exchange's own clock if it sends as fast as its clients read."""

MOST_RATE = 1_000_000

_AT_ONCE = 4  # blocks of the market


class Exchange(Source):
    """A seeded market and where it stands.

    The market goes on whether or not anyone listens, by the clock (monotonic, in ns) if it has a
    `rate` in events a second; with rate 0 it is where the client is that has been sent most. A
    client that asked for events `after` one does not follow it, but has a market of its own.
    A `leash`, if it is not 0, is the event that neither goes beyond for now.

    Raises:
        ListingError: an argument is out of its limits.
    """

    def __init__(
        self,
        listings: Sequence[Listing],
        *,
        seed: int,
        volatility_bp: float,
        rate: int,
        last: int | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
        faults: Faults | None = None,
    ) -> None:
        if not 0 <= rate <= MOST_RATE:
            raise ListingError(f"exchange.rate was {rate}, must be from 0 to {MOST_RATE}")
        self.listings = tuple(listings)
        self.market = SeededMarket(self.listings, seed, volatility_bp)
        self.seed = seed
        self.rate = rate
        self.last = last
        self.leash: Callable[[], int] = lambda: 0
        self.clock = clock
        self.faults = faults or Faults(seed)
        self.nominal_rate = rate or NOMINAL_RATE
        self.encoder = Encoder(self.listings, self.nominal_rate)
        self.history = History(self.market, self.listings)
        self.prices = tuple(Decimals(listing.tick_e8) for listing in listings)
        self.quantities = tuple(Decimals(listing.lot_e8) for listing in listings)
        self.furthest = 0
        self.started_ns = clock()
        self.candles = Candles(self)
        self._ladder = Ladder(self.listings, seed)

    def start(self, position: int) -> None:
        """Let the market stand at that event now."""
        self.furthest = position
        self.started_ns = self.clock() - position * 1_000_000_000 // self.nominal_rate

    def position(self) -> int:
        """Return the market's latest event."""
        if not self.rate:
            return self.furthest
        index = (self.clock() - self.started_ns) * self.rate // 1_000_000_000
        if self.last is not None:
            index = min(index, self.last)
        leash = self.leash()
        return min(index, leash) if leash else index

    def begin(self) -> int:
        """Return where a client begins that does not say: the market's latest event."""
        return self.position()

    def approach(self, index: int, most: int) -> bool:
        """Make some of what lies before event `index`; return whether it is near."""
        return self.market.approach(index, most)

    def events(self, first: int, count: int) -> Events:
        """Return events from `first` on."""
        return self.market.events(first, count)

    def pace(self, first: int, *, live: bool) -> Leashed | None:
        """Return when events are due from `first` on, None: as fast as the client reads."""
        if not self.rate:
            return None
        start = self.started_ns if live else self.clock()
        return Leashed(Pace(0 if live else first, self.rate, start), self.leash)

    def reached(self, index: int) -> None:
        """Note that a client that follows the market was sent that event."""
        self.furthest = max(self.furthest, index)

    def keep_up(self) -> None:
        """Make some of the market up to now, so that who comes late need not wait for all of it."""
        if self.market.approach(self.position() + 1, _AT_ONCE):
            self.candles.keep_up(self.position())

    def book(self, instrument: int, index: int) -> Book:
        """Return the book of an instrument after event `index`."""
        return self._ladder.book(instrument, self.history.top(instrument, index))

    @property
    def ladder(self) -> Ladder:
        """Return what makes books of quotes."""
        return self._ladder

    def time_us(self, index: int, venue: str) -> int:
        """Return when an event happened, in us since 1970, as a venue sees it."""
        return EPOCH_US + self.skew_us(venue) + index * 1_000_000 // self.nominal_rate

    def event_at(self, time_us: int, venue: str) -> int:
        """Return the last event that has happened by then, in us since 1970, as a venue sees it."""
        elapsed = time_us - EPOCH_US - self.skew_us(venue)
        return max(0, ((elapsed + 1) * self.nominal_rate - 1) // 1_000_000)

    def skew_us(self, venue: str) -> int:
        """Return by how much a venue's clock is off."""
        return round(self.faults.of(venue).clock_skew * 1e6)

    def every(self, seconds: float) -> int:
        """Return how many events so much of the exchange's time is, at least 1."""
        return max(1, round(self.nominal_rate * seconds))


def rfc3339(time_us: int) -> str:
    """Return a time as text, with microseconds."""
    seconds, rest = divmod(time_us, 1_000_000)
    return f"{_second(seconds)}.{rest:06d}Z"


@lru_cache(64)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
