"""`bot4 feed`: what the feed's decoders make of captured market data."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from pipeline.cli.failure import FAILURE, exit_with_message
from pipeline.cli.view import console

# As in workers/feed/decoding.py; the pipeline imports no worker before one is asked for.
_VENUES = ("binance", "binance_usdm", "kraken", "kraken_v1", "okx", "coinbase")


@click.group("feed")
def command() -> None:
    """Look at market data as the feed does."""


@command.command("check")
@click.option("--venue", type=click.Choice(_VENUES), required=True, help="Whose messages they are.")
@click.option(
    "--capture",
    "captures",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    required=True,
    help="A captured file (.txt.xz, .jsonl.gz, .jsonl); several are merged by time.",
)
@click.option("--reference", is_flag=True, help="Compare with the decoder in Python (slow).")
@click.option(
    "--expect-gaps",
    type=click.IntRange(min=0),
    default=0,
    help="Exactly so many gaps are known to be in the capture.",
)
@click.option(
    "--expect-malformed",
    type=click.IntRange(min=0),
    default=0,
    help="Exactly so many messages are known to be malformed.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check_command(
    venue: str,
    captures: tuple[Path, ...],
    reference: bool,
    expect_gaps: int,
    expect_malformed: int,
    as_json: bool,
) -> None:
    """Verify every checksum and every sequence of captured data.

    Exits with 1 if a checksum is wrong, a book is crossed, there is another number of gaps or of
    malformed messages than expected, or the reference disagrees.
    """
    check = importlib.import_module("workers.feed.check")
    capture = importlib.import_module("workers.feed.capture")
    with exit_with_message(check.CheckError, capture.CaptureError):
        result = check.check(venue, captures, with_reference=reference)
    if as_json:
        click.echo(json.dumps(_document(result, check.COUNTS)))
    else:
        _print(result, check.COUNTS)
    if not result.is_good(expect_gaps, expect_malformed):
        raise click.exceptions.Exit(FAILURE)


def _document(result: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {
        "venue": result.venue,
        **{name: result.counts[name] for name in names},
        "books_live": list(result.live),
        "books_without_snapshot": list(result.waiting),
        "differences": list(result.differences),
    }


def _print(result: Any, names: tuple[str, ...]) -> None:
    table = Table(title=f"{result.venue}: what was decoded")
    table.add_column("count")
    table.add_column("", justify="right")
    for name in names:
        table.add_row(name.replace("_", " "), f"{result.counts[name]:,}")
    screen = console()
    screen.print(table)
    if result.waiting:
        screen.print(f"without a snapshot, so never verified: {', '.join(result.waiting)}")
    for difference in result.differences:
        screen.print(difference, markup=False, highlight=False, soft_wrap=True)
