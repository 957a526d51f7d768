"""`bot4 model`: what a model is, and models from elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pipeline.cli.config import configuration_flags, flags
from pipeline.cli.failure import exit_with_message
from pipeline.config import load
from pipeline.stage import StageError, load_object


@click.group("model")
def command() -> None:
    """Show models, and take over estimators that were fitted elsewhere."""


@command.command("show")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show_command(directory: Path, as_json: bool) -> None:
    """Print the card of the model in DIRECTORY, after checking that its files are whole."""
    from pipeline.cli.card import document, tables
    from pipeline.cli.view import console

    with exit_with_message():
        manifest = load_object("workers.ml.models:whole")(directory)
        if as_json:
            click.echo(json.dumps(document(manifest)))
            return
        try:
            shown = list(tables(manifest))
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            # Its sections are whatever somebody has written; no run reads them.
            raise StageError(
                f"{directory}: its card is not one of bot4 train ({type(error).__name__}: {error})"
                "; --json prints it as it is"
            ) from error
        for table in shown:
            console().print(table)


@command.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Directory to write.")
@click.option("--features", help="Of the model, in the order of its columns, with commas between.")
@click.option(
    "--like",
    type=click.Path(path_type=Path),
    help="Directory of a model that has the same features.",
)
@click.option(
    "--data-to", metavar="TIME", help="End of the data that it was fitted on, UTC; as 2026-01-31."
)
@click.option(
    "--trust", "trusted", multiple=True, metavar="TYPE", help="That it may be made of; repeat it."
)
@configuration_flags
@click.pass_obj
def import_command(
    config_file: Path | None,
    file: Path,
    out: Path,
    features: str | None,
    like: Path | None,
    data_to: str | None,
    trusted: tuple[str, ...],
    name: str | None,
    settings: dict[str, str],
) -> None:
    """Make a model of an estimator of scikit-learn in FILE, which `skops.io.dump` has written.

    It has to be a fitted classifier with two classes, the second of which is a rise, of features
    that were computed over the bars and with the windows of [ta] of this configuration; of hourly
    bars, say, with --set ta.bar=time --set ta.interval_ms=3600000. A run of others refuses it. What
    it is made of beyond what skops knows to be safe is named, and refused unless it is trusted:
    here, and in the configuration, by ml.trusted. A run evaluates it in a process of its own.

    What `bot4 train` makes is faster by far: it needs no import, and no process.
    """
    with exit_with_message():
        config = load(config_file, flags=flags(name, settings)).resolved()
        bars_of = load_object("workers.ml.running:bars_of")
        manifest = load_object("workers.ml.importing:import_estimator")(
            file,
            out,
            config,
            features=None if features is None else features.split(","),
            like=like,
            data_to=data_to,
            trusted=trusted,
        )
    bars = ", ".join(f"{key} = {value}" for key, value in bars_of(config["ta"]).items())
    click.echo(f"{out}: {', '.join(manifest.card.features)}; of bars with {bars}")
    click.echo(f"a rise is its class {manifest.card.labels['rise']}")
    if manifest.trusted:
        types = ", ".join(f'"{each}"' for each in manifest.trusted)
        click.echo(f"to run it, put into the configuration, under [ml]:  trusted = [{types}]")
