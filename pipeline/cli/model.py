"""`bot4 model`: what a model is."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pipeline.cli.failure import exit_with_message
from pipeline.stage import load_object


@click.group("model")
def command() -> None:
    """Show models that `bot4 train` has written."""


@command.command("show")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show_command(directory: Path, as_json: bool) -> None:
    """Print the card of the model in DIRECTORY, after checking that its arrays are whole."""
    from pipeline.cli.card import document, tables
    from pipeline.cli.view import console

    with exit_with_message():
        manifest = load_object("workers.ml.models:load")(directory).manifest
        if as_json:
            click.echo(json.dumps(document(manifest)))
            return
        for table in tables(manifest):
            console().print(table)
