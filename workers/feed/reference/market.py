"""What the decoders of all venues share: instruments, their books, and what is told of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from pipeline.vocabulary import MarketKind
from workers.feed.decoding import (
    BookState,
    Listing,
    Payload,
    QuoteSource,
    StaleReason,
    Verdict,
    Wish,
    WishKind,
)
from workers.feed.reference.book import Book, Change, Level, Top, crossed
from workers.feed.reference.values import MalformedError, parse, units, whole_units

BOOK, TICKER = "book", "ticker"
"""What can be broken of an instrument."""


class Event(NamedTuple):
    """A market record, without what its publisher fills in."""

    kind: int
    instrument: int
    venue_ns: int
    received_ns: int
    aggressor: int = 0
    price: int = 0
    quantity: int = 0
    bid: int = 0
    bid_quantity: int = 0
    ask: int = 0
    ask_quantity: int = 0
    venue_sequence: int = 0
    position: int = 0


class Market:
    """What is known of an instrument."""

    def __init__(self, listing: Listing) -> None:
        self.listing = listing
        self.book = Book()
        self.state = BookState.NEW
        self.broken: set[str] = set()
        self.last_top: Top | None = None
        self.last_ticker = 0
        self.last_update = 0
        self.last_trade = 0
        self.missing: list[tuple[int, int]] = []  # trades that were not there when their turn came


class Decoder(ABC):
    """Decodes one connection's messages into `events`, `wishes` and `counts`."""

    def __init__(self, listings: Iterable[Listing], quotes: QuoteSource) -> None:
        self.events: list[Event] = []
        self.wishes: list[Wish] = []
        self.counts: Counter[str] = Counter()
        self._quotes = quotes
        self._markets: dict[str, Market] = {}
        for listing in listings:
            if listing.symbol in self._markets:
                raise ValueError(f"symbol {listing.symbol} was listed twice, must be once")
            self._markets[listing.symbol] = Market(listing)

    def decode(self, text: Payload, received_ns: int) -> Verdict:
        """Read a message to its end, then do what it says."""
        self.counts["messages"] += 1
        try:
            verdict = self._message(text, received_ns)
        except MalformedError:
            verdict = Verdict.MALFORMED
        if verdict is not Verdict.OK:
            self.counts[verdict.name.lower()] += 1
        return verdict

    def snapshot(self, instrument: int, text: Payload, received_ns: int) -> Verdict:
        """Take the answer to a wish for a snapshot."""
        raise ValueError("snapshots of this venue's books come with its messages")

    def connected(self) -> None:
        """A new connection: its sequences begin anew. `lost` comes before."""
        for market in self._markets.values():
            market.last_ticker = 0

    def lost(self, reason: StaleReason, received_ns: int) -> None:
        """Take back what was told."""
        for market in self._markets.values():
            if market.state == BookState.LIVE:
                self._break_book(market, reason, received_ns)
            elif market.state == BookState.WAITING:
                market.state = BookState.NEW
            if self._quotes == QuoteSource.TICKER and market.last_top is not None:
                self._break(market, TICKER, reason, received_ns)
        self._forget()

    def state(self, instrument: int) -> BookState:
        """Return the state of a book."""
        return self._market(instrument).state

    def book(
        self, instrument: int, levels: int
    ) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Return the best levels of a book, bids and asks, as price and quantity."""
        bids, asks = self._market(instrument).book.best(levels)
        return [level[:2] for level in bids], [level[:2] for level in asks]

    def trade(
        self,
        instrument: int,
        trade_id: int,
        price: int,
        quantity: int,
        aggressor: int,
        venue_ns: int,
        received_ns: int,
    ) -> bool:
        """Take a trade from elsewhere. Return False if it was known."""
        market = self._market(instrument)
        return self._tell_trade(market, trade_id, price, quantity, aggressor, venue_ns, received_ns)

    def _message(self, text: Payload, received_ns: int) -> Verdict:
        return self._take(parse(text), received_ns)

    @abstractmethod
    def _take(self, message: Any, received_ns: int) -> Verdict: ...

    def _forget(self) -> None:  # noqa: B027 what a venue keeps besides books; most keep nothing
        pass

    def _market(self, instrument: int) -> Market:
        return next(m for m in self._markets.values() if m.listing.instrument == instrument)

    # --- Conversion: all of it before anything is done ---

    # What is more than whole lots of a level cannot be traded. A checksum is of all digits.
    _whole_lots = False

    def _resting(self, listing: Listing, quantity: str) -> int:
        return (whole_units if self._whole_lots else units)(quantity, listing.lot)

    def _changes(
        self, listing: Listing, side: str, levels: Sequence[tuple[str, str]]
    ) -> list[Change]:
        changes = []
        for price, quantity in levels:
            ticks = units(price, listing.tick)
            if ticks == 0:
                raise MalformedError(f"a price of {listing.symbol} was 0")
            level = Level(ticks, self._resting(listing, quantity), price, quantity)
            changes.append(Change(side, level))
        return changes

    @staticmethod
    def _trade_units(listing: Listing, price: str, quantity: str) -> tuple[int, int]:
        ticks, lots = units(price, listing.tick), units(quantity, listing.lot)
        if ticks == 0 or lots == 0:
            raise MalformedError(f"trade was {quantity} at {price}, must both be > 0")
        return ticks, lots

    def _top_units(self, listing: Listing, values: Mapping[str, str], names: Sequence[str]) -> Top:
        bid, bid_quantity, ask, ask_quantity = (values[name] for name in names)
        return (
            units(bid, listing.tick),
            self._resting(listing, bid_quantity),
            units(ask, listing.tick),
            self._resting(listing, ask_quantity),
        )

    # --- Telling ---

    def _tell_trade(
        self,
        market: Market,
        trade_id: int,
        price: int,
        quantity: int,
        aggressor: int,
        venue_ns: int,
        received_ns: int,
        position: int = 0,
        *,
        contiguous: bool = False,
    ) -> bool:
        if trade_id > market.last_trade:
            expected = market.last_trade + 1
            if market.last_trade and trade_id != expected:
                market.missing = [*market.missing, (expected, trade_id - 1)][-64:]
                self.counts["trade_gaps"] += contiguous
            market.last_trade = trade_id
        else:
            within = [gap for gap in market.missing if gap[0] <= trade_id <= gap[1]]
            if not within:
                self.counts["repeated"] += 1
                return False
            gap = within[0]
            rest = [(gap[0], trade_id - 1), (trade_id + 1, gap[1])]
            at = market.missing.index(gap)
            market.missing[at : at + 1] = [each for each in rest if each[0] <= each[1]]
        self.counts["trades"] += 1
        self.events.append(
            Event(
                MarketKind.TRADE,
                market.listing.instrument,
                venue_ns,
                received_ns,
                aggressor=aggressor,
                price=price,
                quantity=quantity,
                venue_sequence=trade_id,
                position=position,
            )
        )
        return True

    def _tell_ticker(
        self,
        market: Market,
        top: Top,
        venue_ns: int,
        sequence: int,
        received_ns: int,
        position: int = 0,
    ) -> None:
        self.counts["tickers"] += 1
        if self._quotes != QuoteSource.TICKER:
            return
        if crossed(top):
            self.counts["crossed"] += 1
            self._break(market, TICKER, StaleReason.CROSSED, received_ns)
            return
        self._mend(market, TICKER, received_ns)
        self._tell_quote(market, top, venue_ns, sequence, received_ns, position)

    def _tell_book(self, market: Market, venue_ns: int, sequence: int, received_ns: int) -> bool:
        top = market.book.top()
        if crossed(top):
            self.counts["crossed"] += 1
            self._break_book(market, StaleReason.CROSSED, received_ns)
            return False
        market.state = BookState.LIVE
        self._mend(market, BOOK, received_ns)
        if self._quotes == QuoteSource.BOOK and top != market.last_top:
            self._tell_quote(market, top, venue_ns, sequence, received_ns)
        return True

    def _tell_quote(
        self,
        market: Market,
        top: Top,
        venue_ns: int,
        sequence: int,
        received_ns: int,
        position: int = 0,
    ) -> None:
        bid, bid_quantity, ask, ask_quantity = top
        market.last_top = top
        self.events.append(
            Event(
                MarketKind.QUOTE,
                market.listing.instrument,
                venue_ns,
                received_ns,
                bid=bid,
                bid_quantity=bid_quantity,
                ask=ask,
                ask_quantity=ask_quantity,
                venue_sequence=sequence,
                position=position,
            )
        )

    # --- Books ---

    def _change_book(
        self, market: Market, changes: Sequence[Change], depth: int, *, is_snapshot: bool
    ) -> bool:
        """Return False if it was ignored, as there is no book that it could change."""
        self.counts["book_updates"] += 1
        if is_snapshot:
            self.counts["snapshots"] += 1
            market.book = Book()
        elif market.state != BookState.LIVE:
            if market.state == BookState.NEW:
                market.state = BookState.WAITING
                self._wish(WishKind.RESUBSCRIBE, market)
            return False
        market.book.apply(changes)
        market.book.truncate(depth)
        return True

    def _verify_book(
        self, market: Market, matches: bool, venue_ns: int, sequence: int, received_ns: int
    ) -> None:
        if not matches:
            self.counts["checksum_failed"] += 1
            self._break_book(market, StaleReason.CHECKSUM, received_ns)
        if not matches or not self._tell_book(market, venue_ns, sequence, received_ns):
            self._wish(WishKind.RESUBSCRIBE, market)

    def _break_book(self, market: Market, reason: StaleReason, received_ns: int) -> None:
        if market.state in (BookState.LIVE, BookState.STALE):
            market.state = BookState.STALE
            self._break(market, BOOK, reason, received_ns)
        else:
            market.state = BookState.WAITING
        market.book = Book()

    def _break(self, market: Market, what: str, reason: StaleReason, received_ns: int) -> None:
        if not market.broken:
            self.counts["stales"] += 1
            self.events.append(
                Event(
                    MarketKind.STALE,
                    market.listing.instrument,
                    0,
                    received_ns,
                    venue_sequence=reason,
                )
            )
        market.broken.add(what)

    def _mend(self, market: Market, what: str, received_ns: int) -> None:
        if what not in market.broken:
            return
        market.broken.remove(what)
        if self._quotes == QuoteSource.BOOK:
            market.last_top = None  # told again, changed or not
        if not market.broken:
            self.counts["resyncs"] += 1
            self.events.append(Event(MarketKind.RESYNC, market.listing.instrument, 0, received_ns))

    def _wish(self, kind: WishKind, market: Market, first: int = 0, last: int = 0) -> None:
        wish = Wish(kind, market.listing.instrument, first, last)
        if not any(wish[:3] == each[:3] for each in self.wishes):
            self.wishes.append(wish)
