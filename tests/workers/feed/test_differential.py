"""What the feed tells of trades and best prices, and what ccxt does, of the same messages."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from pipeline.instruments import Instrument
from pipeline.records import MARKET, Array
from pipeline.vocabulary import MarketKind
from tests.workers.exchange.samples import until
from tests.workers.feed.captures import captured
from tests.workers.feed.peers import Peer, Top, Tops, Trade, peer
from tests.workers.feed.venues import Kept
from workers.exchange.listing import Listing
from workers.exchange.playback import Recording
from workers.exchange.server import ExchangeServer
from workers.feed.binance import Binance
from workers.feed.coinbase import Coinbase
from workers.feed.decoding import BookState
from workers.feed.kraken import Kraken
from workers.feed.lines import Lines
from workers.feed.venue import Venue

_SECOND = 10**9
_RATE = 2000  # events a second
_BEGIN, _END = _SECOND, 5 * _SECOND  # of what is compared of the seeded market: 8,000 events
_LIMIT_S = 150.0  # for a test that would wait for ever; ccxt is slow, and slower on a busy machine
_LEVELS = 20

CLASSES: dict[str, type[Venue]] = {"binance": Binance, "kraken": Kraken, "coinbase": Coinbase}
PATHS = {"binance": "", "kraken": "/v2", "coinbase": "/coinbase"}
METHODS = {
    # The book first: of updates that come before it is asked for, ccxt loses one silently.
    "binance": ("watch_order_book", "watch_trades", "watch_bids_asks"),
    "kraken": ("watch_order_book", "watch_trades"),
    "coinbase": ("watch_order_book", "watch_trades"),
}
BETWEEN = {"binance": "", "kraken": "/", "coinbase": "-"}
LISTINGS = (
    Listing("BTCUSDT", 1_000_000, 1_000, 6_000_000, base="BTC", quote="USDT"),
    Listing("ETHUSDT", 1_000_000, 10_000, 300_000, base="ETH", quote="USDT"),
    Listing("DOGEUSDT", 1_000, 100_000_000, 20_000, base="DOGE", quote="USDT"),
)


@dataclass
class Ours:
    """The feed's side."""

    lines: Lines
    out: Kept
    instruments: list[Instrument]
    books: defaultdict[int, list[Top]] = field(default_factory=lambda: defaultdict(list))
    kept: list[Array] = field(default_factory=list)

    @property
    def messages(self) -> int:
        return sum(each.session.counts.messages for each in self.lines.connections)

    @property
    def records(self) -> Array:
        self.kept.append(np.frombuffer(self.out.take(), MARKET))
        self.kept = [np.concatenate(self.kept)]
        return self.kept[0]

    def of(self, kind: MarketKind, instrument: Instrument) -> Array:
        records = self.records
        chosen = (records["kind"] == kind) & (records["instrument"] == instrument.index)
        found: Array = records[chosen]
        return found

    def trades(self, instrument: Instrument) -> list[Trade]:
        return [
            Trade(
                int(each["venue_sequence"]),
                instrument.ticks_to_price(int(each["price"])),
                instrument.lots_to_quantity(int(each["quantity"])),
                "buy" if each["aggressor"] > 0 else "sell",
                int(each["venue_ns"]),
            )
            for each in self.of(MarketKind.TRADE, instrument)
        ]

    def quotes(self, instrument: Instrument, key: str) -> Tops:
        names = ("bid", "bid_quantity", "ask", "ask_quantity")
        return [
            (int(each[key]), _top(instrument, *(int(each[name]) for name in names)))
            for each in self.of(MarketKind.QUOTE, instrument)
        ]

    def note_books(self) -> None:
        """Keep the best prices of each book that holds, if they are others."""
        decoder = self.lines.connections[0].decoder
        for instrument in self.instruments:
            row = instrument.index
            if decoder.state(row) == BookState.LIVE:
                [bid], [ask] = decoder.book(row, 1)
                top = _top(instrument, *bid, *ask)
                if self.books[row][-1:] != [top]:
                    self.books[row].append(top)


def _top(instrument: Instrument, bid: int, bid_size: int, ask: int, ask_size: int) -> Top:
    price, quantity = instrument.ticks_to_price, instrument.lots_to_quantity
    return Top(price(bid), quantity(bid_size), price(ask), quantity(ask_size))


class Clock:
    """Stands still until both sides are there."""

    now = 0

    def __call__(self) -> int:
        return self.now


@contextlib.asynccontextmanager
async def started(
    server: ExchangeServer, venue: str, listings: Sequence[Listing]
) -> AsyncIterator[tuple[Ours, Peer]]:
    """A feed and ccxt, which read the same simulator; ccxt watches nothing yet."""
    port = await server.start()
    try:
        async with ours(venue, port, listings) as told, peer(venue, port) as other:
            yield told, other
    finally:
        await server.close()


@contextlib.asynccontextmanager
async def ours(venue: str, port: int, listings: Sequence[Listing]) -> AsyncIterator[Ours]:
    """A feed that reads a simulator."""
    instruments = [
        Instrument(
            BETWEEN[venue].join(listing.pair), venue, *listing.pair, listing.tick_e8,
            listing.lot_e8, 0, 0, 0, index,
        )
        for index, listing in enumerate(listings)
    ]  # fmt: skip
    place = f"127.0.0.1:{port}"
    made = CLASSES[venue](instruments, f"ws://{place}{PATHS[venue]}", f"http://{place}")
    # However busy the machine is, no line is given up: both sides are to see the same messages.
    made.timing = replace(made.timing, attempt=_LIMIT_S, silence=_LIMIT_S)
    out = Kept()
    lines = Lines(
        made,
        out,  # type: ignore[arg-type]
        len(instruments),
        settle=lambda: None,
        told=lambda: side.note_books(),
    )
    side = Ours(lines, out, instruments)
    running = asyncio.create_task(lines.run())
    try:
        yield side
        lines.stop()
        await running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def changes(tops: Tops) -> Tops:
    """Return tops without those that are as the one before."""
    return [next(same) for _, same in itertools.groupby(tops, key=lambda each: each[1])]


def check_trades(told: Ours, other: Peer, instrument: Instrument, symbol: str) -> int:
    """Compare trades one by one; return how many."""
    found = told.trades(instrument)
    if told.lines.venue.name == "binance":  # ccxt does not ask for microseconds
        found = [each._replace(venue_ns=each.venue_ns // 10**6 * 10**6) for each in found]
    # Others send the latest ones at first, which the feed does not tell: they are the past.
    assert found == [each for each in other.trades(symbol) if each.trade_id >= found[0].trade_id]
    return len(found)


def check_quotes(told: Ours, other: Peer, instrument: Instrument, symbol: str) -> int:
    """Compare best prices one by one; return how many."""
    if told.lines.venue.name != "binance":
        found = told.quotes(instrument, "venue_ns")
        assert found == changes(other.quotes[symbol])
        return len(found)
    # The first is of the snapshot; the stream has it once more, or goes on from there.
    (first, _), *found = told.quotes(instrument, "venue_sequence")
    assert found == [each for each in other.quotes[symbol] if each[0] > first]
    return len(found)


def check_book(told: Ours, other: Peer, instrument: Instrument, symbol: str) -> int:
    """Compare the best prices of the book, and its levels at the end; return how many."""
    levels = 10 if told.lines.venue.name == "kraken" else _LEVELS
    book = told.lines.connections[0].decoder.book(instrument.index, levels)
    for side, name in zip(book, ("bids", "asks"), strict=True):
        mine = [
            [instrument.ticks_to_price(price), instrument.lots_to_quantity(quantity)]
            for price, quantity in side
        ]
        assert mine == other.exchange.orderbooks[symbol][name][:levels]
    tops = [top for _, top in changes(other.books[symbol] or other.quotes[symbol])]
    found = told.books[instrument.index]
    # One of the two may have seen the book as it was in the snapshot.
    assert found[-len(tops) :] == tops[-len(found) :]
    assert abs(len(found) - len(tops)) <= 1
    return len(tops)


@pytest.mark.parametrize("venue", CLASSES)
def test_what_is_told_of_the_seeded_market_is_what_ccxt_tells(venue: str) -> None:
    async def test() -> None:
        clock = Clock()
        server = ExchangeServer(LISTINGS, seed=1, volatility_bp=2, rate=_RATE, clock=clock)
        symbols = ["/".join(listing.pair) for listing in LISTINGS]
        async with started(server, venue, LISTINGS) as (told, other):
            clock.now = _BEGIN
            await other.exchange.load_markets()
            other.watch(*METHODS[venue], symbols=symbols)
            await until(lambda: any(each.is_live for each in told.lines.connections))
            await until(lambda: is_subscribed(other, symbols))
            history, last = server.exchange.history, _END * _RATE // _SECOND
            begun = server.exchange.position()
            clock.now = _END
            for instrument, symbol in zip(told.instruments, symbols, strict=True):
                at = instrument.index
                final = history.top(at, last)
                top = _top(instrument, final.bid, final.bid_quantity, final.ask, final.ask_quantity)
                ids = [int(history.trades(at, index, 1)["trade_id"][0]) for index in (begun, last)]
                await until(lambda: told.lines.arbiter.last_trade(at) == ids[1])  # noqa: B023
                await until(lambda: other.last_trade(symbol) == ids[1])  # noqa: B023
                await until(lambda: told.quotes(instrument, "venue_ns")[-1][1] == top)  # noqa: B023
                await until(lambda: other.quotes[symbol][-1][1] == top)  # noqa: B023
                await until(lambda: told.books[at][-1] == top)  # noqa: B023
                await until(lambda: other.top(symbol) == top)  # noqa: B023
                assert check_trades(told, other, instrument, symbol) == ids[1] - ids[0] > 1000
                assert check_quotes(told, other, instrument, symbol) > 1000
                assert check_book(told, other, instrument, symbol) > 30
            check_counts(told)

    asyncio.run(asyncio.wait_for(test(), _LIMIT_S))


@pytest.mark.parametrize(
    ("venue", "name", "listing", "counts"),
    [
        (
            "binance",
            "binance_spot_btcusdt_20240808.jsonl.gz",
            Listing("BTCUSDT", 1_000_000, 1_000, 6_000_000, base="BTC", quote="USDT"),
            (9_757, 28_000, 1_000),
        ),
        (
            "kraken",
            "kraken_v2_book10_btcusd_20260619.jsonl",
            Listing("BTCUSD", 10_000_000, 1, 600_000, base="BTC", quote="USD"),
            (0, 10, 10),
        ),
    ],
)
def test_what_is_told_of_a_capture_is_what_ccxt_tells(
    venue: str, name: str, listing: Listing, counts: tuple[int, int, int]
) -> None:
    recording = Recording.load(captured(name))

    async def test() -> None:
        clock = Clock()
        server = ExchangeServer(
            [listing], seed=1, volatility_bp=2, rate=_RATE, clock=clock, recording=recording
        )
        symbol = "/".join(listing.pair)
        async with started(server, venue, [listing]) as (told, other):
            await other.exchange.load_markets()
            methods = [each for each in METHODS[venue] if counts[0] or each != "watch_trades"]
            other.watch(*methods, symbols=[symbol])
            answers = len(methods) if venue == "binance" else 0
            await until(lambda: any(each.is_live for each in told.lines.connections))
            await until(lambda: is_subscribed(other, [symbol]))
            clock.now = 10**6 * _SECOND
            await until(lambda: told.messages >= len(recording.texts))
            await until(lambda: other.messages >= len(recording.texts) + answers)
            [instrument] = told.instruments
            if counts[0]:
                assert check_trades(told, other, instrument, symbol) == counts[0]
            assert check_quotes(told, other, instrument, symbol) > counts[1]
            assert check_book(told, other, instrument, symbol) > counts[2]
            check_counts(told)

    asyncio.run(asyncio.wait_for(test(), _LIMIT_S))


def check_counts(told: Ours) -> None:
    counts = told.lines.connections[0].decoder.counts()
    names = ("malformed", "unknown", "gaps", "trade_gaps", "checksum_failed", "crossed")
    assert [counts[name] for name in names] == [0] * len(names)


def is_subscribed(other: Peer, symbols: Sequence[str]) -> bool:
    """Tell whether ccxt has every book, and was answered whatever it asked for."""
    exchange = other.exchange
    books = [exchange.orderbooks[symbol] for symbol in symbols if symbol in exchange.orderbooks]
    is_held = len(books) == len(symbols) and all(book["bids"] for book in books)
    return is_held and other.acknowledged >= len(other.watching)
