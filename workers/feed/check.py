"""What a venue's decoder makes of captured data: is every checksum right, every sequence whole?

Symbols, their precision and the depth of books are learnt from the capture itself in a first pass,
so that it can be checked without a configuration: a tick is the last decimal that any price has.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

from pipeline.records import MARKET
from workers import _native
from workers.feed import decoding, reference
from workers.feed.capture import Frame, Kind, merged
from workers.feed.decoding import (
    UNLIMITED,
    BookState,
    Listing,
    PlainError,
    QuoteSource,
    StaleReason,
    Step,
    Verdict,
)
from workers.feed.reference.market import Event
from workers.feed.reference.values import MalformedError, parse

COUNTS = (
    "messages",
    "trades",
    "book_updates",
    "gaps",
    "checksum_ok",
    "checksum_failed",
    "crossed",
    "resyncs",
    "malformed",
    "unknown",
    "fallback",
)

_MOST_PLACES = 18
_LEAST_US = 10**15  # of the year 2001; in ms that is the year 33658
_DECIMAL = re.compile(r"[0-9]+(?:\.[0-9]*)?", re.ASCII)


class CheckError(ValueError):
    """A capture that cannot be checked; the text says why."""


@dataclass(slots=True)
class Learnt:
    """What a capture says of itself."""

    prices: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    quantities: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    books: set[str] = field(default_factory=set)
    depth: int = UNLIMITED
    microseconds: bool = False  # Binance's times; else they are in ms

    def add(self, symbol: Any, price: Any, quantity: Any) -> None:
        """Take note of how many decimals these have."""
        if isinstance(symbol, str):
            self.prices[symbol] = max(self.prices[symbol], _places(price))
            self.quantities[symbol] = max(self.quantities[symbol], _places(quantity))

    def listings(self) -> tuple[Listing, ...]:
        """Return the instruments, numbered in the order of their names."""
        return tuple(
            Listing(symbol, i, Step(1, self.prices[symbol]), Step(1, self.quantities[symbol]))
            for i, symbol in enumerate(sorted(self.prices))
        )


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a check.

    Attributes:
        venue: The venue.
        counts: COUNTS, and all others that decoders keep; `gaps` has those of trade ids as well.
        live: Symbols whose books hold at the end.
        waiting: Symbols whose books wait for a snapshot that the capture does not have.
        events: What was told, if it was asked for.
        differences: Where the reference made something else of it.
    """

    venue: str
    counts: dict[str, int]
    live: tuple[str, ...]
    waiting: tuple[str, ...]
    events: tuple[Event, ...]
    differences: tuple[str, ...]

    def is_good(self, expected_gaps: int = 0, expected_malformed: int = 0) -> bool:
        """Return whether all checksums are right, no book is crossed, and nothing is unexpected."""
        return (
            self.counts["checksum_failed"] == 0
            and self.counts["crossed"] == 0
            and self.counts["gaps"] == expected_gaps
            and self.counts["malformed"] == expected_malformed
            and not self.differences
        )


def check(
    venue: str,
    captures: Sequence[Path],
    *,
    quotes: QuoteSource = QuoteSource.BOOK,
    with_reference: bool = False,
    keep_events: bool = False,
    learnt: Learnt | None = None,
) -> Result:
    """Decode captures, several in the order of time.

    Args:
        venue: One of `decoding.VENUES`.
        captures: The files.
        quotes: Where best prices come from.
        with_reference: Do it in Python as well, and compare record for record.
        keep_events: Return what was told.
        learnt: What the captures say of themselves, if that is known already.

    Raises:
        CheckError: nothing in them is this venue's.
        CaptureError: a line is in no format.
        OSError: a file cannot be read.
    """
    learnt = learnt or learn(venue, merged(captures))
    listings = learnt.listings()
    if not listings:
        names = ", ".join(map(str, captures))
        raise CheckError(f"nothing in {names} is a message of {venue}; is it another venue's?")
    depth, microseconds = learnt.depth, learnt.microseconds
    native = decoding.decoder(
        venue, listings, quotes=quotes, depth=depth, microseconds=microseconds
    )
    slow = reference.decoder(venue, listings, quotes=quotes, depth=depth, microseconds=microseconds)
    sink = _native.Recorder()
    events: list[Event] = []
    differences: list[str] = []
    for number, frame in enumerate(merged(captures), 1):
        verdict = _step_native(native, listings, learnt, frame, sink)
        native.take_wishes()  # a capture has what it has
        told = _events(sink.take())
        if keep_events:
            events += told
        if with_reference and len(differences) < 10:
            other = _step_reference(slow, listings, learnt, frame)
            slow.wishes.clear()
            expected, slow.events = slow.events, []
            if (verdict, told) != (other, expected):
                differences.append(
                    f"frame {number}, {frame.text[:120]!r}: native was {verdict} {told[:3]}, "
                    f"reference {other} {expected[:3]}"
                )
    counts = native.counts()
    if with_reference:
        differences += [
            f"{name} was {counts[name]} natively, {slow.counts[name]} in the reference"
            for name in counts
            if name != "fallback" and counts[name] != slow.counts[name]
        ]
    counts["gaps"] += counts["trade_gaps"]
    states = {each.symbol: native.state(each.instrument) for each in listings}
    return Result(
        venue,
        counts,
        tuple(symbol for symbol, state in states.items() if state == BookState.LIVE),
        tuple(
            symbol
            for symbol, state in states.items()
            if state != BookState.LIVE and symbol in learnt.books
        ),
        tuple(events),
        tuple(differences),
    )


def _step_native(
    native: _native.Decoder,
    listings: Sequence[Listing],
    learnt: Learnt,
    frame: Frame,
    sink: _native.Sink,
) -> Verdict | None:
    match frame.kind:
        case Kind.FRAME:
            return decoding.decode(native, frame.text, frame.received_ns, sink)[0]
        case Kind.REST:
            for listing in _asked_for(listings, learnt, frame):
                return decoding.snapshot(
                    native, listing.instrument, frame.text, frame.received_ns, sink
                )[0]
        case Kind.CONNECT:
            native.lost(StaleReason.DISCONNECTED, frame.received_ns, sink)
            native.connected()
    return None


def _step_reference(
    slow: reference.Decoder, listings: Sequence[Listing], learnt: Learnt, frame: Frame
) -> Verdict | None:
    match frame.kind:
        case Kind.FRAME:
            return slow.decode(frame.text, frame.received_ns)
        case Kind.REST:
            for listing in _asked_for(listings, learnt, frame):
                return slow.snapshot(listing.instrument, frame.text, frame.received_ns)
        case Kind.CONNECT:
            slow.lost(StaleReason.DISCONNECTED, frame.received_ns)
            slow.connected()
    return None


def _asked_for(listings: Sequence[Listing], learnt: Learnt, frame: Frame) -> Iterator[Listing]:
    """Yield the instrument of a depth snapshot: the URL's, or the only one that has a book."""
    if b'"lastUpdateId"' not in frame.text[:200]:
        return
    symbols = parse_qs(urlsplit(frame.url).query).get("symbol") or sorted(learnt.books)
    if len(symbols) == 1:
        yield from (each for each in listings if each.symbol == symbols[0])


def _events(records: bytes) -> list[Event]:
    return [
        Event(
            int(each["kind"]),
            int(each["instrument"]),
            int(each["venue_ns"]),
            int(each["received_ns"]),
            int(each["aggressor"]),
            int(each["price"]),
            int(each["quantity"]),
            int(each["bid"]),
            int(each["bid_quantity"]),
            int(each["ask"]),
            int(each["ask_quantity"]),
            int(each["venue_sequence"]),
            int(each["position"]),
        )
        for each in np.frombuffer(records, MARKET)
    ]


# --- What a capture says of itself ---


def learn(venue: str, frames: Iterator[Frame], learnt: Learnt | None = None) -> Learnt:
    """Read a capture for its symbols, their decimals, and the depth of its books."""
    learnt = learnt or Learnt()
    reader = {
        "binance": _learn_binance,
        "binance_usdm": _learn_binance,
        "kraken": _learn_kraken,
        "kraken_v1": _learn_kraken_v1,
        "okx": _learn_okx,
        "coinbase": _learn_coinbase,
    }.get(venue)
    if reader is None:
        raise CheckError(f"venue was {venue!r}, must be one of {', '.join(decoding.VENUES)}")
    for frame in frames:
        try:
            message = parse(frame.text) if frame.kind in (Kind.FRAME, Kind.REST) else None
            if message is not None:
                reader(learnt, message, frame)
        except (
            MalformedError,
            PlainError,
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
            IndexError,
        ):
            continue  # the check itself will say
    return learnt


def _places(value: Any) -> int:
    text = format(value, "f") if isinstance(value, Decimal) else str(value)
    if not _DECIMAL.fullmatch(text):
        return 0
    return min(len(text.partition(".")[2]), _MOST_PLACES)


def _learn_binance(learnt: Learnt, message: Any, frame: Frame) -> None:
    if frame.kind is Kind.REST:
        symbols = parse_qs(urlsplit(frame.url).query).get("symbol") or sorted(learnt.books)
        if len(symbols) == 1 and "lastUpdateId" in message:
            for price, quantity in (*message["bids"], *message["asks"]):
                learnt.add(symbols[0], price, quantity)
        return
    data = message.get("data", message)
    if data.get("E", 0) >= _LEAST_US:
        learnt.microseconds = True
    match data.get("e"):
        case "trade" | "aggTrade":
            learnt.add(data["s"], data["p"], data["q"])
        case "depthUpdate":
            learnt.books.add(data["s"])
            learnt.add(data["s"], 0, 0)
            for price, quantity in (*data["b"], *data["a"]):
                learnt.add(data["s"], price, quantity)
        case None | "bookTicker":
            learnt.add(data["s"], data["b"], data["B"])
            learnt.add(data["s"], data["a"], data["A"])


def _learn_kraken(learnt: Learnt, message: Any, _: Frame) -> None:
    if message.get("method") == "subscribe" and message["result"]["channel"] == "book":
        learnt.depth = message["result"]["depth"]
    match message.get("channel"):
        case "book":
            for entry in message["data"]:
                learnt.books.add(entry["symbol"])
                learnt.add(entry["symbol"], 0, 0)
                for level in (*entry["bids"], *entry["asks"]):
                    learnt.add(entry["symbol"], level["price"], level["qty"])
        case "trade":
            for entry in message["data"]:
                learnt.add(entry["symbol"], entry["price"], entry["qty"])
        case "ticker":
            for entry in message["data"]:
                learnt.add(entry["symbol"], entry["bid"], entry["bid_qty"])
                learnt.add(entry["symbol"], entry["ask"], entry["ask_qty"])


def _learn_kraken_v1(learnt: Learnt, message: Any, _: Frame) -> None:
    *payloads, channel, symbol = message[1:]
    if not channel.startswith("book-"):
        return
    learnt.depth = int(channel.removeprefix("book-"))
    learnt.books.add(symbol)
    learnt.add(symbol, 0, 0)
    for payload in payloads:
        for name in payload.keys() & {"a", "b", "as", "bs"}:
            for level in payload[name]:
                learnt.add(symbol, level[0], level[1])


def _learn_okx(learnt: Learnt, message: Any, _: Frame) -> None:
    if message["arg"]["channel"] != "books" or "data" not in message:
        return
    learnt.depth = 400
    symbol = message["arg"]["instId"]
    learnt.books.add(symbol)
    learnt.add(symbol, 0, 0)
    for entry in message["data"]:
        for level in (*entry["bids"], *entry["asks"]):
            learnt.add(symbol, level[0], level[1])


def _learn_coinbase(learnt: Learnt, message: Any, _: Frame) -> None:
    for event in message["events"]:
        if message["channel"] == "l2_data":
            learnt.books.add(event["product_id"])
            learnt.add(event["product_id"], 0, 0)
        for each in event.get("updates", ()):
            learnt.add(event["product_id"], each["price_level"], each["new_quantity"])
        for each in event.get("trades", ()):
            learnt.add(each["product_id"], each["price"], each["size"])
        for each in event.get("tickers", ()):
            learnt.add(each["product_id"], each["best_bid"], each["best_bid_quantity"])
            learnt.add(each["product_id"], each["best_ask"], each["best_ask_quantity"])
