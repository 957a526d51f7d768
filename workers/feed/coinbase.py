"""Coinbase Advanced Trade: one sequence over all channels of a connection."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

import msgspec

from workers._native import Decoder
from workers.feed import decoding
from workers.feed.decoding import Listing, QuoteSource
from workers.feed.venue import Limits, Notice, Replay, Trade, Venue

_TRADES = 1000  # the most that one request returns
_RANGE_S = 24 * 3600  # that one request covers


class Coinbase(Venue):
    """Quotes are the top of the book. Books and trades are sent from a snapshot on."""

    name = "coinbase"
    sends_past = True
    limits = Limits(connects=(8, 1.0), messages=(8, 1.0), requests=(10, 1.0))

    def decoder(self) -> Decoder:
        """Return a decoder for one connection."""
        return decoding.decoder(
            "coinbase", map(Listing.of, self.instruments), quotes=QuoteSource.BOOK
        )

    def subscriptions(self, known: Collection[int]) -> Iterable[str]:
        """Return the requests; heartbeats keep the channels of quiet markets from being closed.

        Snapshots of trades tell of the products of one request, so known ones have their own.
        """
        yield _request("subscribe", "heartbeats", ())
        for is_known in (True, False):
            products = [
                each.symbol for each in self.instruments if (each.index in known) == is_known
            ]
            if products:
                yield _request("subscribe", "market_trades", products)
        products = [instrument.symbol for instrument in self.instruments]
        yield _request("subscribe", "level2", products)

    def resubscriptions(self, instruments: Sequence[int]) -> Iterable[str]:
        """Return what to send to have new snapshots of some books."""
        products = [self.instrument(index).symbol for index in instruments]
        yield _request("unsubscribe", "level2", products)
        yield _request("subscribe", "level2", products)

    def replay(self, instrument: int, first: int, last: int) -> Replay:
        """Yield the latest trades, and if that is not enough the latest of those before.

        Times are in whole seconds, so pages overlap; of a second that has more trades than a page
        the oldest are not to be had.
        """
        product = self.instrument(instrument).symbol
        path = f"api/v3/brokerage/market/products/{product}/ticker"
        address = f"{self._rest_url}/{path}?limit={_TRADES}"
        page = yield address
        while page and page[0].trade_id > first:
            oldest = page[0]
            end = -(-oldest.venue_ns // 1_000_000_000)
            page = yield f"{address}&start={end - _RANGE_S}&end={end}"
            if page and page[0].trade_id >= oldest.trade_id:
                return

    def trades(self, instrument: int, answer: bytes) -> Iterable[Trade]:
        """Return the trades, whose side is that of the order that rested; newest first."""
        for trade in reversed(msgspec.json.decode(answer)["trades"]):
            yield Trade(
                int(trade["trade_id"]),
                trade["price"],
                trade["size"],
                1 if trade["side"] == "SELL" else -1,
                _unix_ns(trade["time"]),
            )

    def past(self, message: memoryview, fresh: Collection[int]) -> Collection[int]:
        """Return of which instruments a message is a snapshot of trades."""
        head = bytes(message[:400])
        if b'"market_trades"' not in head or b'"snapshot"' not in head:
            return ()
        text = bytes(message)
        names = {index: f'"{self.instrument(index).symbol}"'.encode() for index in fresh}
        return [index for index, name in names.items() if name in text]

    def notice(self, message: bytes) -> Notice:
        """Look for refused requests."""
        found = msgspec.json.decode(message)
        return Notice.REFUSAL if found.get("type") == "error" else Notice.NOTHING


def _request(kind: str, channel: str, products: Sequence[str]) -> str:
    request = {"type": kind, "product_ids": products, "channel": channel}
    return msgspec.json.encode(request).decode()


def _unix_ns(text: str) -> int:
    """Return a time of RFC 3339, in ns since 1970."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    seconds = int(datetime.fromisoformat(f"{whole}+00:00").timestamp())
    return seconds * 1_000_000_000 + int(fraction[:9].ljust(9, "0") or 0)
