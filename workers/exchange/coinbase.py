"""Coinbase Advanced Trade's WebSocket protocol: level2, market_trades, ticker, heartbeats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from workers.exchange.dialect import Dialect
from workers.exchange.exchange import Exchange, rfc3339
from workers.exchange.history import Event, rows, top_of
from workers.exchange.ladder import Book, Top, changes
from workers.exchange.listing import Listing
from workers.exchange.market import QUOTE, Events

CHANNELS = ("level2", "market_trades", "ticker", "ticker_batch", "heartbeats")
_TYPES = ("subscribe", "unsubscribe")
_PATIENCE = 5.0  # seconds for the first subscription
_RECENT = 100  # trades in a snapshot
_BATCH = 0.25  # seconds between messages of trades
_TICKER_BATCH = 5.0  # and of the batched ticker


class _RefusedError(Exception):
    pass


def product_id(listing: Listing) -> str:
    """Return how Coinbase calls an instrument."""
    return "-".join(listing.pair)


class Coinbase(Dialect):
    """Each message has the next `sequence_num` of its connection, whatever its channel."""

    venue = "coinbase"

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._products = {product_id(listing): at for at, listing in enumerate(exchange.listings)}
        self._names = list(self._products)
        self._channels: dict[str, dict[int, None]] = {channel: {} for channel in CHANNELS}
        self._heartbeats = False
        self._books: dict[int, Book] = {}
        self._pending: list[Event] = []
        self._batch = exchange.every(_BATCH)
        self._ticker_batch = exchange.every(_TICKER_BATCH)
        self._sequence = 0
        self._beats = 0
        self._was_subscribed = False

    def is_tired(self, age: float) -> bool:
        """Tell whether there was no subscription in time."""
        return age >= _PATIENCE and not self._was_subscribed

    def subscribed(self) -> bool:
        """Tell whether a channel of the market is subscribed to."""
        return any(self._channels.values())

    def answer(self, request: bytes, position: int) -> Sequence[str | bytes]:
        """Subscribe or unsubscribe."""
        try:
            return self._change(request, position)
        except _RefusedError as refused:
            return (_error(str(refused)),)

    def beat(self, position: int, silence: float) -> Sequence[str]:
        """Return a heartbeat, if they are subscribed to."""
        if not self._heartbeats:
            return ()
        time = rfc3339(self._exchange.time_us(position, self.venue))
        beat = f'{{"current_time":"{time}","heartbeat_counter":{self._beats}}}'
        self._beats += 1
        return (self._message("heartbeats", position, beat),)

    def encode(self, events: Events) -> Sequence[str]:
        """Return changes of books and tickers at once, trades four times a second."""
        messages: list[str] = []
        books, tickers = self._books, self._channels["ticker"]
        trades, batched = self._channels["market_trades"], self._channels["ticker_batch"]
        for event in rows(events):
            at, index = event.instrument, event.number
            if event.kind == QUOTE:
                if at in books:
                    self._update(at, top_of(event), messages)
            else:
                if at in trades:
                    self._pending.append(event)
                if at in tickers:
                    messages.append(self._ticker("ticker", "update", [at], index))
            if self._pending and index % self._batch == 0:
                messages.append(self._trades("update", reversed(self._pending), index))
                self._pending = []
            if batched and index % self._ticker_batch == 0:
                messages.append(self._ticker("ticker_batch", "update", list(batched), index))
        return messages

    def _change(self, request: bytes, position: int) -> list[str]:
        try:
            message = msgspec.json.decode(request)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise _RefusedError("failure to parse JSON") from None
        if not isinstance(message, dict) or message.get("type") not in _TYPES:
            raise _RefusedError(f"type must be one of {', '.join(_TYPES)}")
        channel = message.get("channel")
        if channel not in CHANNELS:
            raise _RefusedError(f"channel was {channel!r}, must be one of {', '.join(CHANNELS)}")
        products = message.get("product_ids", [])
        if not isinstance(products, list):
            raise _RefusedError("product_ids must be a list")
        for product in products:
            if not isinstance(product, str) or product not in self._products:
                raise _RefusedError(f"{product} is not a valid product")
        begins = message["type"] == "subscribe"
        self._was_subscribed = True
        if channel == "heartbeats":
            self._heartbeats = begins
            return [self._subscriptions(position)]
        chosen = [self._products[product] for product in products] or list(range(len(self._names)))
        held = self._channels[channel]
        new = [at for at in chosen if at not in held]
        for at in chosen:
            if begins:
                held[at] = None
            else:
                held.pop(at, None)
                if channel == "level2":
                    self._books.pop(at, None)
        if channel == "market_trades":
            self._pending = [each for each in self._pending if each.instrument in held]
        snapshots = self._snapshots(channel, new, position) if begins else []
        return [*snapshots, self._subscriptions(position)]

    def _snapshots(self, channel: str, new: list[int], position: int) -> list[str]:
        if channel == "level2":
            return [self._book(at, position) for at in new]
        if channel == "market_trades":
            recent = [self._exchange.history.trades(at, position, _RECENT) for at in new]
            return [
                self._trades("snapshot", reversed(list(rows(each))), position) for each in recent
            ]
        return [self._ticker(channel, "snapshot", new, position)] if new else []

    def _subscriptions(self, position: int) -> str:
        held = {
            channel: [self._names[at] for at in chosen]
            for channel, chosen in self._channels.items()
            if chosen
        }
        if self._heartbeats:
            held["heartbeats"] = ["heartbeats"]
        event = msgspec.json.encode({"subscriptions": held}).decode()
        return self._message("subscriptions", position, event)

    def _book(self, at: int, position: int) -> str:
        book = self._books[at] = self._exchange.book(at, position)
        return self._levels("snapshot", at, book.bids, book.asks, position)

    def _update(self, at: int, top: Top, messages: list[str]) -> None:
        old, new = self._books[at], self._exchange.ladder.book(at, top)
        self._books[at] = new
        bids, asks = changes(old.bids, new.bids), changes(old.asks, new.asks)
        if bids or asks:
            messages.append(self._levels("update", at, bids, asks, top.update_id))

    def _levels(
        self,
        kind: str,
        at: int,
        bids: Sequence[tuple[int, int]],
        asks: Sequence[tuple[int, int]],
        index: int,
    ) -> str:
        price, quantity = self._exchange.prices[at].text, self._exchange.quantities[at].text
        time = rfc3339(self._exchange.time_us(index, self.venue))
        updates = ",".join(
            f'{{"side":"{name}","event_time":"{time}","price_level":"{price(p)}",'
            f'"new_quantity":"{quantity(q) if q else 0}"}}'
            for name, side in (("bid", bids), ("offer", asks))
            for p, q in side
        )
        event = f'{{"type":"{kind}","product_id":"{self._names[at]}","updates":[{updates}]}}'
        return self._message("l2_data", index, event)

    def _trades(self, kind: str, trades: Iterable[Event], index: int) -> str:
        """Return a message of trades, which are given newest first."""
        texts = ",".join(trade_text(self._exchange, trade) for trade in trades)
        return self._message("market_trades", index, f'{{"type":"{kind}","trades":[{texts}]}}')

    def _ticker(self, channel: str, kind: str, chosen: Sequence[int], index: int) -> str:
        texts = ",".join(self._one_ticker(at, index) for at in chosen)
        return self._message(channel, index, f'{{"type":"{kind}","tickers":[{texts}]}}')

    def _one_ticker(self, at: int, index: int) -> str:
        history = self._exchange.history
        price, quantity = self._exchange.prices[at].text, self._exchange.quantities[at].text
        top, day = history.top(at, index), history.statistics(at, index)
        now = history.last_price(at, index)
        return (
            f'{{"type":"ticker","product_id":"{self._names[at]}","price":"{price(now)}",'
            f'"volume_24_h":"{quantity(day.volume)}","low_24_h":"{price(day.low)}",'
            f'"high_24_h":"{price(day.high)}","low_52_w":"{price(day.low)}",'
            f'"high_52_w":"{price(day.high)}",'
            f'"price_percent_chg_24_h":"{100 * (now - day.open) / day.open:.6f}",'
            f'"best_bid":"{price(top.bid)}","best_bid_quantity":"{quantity(top.bid_quantity)}",'
            f'"best_ask":"{price(top.ask)}","best_ask_quantity":"{quantity(top.ask_quantity)}"}}'
        )

    def _message(self, channel: str, index: int, event: str) -> str:
        time = rfc3339(self._exchange.time_us(index, self.venue))
        number, self._sequence = self._sequence, self._sequence + 1
        return (
            f'{{"channel":"{channel}","timestamp":"{time}","sequence_num":{number},'
            f'"events":[{event}]}}'
        )


def trade_text(exchange: Exchange, event: Event) -> str:
    """Return a trade as Coinbase has it: its side is that of the order that rested."""
    at = event.instrument
    time = rfc3339(exchange.time_us(event.number, "coinbase"))
    return (
        f'{{"product_id":"{product_id(exchange.listings[at])}",'
        f'"trade_id":"{event.trade_id}",'
        f'"price":"{exchange.prices[at].text(event.price)}",'
        f'"size":"{exchange.quantities[at].text(event.quantity)}","time":"{time}",'
        f'"side":"{"SELL" if event.aggressor > 0 else "BUY"}"}}'
    )


def _error(text: str) -> str:
    return msgspec.json.encode({"type": "error", "message": text}).decode()
