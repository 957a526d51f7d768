"""Kraken, WebSocket v2: books verified by CRC-32, trades, and best prices."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pipeline.vocabulary import Side
from workers.feed.decoding import Listing, QuoteSource, Verdict
from workers.feed.reference.book import Book, Change
from workers.feed.reference.market import Decoder, Market
from workers.feed.reference.values import (
    MalformedError,
    bare,
    members,
    need,
    objects,
    string,
    unix_ns,
    whole,
)

_CONTROL = ("heartbeat", "status", "pong")
_SIDES = {"buy": Side.BUY, "sell": Side.SELL}


def checksum(book: Book) -> int:
    """Return the CRC-32 of the best 10 asks, then bids: digits without point and leading zeros."""
    bids, asks = book.best(10)
    return zlib.crc32(
        "".join(
            text.replace(".", "").lstrip("0")
            for level in (*asks, *bids)
            for text in (level.price_text, level.quantity_text)
        ).encode()
    )


def _levels(value: Any) -> list[tuple[str, str]]:
    for level in objects(value):
        need(level, "price", "qty")
    return [(bare(level["price"]), bare(level["qty"])) for level in value]


_Checks = Mapping[str, Callable[[Any], Any]]
_ALWAYS: _Checks = {"symbol": string, "timestamp": string}
_CHECKS: Mapping[str, _Checks] = {
    "book": {**_ALWAYS, "bids": _levels, "asks": _levels, "checksum": whole},
    "trade": {**_ALWAYS, "side": string, "price": bare, "qty": bare, "trade_id": whole},
    "ticker": {**_ALWAYS, "bid": bare, "bid_qty": bare, "ask": bare, "ask_qty": bare},
}
_TOP = ("bid", "bid_qty", "ask", "ask_qty")


class Kraken(Decoder):
    """`depth`: of the book as subscribed; no deletion is sent for what falls out below it."""

    def __init__(self, listings: Iterable[Listing], quotes: QuoteSource, depth: int) -> None:
        super().__init__(listings, quotes)
        self._depth = depth

    def _take(self, message: Any, received_ns: int) -> Verdict:
        if not isinstance(message, dict):
            raise MalformedError("message must be an object")
        channel = string(message["channel"]) if "channel" in message else None
        is_reply = "method" in message or "error" in message
        if channel is None or channel not in _CHECKS:
            if channel is None and not is_reply and ("type" in message or "data" in message):
                raise MalformedError("type and data were without a channel")
            return Verdict.CONTROL if is_reply or channel in _CONTROL else Verdict.UNKNOWN
        if "type" in message:
            string(message["type"])
        if "data" in message:
            need(message, "type")
        entries = [
            (entry, members(entry, _CHECKS[channel])) for entry in objects(message.get("data", []))
        ]
        if is_reply:
            return Verdict.CONTROL
        need(message, "type", "data")
        steps = []
        for _, entry in entries:
            need(entry, "symbol")
            venue_ns = unix_ns(entry["timestamp"]) if "timestamp" in entry else 0
            market = self._markets.get(entry["symbol"])
            if market is not None:
                steps.append(self._step(channel, market, entry, venue_ns))
        if message["type"] not in ("snapshot", "update") or not steps:
            return Verdict.UNKNOWN
        if self._has_unknown(channel, message, [entry for entry, _ in entries]):
            self.counts["unknown_fields"] += 1
        for step in steps:
            step(message["type"] == "snapshot", received_ns)
        return Verdict.OK

    def _step(
        self, channel: str, market: Market, entry: dict[str, Any], venue_ns: int
    ) -> Callable[[bool, int], None]:
        """Return what is to be done, all converted."""
        if channel == "trade":
            need(entry, "side", "price", "qty", "trade_id", "timestamp")
            if entry["side"] not in _SIDES:
                raise MalformedError(f"side was {entry['side']!r}, must be buy or sell")
            price, quantity = self._trade_units(market.listing, entry["price"], entry["qty"])

            def tell_trade(_: bool, received_ns: int) -> None:
                trade_id, side = entry["trade_id"], _SIDES[entry["side"]]
                self._tell_trade(market, trade_id, price, quantity, side, venue_ns, received_ns)

            return tell_trade
        if channel == "ticker":
            need(entry, *_TOP)
            top = self._top_units(market.listing, entry, _TOP)

            def tell_ticker(_: bool, received_ns: int) -> None:
                self._tell_ticker(market, top, venue_ns, 0, received_ns)

            return tell_ticker
        need(entry, "bids", "asks", "checksum")
        if entry["checksum"] >= 1 << 32:
            raise MalformedError(f"checksum was {entry['checksum']}, must be less than 2**32")
        changes: list[Change] = []
        # In the order of the message: the same level may be on both sides.
        for side in (name for name in entry if name in ("bids", "asks")):
            changes += self._changes(market.listing, side, entry[side])

        def change_book(is_snapshot: bool, received_ns: int) -> None:
            if not self._change_book(market, changes, self._depth, is_snapshot=is_snapshot):
                return
            matches = checksum(market.book) == entry["checksum"]
            self.counts["checksum_ok"] += matches
            self._verify_book(market, matches, venue_ns, 0, received_ns)

        return change_book

    @staticmethod
    def _has_unknown(
        channel: str, message: dict[str, Any], entries: list[Mapping[str, Any]]
    ) -> bool:
        if message.keys() - {"channel", "type", "data"}:
            return True
        if channel == "ticker":
            return False  # the day's figures are many
        known = _CHECKS[channel].keys() | {"ord_type"} if channel == "trade" else _CHECKS["book"]
        levels = [
            level
            for entry in entries
            if channel == "book"
            for level in (*entry.get("bids", ()), *entry.get("asks", ()))
        ]
        return any(entry.keys() - known for entry in entries) or any(
            level.keys() - {"price", "qty"} for level in levels
        )
