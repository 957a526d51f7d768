"""Captured files as an exchange."""

from __future__ import annotations

import asyncio
import gzip
import json
import lzma
import time
from pathlib import Path

import msgspec
import pytest
from picows import WSCloseCode, WSMsgType

from tests.workers.exchange.samples import client, fetch, run, serving, until
from tests.workers.feed.venues import instruments_of
from workers.exchange.playback import RecordedPace, Recording, Speed
from workers.feed.binance import Binance
from workers.feed.capture import CaptureError
from workers.feed.coinbase import Coinbase
from workers.feed.kraken import Kraken
from workers.feed.venue import Venue

FRAMES = [f'{{"stream":"x@trade","data":{{"t":{number}}}}}' for number in range(1, 1001)]
SNAPSHOT = '{"lastUpdateId":7,"bids":[],"asks":[]}'


def captured(path: Path, every_ns: int = 1_000_000) -> Path:
    """A file as hftbacktest writes them, with a book among its frames."""
    lines = [f"{10**18 + number * every_ns} {text}" for number, text in enumerate(FRAMES)]
    lines.insert(5, f"{10**18} {SNAPSHOT}")
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    return path


def test_a_recording_has_frames_times_and_books(tmp_path: Path) -> None:
    recording = Recording.load([captured(tmp_path / "a.jsonl.gz")])
    assert [text.decode() for text in recording.texts] == FRAMES
    assert recording.times[1] == 10**18 + 1_000_000
    assert recording.book("ANY") == SNAPSHOT.encode()
    assert not recording.acknowledges
    stream, fetched = tmp_path / "b.txt.xz", tmp_path / "c.txt.xz"
    stream.write_bytes(lzma.compress(b'1.5: {"method":"subscribe"}\n'))
    url = b"https://x/api/v3/depth?symbol=NKNUSDT&limit=5"
    fetched.write_bytes(lzma.compress(url + b" -> 1.25: " + SNAPSHOT.encode() + b"\n"))
    recording = Recording.load([stream, fetched])
    assert recording.acknowledges
    assert (recording.book("NKNUSDT"), recording.book("X")) == (SNAPSHOT.encode(), None)


def test_a_file_without_frames_is_refused_by_name(tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n")
    with pytest.raises(CaptureError, match=r"empty\.jsonl had no frames, must have some"):
        Recording.load([empty])


def test_speeds_are_understood() -> None:
    assert Speed.parse("recorded") == Speed("recorded")
    assert Speed.parse("max").mode == "max"
    assert Speed.parse("fixed:500").rate == 500
    assert Speed.parse("2.5x") == Speed("recorded", factor=2.5)
    for text in ("0x", "20000x"):
        with pytest.raises(CaptureError, match=f"speed was {text}, must be above 0x, at most"):
            Speed.parse(text)
    for text in ("fast", "fixed", "fixed:x", "-1x", "x"):
        with pytest.raises(CaptureError, match=f"speed was '{text}', must be recorded, fixed:RATE"):
            Speed.parse(text)
    with pytest.raises(CaptureError, match="rate of speed was 0, must be from 1"):
        Speed.parse("fixed:0")


def test_recorded_frames_are_due_as_they_were_received() -> None:
    pace = RecordedPace([None, 100, 100, 90, 400], 1, 1000)
    assert [pace.due(now) for now in (999, 1000, 1299, 1300)] == [0, 4, 4, 5]
    assert pace.wait(5, 1000) == 300e-9
    later = RecordedPace([100, 200, 400], 2, 0)
    assert (later.due(0), later.due(200)) == (2, 3)
    faster = RecordedPace([100, 200, 400], 1, 0, factor=2)
    assert [faster.due(now) for now in (0, 49, 50, 149, 150)] == [1, 1, 2, 2, 3]
    known = RecordedPace([100, 200, 400, 500], 1, 0, known=2)
    assert [known.due(now) for now in (-1, 0, 99, 100)] == [0, 3, 3, 4]


def test_frames_are_sent_as_they_were_captured(tmp_path: Path) -> None:
    recording = Recording.load([captured(tmp_path / "a.jsonl.gz")])

    async def test() -> None:
        async with serving(recording=recording, speed=Speed("max")) as (_, port):
            async with client(port, "/stream?streams=whatever@trade") as alice:
                assert [(await alice.texts.get()).decode() for _ in FRAMES] == FRAMES
                request = {"method": "SUBSCRIBE", "params": ["x"], "id": 4}
                assert await alice.ask(request) == {"result": None, "id": 4}
                assert (await fetch(port, "/api/v3/depth?symbol=X"))[2]["lastUpdateId"] == 7
            async with client(port, "/ws?after=990&count=995") as alice:
                await alice.ask({"method": "SUBSCRIBE", "params": ["x"], "id": 5})
                found = [json.loads(await alice.texts.get())["data"]["t"] for _ in range(5)]
                assert found == [991, 992, 993, 994, 995]

    run(test())


def test_a_recording_begins_when_it_is_asked_for(tmp_path: Path) -> None:
    recording = Recording.load([captured(tmp_path / "a.jsonl.gz")])

    async def test() -> None:
        async with serving(recording=recording, speed=Speed("max")) as (_, port):
            async with client(port, "/v2") as alice:
                await alice.ask({"method": "ping", "req_id": 1})
                alice.transport.send_ping(b"x")
                await alice.pongs.get()
                assert alice.texts.empty()
                params = {"channel": "book", "symbol": ["A/B"]}
                ack = await alice.ask({"method": "subscribe", "params": params, "req_id": 2})
                assert ack == {
                    "method": "subscribe",
                    "result": {"channel": "book", "symbol": "A/B"},
                    "success": True,
                    "req_id": 2,
                }
                assert (await alice.texts.get()).decode() == FRAMES[0]
            async with client(port, "/coinbase") as alice:
                first = await alice.ask({"type": "subscribe", "channel": "level2"})
                assert first == json.loads(FRAMES[0])

    run(test())


def test_a_recording_keeps_its_time(tmp_path: Path) -> None:
    recording = Recording.load([captured(tmp_path / "a.jsonl.gz", 200_000)])

    async def test() -> None:
        for speed in (Speed(), Speed("fixed", 5000)):
            async with serving(recording=recording, speed=speed) as (_, port):
                began = time.monotonic()
                async with client(port, "/ws/x@trade?after=0") as alice:
                    await asyncio.gather(*(alice.texts.get() for _ in FRAMES))
                assert time.monotonic() - began >= 0.19

    run(test())


def test_a_book_that_was_not_captured_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(FRAMES[0])
    recording = Recording.load([path])

    async def test() -> None:
        async with serving(recording=recording, speed=Speed("max")) as (_, port):
            status, _, answer = await fetch(port, "/api/v3/depth?symbol=X")
            assert (status, answer["msg"]) == (400, "no book of it was captured")

    run(test())


@pytest.mark.parametrize("path", ["/stream?streams=x@trade&after=995", "/v2?after=995"])
def test_a_run_is_sent_all_of_it_alone_and_then_the_end(tmp_path: Path, path: str) -> None:
    recording = Recording.load([captured(tmp_path / "a.jsonl.gz", 10**9)])

    async def test() -> None:
        # One each 10 ms, if it were not for those that are known.
        speed = Speed("fixed", 100)
        async with (
            serving(recording=recording, speed=speed, farewell=b"over") as (_, port),
            client(port, path) as alice,
        ):
            for request in ('{"method":"ping"}', '{"method":"subscribe","params":{}}'):
                alice.transport.send(WSMsgType.TEXT, request.encode())
            assert [(await alice.texts.get()).decode() for _ in FRAMES] == FRAMES
            await until(lambda: alice.close_code is not None)
            assert alice.close_code == WSCloseCode.OK
            assert alice.texts.empty()

    run(test())


@pytest.mark.parametrize("kind", [Binance, Kraken, Coinbase])
def test_trades_that_were_not_captured_are_not_made_up(tmp_path: Path, kind: type[Venue]) -> None:
    recording = Recording.load([captured(tmp_path / "a.jsonl.gz")])
    asked = kind(instruments_of(kind.name), "ws://x", "http://x")

    async def test() -> None:
        async with serving(recording=recording, speed=Speed("max")) as (_, port):
            address = next(asked.replay(0, 1, 10)).removeprefix("http://x")
            status, _, answer = await fetch(port, address)
            assert status == 200
            assert list(asked.trades(0, msgspec.json.encode(answer))) == []

    run(test())
