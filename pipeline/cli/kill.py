"""`bot4 kill`: no order is sent any more, from this moment on."""

from __future__ import annotations

import getpass
from pathlib import Path

import click

from pipeline.cli.config import configuration_flags
from pipeline.cli.failure import exit_with_message
from pipeline.cli.running import running_segment
from pipeline.supervisor import halt, halt_reason


@click.command("kill")
@click.option("--reason", required=True, help="Why; kept with the run.")
@configuration_flags
@click.pass_obj
def command(
    config_file: Path | None, reason: str, name: str | None, settings: dict[str, str]
) -> None:
    """Halt a running deployment: set the word that every stage sees at its next step.

    Nothing is sent any more; the run then drains and ends with exit code 4. The first reason is
    kept.
    """
    with exit_with_message(), running_segment(config_file, name, settings) as (segment, _):
        actor = getpass.getuser()
        if halt(segment, reason, actor):
            click.echo(f"halted {segment.name}, run {segment.run_id}: {reason}")
        else:
            click.echo(f"{segment.name}, run {segment.run_id}, was halted: {halt_reason(segment)}")
