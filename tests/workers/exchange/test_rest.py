"""Public REST, by hand and by ccxt."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.workers.exchange.samples import LISTINGS, fetch, run, serving
from workers.exchange.exchange import Exchange
from workers.exchange.http import HttpError, take
from workers.exchange.listing import Listing, ListingError, listings_from

MARKET = Exchange(LISTINGS, seed=1, volatility_bp=2, rate=0)


def rows(levels: Any) -> list[tuple[str, str]]:
    """Levels of a book of any venue."""
    return [
        (level["price"], level["size"]) if isinstance(level, dict) else (level[0], level[1])
        for level in levels
    ]


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("/api/v3/depth?symbol=ETHUSDT&limit=7&after=5000", []),
        ("/0/public/Depth?pair=ETHUSDT&count=7&after=5000", ["result", "ETHUSDT"]),
        ("/0/public/Depth?pair=ETH/USDT&count=7&after=5000", ["result", "ETHUSDT"]),
        (
            "/api/v3/brokerage/market/product_book?product_id=ETH-USDT&limit=7&after=5000",
            ["pricebook"],
        ),
    ],
)
def test_all_venues_have_the_same_book(path: str, where: list[str]) -> None:
    async def test() -> None:
        async with serving() as (_, port):
            status, _, found = await fetch(port, path)
        assert status == 200
        for key in where:
            found = found[key]
        book = MARKET.book(1, 5000)
        price, quantity = MARKET.prices[1].text, MARKET.quantities[1].text
        for name, levels in (("bids", book.bids), ("asks", book.asks)):
            assert rows(found[name]) == [(price(p), quantity(q)) for p, q in levels[:7]]

    run(test())


def test_all_venues_have_the_same_trades() -> None:
    async def test() -> None:
        async with serving() as (_, port):
            _, _, binance = await fetch(port, "/api/v3/trades?symbol=DOGEUSDT&limit=9&after=4000")
            _, _, aggregated = await fetch(port, "/api/v3/aggTrades?symbol=DOGEUSDT&after=4000")
            _, _, kraken = await fetch(port, "/0/public/Trades?pair=DOGEUSDT&count=9&after=4000")
            path = "/api/v3/brokerage/market/products/DOGE-USDT/ticker?limit=9&after=4000"
            _, _, coinbase = await fetch(port, path)
            _, _, none = await fetch(port, f"{path}&end=2025-12-31T00:00:00Z")
            _, _, all_ = await fetch(port, f"{path}&start=1767225600")
        trades = MARKET.history.trades(2, 4000, 9)
        ids = trades["trade_id"].tolist()
        assert [trade["id"] for trade in binance] == ids
        assert [trade["a"] for trade in aggregated[-9:]] == ids
        assert [trade[6] for trade in kraken["result"]["DOGEUSDT"]] == ids
        assert [int(trade["trade_id"]) for trade in coinbase["trades"]] == ids[::-1]
        assert none["trades"] == []
        assert all_["trades"] == coinbase["trades"]
        bought = (trades["aggressor"] > 0).tolist()
        assert [not trade["isBuyerMaker"] for trade in binance] == bought
        assert [trade[3] == "b" for trade in kraken["result"]["DOGEUSDT"]] == bought
        # Coinbase's is the side of the order that rested.
        assert [trade["side"] == "SELL" for trade in coinbase["trades"]] == bought[::-1]

    run(test())


def test_older_trades_are_to_be_had_page_by_page() -> None:
    trades = MARKET.history.trades(0, 20_000, 20_000)
    ids = trades["trade_id"].tolist()
    times = [MARKET.time_us(int(index), "kraken") for index in trades["index"]]

    async def test() -> None:
        async with serving() as (_, port):
            path = f"/api/v3/historicalTrades?symbol=BTCUSDT&limit=9&fromId={ids[50]}&after=20000"
            _, _, binance = await fetch(port, path)
            assert [trade["id"] for trade in binance] == ids[50:59]
            path = path.replace(f"fromId={ids[50]}", f"fromId={ids[-1]}")
            assert [trade["id"] for trade in (await fetch(port, path))[2]] == ids[-1:]
            path = path.replace(f"&fromId={ids[-1]}", "")
            assert [trade["id"] for trade in (await fetch(port, path))[2]] == ids[-9:]

            path = f"/0/public/Trades?pair=BTCUSDT&count=9&since={times[50]}000&after=20000"
            _, _, kraken = await fetch(port, path)
            assert [trade[6] for trade in kraken["result"]["BTCUSDT"]] == ids[51:60]
            assert kraken["result"]["last"] == f"{times[59]}000"
            path = path.replace(f"{times[50]}000", str(times[0] // 1_000_000))
            _, _, kraken = await fetch(port, path)
            assert [trade[6] for trade in kraken["result"]["BTCUSDT"]] == ids[:9]

            end = times[0] // 1_000_000 + 3
            path = (
                f"/api/v3/brokerage/market/products/BTC-USDT/ticker?limit=9&end={end}&after=20000"
            )
            _, _, coinbase = await fetch(port, path)
            before = [i for i, time in zip(ids, times, strict=True) if time <= end * 1_000_000]
            assert [int(trade["trade_id"]) for trade in coinbase["trades"]] == before[:-10:-1]

    run(test())


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/api/v3/depth?symbol=X", 400, "Invalid symbol."),
        ("/api/v3/depth", 400, "'symbol' was not sent"),
        ("/api/v3/depth?symbol=BTCUSDT&limit=x", 400, "limit was 'x', must be an integer"),
        ("/api/v3/depth?symbol=BTCUSDT&after=x", 400, "after was 'x', must be an integer"),
        ("/0/public/Depth?pair=X", 200, "EQuery:Unknown asset pair"),
        ("/0/public/Trades", 200, "EGeneral:Invalid arguments"),
        ("/api/v3/brokerage/market/products/X-Y", 404, "product 'X-Y' was not found"),
        ("/api/v3/brokerage/market/products/BTC-USDT/x", 400, "must end with the product"),
        ("/api/v3/brokerage/market/products/BTC-USDT/ticker?start=x", 400, "start was 'x'"),
        ("/api/v9", 404, "path '/api/v9' was not found"),
    ],
)
def test_what_cannot_be_served_is_refused_as_the_venue_does(
    path: str, status: int, text: str
) -> None:
    async def test() -> None:
        async with serving() as (_, port):
            found, _, answer = await fetch(port, path)
            assert found == status
            assert text in str(answer)
            assert (await fetch(port, "/api/v3/time", {}))[0] == 405

    run(test())


def test_several_requests_may_share_a_connection() -> None:
    async def test() -> None:
        async with serving() as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            request = b"GET /api/v3/ping HTTP/1.1\r\nHost: x\r\n\r\n"
            writer.write(request + request[:10])
            assert b"200 OK" in await reader.readuntil(b"{}")
            writer.write(request[10:] + b"nonsense\r\n\r\n")
            assert b"200 OK" in await reader.readuntil(b"{}")
            assert b"400 Bad Request" in await reader.read()
            writer.close()
            await writer.wait_closed()

    run(test())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"x\r\n\r\n", "request was no HTTP"),
        (b"GET / HTTP/1.1\r\nx\r\n\r\n", "a header has no colon"),
        (b"GET / SPDY/1\r\n\r\n", "version was 'SPDY/1'"),
        (b"GET / HTTP/1.1\r\nContent-Length: 99999\r\n\r\n", "body was 99999 bytes"),
        (b"x" * 20_000, "head was over 16384 bytes"),
    ],
)
def test_what_is_no_http_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(HttpError, match=message):
        take(bytearray(data))


def test_currencies_are_given_or_read_off_the_symbol() -> None:
    assert Listing("SOL-USD", 1, 1, 1).pair == ("SOL", "USD")
    entry = {"symbol": "XY", "tick": "1", "lot": "1", "price": "1", "base": "X", "quote": "Y"}
    assert listings_from([entry])[0].pair == ("X", "Y")
    with pytest.raises(ListingError, match="base and quote of XY were not given, must be: its"):
        assert Listing("XY", 1, 1, 1).pair


def test_ccxt_finds_what_it_needs() -> None:
    pro = pytest.importorskip("ccxt.pro", reason="needs ccxt", exc_type=ImportError)

    async def one(name: str, port: int, path: str) -> None:
        venue: Any = getattr(pro, name)({"enableRateLimit": False})
        _point(venue.urls["api"], f"127.0.0.1:{port}", path)
        try:
            markets = await venue.load_markets()
            assert sorted(markets) == ["BTC/USDT", "DOGE/USDT", "ETH/USDT"]
            assert markets["BTC/USDT"]["precision"]["price"] == 0.01
            assert markets["BTC/USDT"]["precision"]["amount"] == 1e-05
            assert markets["BTC/USDT"]["active"]
            book = await venue.fetch_order_book("BTC/USDT", 5)
            assert len(book["bids"]) == len(book["asks"]) == 5
            trades = await venue.fetch_trades("BTC/USDT", limit=5)
            assert [int(trade["id"]) for trade in trades][-1] > 0
            assert await venue.fetch_time() >= 1_767_225_600_000
            for _ in range(3):
                live = await venue.watch_order_book("BTC/USDT")
                assert live["bids"][0][0] < live["asks"][0][0]
            ids: list[int] = []
            while len(ids) < 5:
                ids += [int(trade["id"]) for trade in await venue.watch_trades("BTC/USDT")]
        finally:
            await venue.close()

    async def test() -> None:
        async with serving(2000) as (server, port):
            while server.exchange.position() < 300:
                await asyncio.sleep(0.01)
            for name, path in (("binance", "/ws"), ("kraken", "/v2"), ("coinbase", "/coinbase")):
                await one(name, port, path)

    run(test())


def _point(urls: dict[str, Any], place: str, path: str) -> None:
    """Let all addresses of a client be the simulator's."""
    for key, value in urls.items():
        if isinstance(value, dict):
            _point(value, place, path)
        elif value.startswith("wss:"):
            urls[key] = f"ws://{place}{path}"
        else:
            urls[key] = f"http://{place}{urlsplit(value).path}"
