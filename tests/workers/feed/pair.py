"""Both decoders of a venue at once: what one makes of a message, the other has to make of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.records import MARKET
from pipeline.vocabulary import MarketKind
from workers import _native
from workers.feed import decoding, reference
from workers.feed.decoding import UNLIMITED, BookState, Listing, QuoteSource, Step, Verdict, Wish
from workers.feed.reference import Event

FIELDS = Event._fields


def events_of(records: bytes) -> list[Event]:
    return [Event(*(int(each[name]) for name in FIELDS)) for each in np.frombuffer(records, MARKET)]


def listing(symbol: str, instrument: int = 0, places: int = 2, lot_places: int = 8) -> Listing:
    return Listing(symbol, instrument, Step(1, places), Step(1, lot_places))


class Pair:
    """The native decoder and the reference; every call compares them."""

    def __init__(
        self,
        venue: str,
        listings: Sequence[Listing],
        *,
        quotes: QuoteSource = QuoteSource.BOOK,
        depth: int = UNLIMITED,
        microseconds: bool = False,
    ) -> None:
        self.native = decoding.decoder(
            venue, listings, quotes=quotes, depth=depth, microseconds=microseconds
        )
        self.slow = reference.decoder(
            venue, listings, quotes=quotes, depth=depth, microseconds=microseconds
        )
        self.listings = listings
        self.sink = _native.Recorder()
        self.now = 0

    def decode(self, text: bytes | str) -> tuple[Verdict, list[Event]]:
        raw = text.encode() if isinstance(text, str) else text
        self.now += 1
        verdict, has_wishes = decoding.decode(self.native, raw, self.now, self.sink)
        events = self._compare(verdict, self.slow.decode(raw, self.now), raw)
        assert has_wishes == bool(self.slow.wishes)
        return verdict, events

    def ok(self, text: bytes | str) -> list[Event]:
        verdict, events = self.decode(text)
        assert verdict is Verdict.OK
        return events

    def snapshot(self, text: bytes | str, instrument: int = 0) -> tuple[Verdict, list[Event]]:
        raw = text.encode() if isinstance(text, str) else text
        self.now += 1
        verdict, _ = decoding.snapshot(self.native, instrument, raw, self.now, self.sink)
        other = self.slow.snapshot(instrument, raw, self.now)
        return verdict, self._compare(verdict, other, raw)

    def trade(self, trade_id: int, price: int, quantity: int) -> list[Event]:
        told = self.native.trade(0, trade_id, price, quantity, 1, 5, self.now, self.sink)
        assert told == self.slow.trade(0, trade_id, price, quantity, 1, 5, self.now)
        return self._compare(Verdict.OK, Verdict.OK, b"trade")

    def lost(self, reason: decoding.StaleReason) -> list[Event]:
        self.now += 1
        self.native.lost(reason, self.now, self.sink)
        self.slow.lost(reason, self.now)
        return self._compare(Verdict.OK, Verdict.OK, b"lost")

    def connected(self) -> None:
        self.native.connected()
        self.slow.connected()

    def wishes(self) -> list[Wish]:
        wishes = decoding.wishes(self.native)
        assert wishes == self.slow.wishes
        self.slow.wishes.clear()
        return wishes

    def counts(self, *names: str) -> tuple[int, ...]:
        counts = self.native.counts()
        return tuple(counts[name] for name in names)

    def state(self, instrument: int = 0) -> BookState:
        return BookState(self.native.state(instrument))

    def book(
        self, instrument: int = 0, levels: int = 1000
    ) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        return self.native.book(instrument, levels)

    def _compare(self, verdict: Verdict, other: Verdict, text: bytes) -> list[Event]:
        events = events_of(self.sink.take())
        expected, self.slow.events = self.slow.events, []
        assert (verdict, events) == (other, expected), text
        counts = self.native.counts()
        assert {name: count for name, count in counts.items() if name != "fallback"} == {
            name: self.slow.counts[name] for name in counts if name != "fallback"
        }, text
        for each in self.listings:
            assert self.native.state(each.instrument) == self.slow.state(each.instrument), text
            native_book = self.native.book(each.instrument, 1000)
            assert native_book == self.slow.book(each.instrument, 1000), text
        return events


def kinds(events: Sequence[Event]) -> list[MarketKind]:
    return [MarketKind(event.kind) for event in events]
