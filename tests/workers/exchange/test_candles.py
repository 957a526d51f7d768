"""Bars over REST: by hand from the market's trades, and as the rest of Bot4 asks for them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pipeline.markets.bars import Bar
from pipeline.markets.history import history
from tests.workers.exchange.samples import LISTINGS, fetch, run, serving
from workers.exchange.exchange import Exchange
from workers.exchange.wire import EPOCH_US

BEGIN_S = EPOCH_US // 1_000_000
RATE = 50
LAST = RATE * 60 * 25 + 777  # events: 25 minutes and a part
MARKET = Exchange(LISTINGS, seed=1, volatility_bp=2, rate=RATE)
PATHS = {
    "binance": "/api/v3/klines?symbol=ETHUSDT&interval={}",
    "kraken": "/0/public/OHLC?pair=ETH/USDT&interval={}",
    "coinbase": "/api/v3/brokerage/market/products/ETH-USDT/candles?granularity={}",
}
NAMES = {"binance": ("1m", "5m"), "kraken": ("1", "5"), "coinbase": ("ONE_MINUTE", "FIVE_MINUTE")}


def expected(step_s: int, last: int = LAST, skew_s: int = 0) -> dict[int, tuple[Decimal, ...]]:
    """Open, high, low, close and volume by their times, of each trade of the market."""
    trades: dict[int, list[tuple[Decimal, Decimal]]] = {}
    price, quantity = MARKET.prices[1].text, MARKET.quantities[1].text
    for trade in MARKET.history.trades(1, last, last):
        second = MARKET.time_us(int(trade["index"]), "kraken") // 1_000_000 + skew_s
        level = Decimal(price(int(trade["price"]))), Decimal(quantity(int(trade["quantity"])))
        trades.setdefault(second // step_s * step_s, []).append(level)
    return {
        begin: (
            each[0][0],
            max(p for p, _ in each),
            min(p for p, _ in each),
            each[-1][0],
            sum((q for _, q in each), Decimal(0)),
        )
        for begin, each in trades.items()
    }


def candles(venue: str, answer: Any) -> dict[int, tuple[Decimal, ...]]:
    if venue == "binance":
        return {row[0] // 1000: tuple(map(Decimal, row[1:6])) for row in answer}
    if venue == "kraken":
        rows = answer["result"]["ETHUSDT"]
        return {row[0]: tuple(map(Decimal, (*row[1:5], row[6]))) for row in rows}
    names = ("open", "high", "low", "close", "volume")
    return {int(row["start"]): tuple(Decimal(row[n]) for n in names) for row in answer["candles"]}


def window(venue: str, first_s: int, last_s: int) -> str:
    """What asks for bars that begin at these times or between them."""
    return {
        "binance": f"&startTime={first_s * 1000}&endTime={last_s * 1000}",
        "kraken": f"&since={first_s - 1}",
        "coinbase": f"&start={first_s}&end={last_s}",
    }[venue]


@pytest.mark.parametrize("venue", PATHS)
@pytest.mark.parametrize("minutes", [1, 5])
def test_bars_are_those_of_the_trades_whoever_asks(venue: str, minutes: int) -> None:
    async def test() -> None:
        path = PATHS[venue].format(NAMES[venue][minutes > 1])
        async with serving(RATE) as (_, port):
            begins = BEGIN_S, BEGIN_S + 3600
            status, _, whole = await fetch(port, f"{path}&after={LAST}{window(venue, *begins)}")
            assert status == 200
            found = candles(venue, whole)
            assert found == expected(60 * minutes)
            assert len(found) == 26 // minutes + (26 % minutes > 0)
            # A bar that was not over when it was asked for first is not kept.
            more = RATE * 60 * 27 - 1
            _, _, later = await fetch(port, f"{path}&after={more}{window(venue, *begins)}")
            assert candles(venue, later) == expected(60 * minutes, more)
            some = BEGIN_S + 300, BEGIN_S + 900
            _, _, part = await fetch(port, f"{path}&after={LAST}{window(venue, *some)}")
            assert candles(venue, part) == {
                begin: bar
                for begin, bar in found.items()
                if begin >= some[0] and (begin <= some[1] or venue == "kraken")
            }

    run(test())


def test_each_venue_has_its_own_order_and_limits() -> None:
    async def test() -> None:
        async with serving(RATE) as (_, port):
            end = f"&after={LAST}"
            _, _, rows = await fetch(port, f"{PATHS['binance'].format('1m')}{end}&limit=3")
            assert [row[0] // 1000 - BEGIN_S for row in rows] == [1380, 1440, 1500]
            first = f"&limit=3&startTime={BEGIN_S * 1000 + 1}"
            _, _, rows = await fetch(port, f"{PATHS['binance'].format('1m')}{end}{first}")
            assert [row[0] // 1000 - BEGIN_S for row in rows] == [60, 120, 180]
            assert rows[0][6] == (BEGIN_S + 120) * 1000 - 1
            bought, spent = Decimal(rows[0][9]), Decimal(rows[0][10])
            assert 0 < bought < Decimal(rows[0][5])
            assert spent / bought == pytest.approx(Decimal(rows[0][1]), rel=Decimal("0.05"))
            _, _, seconds = await fetch(port, f"{PATHS['binance'].format('1s')}{end}&limit=1000")
            assert len(seconds) == 1000
            minute = [row for row in seconds if row[0] // 60_000 == seconds[-1][0] // 60_000]
            assert sum(row[8] for row in minute) > 0
            _, _, week = await fetch(port, f"{PATHS['binance'].format('1w')}{end}")
            assert [row[0] // 1000 for row in week] == [BEGIN_S - 3 * 86_400]  # a Monday
            _, _, kraken = await fetch(port, f"{PATHS['kraken'].format('1')}{end}")
            assert kraken["result"]["last"] == BEGIN_S + 1440
            assert len(kraken["result"]["ETHUSDT"]) == 26
            path = PATHS["coinbase"].format("ONE_MINUTE")
            path += f"{end}&start={BEGIN_S}&end={BEGIN_S + 600}"
            _, _, coinbase = await fetch(port, path)
            starts = [int(row["start"]) - BEGIN_S for row in coinbase["candles"]]
            assert starts == list(range(600, -1, -60))

    run(test())


def test_a_clock_that_is_off_moves_the_bars_with_the_trades() -> None:
    async def test() -> None:
        async with serving(RATE, "kraken:clock-skew=90s") as (_, port):
            _, _, answer = await fetch(port, f"{PATHS['kraken'].format('1')}&after={LAST}")
            assert candles("kraken", answer) == expected(60, skew_s=90)

    run(test())


def test_a_while_without_trades_is_flat_or_left_out() -> None:
    async def test() -> None:
        async with serving(1) as (_, port):
            start = BEGIN_S * 1000
            path = f"{PATHS['binance'].format('1s')}&after=120&startTime={start}"
            _, _, rows = await fetch(port, path)
            assert len(rows) == 121
            empty = [at for at, row in enumerate(rows) if at and not row[8]]
            assert empty
            for at in empty:
                assert [*rows[at][1:5]] == [rows[at - 1][4]] * 4
                assert Decimal(rows[at][5]) == 0

    run(test())


@pytest.mark.parametrize(
    ("venue", "query", "message"),
    [
        ("binance", "1M", "Invalid interval"),
        ("binance", "1m&startTime=x", "'startTime'"),
        ("kraken", "2", "Invalid arguments:interval"),
        ("kraken", "1&since=x", "since was 'x', must be whole seconds"),
        ("coinbase", "1m", "granularity was '1m', must be one of ONE_MINUTE"),
        ("coinbase", "ONE_MINUTE", "start and end must be given"),
        ("coinbase", "ONE_MINUTE&start=0&end=60000", "must be at most 350"),
    ],
)
def test_bars_that_cannot_be_are_refused(venue: str, query: str, message: str) -> None:
    async def test() -> None:
        async with serving(RATE) as (_, port):
            _, _, answer = await fetch(port, PATHS[venue].format(query))
            assert message in str(answer)

    run(test())


def test_minutes_are_made_as_the_market_goes_on() -> None:
    now = 0
    exchange = Exchange(LISTINGS, seed=1, volatility_bp=2, rate=RATE, clock=lambda: now)
    for minute in range(5):
        now = minute * 60 * 10**9
        exchange.keep_up()
    begins = exchange.candles.span("kraken", 60, exchange.position())
    bars = exchange.candles.bars("kraken", 1, begins, exchange.position())
    found = {each.begin_s: Decimal(MARKET.prices[1].text(each.close)) for each in bars}
    assert found.popitem()[0] == BEGIN_S + 240
    assert found == {begin: bar[3] for begin, bar in expected(60).items() if begin < BEGIN_S + 240}


@pytest.mark.parametrize(
    ("venue", "symbol"), [("binance", "ETHUSDT"), ("kraken", "ETH/USDT"), ("coinbase", "ETH-USDT")]
)
def test_a_history_of_the_simulator_has_every_bar(venue: str, symbol: str, tmp_path: Path) -> None:
    pytest.importorskip("ccxt", reason="needs ccxt", exc_type=ImportError)

    async def test() -> None:
        now = 0
        async with serving(RATE, clock=lambda: now) as (server, port):
            now = 26 * 60 * 10**9

            def ask() -> Sequence[Bar]:
                found = history(
                    venue,
                    symbol,
                    "1m",
                    BEGIN_S * 1000,
                    (BEGIN_S + 1200) * 1000,
                    state_dir=tmp_path,
                    url=f"http://127.0.0.1:{port}",
                    now_ms=(BEGIN_S + 1600) * 1000,
                )
                assert (found.gaps, found.notes) == ((), ())
                return found.bars

            bars = await asyncio.to_thread(ask)
            assert {bar.time_ms // 1000: bar[1:] for bar in bars} == {
                begin: bar for begin, bar in expected(60).items() if begin < BEGIN_S + 1200
            }
            await server.close()
            assert await asyncio.to_thread(ask) == bars  # kept

    run(test())
