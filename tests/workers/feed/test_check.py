"""`bot4 feed check`, on frames written here and on captured data where that is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pipeline.cli import main
from pipeline.cli.feed import _VENUES
from tests.workers.feed import frames as f
from tests.workers.feed.captures import captured
from workers.feed.capture import merged
from workers.feed.check import CheckError, check, learn
from workers.feed.decoding import VENUES, Step


def run(venue: str, *paths: Path, options: tuple[str, ...] = ("--json",)) -> tuple[int, Any]:
    captures = [part for path in paths for part in ("--capture", str(path))]
    done = CliRunner().invoke(main, ["feed", "check", "--venue", venue, *captures, *options])
    return done.exit_code, json.loads(done.stdout) if "--json" in options else done.output


def written(tmp_path: Path, *texts: str, name: str = "capture.jsonl") -> Path:
    path = tmp_path / name
    path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return path


def test_all_venues_can_be_asked_for() -> None:
    assert _VENUES == VENUES


@pytest.mark.parametrize("venue", VENUES)
def test_the_reference_makes_the_same_of_it(venue: str, tmp_path: Path) -> None:
    texts = list(f.STREAMS[venue])
    if venue in f.SNAPSHOTS:
        texts.insert(4, f.SNAPSHOTS[venue])
    path = written(tmp_path, *(text for text in texts if text != "pong"))
    _, document = run(venue, path, options=("--json", "--reference"))
    assert document["differences"] == []
    assert document["messages"] == len([text for text in f.STREAMS[venue] if text != "pong"])


def test_symbols_steps_and_depths_are_learnt(tmp_path: Path) -> None:
    ack = (
        '{"method":"subscribe","result":{"channel":"book","depth":25,"symbol":"BTC/USD"},'
        '"success":true}'
    )
    path = written(
        tmp_path, ack, f.kraken_book("update", [("99.25", "1.5")], (), 1), f.kraken_trade(1)
    )
    learnt = learn("kraken", merged([path]))
    (listing,) = learnt.listings()
    assert (learnt.depth, listing.symbol) == (25, "BTC/USD")
    assert (listing.tick, listing.lot) == (Step(1, 2), Step(1, 8))


def test_a_bad_checksum_a_crossed_book_and_a_gap_end_it_with_1(tmp_path: Path) -> None:
    start = f.kraken_book("snapshot", f.BIDS, f.ASKS, f.kraken_crc(f.BIDS, f.ASKS))
    good = written(tmp_path, start)
    assert run("kraken", good)[0] == 0
    code, document = run("kraken", written(tmp_path, start, f.kraken_book("update", f.BIDS, (), 1)))
    assert (code, document["checksum_failed"], document["books_live"]) == (1, 1, [])
    crossed = f.coinbase_book(1, "snapshot", ("bid", "2", "1"), ("offer", "1", "1"))
    code, document = run("coinbase", written(tmp_path, crossed))
    assert (code, document["crossed"]) == (1, 1)
    trades = written(tmp_path, f.binance_trade(1), f.binance_trade(5))
    code, document = run("binance", trades)
    assert (code, document["gaps"]) == (1, 1)


def test_gaps_that_are_known_may_be_expected(tmp_path: Path) -> None:
    path = written(tmp_path, f.coinbase_heartbeat(1), f.coinbase_trades(3, 1))
    assert run("coinbase", path)[0] == 1
    assert run("coinbase", path, options=("--json", "--expect-gaps", "1"))[0] == 0
    assert run("coinbase", path, options=("--json", "--expect-gaps", "2"))[0] == 1


def test_malformed_messages_end_it_with_1_unless_they_are_expected(tmp_path: Path) -> None:
    path = written(tmp_path, f.coinbase_heartbeat(1), f.coinbase_trades(2, 1), '{"channel":')
    code, document = run("coinbase", path)
    assert (code, document["malformed"]) == (1, 1)
    assert run("coinbase", path, options=("--json", "--expect-malformed", "1"))[0] == 0
    assert run("coinbase", path, options=("--json", "--expect-malformed", "2"))[0] == 1


def test_a_connection_in_the_capture_explains_a_gap(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        f"1.0: {f.coinbase_trades(1, 1)}",
        "wss://advanced-trade-ws.coinbase.com <-> 2.0",
        f"3.0: {f.coinbase_trades(7, 2)}",
        name="capture.txt",
    )
    assert run("coinbase", path)[0] == 0


def test_people_get_a_table(tmp_path: Path) -> None:
    path = written(tmp_path, f.binance_depth(1, 2, [("1.50", "1")]))
    code, output = run("binance", path, options=())
    assert code == 0
    assert "book updates" in output
    assert "without a snapshot, so never verified: BTCUSDT" in output


def test_a_capture_of_another_venue_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, f.kraken_trade(1))
    done = CliRunner().invoke(main, ["feed", "check", "--venue", "okx", "--capture", str(path)])
    assert done.exit_code == 1
    assert "is a message of okx; is it another venue's?" in done.stderr
    with pytest.raises(CheckError, match="venue was 'x', must be one of"):
        check("x", [path])


# --- Captured data ---


@pytest.mark.parametrize(
    ("venue", "names", "expected"),
    [
        (
            "kraken",
            ["kraken_v2_book10_btcusd_20260619.jsonl"],
            {"messages": 81, "book_updates": 76, "checksum_ok": 76},
        ),
        (
            "kraken_v1",
            ["kraken_v1_book1000_20210417.txt.xz"],
            {"messages": 2863, "book_updates": 2824, "checksum_ok": 2817},
        ),
        (
            "okx",
            ["okx_v5_books_trades_tickers_20220513.txt.xz"],
            {"messages": 212, "book_updates": 192, "checksum_ok": 192},
        ),
        (
            "binance",
            ["binance_spot_alts_20211012.txt.xz", "binance_spot_alts_20211012_rest_depth.txt.xz"],
            {"messages": 265, "trades": 2, "book_updates": 177},
        ),
        (
            "binance_usdm",
            ["binance_usdm_alts_20210722.txt.xz", "binance_usdm_alts_20210722_rest_depth.txt.xz"],
            {"messages": 1535, "trades": 91, "book_updates": 764},
        ),
        (
            "coinbase",
            ["coinbase_advanced_trades_l2_btcusd_20260715_seq197-198.jsonl"],
            {"messages": 2, "trades": 2, "book_updates": 1},
        ),
    ],
)
def test_a_capture_holds_and_the_reference_agrees(
    venue: str, names: list[str], expected: dict[str, int]
) -> None:
    result = check(venue, captured(*names), with_reference=True)
    assert result.is_good(), result.differences
    clean = dict.fromkeys(("gaps", "checksum_failed", "crossed", "malformed", "fallback"), 0)
    assert {name: result.counts[name] for name in clean} == clean
    assert {name: result.counts[name] for name in expected} == expected
    if venue != "coinbase":
        assert result.waiting == ()


@pytest.mark.parametrize(
    ("venue", "names", "trades", "updates"),
    [
        (
            "binance",
            ["binance_spot_btcusdt_20240808.jsonl.gz", "binance_spot_btcusdt_20240809.jsonl.gz"],
            19904,
            6495,
        ),
        ("binance_usdm", ["binance_usdm_btcusdt_20240808.jsonl.gz"], 21313, 6551),
    ],
)
def test_minutes_of_binance_hold(venue: str, names: list[str], trades: int, updates: int) -> None:
    result = check(venue, captured(*names))
    assert result.is_good()
    assert (result.counts["trades"], result.counts["book_updates"]) == (trades, updates)
    assert (result.counts["malformed"], result.counts["fallback"]) == (0, 0)
    assert result.live == ("BTCUSDT",)


def test_the_gap_in_coinbase_s_capture_is_found() -> None:
    result = check("coinbase", captured("coinbase_advanced_l2_btcusd_20260716.jsonl"))
    assert result.counts["gaps"] == 1
    assert not result.is_good()
    assert result.is_good(expected_gaps=1)
