"""Binance spot: combined streams, books by updates from a REST snapshot on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

import msgspec

from pipeline.instruments import SIMULATOR, Instrument
from workers._native import Decoder
from workers.feed import decoding
from workers.feed.decoding import Listing, QuoteSource
from workers.feed.session import Timing
from workers.feed.venue import Capture, FeedError, Limits, Notice, Replay, Trade, Venue

_MOST_STREAMS = 1024  # of a connection
_DAY = 24 * 3600.0
_LEVELS = 1000  # in a snapshot, which then has a weight of 50
_TRADES = 1000  # the most that one request returns


class Binance(Venue):
    """Quotes are those of `bookTicker`, which is told at once; `depth@100ms` verifies them."""

    name = "binance"
    # Of the 5 messages a second each PING is one. Of 6000 a minute a snapshot weighs 50, trades 25.
    limits = Limits(
        connects=(300, 300.0), messages=(4, 1.0), requests=(140, 60.0), lifetime=_DAY - 1800.0
    )
    numbers_trades = True
    comparable = True
    snapshots_by_rest = True
    patience = 0.3
    streams: tuple[str, ...] = ("trade", "bookTicker", "depth@100ms")

    def __init__(
        self,
        instruments: Sequence[Instrument],
        url: str | Callable[[], str],
        rest_url: str | Callable[[], str],
        capture: Capture | None = None,
    ) -> None:
        super().__init__(instruments, url, rest_url, capture)
        wanted = len(self.streams) * len(self.instruments)
        if wanted > _MOST_STREAMS:
            raise FeedError(
                f"instruments of venue {self.name} were {len(self.instruments)}, must be at most "
                f"{_MOST_STREAMS // len(self.streams)}: a connection has {_MOST_STREAMS} streams"
            )

    def url(self) -> str:
        """Return the address of all streams; being named there, they need no request."""
        names = "/".join(
            f"{instrument.symbol.lower()}@{stream}"
            for instrument in self.instruments
            for stream in self.streams
        )
        return f"{self._url}/stream?streams={names}&timeUnit=MICROSECOND"

    def decoder(self) -> Decoder:
        """Return a decoder for one connection."""
        return decoding.decoder(
            "binance",
            map(Listing.of, self.instruments),
            quotes=QuoteSource.TICKER,
            microseconds=self.capture is None or self.capture.microseconds,
        )

    def subscriptions(self, known: Collection[int]) -> Iterable[str]:
        """Return nothing: the address says it all."""
        return ()

    def snapshot_url(self, instrument: int) -> str | None:
        """Return where a snapshot of a book is to be had."""
        symbol = self.instrument(instrument).symbol
        return f"{self._rest_url}/api/v3/depth?symbol={symbol}&limit={_LEVELS}"

    def after_snapshot(self, instrument: int, answer: bytes) -> bytes | None:
        """Return the best prices as a `bookTicker`: a real one comes with the next change only."""
        if self.capture is not None:
            return None  # how far playback is when it is asked for is chance
        try:
            book = msgspec.json.decode(answer)
            bid, ask = book["bids"][0], book["asks"][0]
            return msgspec.json.encode(
                {
                    "u": book["lastUpdateId"],
                    "s": self.instrument(instrument).symbol,
                    **dict(zip("bBaA", (*bid[:2], *ask[:2]), strict=True)),
                }
            )
        except (msgspec.MsgspecError, KeyError, IndexError, TypeError, ValueError):
            return None

    def replay(self, instrument: int, first: int, last: int) -> Replay:
        """Yield the latest trades, and if that is not enough pages by id, the oldest first.

        Those need no key (since August 2023), but not every place that has the latest has them.
        """
        symbol = self.instrument(instrument).symbol
        query = f"symbol={symbol}&limit={_TRADES}"
        page = yield f"{self._rest_url}/api/v3/trades?{query}"
        last = min(last, page[0].trade_id - 1) if page else 0
        while first <= last:
            page = yield f"{self._rest_url}/api/v3/historicalTrades?{query}&fromId={first}"
            if not page or page[-1].trade_id < first:
                return
            first = page[-1].trade_id + 1

    def trades(self, instrument: int, answer: bytes) -> Iterable[Trade]:
        """Return the trades of that answer; REST dates them in ms."""
        for trade in msgspec.json.decode(answer):
            yield Trade(
                int(trade["id"]),
                trade["price"],
                trade["qty"],
                -1 if trade["isBuyerMaker"] else 1,
                int(trade["time"]) * 1_000_000,
            )

    def notice(self, message: bytes) -> Notice:
        """Look for `serverShutdown`, which precedes an end, and for errors."""
        found = msgspec.json.decode(message)
        event = found.get("data", found)
        if isinstance(event, dict) and event.get("e") == "serverShutdown":
            return Notice.FAREWELL
        return Notice.REFUSAL if "error" in found or "code" in found else Notice.NOTHING


class Simulator(Binance):
    """The built-in exchange, by Binance's protocol and an extension of its own: positions.

    `place` says where it is now, `position` up to which event is known; it sends on from there, up
    to event `last` if that is given. So nothing is missing after an outage, and nothing has to be
    asked for.
    """

    name = SIMULATOR
    # It has none but these, and all connections come from here.
    limits = Limits(connects=(100, 1.0), messages=(100, 1.0), requests=(100, 1.0))
    timing = Timing()
    has_books = False
    streams = ("trade", "bookTicker")

    def __init__(
        self,
        instruments: Sequence[Instrument],
        place: Callable[[], str],
        position: Callable[[], int],
        last: int | None,
    ) -> None:
        super().__init__(instruments, lambda: f"ws://{place()}", lambda: f"http://{place()}")
        self._position = position
        self._last = last

    def url(self) -> str:
        """Return the address from which it goes on."""
        end = "" if self._last is None else f"&count={self._last}"
        return f"{super().url()}&after={self._position()}{end}"
