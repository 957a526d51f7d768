"""Binance spot's WebSocket streams: trades, best quotes and the book, combined or raw."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workers.exchange.control import Subscriptions
from workers.exchange.dialect import Dialect
from workers.exchange.exchange import Exchange
from workers.exchange.ladder import Book, changes
from workers.exchange.market import TRADE, Events
from workers.exchange.request import StreamRequest
from workers.exchange.wire import STREAMS, stream_name

_SPEEDS = {"": 1.0, "@100ms": 0.1}  # seconds between messages of the book
_PARTIAL = (5, 10, 20)
_DEPTHS: dict[str, tuple[int | None, float]] = {
    f"depth{levels or ''}{suffix}": (levels, every)
    for levels in (None, *_PARTIAL)
    for suffix, every in _SPEEDS.items()
}
"""Streams of the book: how many levels, None for changes, and how often."""


def streams_of(exchange: Exchange) -> tuple[str, ...]:
    """Return the names of all streams; those of events first, as `STREAMS` has them."""
    symbols = [listing.symbol for listing in exchange.listings]
    names = [stream_name(symbol, stream) for symbol in symbols for stream in STREAMS]
    more = ("aggTrade", *_DEPTHS)
    return (*names, *(stream_name(symbol, stream) for symbol in symbols for stream in more))


class Binance(Dialect):
    """Update ids are indices of the market; books are told when the exchange's clock strikes.

    A message of the book has an index of its own (`i`) as the others do: that of the last event it
    is about, so that a client can go on after it.
    """

    venue = "binance"
    pings = True

    def __init__(self, exchange: Exchange, request: StreamRequest) -> None:
        self._exchange = exchange
        self._microseconds = request.microseconds
        self._known = streams_of(exchange)
        self.subscriptions = Subscriptions(request.streams, self._known, combined=request.combined)
        self._names: list[str] | None = None
        self._simple = np.zeros(0, np.bool_)
        self._aggregated: frozenset[int] = frozenset()
        self._depths: list[tuple[int, str, int | None, int]] = []
        self._follow()

    @property
    def chunk(self) -> int:  # type: ignore[override]
        """Return how many events are made at once; with books fewer, as they cost more."""
        return 64 if self._depths else 256

    def subscribed(self) -> bool:
        """Tell whether there are streams."""
        return bool(self.subscriptions.names)

    def answer(self, request: bytes, position: int) -> Sequence[str | bytes]:
        """Carry out a request on streams."""
        answer = self.subscriptions.answer(request)
        self._follow()
        return (answer,)

    def encode(self, events: Events) -> Sequence[str]:
        """Return the messages, those of books after the last event that they are about."""
        if not self._depths:
            return self._wrapped(self._events(events))
        messages: list[str] = []
        begin = 0
        indices = events["index"].tolist()
        strikes = sorted({every for *_, every in self._depths})
        for at, index in enumerate(indices, 1):
            if any(index % every == 0 for every in strikes):
                messages += self._events(events[begin:at])
                messages += self._books(index)
                begin = at
        messages += self._events(events[begin:])
        return self._wrapped(messages)

    def _follow(self) -> None:
        """Take up what is subscribed to."""
        names = self.subscriptions.names
        if names is self._names:
            return
        self._names = names
        wanted = set(names)
        count = len(self._exchange.listings)
        self._simple = np.array([name in wanted for name in self._known[: 2 * count]])
        aggregated, depths = set(), []
        symbols = {listing.symbol.lower(): at for at, listing in enumerate(self._exchange.listings)}
        for name in names:
            symbol, _, stream = name.partition("@")
            if stream == "aggTrade":
                aggregated.add(symbols[symbol])
            elif stream in _DEPTHS:
                levels, seconds = _DEPTHS[stream]
                depths.append((symbols[symbol], name, levels, self._exchange.every(seconds)))
        self._aggregated, self._depths = frozenset(aggregated), depths

    def _wrapped(self, messages: list[str]) -> list[str]:
        if self.subscriptions.combined:
            return messages
        return [message[message.index('"data":') + 7 : -1] for message in messages]

    def _events(self, events: Events) -> list[str]:
        encoder, skew = self._exchange.encoder, self._exchange.skew_us(self.venue)
        if not self._aggregated:
            if not self._simple.all():
                events = events[self._simple[2 * events["instrument"] + events["kind"] - 1]]
            return encoder.encode(events, microseconds=self._microseconds, skew_us=skew)
        messages = []
        for row in range(len(events)):
            event = events[row : row + 1]
            at, kind = int(event["instrument"][0]), int(event["kind"][0])
            texts = encoder.encode(event, microseconds=self._microseconds, skew_us=skew)
            if self._simple[2 * at + kind - 1]:
                messages += texts
            if kind == TRADE and at in self._aggregated:
                messages.append(_aggregated(texts[0], int(event["trade_id"][0])))
        return messages

    def _books(self, index: int) -> list[str]:
        messages = []
        for at, name, levels, every in self._depths:
            if index % every:
                continue
            new = self._exchange.book(at, index)
            prices, quantities = self._exchange.prices[at].text, self._exchange.quantities[at].text

            def texts(levels: Sequence[tuple[int, int]]) -> str:
                return ",".join(f'["{prices(p)}","{quantities(q)}"]' for p, q in levels)  # noqa: B023

            if levels is not None:
                messages.append(
                    f'{{"stream":"{name}","data":{{"lastUpdateId":{new.update_id},'
                    f'"bids":[{texts(new.bids[:levels])}],"asks":[{texts(new.asks[:levels])}],'
                    f'"i":{index}}}}}'
                )
                continue
            old = self._exchange.book(at, index - every)
            if new.update_id == old.update_id:
                continue
            bids, asks = self._touched(at, old, index)
            time = self._exchange.time_us(index, self.venue)
            symbol = self._exchange.listings[at].symbol
            messages.append(
                f'{{"stream":"{name}","data":{{"e":"depthUpdate",'
                f'"E":{time if self._microseconds else time // 1000},"s":"{symbol}",'
                f'"U":{old.update_id + 1},"u":{new.update_id},'
                f'"b":[{texts(bids)}],"a":[{texts(asks)}],"i":{index}}}}}'
            )
        return messages

    def _touched(
        self, at: int, book: Book, index: int
    ) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Return all levels that changed since a book until `index`, as they are then.

        Those also that came and went: who has fetched a book between has them in it.
        """
        touched: tuple[dict[int, None], dict[int, None]] = ({}, {})
        for top in self._exchange.history.tops(at, book.update_id, index):
            after = self._exchange.ladder.book(at, top)
            for prices, old, new in zip(
                touched, (book.bids, book.asks), (after.bids, after.asks), strict=True
            ):
                prices.update(dict.fromkeys(price for price, _ in changes(old, new)))
            book = after
        bids, asks = dict(book.bids), dict(book.asks)
        return (
            [(price, bids.get(price, 0)) for price in touched[0]],
            [(price, asks.get(price, 0)) for price in touched[1]],
        )


def _aggregated(trade: str, trade_id: int) -> str:
    """Return a message of `trade` as one of `aggTrade`: each trade is one of its own."""
    return (
        trade.replace('@trade"', '@aggTrade"', 1)
        .replace('"e":"trade"', '"e":"aggTrade"', 1)
        .replace(f'"t":{trade_id},', f'"a":{trade_id},', 1)
        .replace(',"T":', f',"f":{trade_id},"l":{trade_id},"T":', 1)
    )
