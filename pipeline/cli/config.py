"""`bot4 config`: check the configuration, show it with its origins, print one to begin with."""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from pipeline.cli.failure import exit_with_message
from pipeline.config import load


def _as_flags(
    context: click.Context, option: click.Parameter, settings: tuple[str, ...]
) -> dict[str, str]:
    for setting in settings:
        if "=" not in setting:
            raise click.BadParameter(f"was {setting!r}, must be KEY=VALUE")
    return {key.strip(): value for key, _, value in (text.partition("=") for text in settings)}


def configuration_flags(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--name` and `--set`; it gets them as `name` and `settings` (see `flags`)."""
    function = click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="KEY=VALUE",
        callback=_as_flags,
        help="Override a key, e.g. risk.position_bp=100. Repeatable.",
    )(function)
    return click.option("--name", help="Override the name of the deployment.")(function)


def flags(name: str | None, settings: dict[str, str]) -> dict[str, str]:
    """Return what these options override, for `pipeline.config.load`."""
    return settings if name is None else {**settings, "name": name}


@click.group("config")
def command() -> None:
    """Check or show the configuration."""


@command.command("check")
@configuration_flags
@click.pass_obj
def check_command(config_file: Path | None, name: str | None, settings: dict[str, str]) -> None:
    """Say whether the configuration is valid; if it is not, name everything that is wrong."""
    with exit_with_message():
        loaded = load(config_file, flags=flags(name, settings))
        symbols = ", ".join(entry.symbol for entry in loaded.config.instruments)
        click.echo(f"{loaded.file or 'defaults'}: ok, {loaded.config.name} trades {symbols}")


@command.command("show")
@configuration_flags
@click.option("--origin", is_flag=True, help="Also show where each value was given.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def show_command(
    config_file: Path | None,
    name: str | None,
    settings: dict[str, str],
    origin: bool,
    as_json: bool,
) -> None:
    """Show every value that holds on this host."""
    with exit_with_message():
        values = load(config_file, flags=flags(name, settings)).values()
        if as_json:
            click.echo(
                json.dumps(
                    {
                        key: {"value": value, "origin": str(place)} if origin else value
                        for key, (value, place) in values.items()
                    }
                )
            )
            return
        rows = [(key, json.dumps(value), str(place)) for key, (value, place) in values.items()]
        console = Console()
        if not console.is_terminal:
            for key, value, place in rows:
                click.echo(f"{key} = {value}" + (f"  # {place}" if origin else ""))
            return
        table = Table("key", "value", *(["origin"] if origin else []))
        for row in rows:
            table.add_row(*row[: 3 if origin else 2])
        console.print(table)


@command.command("default")
def default_command() -> None:
    """Print the packaged configuration, with comments, to begin with."""
    with exit_with_message():
        file = importlib.resources.files("pipeline.config") / "default.toml"
        click.echo(file.read_text(encoding="utf-8"), nl=False)
