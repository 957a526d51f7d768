"""`bot4 instruments` and `bot4 history` of the simulator, as if it were the venues."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from pipeline.cli.history import command as history
from pipeline.cli.instruments import command as instruments
from pipeline.config import load
from pipeline.instruments import instruments_from
from tests.workers.exchange.samples import LISTINGS, run, serving

SYMBOLS = {"binance": "BTCUSDT", "kraken": "BTC/USDT", "coinbase": "BTC-USDT"}


async def bot4(command: click.Command, arguments: Sequence[str]) -> str:
    """What a command writes; the server goes on meanwhile."""
    done = await asyncio.to_thread(CliRunner().invoke, command, arguments)
    assert (done.exit_code, done.stderr) == (0, ""), done.output
    return done.stdout


@pytest.mark.parametrize("venue", SYMBOLS)
def test_what_is_listed_can_be_configured(venue: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with serving(2000) as (_, port):
            place = ("--venue", venue, "--url", f"http://127.0.0.1:{port}")
            toml = await bot4(instruments, (*place, "--toml"))
        file = tmp_path / "c.toml"
        file.write_text(f'state_dir = "{tmp_path}"\n{toml}')
        found = {each.base: each for each in instruments_from(load(file).config.resolved())}
        assert found["BTC"].symbol == SYMBOLS[venue]
        for listing in LISTINGS:
            instrument = found[listing.pair[0]]
            assert (instrument.tick_e8, instrument.lot_e8) == (listing.tick_e8, listing.lot_e8)
            assert instrument.min_quantity_e8 == listing.lot_e8
            # Coinbase's fees are not in its listing: ccxt has those of a new account.
            if venue != "coinbase":
                assert (instrument.maker_fee_e8, instrument.taker_fee_e8) == (100_000, 100_000)

    run(test())


def test_all_venues_have_the_same_history(tmp_path: Path) -> None:
    async def test() -> None:
        now = 0
        async with serving(50, clock=lambda: now) as (_, port):
            now = 1000 * 10**9
            times = ("--since", "2026-01-01T00:01", "--until", "2026-01-01T00:16")
            for venue, symbol in SYMBOLS.items():
                place = ("--venue", venue, "--url", f"http://127.0.0.1:{port}")
                asked = (*place, "--symbol", symbol, *times, "--out", f"{venue}.csv")
                said = await bot4(history, asked)
                assert said == f"{venue}.csv: 15 bars of 1m, {venue} {symbol}\n"
        texts = {(tmp_path / f"{venue}.csv").read_text() for venue in SYMBOLS}
        assert len(texts) == 1
        assert len(texts.pop().splitlines()) == 16

    run(test())
