"""A run on real venues, which the simulator plays from outside of it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.records import QUOTE
from tests.pipeline.supervisor.started import BOT4, Started, bot4, environment, until

VENUES = {"binance": "BTCUSDT", "kraken": "BTC/USDT", "coinbase": "BTC-USDT"}
INSTRUMENT = """
[[instruments]]
symbol = "{symbol}"
venue = "{venue}"
base = "BTC"
quote = "USDT"
tick = "0.01"
lot = "0.00001"
min_notional = "5"
maker_fee = "0.001"
taker_fee = "0.001"
"""
PLACE = """
[venues.{venue}]
url = "{websocket}"
rest_url = "{rest}"
links = {links}
"""


@pytest.fixture
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, str]]]:
    """Where each venue is played."""
    server = subprocess.Popen(
        [BOT4, "exchange", "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
        cwd=tmp_path_factory.mktemp("exchange"),
    )
    assert server.stdout is not None
    try:
        yield json.loads(server.stdout.readline())["venues"]
    finally:
        server.terminate()
        server.communicate()


def configure(folder: Path, addresses: dict[str, dict[str, str]], links: int = 1) -> None:
    """Write the configuration that a run in a folder finds."""
    text = "".join(INSTRUMENT.format(symbol=VENUES[venue], venue=venue) for venue in addresses)
    for venue, place in addresses.items():
        text += PLACE.format(venue=venue, links=links, **place)
    (folder / "config.toml").write_text(text)


def test_a_killed_feed_goes_on_and_what_it_said_is_stale_until_then(
    name: str, tmp_path: Path, addresses: dict[str, dict[str, str]]
) -> None:
    configure(tmp_path, addresses)
    with Started(name, tmp_path) as run:

        def quoted(since: int) -> bool:
            table = run.segment.table_reader("quotes")
            for row in range(len(VENUES)):
                quote = np.zeros(1, QUOTE)  # a row that was never written is not read
                table.read(row, quote)
                if quote["stale"][0] or quote["received_ns"][0] <= since:
                    return False
            return True

        until(lambda: quoted(0), "a quote of each venue")
        before = run.published()
        run.replaced("feed", run.strike("feed"))
        begun = run.word("feed", "started_ns")
        until(lambda: quoted(begun), "another quote of each venue")
        # STALE and RESYNC of each, and what there was to tell.
        assert run.published() >= before + 2 * len(VENUES)
        assert run.word("exchange", "pid") == 0
        figures, _ = run.stop()
    assert figures["exit_reason"] == "signal"
    assert figures["stages"]["feed"]["restarts"] == 1
    assert figures["stages"]["ta"]["records_in"] == figures["stages"]["feed"]["records_out"]


def test_one_venue_may_be_chosen_over_two_links(
    name: str, tmp_path: Path, addresses: dict[str, dict[str, str]]
) -> None:
    configure(tmp_path, addresses, links=2)
    with Started(name, tmp_path, "--venue", "kraken", "--paper") as run:
        until(lambda: run.published() >= 300, "300 records")
        assert run.segment.counters("feed.counters")["connects"] == 2
        figures, errors = run.stop()
    assert figures["exit_reason"] == "signal"
    assert "exchange" not in errors
    assert [part for part in figures["breakers"] if part.startswith("feed.")] == ["feed.kraken"]


def test_any_other_venue_is_traded_through_ccxt(
    name: str, tmp_path: Path, addresses: dict[str, dict[str, str]]
) -> None:
    # It speaks Binance's protocol, and ccxt adds the paths.
    place = addresses["binance"]
    text = INSTRUMENT.format(symbol="BTC/USDT", venue="binanceus")
    text += f'[venues.binanceus]\nurl = "{place["websocket"]}"\nrest_url = "{place["rest"]}"\n'
    (tmp_path / "config.toml").write_text(text)
    with Started(name, tmp_path, "--venue", "binanceus", "--paper") as run:
        until(lambda: run.published("orders") >= 3, "3 orders")
        shown = bot4("status", *run.flags, "--json", cwd=tmp_path)
        assert json.loads(shown.stdout)["feed"]["trades"] > 0
        run.replaced("feed", run.strike("feed"))
        orders = run.published("orders")
        until(lambda: run.published("orders") > orders, "another order")
        figures, errors = run.stop()
    assert "venue binanceus is read through ccxt: slower than binance, kraken, coinbase" in errors
    assert figures["exit_reason"] == "signal"
    assert figures["stages"]["feed"]["restarts"] == 1
    feed = figures["feed"]
    # What the first one had counted since its last beat went with it.
    told = feed["trades"] + feed["quotes"] + feed["stales"] + feed["resyncs"]
    assert 0 < told <= figures["stages"]["feed"]["records_out"]
    assert feed["connects"] == 2
    assert feed["malformed"] == 0
    # The venue tells 1,000 trades again: too few if the machine was slow to start a successor.
    assert feed["gaps"] <= 1


def test_what_cannot_be_run_on_a_venue_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(INSTRUMENT.format(symbol="XBTUSD", venue="bibit"))
    flags = ("run", "--name", name, "--set", f"state_dir={tmp_path}")
    done = bot4(*flags, cwd=tmp_path)
    assert done.returncode == 78
    assert "venue of XBTUSD was 'bibit', must be sim, binance, kraken, coinbase or one that" in (
        done.stderr
    )
    assert "did you mean bybit" in done.stderr
    (tmp_path / "config.toml").write_text(INSTRUMENT.format(symbol="BTCUSDT", venue="binance"))
    done = bot4(*flags, "--events", "5", cwd=tmp_path)
    assert done.returncode == 78
    assert "--events was 5, must be left out" in done.stderr
