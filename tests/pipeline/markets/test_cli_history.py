"""`bot4 history`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipeline.cli.history import command
from tests.pipeline.markets.venues import MINUTE, Server, as_binance, binance_klines

TIMES = [at * MINUTE for at in range(1440, 3000) if at not in range(1450, 1460)]


def bot4(server: Server, *arguments: str) -> Result:
    given = ("--venue", "binance", "--symbol", "BTCUSDT", "--url", server.url, *arguments)
    return CliRunner().invoke(command, given)


def ask(server: Server, out: str, *more: str) -> Result:
    return bot4(
        server, "--since", "1970-01-02", "--until", "1970-01-02T01:00+00:00", "--out", out, *more
    )


@pytest.fixture
def binance(server: Server) -> Server:
    as_binance(server)
    binance_klines(server, TIMES)
    return server


def test_bars_are_written_as_csv_and_kept(binance: Server, tmp_path: Path) -> None:
    done = ask(binance, "bars.csv")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "bars.csv: 50 bars of 1m, binance BTCUSDT",
        "no bars from 1970-01-02T00:10:00Z to 1970-01-02T00:20:00Z",
    ]
    head, first, *rest = (tmp_path / "bars.csv").read_text().splitlines()
    assert head == "time_ms,open,high,low,close,volume"
    assert first == "86400000,1440.1,1440.4,1440.05,1440.12345678901234567,0.3"
    assert len(rest) == 49
    binance.answers.clear()  # the venue is silent now
    document = json.loads(ask(binance, "again.csv", "--json").stdout)
    assert (document["bars"], document["gaps"]) == (50, [[87_000_000, 87_600_000]])
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "bars.csv").read_bytes()
    refused = ask(binance, "none.csv", "--refresh")
    assert refused.exit_code == 1
    assert refused.stderr.startswith("bot4: binance ")


def test_bars_are_written_as_parquet(binance: Server, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow")
    assert ask(binance, "new/bars.parquet").exit_code == 0
    rows = parquet.read_table(tmp_path / "new" / "bars.parquet").to_pylist()
    assert len(rows) == 50
    assert rows[0] == {
        "time_ms": 86_400_000,
        "open": 1440.1,
        "high": 1440.4,
        "low": 1440.05,
        "close": 1440.1234567890123,
        "volume": 0.3,
    }


def test_parquet_without_pyarrow_is_refused(
    binance: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    done = ask(binance, "bars.parquet")
    assert done.exit_code == 1
    assert "out was bars.parquet, which needs pyarrow: pip install pyarrow" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--since", "yesterday"), 2, "was 'yesterday', must be like 2026-01-31"),
        (("--since", "1969-01-01"), 2, "must be in 1970 or later"),
        (("--since", "2000-01-01", "--until", "1999-01-01"), 1, "must be before until, 1999-01-01"),
        (("--since", "1970-01-02", "--timeframe", "1x"), 1, "timeframe was '1x', must be"),
    ],
)
def test_what_cannot_be_asked_for_is_said(
    binance: Server, arguments: tuple[str, ...], code: int, message: str
) -> None:
    done = bot4(binance, "--out", "x.csv", *arguments)
    assert done.exit_code == code
    assert message in done.stderr
