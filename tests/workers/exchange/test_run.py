"""The exchange as a process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from typing import Any

import pytest

from shm import BlobSpec, Layout, Segment, WordsSpec
from tests.workers.exchange.samples import client, run
from workers.exchange.market import SeededMarket
from workers.exchange.run import run as serve

CONFIG: dict[str, Any] = {
    "exchange": {"host": "127.0.0.1", "seed": 1, "rate": 0, "volatility_bp": 2},
    "instruments": [
        {"symbol": "BTCUSDT", "venue": "sim", "tick": "0.01", "lot": "0.00001", "price": "60000"}
    ],
    "run": {"events": 5},
}


def indices(messages: Iterable[Any]) -> list[int]:
    return [message["data"]["i"] for message in messages]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_and_beats_until_a_signal(number: int) -> None:
    async def test() -> None:
        ports: asyncio.Queue[int] = asyncio.Queue()
        beats: list[int] = []
        before = time.monotonic_ns()
        serving = asyncio.ensure_future(serve(CONFIG, ports.put_nowait, beats.append))
        async with client(
            await ports.get(), "/stream?streams=btcusdt@trade/btcusdt@bookTicker"
        ) as alice:
            assert len(await alice.messages(5)) == 5
        assert before <= beats[0] <= time.monotonic_ns()
        os.kill(os.getpid(), number)
        await serving

    run(test())


def test_a_defect_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(market: SeededMarket, first: int, count: int) -> None:
        raise ZeroDivisionError("defect")

    monkeypatch.setattr(SeededMarket, "events", broken)

    async def test() -> None:
        ports: asyncio.Queue[int] = asyncio.Queue()
        serving = asyncio.ensure_future(serve(CONFIG, ports.put_nowait, lambda now: None))
        async with client(await ports.get(), "/stream?streams=btcusdt@trade"):
            with pytest.raises(ZeroDivisionError):
                await serving

    run(test())


def test_the_process_reads_its_configuration_from_the_segment_and_stores_its_port(
    name: str,
) -> None:
    config = json.dumps(CONFIG).encode()
    layout = Layout(
        BlobSpec("config", len(config)), WordsSpec("exchange.words", ("port", "beat", "leash"))
    )
    with Segment.create(name, layout, blobs={"config": config}) as segment:
        process = subprocess.Popen(
            [sys.executable, "-m", "workers.exchange", name, segment.run_id, str(os.getpid())]
        )
        try:
            words = segment.words("exchange.words")
            give_up = time.monotonic() + 30
            while not (words.load("port") and words.load("beat")):
                assert process.poll() is None
                assert time.monotonic() < give_up
                time.sleep(0.01)

            async def test() -> None:
                path = "/stream?streams=btcusdt@trade/btcusdt@bookTicker&after=3"
                async with client(words.load("port"), path) as alice:
                    assert indices(await alice.messages(2)) == [4, 5]

            run(test())
            process.terminate()
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()


def test_its_market_goes_no_further_than_its_leash() -> None:
    async def test() -> None:
        ports: asyncio.Queue[int] = asyncio.Queue()
        leash = 0
        exchange = {**CONFIG["exchange"], "rate": 100_000}
        config = {**CONFIG, "exchange": exchange, "run": {"leash": 7}}
        serving = asyncio.ensure_future(
            serve(config, ports.put_nowait, lambda now: None, lambda: leash)
        )
        path = "/stream?streams=btcusdt@trade/btcusdt@bookTicker"
        port = await ports.get()
        async with client(port, f"{path}&after=3") as alice, client(port, path) as bob:
            assert indices(await alice.messages(4)) == [4, 5, 6, 7]
            leash = 9
            assert indices(await alice.messages(2)) == [8, 9]
            # He follows the market, which by its rate would have been far beyond.
            assert indices(await bob.messages(2)) == [8, 9]
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)

    run(test())
