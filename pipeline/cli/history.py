"""`bot4 history`: the bars of a market, into a file."""

from __future__ import annotations

import csv
import datetime
import importlib
import io
import json
from pathlib import Path
from typing import Any

import click

from pipeline.cli.config import configuration_flags, flags
from pipeline.cli.failure import exit_with_message, warn
from pipeline.config import load
from pipeline.markets.bars import COLUMNS, Bar
from pipeline.markets.exact import plain
from pipeline.markets.files import replace
from pipeline.markets.history import History, history
from pipeline.markets.venue import VenueError

_PARQUET = ".parquet"


def _ms(context: click.Context, option: click.Parameter, value: str | None) -> int | None:
    """Return a time in ms since 1970."""
    if value is None:
        return None
    try:
        time = datetime.datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(
            f"was {value!r}, must be like 2026-01-31 or 2026-01-31T12:00"
        ) from None
    if time.tzinfo is None:
        time = time.replace(tzinfo=datetime.UTC)
    if time.timestamp() < 0:
        raise click.BadParameter(f"was {value!r}, must be in 1970 or later")
    return round(time.timestamp() * 1000)


@click.command("history")
@click.option("--venue", required=True, help="The venue, as ccxt calls it: binance, kraken ...")
@click.option("--symbol", required=True, help="The market, by its symbol or the venue's id.")
@click.option("--timeframe", default="1m", help="Of a bar: 1m, 5m, 1h, 1d ...")
@click.option("--since", callback=_ms, required=True, help="The first bar: 2026-01-31; UTC.")
@click.option("--until", callback=_ms, help="No bar from here on. [default: now]")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help=f"File: {_PARQUET}, or CSV whatever else it is called.",
)
@click.option("--refresh", is_flag=True, help="Ask for all of it, whatever is kept.")
@click.option("--url", help="Ask this server in the place of the venue, e.g. a simulator.")
@click.option("--json", "as_json", is_flag=True, help="Print what was written as a JSON object.")
@configuration_flags
@click.pass_obj
def command(
    config_file: Path | None,
    venue: str,
    symbol: str,
    timeframe: str,
    since: int,
    until: int | None,
    out: Path,
    refresh: bool,
    url: str | None,
    as_json: bool,
    name: str | None,
    settings: dict[str, str],
) -> None:
    """Write the bars of a market that are over to a file; those without a trade may be missing.

    Bars are kept in the state directory, and only those that are missing are asked for: if all are
    there, no network is needed. If the venue fails on the way, what it gave is kept.
    """
    with exit_with_message(VenueError):
        state_dir = Path(load(config_file, flags=flags(name, settings)).config.state_dir)
        end = round(datetime.datetime.now(datetime.UTC).timestamp() * 1000)
        end = end if until is None else until
        if end <= since:
            raise VenueError(f"since was {_text(since)}, must be before until, {_text(end)}")
        found = history(
            venue, symbol, timeframe, since, end, state_dir=state_dir, url=url, refresh=refresh
        )
        for note in found.notes:
            warn(note)
        _write(out, found.bars)
    click.echo(json.dumps(_document(found, out)) if as_json else _summary(found, out))


def _write(path: Path, bars: tuple[Bar, ...]) -> None:
    if path.suffix == _PARQUET:
        _write_parquet(path, bars)
        return
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    rows.writerows([bar.time_ms, *map(plain, bar[1:])] for bar in bars)
    replace(path, text.getvalue())


def _write_parquet(path: Path, bars: tuple[Bar, ...]) -> None:
    """Write numbers as float64, which is what everything that reads Parquet computes with."""
    try:
        arrow: Any = importlib.import_module("pyarrow")
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise VenueError(
            f"out was {path}, which needs pyarrow: pip install pyarrow, or write CSV"
        ) from None
    columns = {"time_ms": arrow.array([bar.time_ms for bar in bars], arrow.int64())}
    for at, column in enumerate(COLUMNS[1:], 1):
        columns[column] = arrow.array([float(bar[at]) for bar in bars], arrow.float64())
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(arrow.table(columns), path)


def _document(found: History, out: Path) -> dict[str, object]:
    return {
        "venue": found.venue,
        "symbol": found.symbol,
        "timeframe": found.timeframe,
        "since_ms": found.span.since,
        "until_ms": found.span.until,
        "bars": len(found.bars),
        "gaps": found.gaps,
        "notes": found.notes,
        "out": str(out),
    }


def _summary(found: History, out: Path) -> str:
    lines = [f"{out}: {len(found.bars):,} bars of {found.timeframe}, {found.venue} {found.symbol}"]
    lines += [f"no bars from {_text(gap.since)} to {_text(gap.until)}" for gap in found.gaps[:10]]
    if len(found.gaps) > 10:
        lines.append(f"and {len(found.gaps) - 10} more gaps")
    return "\n".join(lines)


def _text(time_ms: int) -> str:
    return f"{datetime.datetime.fromtimestamp(time_ms // 1000, datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"
