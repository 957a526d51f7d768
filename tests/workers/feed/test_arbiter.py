"""Several lines to one venue, told as one."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from pipeline.records import MARKET, Array
from pipeline.vocabulary import MarketKind
from tests.workers.feed.venues import instruments_of
from workers._native import Arbiter, Decoder, Line, Recorder
from workers.feed import decoding
from workers.feed.decoding import Listing, QuoteSource, StaleReason

TRADE, QUOTE = MarketKind.TRADE, MarketKind.QUOTE
STALE, RESYNC = MarketKind.STALE, MarketKind.RESYNC


class Stream:
    """One line of Binance, whose update ids are the instrument's, or of Coinbase, where not."""

    def __init__(self, desk: Desk) -> None:
        self._line = Line(desk.arbiter)
        self._venue = desk.venue
        self._sequence = 0
        self.decoder: Decoder = decoding.decoder(
            desk.venue,
            map(Listing.of, instruments_of(desk.venue)),
            quotes=QuoteSource.TICKER if desk.venue == "binance" else QuoteSource.BOOK,
        )

    def trade(self, trade_id: int) -> None:
        if self._venue == "binance":
            self._take(
                {
                    "e": "trade",
                    "E": 1,
                    "s": "BTCUSDT",
                    "t": trade_id,
                    "p": "60000.01",
                    "q": "0.00001",
                    "T": 1,
                    "m": True,
                }
            )

    def quote(self, bid: str, update_id: int = 0) -> None:
        if self._venue == "binance":
            names = {"s": "BTCUSDT", "B": "1", "a": "70000", "A": "1"}
            self._take({"u": update_id, "b": bid, **names})
            return
        levels = [
            {"side": side, "price_level": price, "new_quantity": "1"}
            for side, price in (("bid", bid), ("offer", "70000"))
        ]
        event = {"type": "snapshot", "product_id": "BTC-USDT", "updates": levels}
        self._take(
            {
                "channel": "l2_data",
                "timestamp": "2026-01-01T00:00:00Z",
                "sequence_num": self._sequence,
                "events": [event],
            }
        )
        self._sequence += 1

    def lose(self, reason: StaleReason = StaleReason.DISCONNECTED) -> None:
        self.decoder.lost(reason, 1, self._line)
        self.decoder.connected()
        self._sequence = 0

    def _take(self, message: dict[str, object]) -> None:
        code = self.decoder.decode(msgspec.json.encode(message), 1, self._line)
        assert code & ~decoding.WISHES == decoding.Verdict.OK


class Desk:
    def __init__(self, venue: str) -> None:
        self.venue = venue
        self._out = Recorder()
        self.arbiter = Arbiter(self._out, 2, comparable=venue == "binance")

    def told(self) -> list[tuple[MarketKind, int]]:
        """Kind and id, bid or reason of each record since the last call."""
        return [
            (MarketKind(int(each["kind"])), int(each["bid"] or each["venue_sequence"]))
            for each in np.frombuffer(self._out.take(), MARKET)
        ]


def test_a_trade_is_told_once_whichever_line_has_it_first() -> None:
    desk = Desk("binance")
    one, other = Stream(desk), Stream(desk)
    one.trade(5)
    other.trade(5)
    other.trade(6)
    one.trade(6)
    assert desk.told() == [(TRADE, 5), (TRADE, 6)]
    assert desk.arbiter.counts()["repeated"] == 2


def test_a_trade_that_one_line_missed_comes_from_the_other() -> None:
    desk = Desk("binance")
    one, other = Stream(desk), Stream(desk)
    one.trade(5)
    one.trade(8)
    assert desk.arbiter.take_gaps() == [(0, 6, 7)]
    for trade_id in (5, 6, 7, 8):
        other.trade(trade_id)
    assert desk.told() == [(TRADE, 5), (TRADE, 8), (TRADE, 6), (TRADE, 7)]
    assert desk.arbiter.take_gaps() == []


def test_quotes_come_from_the_line_that_is_ahead() -> None:
    desk = Desk("binance")
    one, other = Stream(desk), Stream(desk)
    one.quote("60000.00", 1)
    other.quote("60000.00", 1)
    other.quote("60000.01", 2)
    one.quote("60000.01", 2)
    one.quote("60000.02", 3)
    assert desk.told() == [(QUOTE, 6_000_000), (QUOTE, 6_000_001), (QUOTE, 6_000_002)]


def test_quotes_that_cannot_be_compared_come_from_one_line() -> None:
    desk = Desk("coinbase")
    one, other = Stream(desk), Stream(desk)
    one.quote("60000.00")
    other.quote("60000.00")
    other.quote("60000.01")
    assert desk.told() == [(QUOTE, 6_000_000)]
    one.quote("60000.01")
    assert desk.told() == [(QUOTE, 6_000_001)]


def test_another_line_takes_over_without_a_word_if_it_is_live() -> None:
    desk = Desk("coinbase")
    one, other = Stream(desk), Stream(desk)
    one.quote("60000.00")
    other.quote("60000.05")
    one.lose()
    assert desk.told() == [(QUOTE, 6_000_000), (QUOTE, 6_000_005)]
    one.quote("60000.06")
    assert desk.told() == []
    other.quote("60000.07")
    assert desk.told() == [(QUOTE, 6_000_007)]
    assert desk.arbiter.counts()["takeovers"] == 1


def test_an_instrument_is_stale_only_if_no_line_is_live() -> None:
    desk = Desk("coinbase")
    one, other = Stream(desk), Stream(desk)
    one.quote("60000.00")
    other.quote("60000.00")
    one.lose()
    assert desk.told() == [(QUOTE, 6_000_000)]  # nothing has changed
    other.lose(StaleReason.SILENCE)
    assert desk.told() == [(STALE, StaleReason.SILENCE)]
    assert desk.arbiter.is_stale(0)
    other.quote("60000.00")
    assert desk.told() == [(RESYNC, 0), (QUOTE, 6_000_000)]
    assert not desk.arbiter.is_stale(0)


def test_a_new_line_ends_the_staleness_of_another() -> None:
    for venue in ("binance", "coinbase"):
        desk = Desk(venue)
        one = Stream(desk)
        one.quote("60000.00", 9)
        one.lose()
        desk.told()
        other = Stream(desk)
        other.quote("60000.00", 9)
        assert desk.told() == [(RESYNC, 0), (QUOTE, 6_000_000)]


def test_a_line_that_is_gone_leads_no_more() -> None:
    desk = Desk("coinbase")
    one, other = Stream(desk), Stream(desk)
    one.quote("60000.00")
    del one
    other.quote("60000.01")
    assert desk.told() == [(QUOTE, 6_000_000), (QUOTE, 6_000_001)]


def test_a_successor_goes_on_from_what_was_told() -> None:
    desk = Desk("binance")
    desk.arbiter.resume(0, 7, False)
    desk.arbiter.resume(1, 0, True)
    desk.arbiter.doubt(0, StaleReason.DISCONNECTED, 1)
    desk.arbiter.doubt(1, StaleReason.DISCONNECTED, 1)  # which it is already
    assert desk.told() == [(STALE, StaleReason.DISCONNECTED)]
    line = Stream(desk)
    line.trade(7)
    line.trade(8)
    line.quote("60000.00", 1)
    assert desk.told() == [(TRADE, 8), (RESYNC, 0), (QUOTE, 6_000_000)]
    assert desk.arbiter.last_trade(0) == 8


def record(kind: MarketKind, instrument: int = 0, **values: int) -> Array:
    made = np.zeros(1, MARKET)
    made["kind"], made["instrument"] = kind, instrument
    for name, value in values.items():
        made[name] = value
    return made


def test_a_line_without_a_decoder_is_told_by_its_records() -> None:
    out = Recorder()
    arbiter = Arbiter(out, 2, comparable=False)
    line = Line(arbiter)
    for told in (
        record(TRADE, venue_sequence=7),
        record(TRADE, venue_sequence=7),
        record(QUOTE, 1, bid=3, ask=4),
        record(STALE, 1, venue_sequence=StaleReason.SILENCE),
        record(RESYNC, 1),
        record(QUOTE, 1, bid=5, ask=6),
    ):
        line.tell(told)
    kinds = np.frombuffer(out.take(), MARKET)["kind"].tolist()
    assert kinds == [TRADE, QUOTE, STALE, RESYNC, QUOTE]
    assert arbiter.counts() == {
        "trades": 1, "quotes": 2, "stales": 1, "resyncs": 1, "repeated": 1, "takeovers": 0,
    }  # fmt: skip


def test_a_record_that_is_none_is_refused() -> None:
    line = Line(Arbiter(Recorder(), 2, comparable=False))
    with pytest.raises(ValueError, match="instrument was 2, must be below 2"):
        line.tell(record(TRADE, 2))
    with pytest.raises(ValueError, match="a market record was 3 bytes"):
        line.tell(np.zeros(3, np.uint8))


def test_the_oldest_gaps_are_forgotten_however_many_there_are() -> None:
    arbiter = Arbiter(Recorder(), 1, comparable=False)
    line = Line(arbiter)
    for trade_id in (1, 1001):
        line.tell(record(TRADE, venue_sequence=trade_id))
    for trade_id in range(2, 1000, 2):  # each splits the one gap
        line.tell(record(TRADE, venue_sequence=trade_id))
    line.tell(record(TRADE, venue_sequence=2001))
    before = arbiter.counts()
    line.tell(record(TRADE, venue_sequence=3))  # in a gap that is forgotten
    line.tell(record(TRADE, venue_sequence=999))
    line.tell(record(TRADE, venue_sequence=2000))
    after = arbiter.counts()
    assert after["repeated"] == before["repeated"] + 1
    assert after["trades"] == before["trades"] + 2
