"""What a client may ask for."""

from __future__ import annotations

import pytest

from workers.exchange.request import NoSuchPathError, RequestError, StreamRequest, check_streams

KNOWN = ("btcusdt@trade", "btcusdt@bookTicker")


def parse(query: str) -> StreamRequest:
    return StreamRequest.parse(f"/stream{query}".encode(), KNOWN)


def test_streams_units_and_positions_are_understood() -> None:
    assert parse("?streams=btcusdt@trade/btcusdt@bookTicker") == StreamRequest(
        KNOWN, False, 0, None
    )
    query = "?streams=btcusdt@trade&timeUnit=microsecond&after=5&count=9"
    assert parse(query) == StreamRequest(KNOWN[:1], True, 5, 9)
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
    with pytest.raises(NoSuchPathError, match="path was '/ws', must be '/stream'"):
        StreamRequest.parse(b"/ws?streams=btcusdt@trade", KNOWN)


def test_there_is_a_most_of_streams() -> None:
    names = [f"s{number}@trade" for number in range(1025)]
    check_streams(names[:1024], names)
    with pytest.raises(RequestError, match="streams were 1025, must be at most 1024"):
        check_streams(names, names)
