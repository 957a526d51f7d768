"""Kraken, WebSocket v1: books alone, verified by the same CRC-32 as in v2."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from workers.feed.decoding import Listing, QuoteSource, Verdict
from workers.feed.reference.book import Change
from workers.feed.reference.kraken import checksum
from workers.feed.reference.market import Decoder
from workers.feed.reference.values import (
    YEAR_2200_S,
    MalformedError,
    need,
    quoted,
    quoted_whole,
    string,
    whole,
)

_SIDES = {"a": "asks", "b": "bids", "as": "asks", "bs": "bids"}
_KNOWN = {*_SIDES, "c"}


def _to_ns(seconds: str) -> int:
    whole_part, _, fraction = seconds.partition(".")
    if len(fraction) > 9 or int(whole_part) > YEAR_2200_S:
        raise MalformedError(f"time was {seconds}, must be before 2200 with at most 9 decimals")
    return int(whole_part) * 10**9 + int(fraction.ljust(9, "0"))


class KrakenV1(Decoder):
    """`depth`: of the book as subscribed; no deletion is sent for what falls out below it."""

    def __init__(self, listings: Iterable[Listing], quotes: QuoteSource, depth: int) -> None:
        super().__init__(listings, quotes)
        self._depth = depth

    def _take(self, message: Any, received_ns: int) -> Verdict:
        if isinstance(message, dict):
            return Verdict.CONTROL if "event" in message else Verdict.UNKNOWN
        if not isinstance(message, list) or len(message) < 3:
            raise MalformedError(
                "message must be an object, or a list with channel and pair at its end"
            )
        whole(message[0])
        *payloads, channel, symbol = message[1:]
        string(channel), string(symbol)
        if any(isinstance(payload, str) for payload in payloads):
            raise MalformedError("a payload must not be a string")
        if not channel.startswith("book-"):
            return Verdict.UNKNOWN
        fields: dict[str, Any] = {}
        for payload in payloads:
            if not isinstance(payload, dict) or payload.keys() & fields.keys() & _KNOWN:
                raise MalformedError("payloads of a book must be objects, each field once")
            fields |= payload
        times = [0]
        levels: dict[str, list[tuple[str, str]]] = {}
        for name in fields:
            if name in _SIDES:
                levels[name] = self._levels(fields[name], times)
        expected = quoted_whole(fields["c"]) if "c" in fields else 0
        market = self._markets.get(symbol)
        if market is None:
            return Verdict.UNKNOWN
        is_update = "c" in fields
        if is_update:
            if not levels or {"as", "bs"} & levels.keys():
                raise MalformedError("an update must have levels, and none of a snapshot")
        else:
            need(levels, "as", "bs")
            if len(levels) != 2:
                raise MalformedError("a snapshot must not have levels of an update")
        if expected >= 1 << 32:
            raise MalformedError(f"checksum was {expected}, must be less than 2**32")
        changes: list[Change] = []
        for name, each in levels.items():
            changes += self._changes(market.listing, _SIDES[name], each)
        if fields.keys() - _KNOWN:
            self.counts["unknown_fields"] += 1
        if not self._change_book(market, changes, self._depth, is_snapshot=not is_update):
            return Verdict.OK
        matches = True
        if is_update:
            matches = checksum(market.book) == expected
            self.counts["checksum_ok"] += matches
        self._verify_book(market, matches, max(times), 0, received_ns)
        return Verdict.OK

    @staticmethod
    def _levels(value: Any, times: list[int]) -> list[tuple[str, str]]:
        if not isinstance(value, list):
            raise MalformedError("levels must be a list")
        levels = []
        for level in value:
            if not isinstance(level, list) or len(level) not in (3, 4):
                raise MalformedError("level must be price, quantity, time, and perhaps r")
            string(level[-1])
            levels.append((quoted(level[0]), quoted(level[1])))
            times.append(_to_ns(quoted(level[2])))
        return levels
