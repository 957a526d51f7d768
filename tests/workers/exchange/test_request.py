"""What a client may ask for."""

from __future__ import annotations

import pytest

from workers.exchange.request import NoSuchPathError, RequestError, StreamRequest, check_streams

KNOWN = ("btcusdt@trade", "btcusdt@bookTicker")


def parse(query: str) -> StreamRequest:
    return StreamRequest.parse(f"/stream{query}".encode(), KNOWN)


def test_streams_units_and_positions_are_understood() -> None:
    assert parse("?streams=btcusdt@trade/btcusdt@bookTicker") == StreamRequest(
        "binance", KNOWN, True, False, None, None
    )
    query = "?streams=btcusdt@trade&timeUnit=microsecond&after=5&count=9"
    assert parse(query) == StreamRequest("binance", KNOWN[:1], True, True, 5, 9)
    assert parse("?streams=btcusdt%40trade&timeUnit=MILLISECOND").streams == KNOWN[:1]


def test_streams_may_be_subscribed_to_later() -> None:
    assert parse("").streams == ()
    assert parse("?streams=").streams == ()


def test_a_stream_that_is_named_twice_is_one() -> None:
    assert parse("?streams=btcusdt@trade/btcusdt@trade").streams == KNOWN[:1]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("?streams=btcusdt@depth", "unknown stream 'btcusdt@depth', must be one of btcusdt@trade"),
        ("?streams=BTCUSDT@trade", "unknown stream 'BTCUSDT@trade'"),
        ("?streams=/", "unknown stream ''"),
        ("?stream=btcusdt@trade", "unknown parameter 'stream', must be one of streams"),
        ("?after=1&after=2", "parameter 'after' was given twice"),
        ("?after=-1", "after was '-1', must be an integer from 0 to"),
        ("?after=1_0", "after was '1_0'"),
        ("?count=", "count was ''"),
        ("?count=99999999999999999999", "count was '99999999999999999999'"),
        ("?timeUnit=SECOND", "timeUnit was 'SECOND', must be one of MILLISECOND, MICROSECOND"),
        ("?after", "must be a path and a query"),
        ("?\xe4", "must be a path and a query"),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(query: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        parse(query)


def test_another_path_is_not_found() -> None:
    with pytest.raises(NoSuchPathError, match=r"path was '/v1', must be one of /stream, /ws/\.\."):
        StreamRequest.parse(b"/v1?streams=btcusdt@trade", KNOWN)


def test_raw_streams_are_in_the_path() -> None:
    request = StreamRequest.parse(b"/ws/btcusdt@trade/btcusdt%40bookTicker?after=3", KNOWN)
    assert request == StreamRequest("binance", KNOWN, False, False, 3, None)
    assert StreamRequest.parse(b"/ws", KNOWN).streams == ()
    # Some clients number their connections there, and subscribe later.
    assert StreamRequest.parse(b"/ws/0", KNOWN).streams == ()


def test_other_venues_have_paths_of_their_own() -> None:
    assert StreamRequest.parse(b"/v2", ()).venue == "kraken"
    assert StreamRequest.parse(b"/coinbase?after=7&count=9", ()).after == 7
    assert StreamRequest.parse(b"/", ()).venue == "coinbase"
    with pytest.raises(RequestError, match="unknown parameter 'streams', must be one of after"):
        StreamRequest.parse(b"/v2?streams=btcusdt@trade", KNOWN)


def test_there_is_a_most_of_streams() -> None:
    names = [f"s{number}@trade" for number in range(1025)]
    check_streams(names[:1024], names)
    with pytest.raises(RequestError, match="streams were 1025, must be at most 1024"):
        check_streams(names, names)
