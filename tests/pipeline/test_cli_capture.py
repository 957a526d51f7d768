"""`bot4 run --capture`: a captured market through the whole pipeline."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from pipeline import topology
from pipeline.cli import main
from pipeline.vocabulary import MarketKind
from tests.pipeline.captures import SYMBOLS, ended, expected, told, written
from tests.pipeline.supervisor.started import Started, bot4, until
from tests.workers.feed import frames as f
from tests.workers.feed.captures import captured
from workers.feed.decoding import StaleReason

ON_MARKET = 2  # the crash point of the feed behind its first push of a record
LARGE = {"pipeline__market_capacity": "65536"}


def started(name: str, folder: Path, *paths: Path, speed: str = "max", **settings: str) -> Started:
    captures = [part for path in paths for part in ("--capture", str(path))]
    return Started(name, folder, *captures, "--speed", speed, environ=None, **settings)


def outages(records: np.ndarray[Any, Any]) -> list[int]:
    """Return the places of STALE, but for those of a machine that stood still.

    Then nothing comes for a while, and a line on which nothing comes is given up.
    """
    is_told = (records["kind"] == MarketKind.STALE) & (
        records["venue_sequence"] != StaleReason.SILENCE
    )
    return [int(place) for place in np.flatnonzero(is_told)]


def configured(folder: Path, *paths: Path, flags: tuple[str, ...] = ()) -> tuple[int, str]:
    """Return how `bot4 run` refuses captured files."""
    captures = [part for path in paths for part in ("--capture", str(path))]
    runner = CliRunner()
    done = runner.invoke(main, ["run", *captures, "--set", f"state_dir={folder}", *flags])
    return done.exit_code, done.output


@pytest.mark.parametrize("venue", SYMBOLS)
def test_exactly_what_the_check_finds_goes_through_and_is_traded(
    name: str, tmp_path: Path, venue: str
) -> None:
    path = written(tmp_path, venue, 400)
    with started(name, tmp_path, path) as run:
        records, out, errors = ended(run)
    figures: dict[str, Any] = json.loads(out)
    assert figures["exit_reason"] == "capture"
    assert told(records) == expected(venue, path)
    assert len(records) == figures["stages"]["feed"]["records_out"]
    for taker, more in (("ta", 0), ("executor", figures["orders"])):
        assert figures["stages"][taker]["records_in"] == len(records) + more
    assert all(queue["depth"] == 0 for queue in figures["queues"].values())
    assert figures["orders"] > 0
    assert figures["fills"] >= figures["orders"]
    assert figures["currency"] == "USDT" if venue == "binance" else "USD"
    assert [part for part in figures["breakers"] if "." in part] == [
        f"feed.{venue}", f"orders.{venue}"
    ]  # fmt: skip
    assert f"{SYMBOLS[venue]} in {figures['currency']}, tick 0." in errors
    assert "Traceback" not in errors


def test_people_read_how_it_ended(name: str, tmp_path: Path) -> None:
    path = written(tmp_path, "binance", 20)
    flags = ("--name", name, "--set", f"state_dir={tmp_path}", "--speed", "50x")
    done = bot4("run", "--capture", path, *flags, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()[:2]
    assert first == (
        "capture: binance, 41 messages over 0.0 s (20 trades, 20 best prices, 1 updates of "
        "books), 50 times as fast as they were received"
    )
    assert second == "capture: BTCUSDT in USDT, tick 0.01, lot 0.00001, taker fee 0.001"
    assert ", ended by capture" in done.stdout


def test_what_the_configuration_says_of_an_instrument_holds(name: str, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        '[[instruments]]\nsymbol = "BTCUSDT"\nvenue = "binance"\nbase = "BTC"\nquote = "USDT"\n'
        'tick = "0.001"\nlot = "0.00001"\nmin_notional = "5"\nmaker_fee = "0"\ntaker_fee = "0.02"\n'
    )
    path = written(tmp_path, "binance", 20)
    with started(name, tmp_path, path) as run:
        records, _, errors = ended(run)
    assert "BTCUSDT in USDT, tick 0.001, lot 0.00001, taker fee 0.02" in errors
    assert records[records["kind"] == MarketKind.TRADE]["price"][0] == 102_900
    (tmp_path / "config.toml").write_text(
        (tmp_path / "config.toml").read_text().replace('"0.001"', '"0.5"')
    )
    done = bot4("run", "--capture", path, "--set", f"state_dir={tmp_path}", cwd=tmp_path)
    assert done.returncode == 78
    assert "tick of BTCUSDT of venue binance was 0.5, must divide 0.01" in done.stderr


@pytest.mark.parametrize(
    ("venue", "process"),
    [("binance", "feed"), ("kraken", "feed"), ("coinbase", "feed"), ("kraken", "exchange")],
)
def test_one_that_is_killed_costs_nothing(
    name: str, tmp_path: Path, venue: str, process: str
) -> None:
    path = written(tmp_path, venue, 400)
    with started(name, tmp_path, path, speed="fixed:800") as run:
        until(lambda: run.published() >= 150, "150 records")
        if process == "feed":
            # Between the records of one message, where there are several.
            run.segment.words("feed.words").store("crash", ON_MARKET << 56 | 203)
        else:
            run.strike(process)
        records, out, errors = ended(run)
    assert f"{process} (pid " in errors
    assert json.loads(out)["exit_reason"] == "capture"
    assert told(records) == expected(venue, path)
    kinds = records["kind"].tolist()
    assert kinds.count(MarketKind.STALE) == kinds.count(MarketKind.RESYNC)
    [stale] = outages(records)
    for count, kind in (("trades", MarketKind.TRADE), ("quotes", MarketKind.QUOTE)):
        # What is told again is not counted again; a feed that was killed had not counted all.
        assert json.loads(out)["feed"][count] <= kinds.count(kind)
    assert stale < kinds.index(MarketKind.RESYNC, stale) < len(kinds) - 100


def test_a_run_whose_supervisor_was_killed_is_gone_on_with(name: str, tmp_path: Path) -> None:
    path = written(tmp_path, "kraken", 400)
    with started(name, tmp_path, path, speed="fixed:800") as run:
        for process in topology.PROCESSES:
            run.pid(process)
        until(lambda: run.published() >= 200, "200 records")
        run.kill()
    with started(name, tmp_path, path, speed="fixed:800") as run:
        records, out, errors = ended(run)
    assert "going on with run " in errors
    assert json.loads(out)["exit_reason"] == "capture"
    assert told(records) == expected("kraken", path)


def test_it_is_not_gone_on_with_if_the_file_is_another(name: str, tmp_path: Path) -> None:
    path = written(tmp_path, "kraken", 400)
    with started(name, tmp_path, path, speed="fixed:800") as run:
        for process in topology.PROCESSES:
            run.pid(process)
        until(lambda: run.published() >= 200, "200 records")
        run.kill()
    written(tmp_path, "kraken", 50)
    with started(name, tmp_path, path) as run:
        # Not its records: the old segment, which it adopts and removes, might be taken for its own.
        figures, errors = run.end()
    assert "cannot be gone on with: its configuration was another" in errors
    assert figures["stages"]["feed"]["records_out"] == len(expected("kraken", path))


def test_it_ends_in_order_when_it_is_told_to(name: str, tmp_path: Path) -> None:
    path = written(tmp_path, "binance", 400)
    with started(name, tmp_path, path, speed="fixed:100") as run:
        run.flows(20)
        run.process.send_signal(signal.SIGTERM)
        records, out, _ = ended(run)
    figures = json.loads(out)
    assert figures["exit_reason"] == "signal"
    assert figures["stages"]["ta"]["records_in"] == len(records)
    assert told(records) == expected("binance", path)[: len(told(records))]


def test_a_book_without_snapshot_is_said_and_best_prices_are_traded_all_the_same(
    name: str, tmp_path: Path
) -> None:
    path = written(tmp_path, "binance", 200, snapshot=False)
    with started(name, tmp_path, path) as run:
        records, out, errors = ended(run)
    assert "no snapshot of the book of BTCUSDT, which is never verified: best prices" in errors
    assert outages(records) == []
    assert json.loads(out)["orders"] > 0


def test_what_is_missing_in_a_capture_is_said(name: str, tmp_path: Path) -> None:
    path = tmp_path / "books.jsonl"
    book = f.kraken_book("snapshot", f.BIDS, f.ASKS, f.kraken_crc(f.BIDS, f.ASKS))
    path.write_text(f"{book}\n")
    with started(name, tmp_path, path) as run:
        records, _, errors = ended(run)
    assert len(records) == 1
    assert "capture: no trades, so there are no bars" in errors
    path = written(tmp_path, "coinbase", 5, snapshot=False)
    with started(name, tmp_path, path) as run:
        records, _, errors = ended(run)
    assert set(records["kind"].tolist()) == {MarketKind.TRADE}
    assert "no snapshot of the book of BTC-USD, which is never verified: there are no" in errors


def test_a_book_that_nothing_mends_is_said_to_stay_stale(name: str, tmp_path: Path) -> None:
    path = tmp_path / "gap.jsonl"
    levels = [("99.90", "1")], [("200.10", "1")]
    texts = [
        *(f.binance_depth(2, 3), f.binance_snapshot(1, *levels), f.binance_ticker(4)),
        *(f.binance_depth(9, 10), f.binance_ticker(11), f.binance_trade(1)),
    ]
    path.write_text("".join(f"{text}\n" for text in texts))
    with started(name, tmp_path, path) as run:
        records, _, errors = ended(run)
    assert "gaps in it: 1; " in errors
    assert "stale at its end, as no snapshot mends a book: no new risk" in errors
    assert told(records) == expected("binance", path)


def test_instruments_in_other_currencies_are_left_out_and_named(name: str, tmp_path: Path) -> None:
    path = tmp_path / "several.jsonl"
    texts = [f.binance_trade(1), f.binance_trade(1), f.binance_ticker(1)]
    others = [text.replace("BTCUSDT", "ETHEUR").replace("btcusdt", "etheur") for text in texts]
    odd = texts[0].replace("BTCUSDT", "ODD")
    path.write_text("".join(f"{text}\n" for text in (*others, *others, odd, *texts)))
    with started(name, tmp_path, path) as run:
        _, out, errors = ended(run)
    assert "left out: ETHEUR, which are in EUR" in errors
    assert "left out: ODD, which have currencies that are not known" in errors
    assert json.loads(out)["currency"] == "USDT"
    with started(name, tmp_path, path, currency="GBP", instruments="[]") as run:
        run.end(78)


@pytest.mark.parametrize(
    ("text", "flags", "code", "said"),
    [
        (f.STREAMS["okx"][-1], (), 1, "were of okx, must be of a venue with a connector: binance"),
        (f.STREAMS["kraken_v1"][-1], (), 1, "were of kraken_v1, must be of a venue with a conn"),
        (f.binance_depth(1, 2, previous=1), (), 1, "were of binance_usdm, must be of a venue"),
        ('{"e":"kline"}', (), 1, "must be given: --venue binance|kraken|coinbase"),
        ('{"e":"kline"}', ("--venue", "binance"), 1, "were none, must be some whose currencies"),
        (f.binance_trade(1), ("--venue", "kraken"), 1, "--venue was 'kraken', must be binance"),
        (f.binance_trade(1), ("--venue", "okx"), 1, "--venue was 'okx', must be"),
        (f.binance_trade(1), ("--speed", "fast"), 1, "speed was 'fast', must be recorded"),
        (f.binance_trade(1), ("--events", "5"), 78, "--events was 5, must be left out"),
        (f.binance_trade(1), ("--speed", ""), 1, "speed was '', must be recorded"),
        ("no frame", (), 1, "line was b'no frame', must begin with"),
        ("", (), 1, "capture.jsonl had no messages, must have some"),
        ("", ("--venue", "kraken"), 1, "capture.jsonl had no messages, must have some"),
    ],
)  # fmt: skip
def test_what_cannot_be_traded_is_refused_by_name(
    tmp_path: Path, text: str, flags: tuple[str, ...], code: int, said: str
) -> None:
    path = tmp_path / "capture.jsonl"
    path.write_text(f"{text}\n")
    found, output = configured(tmp_path, path, flags=flags)
    assert said in output
    assert found == code


def test_a_speed_needs_a_capture(tmp_path: Path) -> None:
    code, output = configured(tmp_path, flags=("--speed", "max"))
    assert (code, "--speed was 'max', must be left out without --capture" in output) == (78, True)


# --- Captured data ---


@pytest.mark.parametrize(
    ("venue", "names"),
    [
        ("binance", ["binance_spot_btcusdt_20240808.jsonl.gz"]),
        (
            "binance",
            ["binance_spot_alts_20211012.txt.xz", "binance_spot_alts_20211012_rest_depth.txt.xz"],
        ),
        ("kraken", ["kraken_v2_book10_btcusd_20260619.jsonl"]),
        ("coinbase", ["coinbase_advanced_trades_l2_btcusd_20260715_seq197-198.jsonl"]),
    ],
)
def test_nothing_of_a_real_capture_is_lost(
    name: str, tmp_path: Path, venue: str, names: list[str]
) -> None:
    paths = captured(*names)
    with started(name, tmp_path, *paths, **LARGE) as run:
        records, _, _ = ended(run)
    every = expected(venue, *paths)
    if len(names) == 1:
        assert told(records) == every
    else:  # of several quote currencies the account's is traded
        assert 0 < len(told(records)) < len(every)
    assert not set(records["kind"].tolist()) - {MarketKind.TRADE, MarketKind.QUOTE}
