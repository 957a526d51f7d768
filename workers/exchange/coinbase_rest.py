"""Coinbase Advanced Trade's public REST, as far as products, book, trades and time."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from workers.exchange.coinbase import product_id, trade_text
from workers.exchange.exchange import Exchange, rfc3339
from workers.exchange.history import rows
from workers.exchange.http import Request, Response
from workers.exchange.rest import QueryError, Routes, between, integer, position, seconds

_VENUE = "coinbase"
_MOST_LEVELS = 500
_MOST_TRADES = 1000
_MOST_CANDLES = 350
_GRANULARITIES = {
    "ONE_MINUTE": 60,
    "FIVE_MINUTE": 300,
    "FIFTEEN_MINUTE": 900,
    "THIRTY_MINUTE": 1800,
    "ONE_HOUR": 3600,
    "TWO_HOUR": 7200,
    "FOUR_HOUR": 14_400,
    "SIX_HOUR": 21_600,
    "ONE_DAY": 86_400,
}
_PRODUCTS = "/api/v3/brokerage/market/products"


def _at(exchange: Exchange, name: str) -> int:
    for at, listing in enumerate(exchange.listings):
        if product_id(listing) == name:
            return at
    raise QueryError(f"product {name!r} was not found")


def _time(exchange: Exchange, request: Request) -> Response:
    now = exchange.time_us(exchange.position(), _VENUE)
    return Response.of(
        {
            "iso": rfc3339(now),
            "epochSeconds": str(now // 1_000_000),
            "epochMillis": str(now // 1000),
        }
    )


def _old_time(exchange: Exchange, request: Request) -> Response:
    now = exchange.time_us(exchange.position(), _VENUE)
    return Response.of({"data": {"iso": rfc3339(now), "epoch": now // 1_000_000}})


def _products(exchange: Exchange, request: Request) -> Response:
    listed = range(len(exchange.listings))
    if request.query.get("product_type", "SPOT") != "SPOT":
        listed = range(0)
    products = [_product(exchange, at, exchange.position()) for at in listed]
    return Response.of({"products": products, "num_products": len(products)})


def _product(exchange: Exchange, at: int, index: int) -> dict[str, Any]:
    listing, prices, quantities = (
        exchange.listings[at],
        exchange.prices[at],
        exchange.quantities[at],
    )
    base, quote = listing.pair
    day = exchange.history.statistics(at, index)
    return {
        "product_id": product_id(listing),
        "price": prices.text(day.last),
        "price_percentage_change_24h": f"{100 * (day.last - day.open) / day.open:.6f}",
        "volume_24h": quantities.text(day.volume),
        "base_increment": quantities.unit,
        "quote_increment": prices.unit,
        "price_increment": prices.unit,
        "quote_min_size": listing.min_notional,
        "quote_max_size": "150000000",
        "base_min_size": quantities.unit,
        "base_max_size": quantities.text(10**15),
        "base_name": base,
        "quote_name": quote,
        "is_disabled": False,
        "new": False,
        "status": "online",
        "cancel_only": False,
        "limit_only": False,
        "post_only": False,
        "trading_disabled": False,
        "auction_mode": False,
        "product_type": "SPOT",
        "quote_currency_id": quote,
        "base_currency_id": base,
        "base_display_symbol": base,
        "quote_display_symbol": quote,
        "view_only": False,
        "display_name": product_id(listing),
        "alias": "",
        "alias_to": [],
        "product_venue": "CBE",
    }


def _one(exchange: Exchange, request: Request) -> Response:
    name, _, more = request.path.removeprefix(f"{_PRODUCTS}/").partition("/")
    at = _at(exchange, name)
    index = position(exchange, request)
    if not more:
        return Response.of(_product(exchange, at, index))
    if more == "candles":
        return _candles(exchange, request, at, index)
    if more != "ticker":
        raise QueryError(
            f"path was {request.path!r}, must end with the product, 'ticker' or 'candles'"
        )
    limit = integer(request, "limit", 100, _MOST_TRADES)
    # By the time of trades; without a range the latest.
    begin, end = (_seconds(request, name) for name in ("start", "end"))
    until = index if end is None else min(index, exchange.event_at(round(end * 1e6), _VENUE))
    trades = []
    for trade in reversed(list(rows(exchange.history.trades(at, until, limit)))):
        when = exchange.time_us(trade.number, _VENUE) / 1e6
        if begin is None or when >= begin:
            trades.append(msgspec.Raw(trade_text(exchange, trade).encode()))
    top = exchange.history.top(at, index)
    price = exchange.prices[at].text
    return Response.of(
        {
            "trades": trades,
            "best_bid": price(top.bid),
            "best_ask": price(top.ask),
        }
    )


def _candles(exchange: Exchange, request: Request, at: int, index: int) -> Response:
    granularity = request.query.get("granularity", "")
    if granularity not in _GRANULARITIES:
        known = ", ".join(_GRANULARITIES)
        raise QueryError(f"granularity was {granularity!r}, must be one of {known}")
    step_s = _GRANULARITIES[granularity]
    start, end = (seconds(request, name) for name in ("start", "end"))
    if start is None or end is None or end < start:
        raise QueryError("start and end must be given, in this order")
    if (end - start) // step_s > _MOST_CANDLES:
        raise QueryError(f"candles from start to end must be at most {_MOST_CANDLES}")
    limit = integer(request, "limit", _MOST_CANDLES, _MOST_CANDLES)
    found = between(exchange.candles.span(_VENUE, step_s, index), start, end)
    price, quantity = exchange.prices[at].text, exchange.quantities[at].text
    bars = [
        {
            "start": str(each.begin_s),
            "low": price(each.low),
            "high": price(each.high),
            "open": price(each.open),
            "close": price(each.close),
            "volume": quantity(each.volume),
        }
        for each in exchange.candles.bars(_VENUE, at, found[::-1][:limit], index)
        if each.trades  # a while without any has no candle here
    ]
    return Response.of({"candles": bars})


def _book(exchange: Exchange, request: Request) -> Response:
    name = request.query.get("product_id", "")
    at = _at(exchange, name)
    limit = integer(request, "limit", _MOST_LEVELS, _MOST_LEVELS)
    index = position(exchange, request)
    book = exchange.book(at, index)
    price, quantity = exchange.prices[at].text, exchange.quantities[at].text
    return Response.of(
        {
            "pricebook": {
                "product_id": name,
                "bids": [{"price": price(p), "size": quantity(q)} for p, q in book.bids[:limit]],
                "asks": [{"price": price(p), "size": quantity(q)} for p, q in book.asks[:limit]],
                "time": rfc3339(exchange.time_us(index, _VENUE)),
            }
        }
    )


def _currencies(exchange: Exchange, request: Request) -> Response:
    names = dict.fromkeys(name for listing in exchange.listings for name in listing.pair)
    return Response.of(
        {"data": [{"id": name, "name": name, "min_size": "0.00000001"} for name in names]}
    )


def _crypto(exchange: Exchange, request: Request) -> Response:
    return Response.of({"data": []})


def _rates(exchange: Exchange, request: Request) -> Response:
    return Response.of({"data": {"currency": "USD", "rates": {"USD": "1"}}})


def _seconds(request: Request, name: str) -> float | None:
    text = request.query.get(name, "")
    if not text:
        return None
    try:
        if text.isdigit():
            return float(text)
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise QueryError(f"{name} was {text!r}, must be seconds since 1970 or RFC 3339") from None


ROUTES: Routes = {
    "/v2/time": _old_time,
    "/v2/currencies": _currencies,
    "/v2/currencies/crypto": _crypto,
    "/v2/exchange-rates": _rates,
    "/api/v3/brokerage/time": _time,
    "/api/v3/brokerage/market/product_book": _book,
    _PRODUCTS: _products,
    f"{_PRODUCTS}/": _one,
}


def error(text: str) -> Response:
    """Return the venue's refusal of a request."""
    status = 404 if "not found" in text else 400
    return Response.of({"error": "INVALID_ARGUMENT", "message": text}, status)
