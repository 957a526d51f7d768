"""The WebSocket benchmark: its pure parts, and one small run."""

from __future__ import annotations

import json
import os
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from perf import websocket as script
from perf.stream import frames, report
from perf.stream.clients import BOT4, CCXT, NEEDS, WEBSOCKETS, Read
from perf.stream.frames import BLOCK, DEPTH, FIRST, KINDS, PLACES, QUOTE, SYMBOLS, TRADE, Blocks
from perf.stream.sender import Order, Sent
from perf.stream.session import FailedError, Measured, evaluated
from shm import list_segments
from workers._native import Recorder
from workers.feed.binance import Binance
from workers.feed.decoding import BookState, Verdict, snapshot


def payloads(blocks: Blocks, block: int) -> list[bytes]:
    """Return the messages of a block, without what frames them."""
    view = bytes(blocks.at(block))
    found = []
    for begin, end in zip(blocks.starts, blocks.starts[1:], strict=False):
        header = 4 if view[begin + 1] == 126 else 2
        length = (
            int.from_bytes(view[begin + 2 : begin + 4], "big") if header == 4 else view[begin + 1]
        )
        assert end - begin == header + length
        found.append(view[begin + header : end])
    return found


def ids(block: int) -> list[tuple[int, int, int]]:
    """Return kind, instrument and id of each record of a block, as the messages have them."""
    found = []
    for frame, payload in enumerate(payloads(Blocks(), block)):
        data = msgspec.json.decode(payload)["data"]
        if KINDS[frame] != DEPTH:
            number = data["t"] if KINDS[frame] == TRADE else data["u"]
            found.append((KINDS[frame], SYMBOLS.index(data["s"]), number))
    return found


def rows(block: int, late_ns: int = 0, rate: int = 1000) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return what a client tells that gets all records of a block so late."""
    told = np.array(ids(block)).T
    found = frames.frames_of(*told)
    return np.vstack((told, found * 1_000_000_000 // rate + late_ns))


def test_the_decoder_takes_all_of_several_blocks_without_a_gap() -> None:
    venue = Binance(frames.instruments(), "", "")
    decoder, recorder = venue.decoder(), Recorder()
    for place, symbol in enumerate(SYMBOLS):
        assert snapshot(decoder, place, frames.snapshot(symbol), 1, recorder)[0] == Verdict.OK
    blocks = Blocks()
    for block in range(3):
        for payload in payloads(blocks, block):
            assert decoder.decode(payload, 1, recorder) == Verdict.OK
    assert len(recorder) == frames.records_in(3 * BLOCK)
    counts = decoder.counts()
    assert (counts["gaps"], counts["trade_gaps"], counts["repeated"], counts["malformed"]) == (
        0,
    ) * 4
    assert all(decoder.state(place) == BookState.LIVE for place in range(len(SYMBOLS)))


@pytest.mark.parametrize("block", [0, 7])
def test_a_record_leads_back_to_its_frame(block: int) -> None:
    told = np.array(ids(block)).T
    expected = [block * BLOCK + frame for frame in range(BLOCK) if KINDS[frame] != DEPTH]
    assert frames.frames_of(*told).tolist() == expected


def test_a_record_that_nobody_sent_leads_nowhere() -> None:
    trade = KINDS.index(TRADE)
    strange = [
        (QUOTE, PLACES[trade], FIRST + trade),  # a trade's frame
        (QUOTE, PLACES[0] + 1, FIRST),  # of another instrument
        (TRADE, 0, FIRST - 1),
        (QUOTE, 0, 0),
    ]
    assert frames.frames_of(*np.array(strange).T).tolist() == [-1] * len(strange)


def test_latency_counts_from_when_a_message_was_due() -> None:
    found = evaluated(
        BOT4, Order(1000, BLOCK / 1000, 0), Sent(BLOCK, 0), Read(BLOCK, 1, 0, b""), rows(0, 70)
    )
    assert found.lost == 0
    assert found.percentiles_ns == (70, 70, 70)


def test_a_record_that_is_missing_is_lost() -> None:
    order, sent, read = Order(None, 1.0, 0), Sent(BLOCK, 0), Read(BLOCK, 1, 0, b"")
    assert evaluated(BOT4, order, sent, read, rows(0)[:, 1:]).lost == 1


def test_a_message_that_was_not_sent_in_time_is_lost() -> None:
    order, sent, read = Order(1000, 2 * BLOCK / 1000, 0), Sent(BLOCK, 0), Read(BLOCK, 1, 0, b"")
    assert evaluated(BOT4, order, sent, read, rows(0)).lost == BLOCK
    assert evaluated(CCXT, order, sent, read, rows(0)).lost == BLOCK


def test_of_a_peer_trades_are_lost_but_not_prices() -> None:
    order, sent, read = Order(None, 1.0, 0), Sent(BLOCK, 0), Read(BLOCK, 1, 0, b"")
    told = rows(0)
    kinds = told[0].tolist()
    without = np.delete(told, [kinds.index(TRADE), kinds.index(QUOTE)], axis=1)
    assert evaluated(CCXT, order, sent, read, without).lost == 1


def test_what_was_not_sent_or_told_twice_is_a_failure() -> None:
    order, read = Order(None, 1.0, 0), Read(BLOCK, 1, 0, b"")
    with pytest.raises(FailedError, match="what was not sent"):
        evaluated(BOT4, order, Sent(BLOCK // 2, 0), read, rows(0))
    with pytest.raises(FailedError, match="twice"):
        evaluated(BOT4, order, Sent(BLOCK, 0), read, rows(0)[:, [0, 0]])


def result(client: str, rate: int | None, per_s: int, us: int = 1, lost: int = 0) -> report.Result:
    percentiles = None if rate is None else (us * 1000, us * 1000, 5 * us * 1000)
    return report.summary(Measured(client, rate, per_s, per_s, 10**9, 0, lost, 0, percentiles))


def met(*results: report.Result) -> list[bool | None]:
    return [each["met"] for each in report.expectations(results)]


def test_expectations_are_met_or_not_or_not_measured() -> None:
    assert met() == [None] * 5
    good = result(BOT4, None, 300_000), result(CCXT, None, 30_000), result(BOT4, 12_000, 1, 99)
    assert met(*good) == [True] * 5
    bad = (
        result(BOT4, None, 299_999),
        result(CCXT, None, 30_000),
        result(BOT4, 12_000, 1, 100, 1),
    )
    assert met(*bad) == [False] * 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--clients", "bot4,other"], "was other"),
        (["--rates", "blast,0"], "was 0"),
        (["--rates", "fast"], "was fast"),
    ],
)
def test_what_cannot_be_measured_is_refused(arguments: list[str], said: str) -> None:
    found = CliRunner().invoke(script.main, arguments)
    assert found.exit_code == 2
    assert said in found.output


def test_a_peer_that_is_missing_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NEEDS, WEBSOCKETS, "no_such_module")
    found = script.run([WEBSOCKETS], [None], 0.1)
    assert "bot4[perf]" in found["skipped"][WEBSOCKETS]
    assert (found["results"], found["failed"]) == ([], {})


def test_a_client_that_dies_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NEEDS, "nobody", "json")
    found = script.run(["nobody"], [None, 100], 0.1)
    assert "died" in found["failed"]["nobody"]
    assert found["results"] == []


def test_a_small_run_measures_every_client() -> None:
    before = os.sched_getaffinity(0)
    arguments = ["--json", "--seconds", "0.2", "--rates", "blast,1000"]
    done = CliRunner().invoke(script.main, arguments)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    measured = {(each["client"], each["mode"], each["rate"]) for each in found["results"]}
    expected = [name for name in NEEDS if name not in found["skipped"]]
    modes = (("blast", None), ("paced", 1000))
    assert measured == {(name, *mode) for name in expected for mode in modes}
    for each in found["results"]:
        assert each["msgs_per_s_per_core"] > 0
        assert each["waited_ms"] >= 0
        if each["mode"] == "paced":
            assert 0 < each["p50_us"] <= each["p95_us"] <= each["p99_us"]
        if each["client"] == BOT4:
            assert each["lost"] == 0
    assert os.sched_getaffinity(0) == before
    assert list_segments(f"perf-{os.getpid()}") == []
