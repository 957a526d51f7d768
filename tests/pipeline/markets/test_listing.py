"""The markets of a venue: read exactly, kept, and used when the venue is silent."""

from __future__ import annotations

import datetime
import json
import socket
import threading
from decimal import Decimal
from pathlib import Path

import pytest

from pipeline.markets import listing as listing_module
from pipeline.markets.listing import FRESH, Listing, as_text, listing
from pipeline.markets.market import Market, spot_markets
from pipeline.markets.venue import Venue, VenueError, ccxt_version, connect
from tests.pipeline.markets.venues import (
    RefusalError,
    Server,
    as_binance,
    as_coinbase,
    as_kraken,
    binance_symbol,
)

NOW = datetime.datetime(2026, 11, 22, 12, 0, tzinfo=datetime.UTC)
LATER = NOW + FRESH

BARE = {"id": "tX", "symbol": "X/USD", "base": "X", "quote": "USD", "spot": True}
"""A market of which a venue says nothing else."""


def ask(
    server: Server, folder: Path, now: datetime.datetime = NOW, *, refresh: bool = False
) -> Listing:
    return listing("binance", folder, now=now, url=server.url, refresh=refresh, timeout_s=5)


def spot(server: Server) -> list[Market]:
    with connect("kraken", server.url) as venue:
        return sorted(spot_markets(venue), key=lambda market: market.id)


def file_of(folder: Path) -> Path:
    (found,) = (folder / "markets").iterdir()
    return found


def test_the_markets_of_binance_are_named_by_their_ids(server: Server, tmp_path: Path) -> None:
    as_binance(server)
    found = ask(server, tmp_path)
    assert [market.symbol for market in found.markets] == ["BTCUSDT", "ETHUSDT"]
    assert found.find("BTC/USDT") == found.find("BTCUSDT") == found.markets[:1]
    assert found.find("XRP/USDT") == ()
    assert found.markets[0].as_json() == {
        "symbol": "BTCUSDT",
        "id": "BTCUSDT",
        "unified": "BTC/USDT",
        "base": "BTC",
        "quote": "USDT",
        "tick": "0.01",
        "lot": "0.00001",
        "min_notional": "5",
        "min_quantity": "0.00001",
        "max_quantity": "9000",
        "maker_fee": "0.001",
        "taker_fee": "0.001",
        "active": True,
    }
    assert server.paths() == ["/api/v3/exchangeInfo"]


def test_the_markets_of_kraken_are_named_as_its_websocket_names_them(
    server: Server, tmp_path: Path
) -> None:
    as_kraken(server)
    bitcoin, shib = listing("kraken", tmp_path, now=NOW, url=server.url).markets
    assert (bitcoin.symbol, bitcoin.id) == ("BTC/USD", "XXBTZUSD")
    # 0.29 % and 0.07 % arrive as bare numbers: as floats, a hundredth of them has 17 digits.
    assert (bitcoin.maker_fee, bitcoin.taker_fee) == (Decimal("0.0007"), Decimal("0.0029"))
    assert (bitcoin.tick, bitcoin.lot) == (Decimal("0.1"), Decimal("0.00000001"))
    assert (bitcoin.min_notional, bitcoin.min_quantity) == (Decimal("0.5"), Decimal("0.00005"))
    assert bitcoin.max_quantity is None
    # The currency has fewer decimals than the pair, and counts.
    assert (shib.tick, shib.lot, shib.active) == (Decimal("1e-10"), Decimal("0.00001"), False)


def test_the_markets_of_coinbase_are_named_by_their_ids(server: Server, tmp_path: Path) -> None:
    as_coinbase(server)
    bitcoin, _ = listing("coinbase", tmp_path, now=NOW, url=server.url).markets
    assert (bitcoin.symbol, bitcoin.unified) == ("BTC-USD", "BTC/USD")
    assert (bitcoin.tick, bitcoin.lot) == (Decimal("0.01"), Decimal("0.00000001"))
    assert bitcoin.maker_fee is not None


def test_of_two_markets_of_one_name_the_traded_one_counts(server: Server, tmp_path: Path) -> None:
    as_kraken(server, dark_pool="cancel_only")
    assert [market.id for market in spot(server)] == ["SHIBUSD", "XXBTZUSD"]


def test_two_traded_markets_of_one_name_have_their_ids_for_names(
    server: Server, tmp_path: Path
) -> None:
    as_kraken(server, dark_pool="online")
    light, dark = (market for market in spot(server) if market.unified == "BTC/USD")
    assert (light.symbol, light.tick) == ("XXBTZUSD", Decimal("0.1"))
    assert (dark.symbol, dark.tick) == ("XXBTZUSD.d", Decimal("0.001"))


def test_no_digit_of_a_step_is_lost(server: Server, tmp_path: Path) -> None:
    tick, lot = "0.123456789012345678901", "0.000000000000000000000123"
    as_binance(server, binance_symbol("X", "USDT", tickSize=tick, stepSize=lot))
    market = ask(server, tmp_path).markets[0]
    assert (market.tick, market.lot) == (Decimal(tick), Decimal(lot))
    kept = ask(server, tmp_path)
    assert kept.cached
    assert kept.markets == (market,)


def test_what_is_not_said_or_could_steer_a_terminal_is_left_out(
    server: Server, tmp_path: Path
) -> None:
    as_binance(
        server,
        binance_symbol("ZERO", "USDT", tickSize="0.00", minNotional="many"),
        binance_symbol("B\x1b[2J", "USDT"),
        binance_symbol("OLD", "USDT", status="BREAK"),
    )
    old, zero = ask(server, tmp_path).markets
    assert old.active is False
    assert (zero.tick, zero.min_notional) == (None, None)


def test_each_way_to_describe_a_step_is_understood(server: Server) -> None:
    as_binance(server, binance_symbol("X", "USDT", tickSize="3", stepSize="-2"))
    with connect("binance", server.url) as venue:
        venue.exchange.precisionMode = 2  # decimal places
        (market,) = spot_markets(venue)
        assert (market.tick, market.lot) == (Decimal("0.001"), Decimal(100))
    with connect("bitfinex") as venue:
        assert venue.precision == "digits"  # of the price, so that there is no fixed step
        venue.exchange.set_markets([{**BARE, "precision": {"price": 5, "amount": 8}}])
        (market,) = spot_markets(venue)
        assert (market.tick, market.lot) == (None, None)


def test_fees_that_are_no_rates_are_not_taken_for_some(server: Server) -> None:
    as_binance(server)
    with connect("binance", server.url) as venue:
        venue.exchange.fees["trading"]["percentage"] = False
        assert spot_markets(venue)[0].taker_fee is None
    with connect("coinbase", server.url) as venue:
        venue.exchange.set_markets([{**BARE, "taker": "free"}, {**BARE, "symbol": "F", "spot": 0}])
        (market,) = spot_markets(venue)
        assert (market.taker_fee, market.tick) == (None, None)
        assert market.maker_fee is not None  # the venue's general one


def test_the_answer_is_kept_for_a_day(server: Server, tmp_path: Path) -> None:
    as_binance(server)
    first = ask(server, tmp_path)
    assert not first.cached
    kept = ask(server, tmp_path, LATER - datetime.timedelta(seconds=1))
    assert (kept.cached, kept.markets, kept.date) == (True, first.markets, NOW)
    assert kept.notes == ()
    assert len(server.asked) == 1
    assert not ask(server, tmp_path, LATER).cached
    assert len(server.asked) == 2


def test_the_file_is_private_and_says_when_and_by_which_ccxt(
    server: Server, tmp_path: Path
) -> None:
    as_binance(server)
    ask(server, tmp_path)
    file = file_of(tmp_path)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o077 == 0
    document = json.loads(file.read_text())
    assert document["date"] == "2026-11-22T12:00:00Z"
    assert document["ccxt"] == ccxt_version()
    assert document["url"] == server.url


def test_a_venue_is_asked_on_demand_by_a_new_ccxt_and_when_the_clock_was_wrong(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_binance(server)
    ask(server, tmp_path, LATER)
    assert not ask(server, tmp_path).cached  # the file was from the future
    assert not ask(server, tmp_path, refresh=True).cached
    monkeypatch.setattr(listing_module, "ccxt_version", lambda: "99.0")
    assert not ask(server, tmp_path).cached


def test_another_server_has_another_file(server: Server, tmp_path: Path) -> None:
    as_binance(server)
    ask(server, tmp_path)
    listing("binance", tmp_path, now=NOW, url=server.url.replace("127.0.0.1", "localhost"))
    assert len(list((tmp_path / "markets").iterdir())) == 2
    assert len(server.asked) == 2


@pytest.mark.parametrize("refresh", [False, True])
def test_a_venue_that_fails_leaves_the_last_answer_and_its_date(
    server: Server, tmp_path: Path, refresh: bool
) -> None:
    as_binance(server)
    first = ask(server, tmp_path)
    file = file_of(tmp_path)
    content = file.read_bytes()
    server.answers.clear()
    kept = ask(server, tmp_path, LATER, refresh=refresh)
    assert (kept.cached, kept.markets) == (True, first.markets)
    failure, used = kept.notes
    assert f"({server.url}/api/v3/exchangeInfo" in failure
    assert used == f"the markets are those of 2026-11-22T12:00:00Z, kept in {file}"
    assert file.read_bytes() == content


@pytest.mark.parametrize("answer", ["", "{}", '{"symbols": []}', "<html>", '{"symbols": [{}]}'])
def test_an_answer_without_markets_is_a_failure(
    server: Server, tmp_path: Path, answer: str
) -> None:
    server.answers["/api/v3/exchangeInfo"] = lambda _: answer
    with pytest.raises(VenueError) as raised:
        ask(server, tmp_path)
    assert "\n" not in str(raised.value)
    assert f"{server.url}/api/v3/exchangeInfo" in str(raised.value)
    assert f"nothing is kept in {tmp_path}" in str(raised.value)
    assert not (tmp_path / "markets").exists()


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (429, "{}", "asked too often"),
        (418, "{}", "asked too often"),
        (503, "<html>\nService\x1b[2J Unavailable", "does not serve this"),
        (451, '{"code":0,"msg":"restricted location"}', "restricted location"),
        (401, "{}", "refuses access"),
        (400, '{"code":-1100,"msg":"Illegal characters"}', "Illegal characters"),
        (200, '{"symbols":[{"symbol":1', "cannot read"),
        (
            200,
            '{"symbols":[{"symbol":"X","filters":[1],"baseAsset":"X","quoteAsset":"Y"}]}',
            "cannot read",
        ),
        (200, '{"symbols":[1]}', "answers with an error"),
    ],
)
def test_a_failure_is_one_line_with_the_venue_the_address_and_a_remedy(
    server: Server, status: int, body: str, message: str
) -> None:
    def refuse(_: object) -> None:
        raise RefusalError(status, body)

    server.answers["/api/v3/exchangeInfo"] = refuse
    with connect("binance", server.url) as venue, pytest.raises(VenueError) as raised:
        spot_markets(venue)
    text = str(raised.value)
    assert text.isprintable()
    assert text.startswith("binance ")
    assert f"({server.url}/api/v3/exchangeInfo" in text
    assert message in text
    assert "; " in text
    assert len(text) < 400


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    with socket.socket() as bound:  # but not listening
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(VenueError) as raised:
            listing("binance", tmp_path, now=NOW, url=url)
    assert str(raised.value).startswith(
        f"binance cannot be reached ({url}/api/v3/exchangeInfo); check the network and the address"
    )


def test_a_server_that_says_nothing_is_given_up(server: Server, tmp_path: Path) -> None:
    over = threading.Event()
    server.answers["/api/v3/exchangeInfo"] = lambda _: over.wait(60)
    try:
        with pytest.raises(VenueError, match=r"binance did not answer in time .*; check the net"):
            listing("binance", tmp_path, now=NOW, url=server.url, timeout_s=0.1)
    finally:
        over.set()


DAMAGES = {
    "empty": "",
    "not json": "{",
    "not a table": "[]",
    "other format": '{"format": 1}',
    "no markets": '{"format": 2, "venue": "binance", "url": null, "ccxt": "1", '
    '"date": "2026-11-22T12:00:00Z", "markets": []}',
    "no zone": '{"format": 2, "venue": "binance", "url": null, "ccxt": "1", '
    '"date": "2026-11-22T12:00:00", "markets": []}',
    "nested": "[" * 100_000,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_file_is_named_ignored_and_replaced(
    server: Server, tmp_path: Path, damage: str
) -> None:
    as_binance(server)
    ask(server, tmp_path)
    file = file_of(tmp_path)
    file.write_text(damage)
    found = ask(server, tmp_path)
    assert not found.cached
    (note,) = found.notes
    assert note.startswith(f"{file} was ignored, it is damaged (")
    assert ask(server, tmp_path).notes == ()
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("field", "value"),
    [("symbol", 1), ("tick", 0.01), ("tick", "a"), ("active", "yes"), ("active", 1)],
)
def test_a_market_of_other_types_makes_a_file_damaged(
    server: Server, tmp_path: Path, field: str, value: object
) -> None:
    as_binance(server)
    data = ask(server, tmp_path).markets[0].as_json()
    Market.from_json(data)
    with pytest.raises((TypeError, ValueError)):
        Market.from_json({**data, field: value})


def test_a_damaged_file_does_not_help_if_the_venue_is_silent_too(
    server: Server, tmp_path: Path
) -> None:
    as_binance(server)
    ask(server, tmp_path)
    file_of(tmp_path).write_text("{")
    server.answers.clear()
    with pytest.raises(VenueError, match=r"was ignored, it is damaged .*; nothing is kept in "):
        ask(server, tmp_path)


def test_a_file_that_cannot_be_read_or_written_is_named(server: Server, tmp_path: Path) -> None:
    as_binance(server)
    ask(server, tmp_path)
    file = file_of(tmp_path)
    file.unlink()
    file.mkdir()
    (file / "x").touch()
    read, written = ask(server, tmp_path).notes
    assert read.startswith(f"{file} could not be read: ")
    assert written.startswith(f"{file} could not be written: ")
    assert list(file.parent.iterdir()) == [file]  # nothing half made is left


@pytest.mark.parametrize(
    ("venue", "url", "message"),
    [
        ("sim", None, "is simulated; its instruments stand in the configuration"),
        ("../x", None, "must be 1 to 32 of a-z 0-9 _ -"),
        ("krakn", None, "does not know; did you mean kraken?"),
        ("qqqqqqqqqq", None, "does not know; its documentation"),
        ("binance", "ftp://x", "must be http://HOST"),
        ("binance", "http://", "must be http://HOST"),
        ("binance", "http://[::1", "must be http://HOST"),
        ("binance", "http://x:99999", "must be http://HOST"),
        ("binance", "http://x?a=b", "must be http://HOST"),
    ],
)
def test_what_is_no_venue_or_address_is_said(
    tmp_path: Path, venue: str, url: str | None, message: str
) -> None:
    with pytest.raises(VenueError, match="was '") as raised:
        listing(venue, tmp_path, now=NOW, url=url)
    assert message in str(raised.value)
    assert "nothing is kept" not in str(raised.value)


def test_every_address_of_a_venue_is_moved_and_its_path_kept() -> None:
    venue = Venue("kraken", "http://127.0.0.1:1/sim/")
    try:
        assert venue.exchange.urls["api"]["public"] == "http://127.0.0.1:1/sim"
        venue = Venue("binance", "http://127.0.0.1:1/sim/")
        assert venue.exchange.urls["api"]["public"] == "http://127.0.0.1:1/sim/api/v3"
    finally:
        venue.close()


def test_a_time_is_written_in_utc() -> None:
    zone = datetime.timezone(datetime.timedelta(hours=2))
    assert as_text(NOW.astimezone(zone)) == "2026-11-22T12:00:00Z"
