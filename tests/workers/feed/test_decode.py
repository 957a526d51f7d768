"""Messages, good and bad."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.instruments import Instrument
from tests.workers.exchange.samples import LISTINGS
from workers.exchange.market import BLOCK, EVENT, TRADE, SeededMarket
from workers.exchange.wire import EPOCH_US, Encoder
from workers.feed.decode import DecodeError, Decoder, Quote, Trade

INSTRUMENTS = tuple(
    Instrument(each.symbol, "sim", "", "USDT", each.tick_e8, each.lot_e8, 0, 0, 0, index)
    for index, each in enumerate(LISTINGS)
)
RATE = 2_000

TRADE_DATA: dict[str, Any] = {
    "e": "trade",
    "E": 1_672_515_782_136,
    "s": "BTCUSDT",
    "t": 12_345,
    "p": "16800.01",
    "q": "0.00100",
    "T": 1_672_515_782_135,
    "m": True,
    "M": True,
}
QUOTE_DATA: dict[str, Any] = {
    "u": 400_900_217,
    "s": "ETHUSDT",
    "b": "25.35000000",
    "B": "31.21000000",
    "a": "25.36000000",
    "A": "40.66000000",
}


def combined(data: Any, stream: str = "x@bookTicker") -> bytes:
    return msgspec.json.encode({"stream": stream, "data": data})


def decoder() -> Decoder:
    return Decoder(INSTRUMENTS)


@pytest.mark.parametrize("microseconds", [False, True])
def test_what_the_market_sends_is_decoded_to_the_very_events(microseconds: bool) -> None:
    events = SeededMarket(LISTINGS, 1, 2).events(1, 2 * BLOCK)
    found = np.zeros(len(events), EVENT)
    under_test = Decoder(INSTRUMENTS, microseconds=microseconds)
    texts = Encoder(LISTINGS, RATE).encode(events, microseconds=microseconds)
    for row, text in zip(found, texts, strict=True):
        message = under_test.decode(text.encode())
        assert message is not None
        row["index"], row["instrument"] = message.position, message.instrument
        if isinstance(message, Trade):
            row["kind"], row["aggressor"] = 1, message.aggressor
            row["price"], row["quantity"] = message.price, message.quantity
            row["trade_id"] = message.trade_id
            exact = (EPOCH_US + message.position * 500) * 1000
            assert message.venue_ns == (exact if microseconds else exact // 10**6 * 10**6)
        else:
            row["kind"], row["update_id"] = 2, message.update_id
            row["bid"], row["bid_quantity"] = message.bid, message.bid_quantity
            row["ask"], row["ask_quantity"] = message.ask, message.ask_quantity
    assert np.array_equal(found, events)
    trades = int((events["kind"] == TRADE).sum())
    assert under_test.counts.trades == trades
    assert under_test.counts.quotes == len(events) - trades


def test_the_venues_own_messages_have_no_position() -> None:
    assert decoder().decode(combined(TRADE_DATA)) == Trade(
        0, 12_345, 1_680_001, 100, -1, 1_672_515_782_135_000_000, 0
    )
    assert decoder().decode(combined(QUOTE_DATA)) == Quote(
        1, 400_900_217, 2535, 312_100, 2536, 406_600, 0
    )


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_will_do(kind: type[Any]) -> None:
    assert decoder().decode(kind(combined(QUOTE_DATA))) is not None


def test_a_side_without_orders_is_none() -> None:
    empty = {**QUOTE_DATA, "a": "0.00000000", "A": "0.00000000"}
    quote = decoder().decode(combined(empty))
    assert isinstance(quote, Quote)
    assert (quote.ask, quote.ask_quantity) == (0, 0)


def test_unknown_fields_are_tolerated_and_counted() -> None:
    under_test = decoder()
    assert isinstance(under_test.decode(combined({**TRADE_DATA, "new": [1]})), Trade)
    # Former times: order ids under the names that a quote has for its prices.
    assert isinstance(under_test.decode(combined({**TRADE_DATA, "b": 88, "a": 50})), Trade)
    assert isinstance(under_test.decode(combined({**QUOTE_DATA, "new": {}})), Quote)
    assert isinstance(
        under_test.decode(msgspec.json.encode({"stream": "x", "data": TRADE_DATA, "new": 1})), Trade
    )
    counts = under_test.counts
    assert (counts.unknown_fields, counts.trades, counts.quotes, counts.errors) == (4, 3, 1, 0)


@pytest.mark.parametrize(
    "message",
    [
        combined({"e": "depthUpdate", "s": "BTCUSDT", "b": [["1", "2"]]}, "btcusdt@depth"),
        combined({"e": "avgPrice", "s": "BTCUSDT", "i": "5m", "w": "1"}, "btcusdt@avgPrice"),
        combined({"e": "serverShutdown", "E": 1}, "!serverShutdown"),
        combined({"e": "other", "s": "BTCUSDT"}),
        combined({"s": "BTCUSDT"}, "btcusdt@somethingElse"),
        combined({}, "btcusdt@somethingElse"),
        combined({"lastUpdateId": 1, "bids": [], "asks": []}, "btcusdt@depth5"),
    ],
)
def test_messages_of_other_types_are_tolerated_and_counted(message: bytes) -> None:
    under_test = decoder()
    assert under_test.decode(message) is None
    assert under_test.counts.unknown_types == 1
    assert under_test.counts.errors == 0


def test_replies_are_counted() -> None:
    under_test = decoder()
    assert under_test.decode(b'{"result":null,"id":1}') is None
    assert under_test.decode(b'{"code":2,"msg":"Invalid request","id":1}') is None
    assert under_test.counts.replies == 2


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (b"", "message was b''"),
        (b"nonsense", "message was b'nonsense'"),
        (b"{}", "must have stream and data, or be a reply"),
        (b'{"id":1}', "must have stream and data, or be a reply"),
        (b"[" * 100_000, r"message was b'\[\["),
        (b'{"stream":' + b"[" * 100_000, "message was"),
        (b'{"stream":"x","data":{"e":"\xff"}}', "message was"),
        (combined([]), "message was"),
        (combined({**TRADE_DATA, "s": "XRPUSDT"}), "symbol was 'XRPUSDT', must be one of BTCUSDT"),
        (combined({**TRADE_DATA, "p": "0"}), "trade of BTCUSDT was 0.00100 at 0, must both be > 0"),
        (combined({**TRADE_DATA, "q": "0.0"}), "must both be > 0"),
        (combined({**TRADE_DATA, "p": 16800.01}), "Expected `str`, got `float`"),
        (combined({**TRADE_DATA, "m": 1}), "Expected `bool`, got `int`"),
        (combined({**TRADE_DATA, "t": -1}), "Expected `int` >= 0"),
        (combined({**TRADE_DATA, "t": 2**63}), "message was"),
        (combined({**TRADE_DATA, "T": 10**18}), "Expected `int` <= 7258118400000000"),
        (combined({**QUOTE_DATA, "u": "1"}, "x@bookTicker"), "Expected `int`, got `str`"),
        (combined({**QUOTE_DATA, "b": "25.355"}), r"price of ETHUSDT was 25.355, must be a multi"),
        (combined({**QUOTE_DATA, "B": "0.00001"}), "quantity of ETHUSDT was 0.00001, must be a m"),
    ],
)
def test_a_malformed_message_is_an_error_that_says_what_was_wrong(
    message: bytes, text: str
) -> None:
    under_test = decoder()
    with pytest.raises(DecodeError, match=text):
        under_test.decode(message)
    assert under_test.counts.errors == 1
    assert under_test.decode(combined(QUOTE_DATA)) is not None


@pytest.mark.parametrize("name", ["t", "p", "q", "T", "m", "E"])
def test_a_trade_must_be_complete(name: str) -> None:
    data = {key: value for key, value in TRADE_DATA.items() if key != name}
    with pytest.raises(DecodeError, match=f"message about 'BTCUSDT' was without {name}"):
        decoder().decode(combined(data))


@pytest.mark.parametrize("name", ["b", "B", "a", "A"])
def test_a_quote_must_be_complete(name: str) -> None:
    data = {key: value for key, value in QUOTE_DATA.items() if key != name}
    with pytest.raises(DecodeError, match=f"message about 'ETHUSDT' was without {name}"):
        decoder().decode(combined(data))


def bad_decimals() -> Iterator[str]:
    yield from ("", ".", "1.", ".5", "-1", "+1", " 1", "1 ", "1e3", "1_0", "0x1", "nan", "inf")
    yield from ("1.2.3", "1,5", "\u0661", "\u00b2", "1" * 41, "0." + "0" * 21, "9" * 30)


@pytest.mark.parametrize("text", list(bad_decimals()))
def test_what_is_no_plain_decimal_is_refused(text: str) -> None:
    with pytest.raises(DecodeError, match="price of ETHUSDT was"):
        decoder().decode(combined({**QUOTE_DATA, "b": text}))


@given(
    tick_e8=st.one_of(st.integers(1, 10**10), st.sampled_from([10**k for k in range(11)])),
    ticks=st.integers(0, 2**40),
    zeros=st.integers(0, 8),
)
def test_decimals_are_converted_exactly(tick_e8: int, ticks: int, zeros: int) -> None:
    instrument = Instrument("X", "sim", "", "", tick_e8, 1, 0, 0, 0, 0)
    text = f"{Decimal(ticks * tick_e8).scaleb(-8):f}"
    padded = (text if "." in text or not zeros else text + ".") + "0" * zeros
    quote = Decoder((instrument,)).decode(combined({**QUOTE_DATA, "s": "X", "b": padded, "a": "0"}))
    assert isinstance(quote, Quote)
    assert quote.bid == ticks


@given(st.binary())
def test_any_bytes_are_decoded_or_refused(payload: bytes) -> None:
    try:
        decoder().decode(payload)
    except DecodeError as error:
        assert str(error)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from("eEstpqTmMubBaAi"), inner, max_size=8)
    ),
    max_leaves=8,
)


@given(data=_JSON, base=st.sampled_from([TRADE_DATA, QUOTE_DATA, {}]), stream=st.text(max_size=5))
def test_any_json_is_decoded_or_refused(data: Any, base: dict[str, Any], stream: str) -> None:
    changed = {**base, **data} if isinstance(data, dict) else data
    try:
        decoder().decode(combined(changed, stream + "@bookTicker"))
    except DecodeError as error:
        assert str(error)


@given(st.data())
def test_damaged_messages_are_decoded_or_refused(data: st.DataObject) -> None:
    message = bytearray(combined(data.draw(st.sampled_from([TRADE_DATA, QUOTE_DATA]))))
    for _ in range(data.draw(st.integers(1, 4))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    try:
        decoder().decode(message[: data.draw(st.integers(0, len(message)))])
    except DecodeError as error:
        assert str(error)
