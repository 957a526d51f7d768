"""`bot4 init`: a new state directory, with a latch that is clear."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli.config import configuration_flags, flags
from pipeline.cli.failure import FAILURE, exit_with_message
from pipeline.config import load
from pipeline.kill.latch import LatchFile


@click.command("init")
@configuration_flags
@click.pass_obj
def command(config_file: Path | None, name: str | None, settings: dict[str, str]) -> None:
    """Initialise the state directory of a deployment; on paper, bot4 run does so itself.

    A latch that is set, or missing where there was one, is reset by bot4 resume alone.
    """
    with exit_with_message():
        config = load(config_file, flags=flags(name, settings)).config
        file = LatchFile(Path(config.state_dir))
        if file.begin():
            click.echo(f"initialised {config.name}: {file.folder}")
            return
        held = file.read()
        if held.is_killed:
            click.echo(
                f"bot4: {config.name} is killed: {held}; bot4 resume --reason TEXT ends that",
                err=True,
            )
            raise click.exceptions.Exit(FAILURE)
        click.echo(f"{config.name} was initialised before: {file.folder}")
