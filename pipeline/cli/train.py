"""`bot4 train`: a model from histories of bars."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from pipeline.cli.config import configuration_flags, flags
from pipeline.cli.failure import exit_with_message
from pipeline.config import load
from pipeline.stage import load_object

_FILE = click.Path(path_type=Path)


@click.command("train")
@click.option(
    "--data",
    "files",
    type=_FILE,
    multiple=True,
    help="History of an instrument, Parquet or CSV: ts_ms, open, high, low, close, volume. "
    "Repeatable.",
)
@click.option("--simulated", is_flag=True, help="Learn from the simulated market in its place.")
@click.option(
    "--bars", type=click.IntRange(2, 1_000_000), default=8_000, help="Of each simulated instrument."
)
@click.option("--out", type=_FILE, required=True, help="Directory of the model.")
@click.option(
    "--model",
    type=click.Choice(["hgb", "rf", "lr"]),
    default="hgb",
    help="Boosted trees, random forest or logistic regression.",
)
@click.option(
    "--label",
    type=click.Choice(["triple-barrier"]),
    default="triple-barrier",
    help="What is learnt.",
)
@click.option(
    "--horizon", type=click.IntRange(1, 10_000), default=24, help="Bars until the vertical barrier."
)
@click.option(
    "--barrier",
    type=click.FloatRange(0, 100, min_open=True),
    default=2.0,
    help="Distance of the others, in ATR, to which the costs are added.",
)
@click.option(
    "--fee-bp", type=click.FloatRange(0, 500), default=10.0, help="Of one order, basis points."
)
@click.option(
    "--half-spread-bp",
    type=click.FloatRange(0, 500),
    default=1.0,
    help="Likewise; each order pays both.",
)
@click.option(
    "--folds", type=click.IntRange(1, 50), default=5, help="Test periods of the walk forward."
)
@click.option(
    "--embargo",
    type=click.IntRange(min=0),
    help="Bars without labels before each test. [default: horizon]",
)
@click.option(
    "--calibration",
    type=click.Choice(["sigmoid", "isotonic"]),
    default="sigmoid",
    help="Of the probabilities, on data later than what was learnt from.",
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.1,
    help="Least |2 p - 1| that counts as a trade in the figures.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=7,
    help="Of all that is random, the simulated market too.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the card as one JSON object.")
@configuration_flags
@click.pass_obj
def command(
    config_file: Path | None,
    files: tuple[Path, ...],
    simulated: bool,
    bars: int,
    out: Path,
    model: str,
    label: str,
    horizon: int,
    barrier: float,
    fee_bp: float,
    half_spread_bp: float,
    folds: int,
    embargo: int | None,
    calibration: str,
    threshold: float,
    seed: int,
    as_json: bool,
    name: str | None,
    settings: dict[str, str],
) -> None:
    """Train a model, judge it honestly, and write it as flat arrays and a card.

    Features are those of the pipeline, with the windows of [ta]. Before anything else the same
    training is done on random walks: if these can be foretold, something leaks, and no model is
    written. Nor is one that is not evaluated natively to what scikit-learn says.
    """
    if bool(files) == simulated:
        raise click.UsageError("name either histories, with --data, or --simulated")
    errors = [
        load_object(f"workers.{path}")
        for path in ("ml.training.error:TrainingError", "exchange.listing:ListingError")
    ]
    with exit_with_message(*errors):
        config = load(config_file, flags=flags(name, settings)).config.resolved()
        job = load_object("workers.ml.training.job:job_from")(
            config=config,
            files=files,
            simulated_bars=bars,
            out=out,
            model=model,
            horizon=horizon,
            barrier=barrier,
            cost_bp=2 * (fee_bp + half_spread_bp),
            folds=folds,
            embargo_bars=horizon if embargo is None else embargo,
            calibration=calibration,
            threshold=threshold,
            seed=seed,
        )
        with _progress(load_object("workers.ml.training.job:steps")(job)) as tell:
            manifest = load_object("workers.ml.training.job:run")(job, tell)
        _show(manifest, out, as_json=as_json)


def _show(manifest: Any, out: Path, *, as_json: bool) -> None:
    from pipeline.cli.card import document, tables
    from pipeline.cli.view import console

    if as_json:
        click.echo(json.dumps(document(manifest)))
        return
    for table in tables(manifest):
        console().print(table)
    click.echo(f"written to {out}")


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[str], None]]:
    """Show how far it is: a bar on a terminal, otherwise a line a step; both on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.text import Text

    console = Console(stderr=True)
    if not console.is_terminal:
        step = 0

        def tell(text: str) -> None:
            nonlocal step
            step += 1
            click.echo(f"[{step}/{total}] {text}", err=True)

        yield tell
        return
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[at]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=total, at="")
        begun = 0

        def show(text: str) -> None:
            nonlocal begun
            # What begins is not done yet.
            progress.update(task, completed=begun, at=Text(text).plain)
            begun += 1

        yield show
        progress.update(task, completed=total)
