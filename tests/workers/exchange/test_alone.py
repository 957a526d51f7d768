"""`bot4 exchange`, the process."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pipeline.cli import main
from tests.workers.exchange.samples import client, fetch, run


@contextlib.contextmanager
def alone(*arguments: str) -> Iterator[dict[str, Any]]:
    """The process, and what it prints."""
    command = [sys.executable, "-m", "pipeline", "exchange", "--json", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()


def test_it_serves_where_it_says_until_a_signal(tmp_path: Path) -> None:
    script = tmp_path / "faults.toml"
    script.write_text('[[faults]]\nat = 0.0\nfault = "kraken:5xx"\n')
    with alone("--seed", "7", "--fault", "binance:429=3s", "--script", str(script)) as found:

        async def test() -> None:
            port = found["port"]
            assert found["venues"]["kraken"] == {
                "websocket": f"ws://127.0.0.1:{port}/v2",
                "rest": f"http://127.0.0.1:{port}",
            }
            assert found["control"] == f"http://127.0.0.1:{port}/control"
            assert (await fetch(port, "/api/v3/ping"))[0] == 429
            assert (await fetch(port, "/0/public/Time"))[0] >= 500
            assert (await fetch(port, "/v2/time"))[0] == 200

        run(test())


def test_one_that_goes_on_begins_after_an_event() -> None:
    with alone("--rate", "1000", "--position", "300000") as found:

        async def test() -> None:
            port = found["port"]
            _, _, state = await fetch(port, "/control")
            _, _, trades = await fetch(port, "/api/v3/trades?symbol=BTCUSDT&limit=1")
            assert 300_000 <= state["position"] < 600_000
            assert trades[0]["id"] > 40_000

        run(test())


def test_it_plays_a_capture(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"t":1}\n{"t":2}\n')
    with alone("--capture", str(path), "--speed", "max", "--venues", "binance") as found:

        async def test() -> None:
            assert list(found["venues"]) == ["binance"]
            async with client(found["port"], "/ws/x@trade") as alice:
                assert await alice.messages(2) == [{"t": 1}, {"t": 2}]

        run(test())


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--fault", "drop=2"], 1, "bot4: value of fault drop was '2', must be a share from 0 to"),
        (["--speed", "x"], 1, "bot4: speed was 'x', must be recorded, fixed:RATE, max, or"),
        (["--rate", "2000000"], 1, "bot4: exchange.rate was 2000000, must be from 0 to 1000000"),
        (["--venues", "okx"], 2, "was 'okx', must be some of binance, kraken, coinbase"),
        (["--script", "/nowhere"], 2, "File '/nowhere' does not exist"),
        (["--host", "203.0.113.1"], 1, "203.0.113.1:0, must be this machine's with a port that is"),
    ],
)
def test_what_cannot_be_is_refused_by_name(arguments: list[str], code: int, message: str) -> None:
    result = CliRunner().invoke(main, ["exchange", *arguments])
    assert result.exit_code == code
    assert message in result.output


def test_it_prints_its_addresses_for_people() -> None:
    from pipeline.cli.exchange import _as_text

    text = _as_text(
        {
            "venues": {"kraken": {"websocket": "ws://a/v2", "rest": "http://a"}},
            "control": "http://a/control",
        }
    )
    assert text.split() == ["kraken", "ws://a/v2", "http://a", "control", "http://a/control"]
