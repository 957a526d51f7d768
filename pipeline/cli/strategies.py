"""`bot4 strategies`: what the configuration may name."""

from __future__ import annotations

import json

import click
from rich.table import Table
from rich.text import Text

from pipeline.cli.view import console
from pipeline.stage import load_object


@click.command("strategies")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(as_json: bool) -> None:
    """List the strategies that ml.strategy may name: built in, and of installed packages.

    One of yours needs no name: "path/to/file.py:Class" will do.
    """
    found = list(load_object("workers.ml.strategies:available")())
    if as_json:
        rows = [dict(zip(("name", "class", "about"), row, strict=True)) for row in found]
        click.echo(json.dumps({"strategies": rows}))
        return
    table = Table(box=None, pad_edge=False)
    for column in ("name", "class", "about"):
        table.add_column(column, overflow="fold")
    for row in found:
        table.add_row(*map(Text, row))
    console().print(table)
