"""`bot4 chaos`: breaks a run of its own on purpose, and shows that nothing came of it."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import click

from pipeline import topology
from pipeline.chaos import breakers
from pipeline.chaos.faults import FAULTS
from pipeline.chaos.plan import plan
from pipeline.chaos.recorder import RecorderError
from pipeline.chaos.run import ChaosRun, as_json
from pipeline.chaos.victim import ChaosError
from pipeline.cli.failure import FAILURE, exit_with_message
from pipeline.stage import load_object

LEAST_ORDERS = 1000
"""A run with fewer orders proves too little."""


@click.group("chaos")
def command() -> None:
    """Break a run on purpose, and see what comes of it."""


@command.command("kill")
@click.option("--seed", type=click.IntRange(min=0), default=7, help="Of market and kills.")
@click.option(
    "--events", type=click.IntRange(min=100), default=200_000, help="Market records of the run."
)
@click.option("--kills", type=click.IntRange(min=0), default=25, help="How many.")
@click.option("--rate", type=click.IntRange(min=1), default=10_000, help="Events a second.")
@click.option(
    "--stage",
    type=click.Choice([*topology.PIPELINE, topology.MODEL, "supervisor"]),
    help="Only this one.",
)
@click.option("--strategy", help="Run this one, as ml.strategy names it; your own, for example.")
@click.option(
    "--model",
    type=click.Path(path_type=Path, exists=True, file_okay=False, resolve_path=True),
    help="Run with this one; if it has a process of its own, that is killed as well.",
)
@click.option(
    "--sabotage",
    type=click.Choice(["dedupe", "slots", "context"]),
    help="Switch one rule of the recovery off; the command must then fail.",
)
@click.option("--json", "as_json_object", is_flag=True, help="Print one JSON object.")
def kill_command(
    seed: int,
    events: int,
    kills: int,
    rate: int,
    stage: str | None,
    strategy: str | None,
    model: Path | None,
    sabotage: str | None,
    as_json_object: bool,
) -> None:
    """SIGKILL processes of a run at seeded input positions, then replay it without any kill.

    Everything that the run published is recorded. Each stage is then replayed over the recorded
    inputs and contexts: its outputs must be the same, bit for bit, every input must be in exactly
    one step, and every intent have exactly one decision.
    """

    def say(text: str) -> None:
        click.echo(text, err=as_json_object)

    with exit_with_message():
        processes = _victims(model)
    if stage == topology.MODEL and stage not in processes:
        raise click.UsageError(f"--stage {stage} needs a --model with a process of its own")
    with (
        exit_with_message(ChaosError, RecorderError),
        tempfile.TemporaryDirectory(prefix="bot4-chaos-") as folder,
    ):
        run = ChaosRun(
            f"chaos-{os.getpid()}",
            Path(folder),
            events=events,
            rate=rate,
            seed=seed,
            sabotage=sabotage,
            report=say,
            strategy=strategy,
            model=None if model is None else str(model),
        )
        outcome = run.execute(plan(seed, events, kills, stage, processes))
    figures = as_json(outcome)
    if as_json_object:
        click.echo(json.dumps(figures))
    else:
        for key, value in figures.items():
            click.echo(f"{key:18} {value}")
    verdict = outcome.verdict
    if not verdict.is_clean:
        say(f"bot4: the run differs from its replay: {'; '.join(verdict.findings)}")
        raise click.exceptions.Exit(FAILURE)
    if verdict.orders < LEAST_ORDERS:
        say(
            f"bot4: there were {verdict.orders} orders, must be at least {LEAST_ORDERS} to prove "
            "anything; use more --events"
        )
        raise click.exceptions.Exit(FAILURE)


def _victims(model: Path | None) -> tuple[str, ...]:
    """Return the processes that are killed in turn.

    Raises:
        StageError: that is no model.
    """
    if model is None or not load_object("workers.ml.models:read_manifest")(model).is_asked:
        return topology.PIPELINE
    return (*topology.PIPELINE, topology.MODEL)


@command.command("breakers")
@click.option("--seed", type=click.IntRange(min=0), default=7, help="Of the market.")
@click.option("--rate", type=click.IntRange(min=100), default=4000, help="Events a second.")
@click.option(
    "--fault", "faults", type=click.Choice(list(FAULTS)), multiple=True, help="Only this one."
)
@click.option("--json", "as_json_object", is_flag=True, help="Print one JSON object.")
def breakers_command(seed: int, rate: int, faults: tuple[str, ...], as_json_object: bool) -> None:
    """Make faults in a run, and watch its circuit breakers.

    Each fault must open the breaker of what is broken and no other; new risk must stop within 50 ms
    of that, while orders that reduce a position pass; and once the fault is mended the breaker must
    close by itself.
    """

    def say(text: str) -> None:
        click.echo(text, err=as_json_object)

    with (
        exit_with_message(ChaosError),
        tempfile.TemporaryDirectory(prefix="bot4-chaos-") as folder,
    ):
        chaos = breakers.BreakerChaos(
            f"chaos-{os.getpid()}", Path(folder), seed=seed, rate=rate, report=say
        )
        findings = chaos.execute(faults or list(FAULTS))
    if as_json_object:
        click.echo(json.dumps(breakers.as_json(findings)))
    else:
        _print_findings(findings)
    if complaints := breakers.complaints(findings):
        say(f"bot4: {'; '.join(complaints)}")
        raise click.exceptions.Exit(FAILURE)


def _print_findings(findings: list[breakers.Finding]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for title in ("fault", "breaker"):
        table.add_column(title, no_wrap=True)
    for title in ("opened, ms", "last risk, ms", "refused", "reduced", "closed, ms"):
        table.add_column(title, justify="right")
    for each in findings:
        times = [
            "never" if value is None else f"{value:.1f}"
            for value in (each.detected_ms, each.stopped_ms, each.recovered_ms)
        ]
        table.add_row(
            each.fault,
            each.breaker,
            times[0],
            times[1],
            str(each.refused),
            str(each.reducing),
            times[2],
        )
    Console().print(table)
