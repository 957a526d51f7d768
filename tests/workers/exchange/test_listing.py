"""Which instruments of a configuration the exchange lists."""

from __future__ import annotations

import pytest

from workers.exchange.listing import Listing, ListingError, listings_from

BTC = {"symbol": "BTCUSDT", "tick": "0.01", "lot": "0.00001", "price": "60000"}


def test_decimals_become_integers() -> None:
    assert listings_from([BTC]) == (Listing("BTCUSDT", 1_000_000, 1_000, 6_000_000),)


def test_instruments_of_other_venues_are_not_listed() -> None:
    other = {"symbol": "ETHUSDT", "venue": "binance", "tick": "0.01", "lot": "0.1"}
    assert [listing.symbol for listing in listings_from([other, BTC])] == ["BTCUSDT"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"symbol": "BTC/USDT"}, "symbol was 'BTC/USDT', must be letters"),
        ({"symbol": 7}, "symbol was 7, must be"),
        ({"tick": "0"}, "tick of BTCUSDT was 0, must be > 0"),
        ({"lot": "-1"}, "lot of BTCUSDT was -1, must be > 0"),
        ({"lot": "0.000000001"}, "lot of BTCUSDT: number was 0.000000001"),
        ({"price": None}, "price of BTCUSDT: number was 'None'"),
        ({"price": "0.015"}, "price of BTCUSDT was 0.015, must be a multiple of tick 0.01"),
    ],
)
def test_what_cannot_be_listed_is_refused_by_name(change: dict[str, str], message: str) -> None:
    with pytest.raises(ListingError, match=message):
        listings_from([{**BTC, **change}])


def test_a_symbol_is_listed_once() -> None:
    with pytest.raises(ListingError, match="symbol BTCUSDT was listed twice"):
        listings_from([BTC, BTC])


def test_an_exchange_lists_something() -> None:
    with pytest.raises(ListingError, match='venue "sim" were none'):
        listings_from([])
