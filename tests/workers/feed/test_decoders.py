"""What decoders tell, and when: every test asks both, the native one and the reference."""

from __future__ import annotations

from decimal import Decimal

import pytest

from pipeline.vocabulary import MarketKind, Side
from tests.workers.feed import frames as f
from tests.workers.feed.pair import Pair, kinds, listing
from workers import _native
from workers.feed import decoding, reference
from workers.feed.decoding import (
    BookState,
    Listing,
    QuoteSource,
    StaleReason,
    Step,
    Verdict,
    Wish,
    WishKind,
)

TRADE, QUOTE, STALE, RESYNC = (MarketKind(kind) for kind in (1, 2, 3, 4))


def pair(venue: str, quotes: QuoteSource = QuoteSource.BOOK) -> Pair:
    return Pair(venue, f.LISTINGS[venue], quotes=quotes, depth=f.depth(venue))


def live(venue: str) -> Pair:
    """Both decoders of a venue with a book that holds."""
    made = pair(venue)
    if venue == "binance":
        made.ok(f.binance_depth(10, 12))
        made.snapshot(f.binance_snapshot(12, [("100.00", "1")], [("100.20", "1")]))
    elif venue == "kraken":
        made.ok(f.kraken_book("snapshot", f.BIDS, f.ASKS, f.kraken_crc(f.BIDS, f.ASKS)))
    elif venue == "okx":
        crc = f.okx_crc(f.BIDS, f.ASKS)
        made.ok(f.okx_book("snapshot", f.BIDS, f.ASKS, crc, ',"seqId":10,"prevSeqId":-1'))
    else:
        made.ok(f.coinbase_book(1, "snapshot", ("bid", "100.00", "1"), ("offer", "100.02", "1")))
    made.wishes()
    assert made.state() is BookState.LIVE
    return made


# --- Trades and best prices ---


def test_a_trade_is_told_with_the_side_of_who_took() -> None:
    (trade,) = pair("binance").ok(f.binance_trade(7, "100.01", i="9"))
    assert (trade.price, trade.quantity, trade.aggressor) == (10001, 2_000_000, Side.SELL)
    assert (trade.venue_ns, trade.venue_sequence, trade.position) == (1723161255342000000, 7, 9)
    assert [e.aggressor for e in pair("kraken").ok(f.kraken_trade(1))] == [Side.BUY]
    # Coinbase names the side of the maker.
    assert [e.aggressor for e in pair("coinbase").ok(f.coinbase_trades(1, 5))] == [Side.SELL]


def test_times_may_be_in_microseconds() -> None:
    us = Pair("binance", f.LISTINGS["binance"], microseconds=True)
    text = f.binance_trade(1).replace("1723161255342", "1723161255342001")
    assert us.ok(text)[0].venue_ns == 1723161255342001000
    # A captured message is as it was, whatever is asked for.
    assert us.ok(f.binance_trade(2))[0].venue_ns == 1723161255342000000
    for time in ("7258118400001", "7258118400000001"):
        beyond, _ = us.decode(f.binance_trade(3).replace("1723161255342", time))
        assert beyond == (Verdict.OK if len(time) == 13 else Verdict.MALFORMED)


@pytest.mark.parametrize("lot", [Step(1_000, 8), Step(25, 4), Step(3, 0)])
def test_of_what_rests_only_whole_lots_count(lot: Step) -> None:
    listed = [Listing("BTCUSDT", 0, Step(1, 2), lot)]
    both = Pair("binance", listed, quotes=QuoteSource.TICKER)
    both.ok(f.binance_depth(1, 2, [("100.00", "93.75658700"), ("99.00", "0.00000999")]))
    both.snapshot(f.binance_snapshot(0, [("98.00", "7")], [("101.00", "8.0000099")]))
    size = Decimal(lot.unit).scaleb(-lot.places)
    lots = [int(Decimal(text) / size) for text in ("93.756587", "0.00000999", "7", "8.0000099")]
    bids, asks = both.book()
    assert [each for _, each in bids] == [each for each in lots[:3] if each]
    assert [each for _, each in asks] == lots[3:]
    (quote,) = both.ok(f.binance_ticker(9))
    assert quote.bid_quantity == int(Decimal("3.78826") / size)
    verdict, _ = both.decode(f.binance_trade(1).replace("0.02", "9.000000001"))
    assert verdict is Verdict.MALFORMED  # of what was traded everything counts


def test_coinbase_trades_are_told_oldest_first() -> None:
    events = pair("coinbase").ok(f.coinbase_trades(1, 13, 12, 11))
    assert [event.venue_sequence for event in events] == [11, 12, 13]


def test_a_trade_is_told_once_however_often_it_comes() -> None:
    both = pair("kraken")
    assert len(both.ok(f.kraken_trade(1, 2))) == 2
    assert [event.venue_sequence for event in both.ok(f.kraken_trade(1, 2, 3))] == [3]
    assert both.counts("trades", "repeated") == (3, 2)


def test_trades_that_were_missed_are_wished_for_and_told_once() -> None:
    both = pair("binance")
    both.ok(f.binance_trade(1))
    both.ok(f.binance_trade(6))
    assert both.wishes() == [Wish(WishKind.TRADES, 0, 2, 5)]
    assert both.counts("trade_gaps") == (1,)
    for trade_id, told in ((3, 1), (3, 0), (2, 1), (5, 1), (4, 1), (4, 0), (6, 0), (1, 0)):
        assert len(both.trade(trade_id, 100, 1)) == told


def test_a_trade_that_is_not_the_market_s_is_not_told() -> None:
    both = pair("binance_usdm")
    assert both.decode(f.STREAMS["binance_usdm"][3]) == (Verdict.UNKNOWN, [])


def test_best_prices_come_from_the_source_that_was_chosen() -> None:
    both = pair("binance", QuoteSource.TICKER)
    (quote,) = both.ok(f.binance_ticker(5))
    assert (quote.bid, quote.ask, quote.venue_sequence) == (10000, 10001, 5)
    assert pair("binance").ok(f.binance_ticker(5)) == []
    assert len(pair("kraken", QuoteSource.TICKER).ok(f.kraken_ticker())) == 1
    assert len(pair("coinbase", QuoteSource.TICKER).ok(f.coinbase_ticker(1))) == 1


def test_a_ticker_that_is_older_is_repeated() -> None:
    both = pair("binance", QuoteSource.TICKER)
    both.ok(f.binance_ticker(5))
    assert both.ok(f.binance_ticker(4)) == []
    assert both.counts("repeated") == (1,)


def test_a_crossed_ticker_is_stale_until_the_next() -> None:
    both = pair("binance", QuoteSource.TICKER)
    both.ok(f.binance_ticker(5))
    (stale,) = both.ok(f.binance_ticker(6, "100.01", "100.01"))
    assert (stale.kind, stale.venue_sequence) == (STALE, StaleReason.CROSSED)
    assert kinds(both.ok(f.binance_ticker(7))) == [RESYNC, QUOTE]


# --- Books ---


def test_a_binance_book_goes_on_from_its_snapshot() -> None:
    both = pair("binance")
    assert both.ok(f.binance_depth(10, 12, [("99.90", "1")])) == []
    assert both.state() is BookState.WAITING
    assert both.wishes() == [Wish(WishKind.SNAPSHOT, 0, 0, 0)]
    both.ok(f.binance_depth(13, 15, [("100.10", "2")]))
    _, events = both.snapshot(f.binance_snapshot(13, [("100.00", "1")], [("100.20", "1")]))
    assert kinds(events) == [QUOTE]
    assert (events[0].bid, events[0].ask) == (10010, 10020)
    # What the snapshot has already is not applied again.
    assert both.book()[0] == [(10010, 2 * 10**8), (10000, 10**8)]


def test_a_snapshot_that_is_too_old_is_wished_for_again() -> None:
    both = pair("binance")
    both.ok(f.binance_depth(10, 12))
    both.wishes()
    both.snapshot(f.binance_snapshot(8, [("100.00", "1")], []))
    assert both.state() is BookState.WAITING
    assert both.wishes() == [Wish(WishKind.SNAPSHOT, 0, 0, 0)]
    both.snapshot(f.binance_snapshot(9, [("100.00", "1")], []))
    assert both.state() is BookState.LIVE


def test_a_snapshot_for_a_live_book_is_let_be() -> None:
    both = live("binance")
    assert both.snapshot(f.binance_snapshot(99, [], [])) == (Verdict.OK, [])
    assert both.book()[0] == [(10000, 10**8)]
    assert both.snapshot('{"lastUpdateId":1}')[0] is Verdict.MALFORMED
    assert both.snapshot("no json")[0] is Verdict.MALFORMED


def test_a_binance_gap_is_stale_until_a_new_snapshot() -> None:
    both = live("binance")
    (stale,) = both.ok(f.binance_depth(14, 15, [("100.05", "1")]))
    assert (stale.kind, stale.venue_sequence) == (STALE, StaleReason.GAP)
    assert both.state() is BookState.STALE
    assert both.wishes() == [Wish(WishKind.SNAPSHOT, 0, 0, 0)]
    assert both.ok(f.binance_depth(16, 17, [("100.06", "1")])) == []
    _, events = both.snapshot(f.binance_snapshot(15, [("100.05", "1")], [("100.20", "1")]))
    assert kinds(events) == [RESYNC, QUOTE]
    assert events[1].bid == 10006
    assert both.counts("gaps", "stales", "resyncs") == (1, 1, 1)


def test_futures_are_chained_by_the_update_before() -> None:
    both = pair("binance_usdm")
    both.ok(f.binance_depth(10, 12, previous=8))
    both.snapshot(f.binance_snapshot(12, [("100.00", "1")], [("100.20", "1")]))
    assert kinds(both.ok(f.binance_depth(20, 22, [("100.01", "1")], previous=12))) == [QUOTE]
    assert kinds(both.ok(f.binance_depth(30, 31, previous=29))) == [STALE]
    assert both.decode(f.binance_depth(32, 33))[0] is Verdict.MALFORMED


def test_an_update_that_was_there_is_repeated() -> None:
    both = live("binance")
    assert both.ok(f.binance_depth(11, 12, [("50.00", "1")])) == []
    assert both.counts("repeated") == (1,)


@pytest.mark.parametrize("venue", ["binance", "kraken", "coinbase"])
def test_a_crossed_book_is_stale_at_once(venue: str) -> None:
    both = live(venue)
    crossing = {
        "binance": f.binance_depth(13, 13, [("100.20", "1")]),
        "kraken": f.kraken_book(
            "update",
            [("100.1", "1")],
            (),
            f.kraken_crc([("100.1", "1"), *f.BIDS], f.ASKS),
        ),
        "coinbase": f.coinbase_book(2, "update", ("bid", "100.02", "1")),
    }[venue]
    (stale,) = both.ok(crossing)
    assert (stale.kind, stale.venue_sequence) == (STALE, StaleReason.CROSSED)
    assert both.counts("crossed") == (1,)
    assert len(both.wishes()) == 1


def test_a_snapshot_that_is_older_than_a_crossed_book_is_wished_for_again() -> None:
    both = live("binance")
    both.ok(f.binance_depth(13, 13, [("100.20", "1")], [("100.20", "0"), ("100.30", "1")]))
    both.ok(f.binance_depth(14, 14, [("100.30", "1")]))
    both.wishes()
    old = f.binance_snapshot(12, [("100.00", "1")], [("100.20", "1")])
    assert both.snapshot(old) == (Verdict.OK, [])
    assert both.state() is BookState.STALE
    assert both.wishes() == [Wish(WishKind.SNAPSHOT, 0, 0, 0)]
    _, events = both.snapshot(f.binance_snapshot(14, [("100.20", "1")], [("100.40", "1")]))
    assert kinds(events) == [RESYNC, QUOTE]


def test_a_kraken_book_is_verified_by_the_digits_as_they_were_sent() -> None:
    both = live("kraken")
    after = (("100.0", "2.50000000"), f.BIDS[1])
    assert kinds(both.ok(f.kraken_book("update", after[:1], (), f.kraken_crc(after, f.ASKS)))) == [
        QUOTE
    ]
    assert both.counts("checksum_ok", "checksum_failed") == (2, 0)


def test_kraken_s_own_example_has_its_checksum() -> None:
    # https://docs.kraken.com/api/docs/guides/spot-ws-book-v2
    asks = [
        ("45285.2", "0.00100000"), ("45286.4", "1.54571953"), ("45286.6", "1.54571109"),
        ("45289.6", "1.54560911"), ("45290.2", "0.15890660"), ("45291.8", "1.54553491"),
        ("45294.7", "0.04454749"), ("45296.1", "0.35380000"), ("45297.5", "0.09945542"),
        ("45299.5", "0.18772827"),
    ]  # fmt: skip
    bids = [
        ("45283.5", "0.10000000"), ("45283.4", "1.54582015"), ("45282.1", "0.10000000"),
        ("45281.0", "0.10000000"), ("45280.3", "1.54592586"), ("45279.0", "0.07990000"),
        ("45277.6", "0.03310103"), ("45277.5", "0.30000000"), ("45277.3", "1.54602737"),
        ("45276.6", "0.15445238"),
    ]  # fmt: skip
    both = pair("kraken")
    both.ok(f.kraken_book("snapshot", bids, asks, 3310070434))
    assert both.counts("checksum_ok", "checksum_failed") == (1, 0)


def test_a_bad_checksum_is_stale_until_a_new_snapshot() -> None:
    both = live("kraken")
    (stale,) = both.ok(f.kraken_book("update", [("99.5", "1")], (), 1))
    assert (stale.kind, stale.venue_sequence) == (STALE, StaleReason.CHECKSUM)
    assert both.wishes() == [Wish(WishKind.RESUBSCRIBE, 0, 0, 0)]
    assert both.ok(f.kraken_book("update", [("99.4", "1")], (), 1)) == []
    crc = f.kraken_crc(f.BIDS, f.ASKS)
    assert kinds(both.ok(f.kraken_book("snapshot", f.BIDS, f.ASKS, crc))) == [RESYNC, QUOTE]


def test_a_level_that_falls_out_of_the_depth_is_forgotten() -> None:
    both = Pair("kraken", f.LISTINGS["kraken"], depth=2)
    both.ok(f.kraken_book("snapshot", f.BIDS, f.ASKS, f.kraken_crc(f.BIDS, f.ASKS)))
    after = (("100.05", "1"), f.BIDS[0])
    both = Pair("kraken", [listing("BTC/USD", 0, 2)], depth=2)
    both.ok(f.kraken_book("snapshot", f.BIDS, f.ASKS, f.kraken_crc(f.BIDS, f.ASKS)))
    both.ok(f.kraken_book("update", after[:1], (), f.kraken_crc(after, f.ASKS)))
    assert both.counts("checksum_ok") == (2,)
    assert [price for price, _ in both.book()[0]] == [10005, 10000]


def test_an_update_without_a_snapshot_asks_for_one_once() -> None:
    both = pair("kraken")
    both.ok(f.kraken_book("update", f.BIDS, (), 1))
    assert both.wishes() == [Wish(WishKind.RESUBSCRIBE, 0, 0, 0)]
    both.ok(f.kraken_book("update", f.BIDS, (), 1))
    assert both.wishes() == []


def test_an_okx_book_is_verified_by_text_and_by_sequence() -> None:
    both = live("okx")
    after = (("100", "2.5"), f.BIDS[1])  # 100 is 100.0, and so it stands in the checksum
    text = f.okx_book(
        "update", after[:1], (), f.okx_crc(after, f.ASKS), ',"seqId":12,"prevSeqId":10'
    )
    assert kinds(both.ok(text)) == [QUOTE]
    assert kinds(both.ok(f.okx_book("update", (), (), 0, ',"seqId":15,"prevSeqId":13'))) == [STALE]
    assert both.counts("gaps", "checksum_ok", "checksum_failed") == (1, 2, 0)


def test_a_coinbase_gap_makes_every_book_stale() -> None:
    both = live("coinbase")
    assert kinds(both.decode(f.coinbase_heartbeat(3))[1]) == [STALE]
    assert both.counts("gaps") == (1,)
    assert both.wishes() == [Wish(WishKind.RESUBSCRIBE, 0, 0, 0)]
    again = f.coinbase_book(4, "snapshot", ("bid", "100.00", "1"), ("offer", "100.02", "1"))
    assert kinds(both.ok(again)) == [RESYNC, QUOTE]
    assert both.ok(again) == []
    assert both.counts("repeated") == (1,)


def test_a_new_connection_has_a_sequence_of_its_own() -> None:
    both = live("coinbase")
    (stale,) = both.lost(StaleReason.DISCONNECTED)
    assert (stale.kind, stale.venue_sequence) == (STALE, StaleReason.DISCONNECTED)
    both.connected()
    assert both.decode(f.coinbase_heartbeat(0)) == (Verdict.CONTROL, [])
    assert both.counts("gaps") == (0,)


def test_silence_takes_back_best_prices_that_come_from_tickers() -> None:
    both = pair("binance", QuoteSource.TICKER)
    both.ok(f.binance_ticker(5))
    (stale,) = both.lost(StaleReason.SILENCE)
    assert (stale.kind, stale.venue_sequence) == (STALE, StaleReason.SILENCE)
    both.connected()
    assert kinds(both.ok(f.binance_ticker(5))) == [RESYNC, QUOTE]


def test_best_prices_are_told_only_when_they_change() -> None:
    both = live("binance")
    assert both.ok(f.binance_depth(13, 13, [("99.00", "1")])) == []
    assert len(both.ok(f.binance_depth(14, 14, [("100.00", "7")]))) == 1
    (quote,) = both.ok(f.binance_depth(15, 15, [("100.00", "0"), ("99.00", "0")]))
    assert (quote.bid, quote.bid_quantity) == (0, 0)


# --- What else may come ---


@pytest.mark.parametrize("venue", decoding.VENUES)
def test_what_is_of_no_interest_is_counted(venue: str) -> None:
    both = pair(venue)
    text = f.STREAMS[venue][3 if venue == "kraken" else -1]
    for each in both.listings:
        text = text.replace(each.symbol, "OTHER")
    assert both.decode(text.replace('"sequence_num":10', '"sequence_num":1'))[1] == []
    if venue != "coinbase":
        assert both.counts("unknown") == (1,)


@pytest.mark.parametrize(
    ("venue", "text"),
    [
        ("binance", f.binance_trade(1, new='"field"')),
        ("kraken", f.kraken_trade(1).replace('"side"', '"new":[1,{}],"side"')),
        ("coinbase", f.coinbase_trades(1, 5).replace('"client_id"', '"new":null,"client_id"')),
    ],
)
def test_fields_that_are_new_are_tolerated_and_counted(venue: str, text: str) -> None:
    both = pair(venue)
    assert kinds(both.ok(text)) == [TRADE]
    assert both.counts("unknown_fields", "fallback") == (1, 0)


@pytest.mark.parametrize(
    "text",
    [
        f.binance_trade(1).replace(":", ": "),
        f.binance_trade(1).replace("BTCUSDT", "BT\\u0043USDT"),
        f.binance_trade(1).replace('"t":1,', '"t":5,"t":1,'),
        f.binance_trade(1) + "\n",
        '{"data":' + f.binance_trade(1).partition('"data":')[2][:-1] + ',"stream":"x"}',
    ],
)
def test_what_is_spelt_otherwise_is_read_by_the_library(text: str) -> None:
    both = pair("binance")
    assert both.ok(text) == pair("binance").ok(f.binance_trade(1))
    assert both.counts("fallback", "malformed") == (1, 0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        '"trade"',
        f.binance_trade(1)[:-1],
        f.binance_trade(1, "100.001"),  # no multiple of the tick
        f.binance_trade(1, "0"),
        f.binance_trade(1, "-1"),
        f.binance_trade(1, "1e2"),
        f.binance_trade(1, "9" * 19),
        f.binance_trade(1, "99999999999999999"),  # in ticks, no int64
        f.binance_trade(1).replace('"100.01"', "100.01"),
        f.binance_trade(1).replace('"m":true,', ""),
        f.binance_trade(1).replace('"s":"BTCUSDT",', ""),
        f.binance_trade(1).replace("1723161255342", "9999999999999"),
        f.binance_depth(12, 10),
        f.binance_depth(1, 2, [("0", "1")]),
        f.binance_ticker(1).replace('"b":"100.00",', ""),
    ],
)
def test_what_cannot_be_is_refused(text: str) -> None:
    both = pair("binance")
    assert both.decode(text) == (Verdict.MALFORMED, [])
    assert both.counts("malformed", "messages") == (1, 1)


def test_a_message_that_is_refused_has_changed_nothing() -> None:
    both = live("kraken")
    text = f.kraken_book("update", [("99.5", "1"), ("99.55", "1")], (), 1)  # the second has no tick
    assert both.decode(text)[0] is Verdict.MALFORMED
    assert both.book()[0] == [(1000, 150_000_000), (999, 200_000_000)]


@pytest.mark.parametrize(
    "time", ["2026-02-29T00:00:00Z", "2026-01-01T00:00:00", "1969-12-31T23:59:59Z",
             "2026-01-01T24:00:00Z", "2026-01-01T00:00:00.1234567890Z", "2026-13-01T00:00:00Z",
             "x", "2200-01-01T00:00:00Z"]
)  # fmt: skip
def test_a_time_that_is_none_is_refused(time: str) -> None:
    text = f.kraken_trade(1).replace("2023-10-06T17:35:55.440295Z", time)
    assert pair("kraken").decode(text)[0] is Verdict.MALFORMED


@pytest.mark.parametrize(
    ("time", "ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2024-02-29T23:59:59.5Z", 1709251199500000000),
        ("2000-03-01T00:00:00.000000001Z", 951868800000000001),
        ("2199-12-31T23:59:59Z", 7258118399000000000),
    ],
)
def test_a_time_is_read_to_the_nanosecond(time: str, ns: int) -> None:
    text = f.kraken_trade(1).replace("2023-10-06T17:35:55.440295Z", time)
    assert pair("kraken").ok(text)[0].venue_ns == ns


@pytest.mark.parametrize(
    ("step", "price", "ticks"),
    [
        (Step(50_000_000, 8), "100.5", 201),
        (Step(50_000_000, 8), "100.25", None),
        (Step(1, 18), "0.000000000000000007", 7),
        (Step(3, 0), "9.000", 3),
        (Step(2**62, 0), "4611686018427387904", None),  # too many digits
        (Step(10**9, 8), "20", 2),
        (Step(2**63 - 1, 8), "0.5", None),
    ],
)
def test_decimals_become_whole_steps_or_are_refused(
    step: Step, price: str, ticks: int | None
) -> None:
    both = Pair("binance", [Listing("BTCUSDT", 0, step, Step(1, 8))])
    verdict, events = both.decode(f.binance_trade(1, price))
    assert [event.price for event in events] == ([] if ticks is None else [ticks])
    assert verdict is (Verdict.MALFORMED if ticks is None else Verdict.OK)


# --- Making them ---


def test_a_decoder_that_cannot_be_is_not_made() -> None:
    for make in (decoding.decoder, reference.decoder):
        with pytest.raises(ValueError, match="venue was 'x', must be one of binance"):
            make("x", [])
        with pytest.raises(ValueError, match="symbol A was listed twice"):
            make("kraken", [listing("A"), listing("A", 1)])
    with pytest.raises(ValueError, match="a step was 0e-2"):
        decoding.decoder("okx", [Listing("A", 0, Step(0, 2), Step(1, 8))])
    with pytest.raises(ValueError, match="quotes was 2"):
        _native.coinbase([], 2)
    with pytest.raises(ValueError, match="time_ns was 5"):
        _native.binance([], 0, futures=False, time_ns=5)


def test_a_question_that_has_no_answer_is_refused() -> None:
    both = pair("kraken")
    with pytest.raises(ValueError, match="snapshots of this venue's books come with its messages"):
        both.native.snapshot(0, b"{}", 1, both.sink)
    with pytest.raises(ValueError, match="snapshots of this venue's books come with its messages"):
        both.slow.snapshot(0, b"{}", 1)
    with pytest.raises(ValueError, match="instrument was 7"):
        both.native.state(7)
    with pytest.raises(TypeError):
        both.native.decode("text", 1, both.sink)  # type: ignore[arg-type]


def test_the_vocabulary_is_the_native_one() -> None:
    native = decoding.decoder("binance", f.LISTINGS["binance"])
    sink = _native.Recorder()
    for kind in (bytes, bytearray, memoryview):
        assert native.decode(kind(b'{"result":null,"id":1}'), 1, sink) == Verdict.CONTROL
    assert native.last_trade(0) == 0
