"""Addresses of combined streams."""

from __future__ import annotations

from workers.feed.streams import stream_url


def test_each_symbol_has_its_trades_and_quotes() -> None:
    assert stream_url("wss://stream.binance.com:9443", ["BTCUSDT", "ETHUSDT"]) == (
        "wss://stream.binance.com:9443/stream?streams="
        "btcusdt@trade/btcusdt@bookTicker/ethusdt@trade/ethusdt@bookTicker"
    )


def test_units_and_positions_are_added_if_wanted() -> None:
    url = stream_url("ws://127.0.0.1:1", ["X"], microseconds=True, after=0, count=7)
    assert url.endswith("?streams=x@trade/x@bookTicker&timeUnit=MICROSECOND&after=0&count=7")
