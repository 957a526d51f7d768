"""OKX v5: books alone, verified by a CRC-32 and, where the venue sends one, by sequence."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from itertools import zip_longest
from typing import Any

from workers.feed.decoding import (
    BookState,
    Listing,
    Payload,
    QuoteSource,
    StaleReason,
    Verdict,
    WishKind,
)
from workers.feed.reference.book import Book, Change
from workers.feed.reference.market import Decoder, Market
from workers.feed.reference.values import (
    YEAR_2200_S,
    MalformedError,
    members,
    need,
    objects,
    quoted,
    quoted_whole,
    signed_whole,
    string,
)


def checksum(book: Book) -> int:
    """Return the signed CRC-32 of `price:quantity` of the best 25, bid and ask in turn."""
    parts = [
        f"{level.price_text}:{level.quantity_text}"
        for pair in zip_longest(*book.best(25))
        for level in pair
        if level is not None
    ]
    value = zlib.crc32(":".join(parts).encode())
    return value - (1 << 32) if value >= 1 << 31 else value


def _levels(value: Any) -> list[tuple[str, str]]:
    if not isinstance(value, list):
        raise MalformedError("levels must be a list")
    levels = []
    for level in value:
        if not isinstance(level, list) or len(level) != 4:
            raise MalformedError("level must be four decimals")
        price, quantity, _, _ = map(quoted, level)
        levels.append((price, quantity))
    return levels


_CHECKS = {
    "bids": _levels,
    "asks": _levels,
    "ts": quoted_whole,
    "checksum": signed_whole,
    "seqId": signed_whole,
    "prevSeqId": signed_whole,
}


class Okx(Decoder):
    """`depth`: of the book as subscribed."""

    def __init__(self, listings: Iterable[Listing], quotes: QuoteSource, depth: int) -> None:
        super().__init__(listings, quotes)
        self._depth = depth

    def _message(self, text: Payload, received_ns: int) -> Verdict:
        if bytes(text) == b"pong":
            return Verdict.CONTROL
        return super()._message(text, received_ns)

    def _take(self, message: Any, received_ns: int) -> Verdict:
        if not isinstance(message, dict):
            raise MalformedError("message must be an object")
        arg = message.get("arg", {})
        if not isinstance(arg, dict):
            raise MalformedError("arg must be an object")
        channel, symbol = string(arg.get("channel", "")), string(arg.get("instId", ""))
        action = string(message.get("action", ""))
        if "data" in message:
            need(message, "arg")
        is_book = "data" in message and channel == "books"
        raw = objects(message["data"]) if is_book else []
        entries = [members(entry, _CHECKS) for entry in raw]
        if "event" in message:
            return Verdict.CONTROL
        if not is_book:
            return Verdict.UNKNOWN
        need(arg, "instId")
        if action not in ("snapshot", "update") or not entries:
            raise MalformedError("action must be snapshot or update, with data")
        market = self._markets.get(symbol)
        changes = []
        for entry in entries:
            need(entry, "bids", "asks", "ts", "checksum")
            if entry["ts"] > YEAR_2200_S * 1000 or not -(1 << 31) <= entry["checksum"] < 1 << 31:
                raise MalformedError("time must be before 2200, and the checksum fit 32 bits")
            changes.append(self._changes_of(market, entry) if market is not None else [])
        if market is None:
            return Verdict.UNKNOWN
        known = {"event", "arg", "action", "data"}
        if message.keys() - known or any(entry.keys() - _CHECKS.keys() for entry in raw):
            self.counts["unknown_fields"] += 1
        for entry, change in zip(entries, changes, strict=True):
            self._apply(market, entry, change, received_ns, is_snapshot=action == "snapshot")
        return Verdict.OK

    def _changes_of(self, market: Market, entry: dict[str, Any]) -> list[Change]:
        changes: list[Change] = []
        for side in (name for name in entry if name in ("bids", "asks")):
            changes += self._changes(market.listing, side, entry[side])
        return changes

    def _apply(
        self,
        market: Market,
        entry: dict[str, Any],
        changes: list[Change],
        received_ns: int,
        *,
        is_snapshot: bool,
    ) -> None:
        sequence = entry.get("seqId", 0)
        chained = "seqId" in entry and "prevSeqId" in entry
        is_live = market.state == BookState.LIVE
        if not is_snapshot and chained and is_live and entry["prevSeqId"] != market.last_update:
            self.counts["gaps"] += 1
            self._break_book(market, StaleReason.GAP, received_ns)
            self._wish(WishKind.RESUBSCRIBE, market)
        market.last_update = sequence
        if not self._change_book(market, changes, self._depth, is_snapshot=is_snapshot):
            return
        matches = checksum(market.book) == entry["checksum"]
        self.counts["checksum_ok"] += matches
        venue_ns = entry["ts"] * 1_000_000
        self._verify_book(market, matches, venue_ns, sequence % (1 << 64), received_ns)
