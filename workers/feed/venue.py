"""What one venue does otherwise than another; a file each for Binance, Kraken and Coinbase."""

from __future__ import annotations

import enum
import random
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from pipeline.instruments import Instrument
from workers._native import Decoder
from workers.feed.session import Timing

_SLACK = 0.05


class FeedError(ValueError):
    """A venue cannot be read as it is configured; the text is for the user."""


class Allowance:
    """Keeps within a venue's limit: at most `most` of something in any `seconds`.

    All of it may be used at once. What was used comes back a little later than the limit says: the
    way to the venue does not always take the same time.
    """

    def __init__(
        self, most: int, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._used = deque[float](maxlen=max(1, most))
        self._seconds = seconds * (1 + _SLACK)
        self._clock = clock

    def wait(self) -> float:
        """Return in how many seconds the next one may be; if that is 0, count it."""
        now = self._clock()
        if len(self._used) == self._used.maxlen:
            left = self._used[0] + self._seconds - now
            if left > 0:
                return left
        self._used.append(now)
        return 0.0


class Trade(NamedTuple):
    """A trade that the venue told over REST; decimals as it wrote them."""

    trade_id: int
    price: str
    quantity: str
    aggressor: int  # +1 bought, -1 sold
    venue_ns: int


Replay: TypeAlias = Generator[str, Sequence[Trade], None]
"""Yields addresses, and is sent the trades that were to be had there."""


class Notice(enum.Enum):
    """What a message that is not about the market means to the connection."""

    NOTHING = enum.auto()
    REFUSAL = enum.auto()  # of a request: to be shown
    FAREWELL = enum.auto()  # the connection is about to be closed: another one is to be made


@dataclass(frozen=True, slots=True)
class Limits:
    """What a venue lets one address do.

    Attributes:
        connects: Attempts to connect, and in how many seconds; over all links.
        messages: Messages of a connection to the venue, likewise.
        requests: Of REST, likewise.
        lifetime: Seconds after which a connection is replaced, before the venue ends it.
    """

    connects: tuple[int, float]
    messages: tuple[int, float]
    requests: tuple[int, float]
    lifetime: float | None = None


@dataclass(frozen=True, slots=True)
class Capture:
    """A venue that is played from a capture: from its beginning on each connection, to its end.

    Attributes:
        microseconds: Whether Binance's times are in us; else they are in ms.
        depth: Levels a side of the books that Kraken was asked for.
    """

    microseconds: bool
    depth: int


class Venue(ABC):
    """How the instruments of one venue are read.

    Attributes:
        name: As in the configuration.
        limits: What it lets one do.
        timing: Of its connections.
        ping_text: See `Session`.
        numbers_trades: Whether a trade that is missing is missed at the next one.
        sends_past: Whether trades from before the connection began are sent unasked.
        settling: Seconds after which what was traded on a connection has come over it, or it is
            dead.
        comparable: Whether a quote's `venue_sequence` is the instrument's own, on any connection.
        has_books: Whether books are kept.
        snapshots_by_rest: Whether `snapshot_url` returns an address.
        patience: Seconds after which a book that does not hold is asked for (again).
        instruments: Those that are traded there.
        capture: What is played in its place, None if it is real.
    """

    name: str
    limits: Limits
    timing = Timing(ping=0.5)
    ping_text: str | None = None
    numbers_trades = False
    sends_past = False
    comparable = False
    has_books = True
    snapshots_by_rest = False
    patience = 1.5
    settling = 2.0

    def __init__(
        self,
        instruments: Sequence[Instrument],
        url: str | Callable[[], str],
        rest_url: str | Callable[[], str],
        capture: Capture | None = None,
    ) -> None:
        """Prepare; an address that is not known yet is asked for whenever it is needed."""
        self.instruments = tuple(instruments)
        self.capture = capture
        self.connects = Allowance(*self.limits.connects)
        most, seconds = self.limits.requests
        # Apart, so that trades, which can wait, do not keep books waiting.
        for_books = most // 2 if self.snapshots_by_rest else 0
        self.snapshot_requests = Allowance(for_books, seconds)
        self.trades_requests = Allowance(most - for_books, seconds)
        self._by_index = {instrument.index: instrument for instrument in instruments}
        self._places = (url, rest_url)

    def instrument(self, index: int) -> Instrument:
        """Return an instrument by its number in records."""
        return self._by_index[index]

    @property
    def _url(self) -> str:
        return _found(self._places[0])

    @property
    def _rest_url(self) -> str:
        return _found(self._places[1])

    @property
    def finds_last(self) -> bool:
        """Whether the last trade of a quiet market has to be asked for, to miss what follows it."""
        return self.has_books and not self.sends_past and self.capture is None

    def url(self) -> str:
        """Return the address to connect to."""
        return self._url

    @abstractmethod
    def decoder(self) -> Decoder:
        """Return a decoder for one connection."""

    @abstractmethod
    def subscriptions(self, known: Collection[int]) -> Iterable[str]:
        """Return what to send on a new connection.

        Of the instruments in `known` trades were told: those since then are of interest, too.
        """

    def resubscriptions(self, instruments: Sequence[int]) -> Iterable[str]:
        """Return what to send to have new snapshots of some books."""
        raise NotImplementedError(f"snapshots of {self.name}'s books come over REST")

    def snapshot_url(self, instrument: int) -> str | None:
        """Return where a snapshot of a book is to be had; None: over the connection."""
        return None

    def after_snapshot(self, instrument: int, answer: bytes) -> bytes | None:
        """Return a message that the snapshot stands for as well."""
        return None

    @abstractmethod
    def replay(self, instrument: int, first: int, last: int) -> Replay:
        """Yield where the trades from id `first` to `last` are to be had, as far as they are.

        The first address is that of the latest trades. The answer to each, oldest trade first,
        leads to the next one. There may be later trades among them, and again such as were there
        before.
        """

    @abstractmethod
    def trades(self, instrument: int, answer: bytes) -> Iterable[Trade]:
        """Return the trades of that answer.

        Raises:
            ValueError, KeyError, TypeError, IndexError: it is none.
        """

    def past(self, message: memoryview, fresh: Collection[int]) -> Collection[int]:
        """Return of which instruments a message tells trades from before the connection began.

        `fresh` are those that are in question: none of their trades was ever told.
        """
        return ()

    def notice(self, message: bytes) -> Notice:
        """Return what a message of control means."""
        return Notice.NOTHING


def _found(place: str | Callable[[], str]) -> str:
    return (place if isinstance(place, str) else place()).rstrip("/")


def jittered(seconds: float, share: float = 0.2) -> float:
    """Return a time that is not the same for all clients."""
    return seconds * random.uniform(1 - share, 1 + share)  # noqa: S311 - jitter is no secret
