"""What venues allow, and how they are asked."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from tests.workers.feed.venues import instruments_of
from workers.feed.binance import Binance, Simulator
from workers.feed.coinbase import Coinbase
from workers.feed.kraken import Kraken
from workers.feed.venue import Allowance, FeedError, Notice, Venue


@pytest.mark.parametrize(("most", "seconds"), [(300, 300.0), (150, 600.0), (4, 1.0), (1, 1.0)])
def test_no_span_has_more_than_is_allowed(most: int, seconds: float) -> None:
    now = 0.0
    allowance = Allowance(most, seconds, lambda: now)
    times: list[float] = []
    while len(times) < 4 * most + 4:
        if (wait := allowance.wait()) > 0:
            now += wait + 1e-9
        else:
            times.append(now)
    for first, later in zip(times, times[most + 1 :], strict=False):
        assert later - first > seconds


def test_all_that_is_allowed_may_be_used_at_once_and_comes_back_later() -> None:
    now = 0.0
    allowance = Allowance(10, 1.0, lambda: now)
    assert [allowance.wait() for _ in range(10)] == [0.0] * 10
    assert allowance.wait() == pytest.approx(1.05)
    now = 1.06
    assert [allowance.wait() for _ in range(10)] == [0.0] * 10
    assert allowance.wait() > 0


@pytest.mark.parametrize(("venue", "most"), [(Binance, 70), (Kraken, 10), (Coinbase, 10)])
def test_only_books_that_are_fetched_leave_fewer_requests_for_trades(
    venue: type[Venue], most: int
) -> None:
    made = venue(instruments_of(venue.name), "wss://host", "https://rest")
    asked = 0
    while made.trades_requests.wait() == 0:
        asked += 1
    assert asked == most
    assert (made.snapshot_url(0) is None) != made.snapshots_by_rest


def test_binance_is_asked_by_its_address() -> None:
    venue = Binance(instruments_of("binance"), "wss://host:9443/", "https://rest")
    assert venue.url() == (
        "wss://host:9443/stream?streams=btcusdt@trade/btcusdt@bookTicker/btcusdt@depth@100ms/"
        "ethusdt@trade/ethusdt@bookTicker/ethusdt@depth@100ms&timeUnit=MICROSECOND"
    )
    assert list(venue.subscriptions(())) == []
    assert venue.snapshot_url(1) == "https://rest/api/v3/depth?symbol=ETHUSDT&limit=1000"


def test_the_simulator_is_asked_from_where_it_was_left() -> None:
    venue = Simulator(instruments_of("binance"), lambda: "127.0.0.1:7", lambda: 41, 99)
    assert venue.url().startswith("ws://127.0.0.1:7/stream?streams=btcusdt@trade/btcusdt@book")
    assert venue.url().endswith("&after=41&count=99")


def test_too_many_streams_for_a_connection_are_refused() -> None:
    one = instruments_of("binance")[0]
    many = [replace(one, symbol=f"X{index}", index=index) for index in range(342)]
    with pytest.raises(
        FeedError, match="instruments of venue binance were 342, must be at most 341"
    ):
        Binance(many, "wss://host", "https://rest")


def test_past_trades_are_asked_for_only_where_they_can_be_told_apart() -> None:
    kraken = Kraken(instruments_of("kraken"), "wss://host/v2", "https://rest")
    asked = [msgspec.json.decode(text)["params"] for text in kraken.subscriptions({1})]
    assert asked == [
        {"channel": "trade", "symbol": ["ETH/USDT"], "snapshot": True},
        {"channel": "trade", "symbol": ["BTC/USDT"], "snapshot": False},
        {"channel": "book", "symbol": ["BTC/USDT", "ETH/USDT"], "depth": 10},
    ]
    coinbase = Coinbase(instruments_of("coinbase"), "wss://host", "https://rest")
    snapshot = memoryview(
        b'{"channel":"market_trades","events":[{"type":"snapshot","trades":'
        b'[{"product_id":"ETH-USDT"}]}]}'
    )
    assert list(coinbase.past(snapshot, {0, 1})) == [1]
    assert list(coinbase.past(memoryview(b'{"channel":"l2_data"}'), {0, 1})) == []


@pytest.mark.parametrize(
    ("message", "notice"),
    [
        (b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}', Notice.FAREWELL),
        (b'{"e":"serverShutdown","E":1}', Notice.FAREWELL),
        (b'{"code":2,"msg":"Invalid request","id":1}', Notice.REFUSAL),
        (b'{"result":null,"id":1}', Notice.NOTHING),
    ],
)
def test_what_binance_says_beside_the_market(message: bytes, notice: Notice) -> None:
    assert Binance(instruments_of("binance"), "", "").notice(message) is notice


def test_trades_over_rest_are_those_of_the_stream() -> None:
    binance = Binance(instruments_of("binance"), "", "")
    answer = b'[{"id":28457,"price":"4.01","qty":"12.5","time":1499865549590,"isBuyerMaker":true}]'
    assert list(binance.trades(0, answer)) == [
        (28457, "4.01", "12.5", -1, 1_499_865_549_590_000_000)
    ]
    kraken = Kraken(instruments_of("kraken"), "", "")
    answer = (
        b'{"error":[],"result":{"X":[["5.1","0.2",1688669597.8277369,"b","m","",61]],"last":"1"}}'
    )
    assert list(kraken.trades(0, answer)) == [(61, "5.1", "0.2", 1, 1_688_669_597_827_736_900)]
    coinbase = Coinbase(instruments_of("coinbase"), "", "")
    trade = {"trade_id": "7", "price": "5.1", "size": "0.2", "side": "SELL"}
    answer = msgspec.json.encode({"trades": [{**trade, "time": "2026-01-01T00:00:01.5Z"}]})
    assert list(coinbase.trades(0, answer)) == [(7, "5.1", "0.2", 1, 1_767_225_601_500_000_000)]
