"""Kraken's WebSocket protocol, version 2: book with checksums, trades, ticker and instruments."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import msgspec

from workers.exchange.dialect import Dialect
from workers.exchange.exchange import Exchange, rfc3339
from workers.exchange.history import Event, rows, top_of
from workers.exchange.ladder import Book, Levels, Top, changes
from workers.exchange.listing import Listing
from workers.exchange.market import QUOTE, Events

DEPTHS = (10, 25, 100, 500, 1000)
_CHANNELS = ("book", "trade", "ticker", "instrument")
_TRIGGERS = ("trades", "bbo")
_CHECKED = 10  # levels a side in the checksum
_RECENT = 50  # trades in a snapshot


class _RefusedError(Exception):
    pass


def pair_name(listing: Listing) -> str:
    """Return how Kraken's WebSocket calls an instrument."""
    return "/".join(listing.pair)


class Kraken(Dialect):
    """No sequence numbers: books carry the CRC32 of their ten best levels, as text, instead."""

    venue = "kraken"

    def __init__(self, exchange: Exchange, number: int) -> None:
        self._exchange = exchange
        self._number = number
        self._pairs = {pair_name(listing): at for at, listing in enumerate(exchange.listings)}
        self._books: dict[int, tuple[int, Book]] = {}
        self._trades: dict[int, None] = {}
        self._tickers: dict[int, str] = {}
        self._tops: dict[int, Top] = {}  # of the tickers, as their last prices
        self._last: dict[int, int] = {}
        self._held: dict[str, dict[int, Any]] = {
            "book": self._books,
            "trade": self._trades,
            "ticker": self._tickers,
        }
        self._instruments = False

    def greet(self, position: int) -> Sequence[str]:
        """Return the status of the exchange."""
        # As large as the venue's, and another one for each connection.
        connection = (self._exchange.seed * 1_000_003 + self._number) % (1 << 63) | 1 << 62
        data = {
            "version": "2.0.10",
            "system": "online",
            "api_version": "v2",
            "connection_id": connection,
        }
        return (_text({"channel": "status", "type": "update", "data": [data]}),)

    def beat(self, position: int, silence: float) -> Sequence[str]:
        """Return a heartbeat if nothing else was sent for a second."""
        subscribed = self.subscribed() or self._instruments
        return ('{"channel":"heartbeat"}',) if subscribed and silence >= 0.95 else ()

    def subscribed(self) -> bool:
        """Tell whether a channel of the market is subscribed to."""
        return bool(self._books or self._trades or self._tickers)

    def answer(self, request: bytes, position: int) -> Sequence[str | bytes]:
        """Subscribe, unsubscribe or answer a ping."""
        time = rfc3339(self._exchange.time_us(position, self.venue))
        try:
            message = msgspec.json.decode(request)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return (_refusal(None, None, "JSON parse error", time),)
        if not isinstance(message, dict):
            return (_refusal(None, None, "Message must be an object", time),)
        method, identity = message.get("method"), message.get("req_id")
        if method == "ping":
            pong = {"method": "pong", **_identity(identity), "time_in": time, "time_out": time}
            return (_text(pong),)
        if method not in ("subscribe", "unsubscribe"):
            return (_refusal(method, identity, "Unsupported method", time),)
        params = message.get("params")
        try:
            if not isinstance(params, dict):
                raise _RefusedError("Params must be an object")
            return self._change(method, params, identity, position, time)
        except _RefusedError as refused:
            return (_refusal(method, identity, str(refused), time),)

    def encode(self, events: Events) -> Sequence[str]:
        """Return a message for each trade and each change of a book, in the order of events."""
        messages: list[str] = []
        for event in rows(events):
            at = event.instrument
            if event.kind == QUOTE:
                if at in self._books:
                    self._update(at, top_of(event), messages)
                if at in self._tickers:
                    self._tops[at] = top_of(event)
                    if self._tickers[at] == "bbo":
                        messages.append(self._ticker("update", at, event.number))
            else:
                if at in self._trades:
                    messages.append(self._message("trade", "update", self._trade(at, event)))
                if at in self._tickers:
                    self._last[at] = event.price
                    if self._tickers[at] == "trades":
                        messages.append(self._ticker("update", at, event.number))
        return messages

    def _change(
        self, method: str, params: dict[str, Any], identity: Any, position: int, time: str
    ) -> list[str]:
        channel = params.get("channel")
        if channel not in _CHANNELS:
            raise _RefusedError(f"Unsupported channel {channel}")
        begins = method == "subscribe"
        if channel == "instrument":
            self._instruments = begins
            result: dict[str, Any] = {"channel": channel, "snapshot": True}
            acknowledged = [_acknowledged(method, result, identity, time)]
            return [*acknowledged, self._reference()] if begins else acknowledged
        symbols = params.get("symbol")
        if not isinstance(symbols, list) or not symbols:
            raise _RefusedError("Symbol(s) not found")
        messages = []
        for symbol in symbols:
            if not isinstance(symbol, str) or symbol not in self._pairs:
                refusal = f"Currency pair not supported {symbol}"
                messages.append(_refusal(method, identity, refusal, time, symbol=symbol))
                continue
            messages += self._change_one(
                channel, self._pairs[symbol], params, identity, position, time, begins=begins
            )
        return messages

    def _change_one(
        self,
        channel: str,
        at: int,
        params: dict[str, Any],
        identity: Any,
        position: int,
        time: str,
        *,
        begins: bool,
    ) -> list[str]:
        symbol = pair_name(self._exchange.listings[at])
        result: dict[str, Any] = {"channel": channel, "symbol": symbol}
        held = self._held[channel]
        snapshot = bool(params.get("snapshot", channel != "trade"))
        if not begins:
            if at not in held:
                return [
                    _refusal("unsubscribe", identity, "Subscription Not Found", time, symbol=symbol)
                ]
            del held[at]
            return [_acknowledged("unsubscribe", result, identity, time)]
        if at in held:
            return [_refusal("subscribe", identity, "Already subscribed", time, symbol=symbol)]
        data = ""
        if channel == "book":
            depth = params.get("depth", DEPTHS[0])
            if depth not in DEPTHS:
                raise _RefusedError(f"Subscription depth not supported {depth}")
            book = self._exchange.book(at, position)
            self._books[at] = (depth, book)
            result["depth"] = depth
            data = self._book(at, book, book.bids[:depth], book.asks[:depth], position)
        elif channel == "trade":
            self._trades[at] = None
            recent = self._exchange.history.trades(at, position, _RECENT)
            data = ",".join(self._trade(at, trade) for trade in rows(recent))
        else:
            trigger = params.get("event_trigger", _TRIGGERS[0])
            if trigger not in _TRIGGERS:
                raise _RefusedError(f"Event trigger not supported {trigger}")
            self._tickers[at] = trigger
            self._tops[at] = self._exchange.history.top(at, position)
            self._last[at] = self._exchange.history.last_price(at, position)
            result["event_trigger"] = trigger
        result["snapshot"] = snapshot
        messages = [_acknowledged("subscribe", result, identity, time)]
        if snapshot and channel == "ticker":
            messages.append(self._ticker("snapshot", at, position))
        elif snapshot:
            messages.append(self._message(channel, "snapshot", data))
        return messages

    def _update(self, at: int, top: Top, messages: list[str]) -> None:
        depth, old = self._books[at]
        new = self._exchange.ladder.book(at, top)
        self._books[at] = (depth, new)
        bids, asks = (changes(a, b, depth) for a, b in ((old.bids, new.bids), (old.asks, new.asks)))
        if bids or asks:
            data = self._book(at, new, bids, asks, top.update_id)
            messages.append(self._message("book", "update", data))

    def _book(
        self,
        at: int,
        book: Book,
        bids: Sequence[tuple[int, int]],
        asks: Sequence[tuple[int, int]],
        index: int,
    ) -> str:
        prices, quantities = self._exchange.prices[at], self._exchange.quantities[at]
        sides = (
            ",".join(
                f'{{"price":{prices.text(price)},"qty":{quantities.text(quantity)}}}'
                for price, quantity in side
            )
            for side in (bids, asks)
        )
        text = '"bids":[{}],"asks":[{}]'.format(*sides)
        time = rfc3339(self._exchange.time_us(index, self.venue))
        return (
            f'{{"symbol":"{pair_name(self._exchange.listings[at])}",{text},'
            f'"checksum":{self._checksum(at, book.bids, book.asks)},"timestamp":"{time}"}}'
        )

    def _checksum(self, at: int, bids: Levels, asks: Levels) -> int:
        price, quantity = self._exchange.prices[at].digits, self._exchange.quantities[at].digits
        best = (*asks[:_CHECKED], *bids[:_CHECKED])
        return zlib.crc32("".join(price(p) + quantity(q) for p, q in best).encode())

    def _trade(self, at: int, event: Event) -> str:
        time = rfc3339(self._exchange.time_us(event.number, self.venue))
        return (
            f'{{"symbol":"{pair_name(self._exchange.listings[at])}",'
            f'"side":"{"buy" if event.aggressor > 0 else "sell"}",'
            f'"price":{self._exchange.prices[at].text(event.price)},'
            f'"qty":{self._exchange.quantities[at].text(event.quantity)},'
            f'"ord_type":"market","trade_id":{event.trade_id},"timestamp":"{time}"}}'
        )

    def _ticker(self, kind: str, at: int, index: int) -> str:
        exchange = self._exchange
        top, now = self._tops[at], self._last[at]
        day = exchange.history.statistics(at, index)
        price, quantity = exchange.prices[at].text, exchange.quantities[at].text
        change = price(abs(now - day.open))
        average = price(day.turnover // day.volume if day.volume else day.last)
        return self._message(
            "ticker",
            kind,
            f'{{"symbol":"{pair_name(exchange.listings[at])}",'
            f'"bid":{price(top.bid)},"bid_qty":{quantity(top.bid_quantity)},'
            f'"ask":{price(top.ask)},"ask_qty":{quantity(top.ask_quantity)},'
            f'"last":{price(now)},"volume":{quantity(day.volume)},"vwap":{average},'
            f'"low":{price(day.low)},"high":{price(day.high)},'
            f'"change":{"-" if now < day.open else ""}{change},'
            f'"change_pct":{100 * (now - day.open) / day.open:.2f},'
            f'"timestamp":"{rfc3339(exchange.time_us(index, self.venue))}"}}',
        )

    def _reference(self) -> str:
        exchange = self._exchange
        pairs = []
        for at, listing in enumerate(exchange.listings):
            prices, quantities = exchange.prices[at], exchange.quantities[at]
            base, quote = listing.pair
            pairs.append(
                f'{{"symbol":"{base}/{quote}","base":"{base}","quote":"{quote}",'
                f'"status":"online","qty_precision":{quantities.places},'
                f'"qty_increment":{quantities.unit},"price_precision":{prices.places},'
                f'"price_increment":{prices.unit},"cost_min":"{listing.min_notional}",'
                f'"qty_min":{quantities.unit}}}'
            )
        return (
            '{"channel":"instrument","type":"snapshot","data":{"assets":[],'
            f'"pairs":[{",".join(pairs)}]}}}}'
        )

    @staticmethod
    def _message(channel: str, kind: str, data: str) -> str:
        return f'{{"channel":"{channel}","type":"{kind}","data":[{data}]}}'


def _text(message: object) -> str:
    return msgspec.json.encode(message).decode()


def _identity(identity: Any) -> dict[str, Any]:
    return {} if identity is None else {"req_id": identity}


def _acknowledged(method: str, result: dict[str, Any], identity: Any, time: str) -> str:
    return _text(
        {
            "method": method,
            "result": result,
            "success": True,
            "time_in": time,
            "time_out": time,
            **_identity(identity),
        }
    )


def _refusal(method: Any, identity: Any, error: str, time: str, **more: Any) -> str:
    return _text(
        {
            "error": error,
            "method": method,
            **more,
            "success": False,
            "time_in": time,
            "time_out": time,
            **_identity(identity),
        }
    )
