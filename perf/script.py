"""What the scripts have in common: their options, how they end, and how a report is told."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console

_WIDTH = 110
"""Columns of a table that no terminal shows."""

Report = Mapping[str, Any]

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

seconds_option = click.option(
    "--seconds", type=click.FloatRange(0, min_open=True), help="That each measurement takes."
)

repeats_option = click.option(
    "--repeats", type=click.IntRange(1), help="How often to measure each."
)


def quick_option(what: str) -> Callable[..., Any]:
    """Return the option --quick, which tells what it does."""
    return click.option("--quick", is_flag=True, help=what)


def names_option(
    *flags: str, known: Iterable[str], what: str = "Which to measure", **options: Any
) -> Callable[..., Any]:
    """Return an option that chooses among names, and has all of them as its default."""
    known = tuple(known)

    def chosen(context: click.Context, option: click.Parameter, value: str | None) -> Any:
        if value is None:
            return None
        names = list(dict.fromkeys(name.strip() for name in value.split(",")))
        if unknown := [name for name in names if name not in known]:
            raise click.BadParameter(f"was {', '.join(unknown)}, must be of {', '.join(known)}")
        return names

    usual = {
        "default": ",".join(known),
        "show_default": True,
        "callback": chosen,
        "help": f"{what}, separated by commas.",
    }
    return click.option(*flags, **{**usual, **options})


def exit_on_sigterm() -> None:
    """End by way of SystemExit, so that processes, segments and directories are removed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def progress(text: str) -> None:
    """Tell who waits at a terminal how far it is."""
    if sys.stderr.isatty():
        click.echo(text, err=True)


def now() -> str:
    """Return when this is measured."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")


def tell(report: Report, show: Callable[[Report, Console], None], *, as_json: bool) -> None:
    """Print a report for machines, or for a reader."""
    if as_json:
        click.echo(json.dumps(report, indent=2))
        return
    width = None if sys.stdout.isatty() else _WIDTH
    show(report, Console(width=width, highlight=False, markup=False))


def show_end(
    report: Report, console: Console, measured: Callable[[Any], str] | None = None
) -> None:
    """Print who was left out and why, who failed, and what was expected."""
    for what in ("refused", "skipped", "failed"):
        for name, reason in report.get(what, {}).items():
            console.print(f"{what} {name}: {reason}", style="bold red" if what == "failed" else "")
    for each in report.get("expectations", ()):
        verdict = {True: "met", False: "NOT met", None: "not measured"}[each["met"]]
        figure = measured(each) if measured else _in_words(each["measured"])
        console.print(f"{each['expected']}. Measured: {figure}: {verdict}")


def _in_words(measured: object) -> str:
    if measured is None:
        return "nothing"
    return f"{measured:g}" if isinstance(measured, float) else str(measured)
