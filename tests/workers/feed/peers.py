"""ccxt.pro at a simulator: what it makes of each message, with decimals as they were sent."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from pipeline.markets.exact import ExactNumbers, exact

_MOST_DIGITS = 15
"""Of a JSON number that was a float meanwhile: so many survive (C's DBL_DIG)."""


class Trade(NamedTuple):
    """A trade as both sides tell it; the time in ns since 1970, as exact as the venue said it."""

    trade_id: int
    price: Decimal
    quantity: Decimal
    side: str
    venue_ns: int


class Top(NamedTuple):
    """Best bid and ask."""

    bid: Decimal
    bid_quantity: Decimal
    ask: Decimal
    ask_quantity: Decimal


Tops = list[tuple[int, Top]]
"""Each with what tells when it was so: Binance's update id, or the venue's time in ns."""


class Peer:
    """What ccxt has told, by symbol.

    Attributes:
        exchange: ccxt's object.
        quotes: The best bid and ask after each message that may change them: of `watch_bids_asks`
            for Binance, else of `watch_order_book`. Whoever awaits these gets the latest of several
            messages; here are all of them.
        books: Binance's books, likewise.
        messages: How many came.
        acknowledged: How many of them were answers to a request.
    """

    def __init__(self, exchange: Any) -> None:
        self.exchange = exchange
        self.quotes: defaultdict[str, Tops] = defaultdict(list)
        self.books: defaultdict[str, Tops] = defaultdict(list)
        self.messages = self.acknowledged = 0
        self.is_closed = False
        self.watching: list[asyncio.Task[None]] = []

    def watch(self, *methods: str, symbols: Sequence[str]) -> None:
        """Begin to watch symbols, by each of some methods."""
        for symbol in symbols:
            for method in methods:
                argument = [symbol] if method == "watch_bids_asks" else symbol
                self.watching.append(asyncio.create_task(self._watch(method, argument)))

    def trades(self, symbol: str) -> list[Trade]:
        """Return the trades of which `watch_trades` gives the latest at each call.

        All that ccxt keeps are looked at: it files those of one message of Coinbase under the
        product of the first of them (ccxt 4.5.90, coinbase.handle_trade), so `watch_trades` gives
        some of them for another product and misses as many.
        """
        told = (trade for kept in self.exchange.trades.values() for trade in kept)
        found = [_trade(self.exchange.id, trade) for trade in told if trade["symbol"] == symbol]
        return sorted(found) if len(self.exchange.trades) > 1 else found

    def top(self, symbol: str) -> Top | None:
        """Return the best bid and ask of the book."""
        return _top(self.exchange.orderbooks[symbol])

    def count(self, message: dict[str, Any]) -> None:
        """Count a message."""
        self.messages += 1
        self.acknowledged += "result" in message or message.get("channel") == "subscriptions"

    def last_trade(self, symbol: str) -> int:
        """Return the highest id of a trade so far, 0 if there was none."""
        latest = (trade for kept in self.exchange.trades.values() for trade in kept[-200:])
        return max((int(each["id"]) for each in latest if each["symbol"] == symbol), default=0)

    async def _watch(self, method: str, argument: Any) -> None:
        while not self.is_closed:  # ccxt may take a cancellation for an error of its own
            await getattr(self.exchange, method)(argument)


def unix_ns(text: str) -> int:
    """Return a time of RFC 3339, in UTC, in ns since 1970."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    seconds = int(datetime.fromisoformat(f"{whole}+00:00").timestamp())
    return seconds * 10**9 + int(fraction[:9].ljust(9, "0"))


def _trade(venue: str, trade: dict[str, Any]) -> Trade:
    info = trade["info"]
    own = {"binance": "T", "kraken": "timestamp", "coinbase": "time"}[venue]
    ns = int(info[own]) * 1_000_000 if venue == "binance" else unix_ns(info[own])
    assert trade["timestamp"] == ns // 1_000_000
    side = trade["side"]
    if venue == "coinbase":
        # It sends the side of the order that rested, and ccxt 4.5.90 hands it on as it is; for
        # other venues "side" is the aggressor's there.
        side = {"buy": "sell", "sell": "buy"}[side]
    return Trade(int(trade["id"]), trade["price"], trade["amount"], side, ns)


def _top(book: Any) -> Top | None:
    if not (book["bids"] and book["asks"]):
        return None
    return Top(*book["bids"][0][:2], *book["asks"][0][:2])


def _number(value: Any) -> Decimal:
    number = exact(value)
    assert len(number.as_tuple().digits) <= _MOST_DIGITS
    return number


class _Exact(ExactNumbers):
    """Also where ccxt has floats on purpose: of Binance's books."""

    number = staticmethod(_number)

    def safe_float(self, dictionary: Any, key: Any, default_value: Any = None) -> Any:
        text = self.safe_string(dictionary, key)
        return default_value if text is None else exact(text)


def _class(venue: str, peers: list[Peer]) -> type:
    """Return ccxt's class for a venue, which notes its state after each message."""
    pro = pytest.importorskip("ccxt.pro", reason="needs ccxt", exc_type=ImportError)
    base = getattr(pro, venue)

    def note(where: Tops, key: int, top: Top | None) -> None:
        if top is not None:
            where.append((key, top))

    class Binance(_Exact, base):  # type: ignore[misc, valid-type]
        def handle_message(self, client: Any, message: Any) -> None:
            peers[0].count(message)
            super().handle_message(client, message)

        def handle_order_book_message(self, client: Any, message: Any, book: Any) -> Any:
            found = super().handle_order_book_message(client, message, book)
            symbol = self.safe_symbol(message["s"])
            note(peers[0].books[symbol], message["u"], _top(book))
            return found

        def handle_bids_asks(self, client: Any, message: Any) -> None:
            super().handle_bids_asks(client, message)
            symbol = self.safe_symbol(message["s"])
            names = ("bid", "bidVolume", "ask", "askVolume")
            top = Top(*(self.bidsasks[symbol][name] for name in names))
            note(peers[0].quotes[symbol], message["u"], top)

    class Other(_Exact, base):  # type: ignore[misc, valid-type]
        def handle_message(self, client: Any, message: Any) -> None:
            peers[0].count(message)
            super().handle_message(client, message)

        def handle_order_book(self, client: Any, message: Any) -> None:
            super().handle_order_book(client, message)
            if venue == "kraken":
                [data] = message["data"]
                symbol, time = data["symbol"], data["timestamp"]
            else:
                [event] = message["events"]
                symbol, time = self.safe_symbol(event["product_id"]), message["timestamp"]
            note(peers[0].quotes[symbol], unix_ns(time), _top(self.orderbooks[symbol]))

    return Binance if venue == "binance" else Other


@contextlib.asynccontextmanager
async def peer(venue: str, port: int) -> AsyncIterator[Peer]:
    """ccxt.pro, whose every address is the simulator's."""
    made: list[Peer] = []
    exchange = _class(venue, made)(
        {"enableRateLimit": False, "options": {"tradesLimit": 1_000_000}, "timeout": 100_000}
    )
    exchange.id = venue
    if venue == "binance":
        exchange.options["fetchMarkets"]["types"] = ["spot"]
        # All streams on one connection: a capture is sent on each as a whole.
        exchange.options["streamLimits"]["spot"] = 1
    path = {"binance": "/ws", "kraken": "/v2", "coinbase": "/coinbase"}[venue]
    _point(exchange.urls["api"], f"127.0.0.1:{port}", path)
    made.append(Peer(exchange))
    try:
        yield made[0]
    finally:
        made[0].is_closed = True
        for task in made[0].watching:
            task.cancel()
        await asyncio.gather(*made[0].watching, return_exceptions=True)
        await exchange.close()


def _point(urls: dict[str, Any], place: str, path: str) -> None:
    for key, value in urls.items():
        if isinstance(value, dict):
            _point(value, place, path)
        elif value.startswith("wss:"):
            urls[key] = f"ws://{place}{path}"
        else:
            urls[key] = f"http://{place}{urlsplit(value).path}"
