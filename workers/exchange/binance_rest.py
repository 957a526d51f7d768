"""Binance spot's public REST, as far as markets, book, trades and time."""

from __future__ import annotations

from typing import Any

from workers.exchange.exchange import Exchange
from workers.exchange.http import Request, Response
from workers.exchange.market import Events
from workers.exchange.rest import QueryError, Routes, between, integer, position

_VENUE = "binance"
_MOST_LEVELS = 5000
_MOST_TRADES = 1000
_MOST_KLINES = 1000
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_INTERVALS = ("1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d")
_MONDAY_S = 4 * 86_400  # after the epoch, a Thursday: when weeks begin


def _instrument(exchange: Exchange, request: Request) -> int:
    symbol = request.query.get("symbol", "")
    for at, listing in enumerate(exchange.listings):
        if listing.symbol == symbol:
            return at
    raise QueryError("Invalid symbol." if symbol else "Mandatory parameter 'symbol' was not sent.")


def _ping(exchange: Exchange, request: Request) -> Response:
    return Response.of({})


def _time(exchange: Exchange, request: Request) -> Response:
    now = exchange.time_us(exchange.position(), _VENUE)
    return Response.of({"serverTime": now // 1000})


def _exchange_info(exchange: Exchange, request: Request) -> Response:
    return Response.of(
        {
            "timezone": "UTC",
            "serverTime": exchange.time_us(exchange.position(), _VENUE) // 1000,
            "rateLimits": [
                {
                    "rateLimitType": "REQUEST_WEIGHT",
                    "interval": "MINUTE",
                    "intervalNum": 1,
                    "limit": 6000,
                }
            ],
            "exchangeFilters": [],
            "symbols": [_symbol(exchange, at) for at in range(len(exchange.listings))],
        }
    )


def _symbol(exchange: Exchange, at: int) -> dict[str, Any]:
    listing, prices, quantities = (
        exchange.listings[at],
        exchange.prices[at],
        exchange.quantities[at],
    )
    base, quote = listing.pair
    # The market stays between half and twice the price at which it began.
    lowest, highest = prices.unit, prices.text(4 * listing.price)
    most = quantities.text(10**15)
    return {
        "symbol": listing.symbol,
        "status": "TRADING",
        "baseAsset": base,
        "baseAssetPrecision": 8,
        "quoteAsset": quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "icebergAllowed": False,
        "ocoAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": lowest,
                "maxPrice": highest,
                "tickSize": prices.unit,
            },
            {
                "filterType": "LOT_SIZE",
                "minQty": quantities.unit,
                "maxQty": most,
                "stepSize": quantities.unit,
            },
            {
                "filterType": "NOTIONAL",
                "minNotional": listing.min_notional,
                "applyMinToMarket": True,
                "avgPriceMins": 5,
            },
        ],
        "permissions": ["SPOT"],
        "permissionSets": [["SPOT"]],
    }


def _depth(exchange: Exchange, request: Request) -> Response:
    at = _instrument(exchange, request)
    limit = integer(request, "limit", 100, _MOST_LEVELS)
    book = exchange.book(at, position(exchange, request))
    price, quantity = exchange.prices[at].text, exchange.quantities[at].text
    return Response.of(
        {
            "lastUpdateId": book.update_id,
            "bids": [[price(p), quantity(q)] for p, q in book.bids[:limit]],
            "asks": [[price(p), quantity(q)] for p, q in book.asks[:limit]],
        }
    )


def _trades(exchange: Exchange, request: Request) -> Response:
    at = _instrument(exchange, request)
    limit = integer(request, "limit", 500, _MOST_TRADES)
    return _listed(exchange, at, exchange.history.trades(at, position(exchange, request), limit))


def _historical(exchange: Exchange, request: Request) -> Response:
    at = _instrument(exchange, request)
    limit = integer(request, "limit", 500, _MOST_TRADES)
    index, first = position(exchange, request), integer(request, "fromId", 0, 2**63 - 1)
    if not first:
        return _listed(exchange, at, exchange.history.trades(at, index, limit))
    return _listed(exchange, at, exchange.history.trades_from(at, first, index, limit))


def _listed(exchange: Exchange, at: int, found: Events) -> Response:
    price, quantity = exchange.prices[at].text, exchange.quantities[at].text
    trades = []
    for trade in found:
        ticks, lots = int(trade["price"]), int(trade["quantity"])
        trades.append(
            {
                "id": int(trade["trade_id"]),
                "price": price(ticks),
                "qty": quantity(lots),
                "quoteQty": _worth(exchange, at, ticks * lots),
                "time": exchange.time_us(int(trade["index"]), _VENUE) // 1000,
                "isBuyerMaker": bool(trade["aggressor"] < 0),
                "isBestMatch": True,
            }
        )
    return Response.of(trades)


def _aggregated(exchange: Exchange, request: Request) -> Response:
    at = _instrument(exchange, request)
    limit = integer(request, "limit", 500, _MOST_TRADES)
    price, quantity = exchange.prices[at].text, exchange.quantities[at].text
    return Response.of(
        [
            {
                "a": int(trade["trade_id"]),
                "p": price(int(trade["price"])),
                "q": quantity(int(trade["quantity"])),
                "f": int(trade["trade_id"]),
                "l": int(trade["trade_id"]),
                "T": exchange.time_us(int(trade["index"]), _VENUE) // 1000,
                "m": bool(trade["aggressor"] < 0),
                "M": True,
            }
            for trade in exchange.history.trades(at, position(exchange, request), limit)
        ]
    )


def _klines(exchange: Exchange, request: Request) -> Response:
    at = _instrument(exchange, request)
    interval = request.query.get("interval", "")
    if interval not in (*_INTERVALS, "1w"):
        raise QueryError("Invalid interval.")
    limit = integer(request, "limit", 500, _MOST_KLINES)
    step_s = int(interval[:-1]) * _UNITS_S[interval[-1]]
    index = position(exchange, request)
    begins = exchange.candles.span(_VENUE, step_s, index, _MONDAY_S if interval == "1w" else 0)
    start, end = (_milliseconds(request, name) for name in ("startTime", "endTime"))
    found = between(
        begins,
        None if start is None else -(-start // 1000),
        None if end is None else end // 1000,
    )
    price, quantity = exchange.prices[at].text, exchange.quantities[at].text
    return Response.of(
        [
            [
                each.begin_s * 1000,
                price(each.open),
                price(each.high),
                price(each.low),
                price(each.close),
                quantity(each.volume),
                (each.begin_s + step_s) * 1000 - 1,
                _worth(exchange, at, each.turnover),
                each.trades,
                quantity(each.bought),
                _worth(exchange, at, each.spent),
                "0",
            ]
            for each in exchange.candles.bars(
                _VENUE, at, found[-limit:] if start is None else found[:limit], index
            )
        ]
    )


def _milliseconds(request: Request, name: str) -> int | None:
    text = request.query.get(name, "")
    if text and (not text.isascii() or not text.isdigit() or len(text) > 15):
        raise QueryError(f"Illegal characters found in parameter '{name}'.")
    return int(text) if text else None


def _worth(exchange: Exchange, at: int, turnover: int) -> str:
    """Return a sum of ticks times lots in the quote currency, what is below 1e-8 cut off."""
    listing = exchange.listings[at]
    worth = turnover * listing.tick_e8 * listing.lot_e8 // 10**8
    return f"{worth // 10**8}.{worth % 10**8:08d}"


def _no_futures(exchange: Exchange, request: Request) -> Response:
    return Response.of({"symbols": [], "rateLimits": [], "exchangeFilters": []})


ROUTES: Routes = {
    "/api/v3/ping": _ping,
    "/api/v3/time": _time,
    "/api/v3/exchangeInfo": _exchange_info,
    "/api/v3/depth": _depth,
    "/api/v3/trades": _trades,
    "/api/v3/historicalTrades": _historical,
    "/api/v3/aggTrades": _aggregated,
    "/api/v3/klines": _klines,
    "/fapi/v1/exchangeInfo": _no_futures,
    "/dapi/v1/exchangeInfo": _no_futures,
}


def error(text: str) -> Response:
    """Return the venue's refusal of a request."""
    return Response.of({"code": -1121 if "symbol" in text else -1100, "msg": text}, 400)
