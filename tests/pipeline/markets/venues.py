"""A server on loopback that answers what the venues' public REST interfaces would."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Query = dict[str, str]
Answer = Callable[[Query], Any]

MINUTE = 60_000


class Server(ThreadingHTTPServer):
    """Answers by path; what is not listed is a 404."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, Query]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def paths(self) -> list[str]:
        """Return the paths that were asked for, in order."""
        return [path for path, _ in self.asked]


class RefusalError(Exception):
    """What an answer raises to refuse: status and body."""

    def __init__(self, status: int, body: str = "{}") -> None:
        super().__init__(status)
        self.status, self.body = status, body


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query))
        self.server.asked.append((parts.path, query))
        try:
            if parts.path not in self.server.answers:
                raise RefusalError(404)
            answer = self.server.answers[parts.path](query)
            status, body = 200, answer if isinstance(answer, str) else json.dumps(answer)
        except RefusalError as refusal:
            status, body = refusal.status, refusal.body
        content = body.encode()
        with contextlib.suppress(ConnectionError):  # who asked may have given up
            self._send(status, content)

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        pass


@contextmanager
def serving() -> Iterator[Server]:
    """Run a server that has no answers yet."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def binance_symbol(base: str, quote: str, **changes: Any) -> dict[str, Any]:
    """Return an entry of Binance's exchangeInfo; changes of filters go by their key."""
    steps = {"tickSize": "0.01000000", "stepSize": "0.00001000", "minNotional": "5.00000000"}
    steps |= {key: changes.pop(key) for key in steps if key in changes}
    return {
        "symbol": base + quote,
        "status": "TRADING",
        "baseAsset": base,
        "baseAssetPrecision": 8,
        "quoteAsset": quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "MARKET"],
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "permissions": [],
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": steps["tickSize"],
                "maxPrice": "1000000.00000000",
                "tickSize": steps["tickSize"],
            },
            {
                "filterType": "LOT_SIZE",
                "minQty": steps["stepSize"],
                "maxQty": "9000.00000000",
                "stepSize": steps["stepSize"],
            },
            {
                "filterType": "NOTIONAL",
                "minNotional": steps["minNotional"],
                "applyMinToMarket": True,
                "maxNotional": "9000000.00000000",
                "applyMaxToMarket": False,
                "avgPriceMins": 5,
            },
        ],
        **changes,
    }


def as_binance(server: Server, *symbols: dict[str, Any]) -> None:
    """Have a server answer as Binance."""
    listed = symbols or (binance_symbol("BTC", "USDT"), binance_symbol("ETH", "USDT"))
    info = {"timezone": "UTC", "serverTime": 1, "exchangeFilters": [], "symbols": list(listed)}
    server.answers["/api/v3/exchangeInfo"] = lambda _: info


def as_kraken(server: Server, dark_pool: str | None = None) -> None:
    """Have a server answer as Kraken; fees are bare numbers, in percent.

    Args:
        server: Which.
        dark_pool: Status of a second BTC/USD, if there is one.
    """

    def asset(name: str, decimals: int) -> dict[str, Any]:
        return {
            "aclass": "currency",
            "altname": name,
            "decimals": decimals,
            "display_decimals": 5,
            "status": "enabled",
        }

    def pair(name: str, ws_name: str, base: str, quote: str, **changes: Any) -> dict[str, Any]:
        return {
            "altname": name,
            "wsname": ws_name,
            "aclass_base": "currency",
            "base": base,
            "aclass_quote": "currency",
            "quote": quote,
            "pair_decimals": 1,
            "cost_decimals": 5,
            "lot_decimals": 8,
            "lot_multiplier": 1,
            "leverage_buy": [2, 3],
            "leverage_sell": [2, 3],
            "fees": [[0, 0.29], [50000, 0.24]],
            "fees_maker": [[0, 0.07], [50000, 0.05]],
            "ordermin": "0.00005",
            "costmin": "0.5",
            "tick_size": f"{Decimal(1).scaleb(-changes.get('pair_decimals', 1)):f}",
            "status": "online",
            **changes,
        }

    def ok(result: Any) -> Answer:
        return lambda _: {"error": [], "result": result}

    assets = {"XXBT": asset("XBT", 10), "ZUSD": asset("USD", 4), "SHIB": asset("SHIB", 5)}
    server.answers["/0/public/Assets"] = ok(assets)
    pairs = {
        "XXBTZUSD": pair("XBTUSD", "XBT/USD", "XXBT", "ZUSD"),
        "SHIBUSD": pair(
            "SHIBUSD", "SHIB/USD", "SHIB", "ZUSD", pair_decimals=10, status="cancel_only"
        ),
    }
    if dark_pool is not None:
        dark = {"pair_decimals": 3, "status": dark_pool}
        pairs["XXBTZUSD.d"] = pair("XBTUSD.d", "XBT/USD", "XXBT", "ZUSD", **dark)
    server.answers["/0/public/AssetPairs"] = ok(pairs)


def as_coinbase(server: Server) -> None:
    """Have a server answer as Coinbase Advanced Trade."""

    def product(base: str, quote: str) -> dict[str, Any]:
        return {
            "product_id": f"{base}-{quote}",
            "price": "67060",
            "base_increment": "0.00000001",
            "quote_increment": "0.01",
            "quote_min_size": "1",
            "quote_max_size": "150000000",
            "base_min_size": "0.00000001",
            "base_max_size": "3400",
            "status": "online",
            "trading_disabled": False,
            "product_type": "SPOT",
            "quote_currency_id": quote,
            "base_currency_id": base,
            "alias": "",
            "alias_to": [],
            "price_increment": "0.01",
        }

    def products(query: Query) -> Any:
        spot = query.get("product_type") is None
        listed = [product("BTC", "USD"), product("ETH", "USD")] if spot else []
        return {"products": listed, "num_products": len(listed)}

    server.answers["/api/v3/brokerage/market/products"] = products


def candle(time_ms: int) -> list[str]:
    """Return open, high, low, close and volume of the minute that begins then."""
    at = time_ms // MINUTE
    return [f"{at}.10", f"{at}.40", f"{at}.05", f"{at}.12345678901234567", "0.30"]


def binance_klines(server: Server, times: list[int], longest: int = 1000) -> None:
    """Have a server answer with minutes, the first ones that begin at startTime or later."""

    def klines(query: Query) -> Any:
        assert query["symbol"] == "BTCUSDT"
        assert query["interval"] == "1m"
        since, limit = int(query["startTime"]), min(int(query["limit"]), longest)
        found = [time for time in times if time >= since][:limit]
        return [[time, *candle(time), time + MINUTE - 1, "0", 1, "0", "0", "0"] for time in found]

    server.answers["/api/v3/klines"] = klines


def kraken_ohlc(server: Server, times: list[int]) -> None:
    """Have a server answer with the latest 720 minutes, whatever it was asked for."""

    def ohlc(query: Query) -> Any:
        assert query["pair"] == "XXBTZUSD"
        rows = []
        for time in times[-720:]:
            start, high, low, close, volume = candle(time)
            rows.append([time // 1000, start, high, low, close, "1", volume, 5])
        return {"error": [], "result": {"XXBTZUSD": rows, "last": times[-1] // 1000}}

    server.answers["/0/public/OHLC"] = ohlc


def coinbase_candles(server: Server, times: list[int]) -> None:
    """Have a server answer with the minutes from start to end, both included, newest first."""

    def candles(query: Query) -> Any:
        first, last = int(query["start"]) * 1000, int(query["end"]) * 1000
        assert (last - first) // MINUTE < 350
        rows = []
        for time in reversed([time for time in times if first <= time <= last]):
            names = ("open", "high", "low", "close", "volume")
            rows.append({"start": str(time // 1000), **dict(zip(names, candle(time), strict=True))})
        return {"candles": rows}

    server.answers["/api/v3/brokerage/market/products/BTC-USD/candles"] = candles
