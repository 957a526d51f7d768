"""`bot4 notify`: has somebody told something, to see that it comes through."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import click

from pipeline.cli.config import configuration_flags, flags
from pipeline.cli.failure import FAILURE, exit_with_message
from pipeline.config import ConfigError, load
from pipeline.notify.command import told
from pipeline.notify.notice import Notice
from pipeline.notify.notifier import Notifier

_SHOWN: Final = 20


@click.command("notify")
@click.option("--text", default="this is a test", help="The sentence that is told.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@configuration_flags
@click.pass_obj
def command(
    config_file: Path | None, text: str, as_json: bool, name: str | None, settings: dict[str, str]
) -> None:
    """Have the command of notify.command told something, as a run would, and show its answer.

    It is given a notice of kind "test", without figures. Exit code 1 if it fails.
    """
    with exit_with_message():
        loaded = load(config_file, flags=flags(name, settings))
        config = loaded.resolved()
        argv = config["notify"]["command"]
        if not argv:
            where = f" ({loaded.file})" if loaded.file else ""
            raise ConfigError(
                "notify.command was [], must be a program with its arguments, or nobody is told"
                f"{where}"
            )
        notice = Notice("test", "info", text)
        document = Notifier(config, lambda said: None).document(notice)
        answer = told(argv, document, config["notify"]["timeout_s"])
        if as_json:
            figures = {"exit_status": answer.exit_status, "failure": answer.failure or None}
            said = {**figures, "seconds": answer.seconds, "lines": answer.lines}
            click.echo(json.dumps({"command": argv, "notice": document, **said}))
        else:
            how = answer.failure or "told, exit status 0"
            click.echo(f"{argv[0]}: {how}, in {answer.seconds:.2f} s")
            for line in answer.lines[:_SHOWN]:
                click.echo(f"  {line}")
    if answer.failure:
        raise click.exceptions.Exit(FAILURE)
