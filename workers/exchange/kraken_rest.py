"""Kraken's public REST, as far as assets, pairs, book, trades and time."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from workers.exchange.exchange import Exchange, rfc3339
from workers.exchange.http import Request, Response
from workers.exchange.rest import QueryError, Routes, between, integer, position, seconds

_VENUE = "kraken"
_MOST_LEVELS = 500
_MOST_TRADES = 1000
_SECONDS = 10**11  # a time that is less is in seconds, as some clients have it
_MOST_CANDLES = 720
_INTERVALS = ("1", "5", "15", "30", "60", "240", "1440", "10080", "21600")  # minutes


def _result(result: Any) -> Response:
    return Response.of({"error": [], "result": result})


def _name(exchange: Exchange, at: int) -> str:
    return "".join(exchange.listings[at].pair)


def _instrument(exchange: Exchange, request: Request) -> int:
    pair = request.query.get("pair", "")
    for at, listing in enumerate(exchange.listings):
        if pair in (_name(exchange, at), "/".join(listing.pair)):
            return at
    raise QueryError("EQuery:Unknown asset pair" if pair else "EGeneral:Invalid arguments")


def _time(exchange: Exchange, request: Request) -> Response:
    now = exchange.time_us(exchange.position(), _VENUE)
    return _result({"unixtime": now // 1_000_000, "rfc1123": rfc3339(now)})


def _status(exchange: Exchange, request: Request) -> Response:
    now = exchange.time_us(exchange.position(), _VENUE)
    return _result({"status": "online", "timestamp": rfc3339(now)})


def _assets(exchange: Exchange, request: Request) -> Response:
    names = dict.fromkeys(name for listing in exchange.listings for name in listing.pair)
    return _result(
        {
            name: {
                "aclass": "currency",
                "altname": name,
                "decimals": 10,
                "display_decimals": 8,
                "status": "enabled",
            }
            for name in names
        }
    )


def _pairs(exchange: Exchange, request: Request) -> Response:
    pairs = {}
    for at, listing in enumerate(exchange.listings):
        base, quote = listing.pair
        prices, quantities = exchange.prices[at], exchange.quantities[at]
        pairs[base + quote] = {
            "altname": base + quote,
            "wsname": f"{base}/{quote}",
            "aclass_base": "currency",
            "base": base,
            "aclass_quote": "currency",
            "quote": quote,
            "lot": "unit",
            "cost_decimals": 8,
            "pair_decimals": prices.places,
            "lot_decimals": quantities.places,
            "lot_multiplier": 1,
            "leverage_buy": [],
            "leverage_sell": [],
            "fees": [[0, _percent(listing.taker_fee)]],
            "fees_maker": [[0, _percent(listing.maker_fee)]],
            "fee_volume_currency": quote,
            "margin_call": 80,
            "margin_stop": 40,
            "ordermin": quantities.unit,
            "costmin": listing.min_notional,
            "tick_size": prices.unit,
            "status": "online",
        }
    return _result(pairs)


def _depth(exchange: Exchange, request: Request) -> Response:
    at = _instrument(exchange, request)
    count = integer(request, "count", 100, _MOST_LEVELS)
    index = position(exchange, request)
    book = exchange.book(at, index)
    price, quantity = exchange.prices[at].text, exchange.quantities[at].text
    now = exchange.time_us(index, _VENUE) // 1_000_000
    sides = {"asks": book.asks[:count], "bids": book.bids[:count]}
    return _result(
        {
            _name(exchange, at): {
                side: [[price(p), quantity(q), now] for p, q in levels]
                for side, levels in sides.items()
            }
        }
    )


def _trades(exchange: Exchange, request: Request) -> Response:
    at = _instrument(exchange, request)
    count = integer(request, "count", _MOST_TRADES, _MOST_TRADES)
    index = position(exchange, request)
    price, quantity = exchange.prices[at].text, exchange.quantities[at].text
    # From a time on, to which the venue adds the ns that make it a cursor; without one the latest.
    since = integer(request, "since", 0, 2**63 - 1)
    if 0 < since < _SECONDS:
        since *= 1_000_000_000
    if since:
        after = exchange.event_at(since // 1000, _VENUE)
        found = exchange.history.trades_after(at, after, index, count)
    else:
        found = exchange.history.trades(at, index, count)
    trades = [
        [
            price(int(trade["price"])),
            quantity(int(trade["quantity"])),
            exchange.time_us(int(trade["index"]), _VENUE) / 1e6,
            "b" if trade["aggressor"] > 0 else "s",
            "m",
            "",
            int(trade["trade_id"]),
        ]
        for trade in found
    ]
    newest = int(found["index"][-1]) if len(found) else index
    last = exchange.time_us(newest, _VENUE) * 1000
    return _result({_name(exchange, at): trades, "last": str(last)})


def _ohlc(exchange: Exchange, request: Request) -> Response:
    at = _instrument(exchange, request)
    interval = request.query.get("interval", "1")
    if interval not in _INTERVALS:
        raise QueryError("EGeneral:Invalid arguments:interval")
    since = seconds(request, "since")
    index = position(exchange, request)
    # No more than the latest, whatever is asked for; and what begins after `since`.
    begins = exchange.candles.span(_VENUE, 60 * int(interval), index)[-_MOST_CANDLES:]
    found = between(begins, None if since is None else since + 1, None)
    price, quantity = exchange.prices[at].text, exchange.quantities[at].text
    bars = [
        [
            each.begin_s,
            price(each.open),
            price(each.high),
            price(each.low),
            price(each.close),
            price(each.turnover // each.volume if each.volume else 0),
            quantity(each.volume),
            each.trades,
        ]
        for each in exchange.candles.bars(_VENUE, at, found, index)
    ]
    # The last one is not over.
    return _result({_name(exchange, at): bars, "last": begins[-2] if len(begins) > 1 else 0})


def _percent(rate: str) -> float:
    return float(100 * Decimal(rate))


ROUTES: Routes = {
    "/0/public/Time": _time,
    "/0/public/SystemStatus": _status,
    "/0/public/Assets": _assets,
    "/0/public/AssetPairs": _pairs,
    "/0/public/Depth": _depth,
    "/0/public/Trades": _trades,
    "/0/public/OHLC": _ohlc,
}


def error(text: str) -> Response:
    """Return the venue's refusal of a request, which has status 200."""
    return Response.of({"error": [text if text.startswith("E") else f"EGeneral:{text}"]})
