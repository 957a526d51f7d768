"""Coinbase Advanced Trade: books, trades, best prices; one sequence for all of a connection."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pipeline.vocabulary import Side
from workers.feed.decoding import (
    UNLIMITED,
    BookState,
    Listing,
    QuoteSource,
    StaleReason,
    Verdict,
    WishKind,
)
from workers.feed.reference.book import Change
from workers.feed.reference.market import Decoder
from workers.feed.reference.values import (
    MalformedError,
    members,
    need,
    objects,
    quoted,
    quoted_whole,
    string,
    unix_ns,
    whole,
)

_CONTENT = {"l2_data": "updates", "market_trades": "trades", "ticker": "tickers"} | {
    "ticker_batch": "tickers"
}
_CONTROL = ("heartbeats", "subscriptions")
_CHECKS: Mapping[str, Mapping[str, Callable[[Any], Any]]] = {
    "updates": {"side": string, "price_level": quoted, "new_quantity": quoted},
    "trades": {
        "product_id": string,
        "trade_id": quoted_whole,
        "price": quoted,
        "size": quoted,
        "side": string,
        "time": string,
    },
    "tickers": {
        "product_id": string,
        "best_bid": quoted,
        "best_bid_quantity": quoted,
        "best_ask": quoted,
        "best_ask_quantity": quoted,
    },
}
_TOP = ("best_bid", "best_bid_quantity", "best_ask", "best_ask_quantity")
_SIDES = {"bid": "bids", "offer": "asks"}
_AGGRESSORS = {"BUY": Side.SELL, "SELL": Side.BUY}
"""By the side of the maker."""

_Step = Callable[[int, int, int], None]
"""Takes the message's venue time, its sequence, and when it was received."""


class Coinbase(Decoder):
    """Trades are told oldest first, with the side that took: the venue has both the other way."""

    _whole_lots = True

    def __init__(self, listings: Iterable[Listing], quotes: QuoteSource) -> None:
        super().__init__(listings, quotes)
        self._sequence: int | None = None

    def connected(self) -> None:
        """A new connection: its sequence begins anew."""
        super().connected()
        self._sequence = None

    def _take(self, message: Any, received_ns: int) -> Verdict:
        if not isinstance(message, dict):
            raise MalformedError("message must be an object")
        channel = string(message["channel"]) if "channel" in message else None
        checks: Mapping[str, Callable[[Any], Any]] = {"sequence_num": whole, "timestamp": string}
        envelope = members(message, checks)
        content = _CONTENT.get(channel or "")
        if "events" in message and channel is None:
            raise MalformedError("events were without a channel")
        steps: list[_Step] = []
        unknown = False
        if content is not None and "events" in message:
            for event in objects(message["events"]):
                more, strange = self._event(event, content)
                steps += more
                unknown = unknown or strange
        if channel is None:
            return Verdict.CONTROL if "type" in message else Verdict.UNKNOWN
        need(envelope, "sequence_num", "timestamp")
        need(message, "events")
        venue_ns = unix_ns(envelope["timestamp"])
        if not self._follow(envelope["sequence_num"], received_ns):
            return Verdict.OK
        if channel in _CONTROL:
            return Verdict.CONTROL
        if not steps:
            return Verdict.UNKNOWN
        known = {"channel", "client_id", "timestamp", "sequence_num", "events", "type"}
        if unknown or message.keys() - known:
            self.counts["unknown_fields"] += 1
        if content == "trades":
            steps.reverse()  # they come newest first
        for step in steps:
            step(venue_ns, envelope["sequence_num"], received_ns)
        return Verdict.OK

    def _follow(self, sequence: int, received_ns: int) -> bool:
        """Return False for a message that was here already; a lost one makes all books stale."""
        before, self._sequence = self._sequence, sequence
        if sequence == before:
            self.counts["repeated"] += 1
            return False
        if before is None or sequence == before + 1:
            return True
        self.counts["gaps"] += 1
        for market in self._markets.values():
            if market.state != BookState.NEW:
                self._break_book(market, StaleReason.GAP, received_ns)
                self._wish(WishKind.RESUBSCRIBE, market)
        return True

    def _event(self, event: Mapping[str, Any], content: str) -> tuple[list[_Step], bool]:
        """Return what is to be done, all converted, and whether there were unknown fields."""
        kind = string(event.get("type"))
        if kind not in ("snapshot", "update"):
            raise MalformedError(f"type was {kind!r}, must be snapshot or update")
        need(event, content)
        raw = objects(event[content])
        checks = _CHECKS[content]
        items = [members(each, checks) for each in raw]
        known = {"type", content} | ({"product_id"} if content == "updates" else set())
        ignored = {"event_time"} if content == "updates" else set()
        unknown = bool(event.keys() - known)
        if content != "tickers":  # the day's figures are many
            unknown = unknown or any(each.keys() - checks.keys() - ignored for each in raw)
        for item in items:
            need(item, *checks)
        if content == "updates":
            return self._book(event, items, is_snapshot=kind == "snapshot"), unknown
        make = self._trade_step if content == "trades" else self._ticker_step
        steps = [make(item) for item in items]
        return [step for step in steps if step is not None], unknown

    def _book(
        self, event: Mapping[str, Any], items: list[dict[str, Any]], *, is_snapshot: bool
    ) -> list[_Step]:
        for item in items:
            if item["side"] not in _SIDES:
                raise MalformedError(f"side was {item['side']!r}, must be bid or offer")
        market = self._markets.get(string(event.get("product_id")))
        if market is None:
            return []
        changes: list[Change] = []
        for item in items:
            level = (item["price_level"], item["new_quantity"])
            changes += self._changes(market.listing, _SIDES[item["side"]], [level])

        def change_book(venue_ns: int, sequence: int, received_ns: int) -> None:
            if self._change_book(market, changes, UNLIMITED, is_snapshot=is_snapshot):
                self._verify_book(market, True, venue_ns, sequence, received_ns)

        return [change_book]

    def _trade_step(self, item: dict[str, Any]) -> _Step | None:
        if item["side"] not in _AGGRESSORS:
            raise MalformedError(f"side was {item['side']!r}, must be BUY or SELL")
        time = unix_ns(item["time"])
        market = self._markets.get(item["product_id"])
        if market is None:
            return None
        price, quantity = self._trade_units(market.listing, item["price"], item["size"])

        def tell(_: int, __: int, received_ns: int) -> None:
            trade_id, side = item["trade_id"], _AGGRESSORS[item["side"]]
            self._tell_trade(market, trade_id, price, quantity, side, time, received_ns)

        return tell

    def _ticker_step(self, item: dict[str, Any]) -> _Step | None:
        market = self._markets.get(item["product_id"])
        if market is None:
            return None
        top = self._top_units(market.listing, item, _TOP)

        def tell(venue_ns: int, sequence: int, received_ns: int) -> None:
            self._tell_ticker(market, top, venue_ns, sequence, received_ns)

        return tell
