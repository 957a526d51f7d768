"""The text of messages."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from tests.workers.exchange.samples import LISTINGS
from workers.exchange.listing import Listing
from workers.exchange.market import BLOCK, QUOTE, TRADE, SeededMarket
from workers.exchange.wire import EPOCH_US, Encoder, frames

EVENTS = SeededMarket(LISTINGS, 1, 2).events(1, 2 * BLOCK)
RATE = 2_000


def decoded(*, microseconds: bool = False) -> list[dict[str, object]]:
    texts = Encoder(LISTINGS, RATE).encode(EVENTS, microseconds=microseconds)
    return [msgspec.json.decode(text) for text in texts]


def test_a_trade_has_the_documented_fields() -> None:
    at = int((EVENTS["kind"] == TRADE).argmax())
    event = EVENTS[at]
    listing = LISTINGS[event["instrument"]]
    message = decoded()[at]
    index = int(event["index"])
    milliseconds = 1_767_225_600_000 + index // 2
    assert message == {
        "stream": f"{listing.symbol.lower()}@trade",
        "data": {
            "e": "trade",
            "E": milliseconds,
            "s": listing.symbol,
            "t": event["trade_id"],
            "p": message["data"]["p"],  # type: ignore[index]
            "q": message["data"]["q"],  # type: ignore[index]
            "T": milliseconds,
            "m": event["aggressor"] < 0,
            "M": True,
            "i": index,
        },
    }
    assert list(message["data"]) == list("eEstpqTmMi")  # type: ignore[call-overload]


def test_a_quote_has_the_documented_fields_and_no_time() -> None:
    at = int((EVENTS["kind"] == QUOTE).argmax())
    message = decoded()[at]
    data = message["data"]
    assert isinstance(data, dict)
    assert list(data) == ["u", "s", "b", "B", "a", "A", "i"]
    assert data["u"] == data["i"] == EVENTS[at]["index"]
    assert message["stream"] == f"{data['s'].lower()}@bookTicker"


def test_decimals_are_exact_and_have_those_of_tick_and_lot() -> None:
    for event, message in zip(EVENTS, decoded(), strict=True):
        data = message["data"]
        assert isinstance(data, dict)
        listing = LISTINGS[event["instrument"]]
        prices = ("p", "price"), ("b", "bid"), ("a", "ask")
        sizes = ("q", "quantity"), ("B", "bid_quantity"), ("A", "ask_quantity")
        for unit, fields in ((listing.tick_e8, prices), (listing.lot_e8, sizes)):
            decimals = -Decimal(unit).scaleb(-8).normalize().as_tuple().exponent  # type: ignore[operator]
            for key, name in fields:
                if key in data:
                    text = data[key]
                    assert Decimal(text) == int(event[name]) * Decimal(unit).scaleb(-8)
                    assert len(text.partition(".")[2]) == max(0, decimals)


@pytest.mark.parametrize(
    ("tick_e8", "ticks", "text"),
    [
        (1, 7, "0.00000007"),
        (5_000_000, 3, "0.15"),
        (50_000_000, 3, "1.5"),
        (100_000_000, 42, "42"),
        (1_000_000_000, 42, "420"),
        (1_000_000, 100, "1.00"),
    ],
)
def test_a_price_is_written_with_its_ticks_decimals(tick_e8: int, ticks: int, text: str) -> None:
    event = EVENTS[EVENTS["kind"] == QUOTE][:1].copy()
    event["instrument"], event["bid"] = 0, ticks
    [message] = Encoder((Listing("X", tick_e8, 1, 1),), RATE).encode(event)
    assert msgspec.json.decode(message)["data"]["b"] == text


def test_times_are_in_microseconds_if_wanted() -> None:
    trades = [message["data"] for message in decoded(microseconds=True)]
    for data in trades:
        assert isinstance(data, dict)
        if "T" in data:
            assert data["T"] == data["E"] == EPOCH_US + data["i"] * 500


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
def test_a_frame_says_how_long_it_is(size: int) -> None:
    frame = frames(["x" * size])
    assert frame[0] == 0x81
    if frame[1] < 126:
        length, head = frame[1], 2
    elif frame[1] == 126:
        length, head = int.from_bytes(frame[2:4], "big"), 4
        assert size > 125
    else:
        length, head = int.from_bytes(frame[2:10], "big"), 10
        assert size > 65_535
    assert length == size == len(frame) - head
