"""`bot4 shm`: what lies in /dev/shm, and the removal of what nobody uses."""

from __future__ import annotations

import dataclasses
import json

import click
from rich.console import Console
from rich.table import Table

from pipeline.cli.failure import exit_with_message
from shm import SegmentInfo, list_segments, reap

_name = click.option("--name", help="Only segments of this deployment.")
_json = click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")


@click.group("shm")
def command() -> None:
    """List or remove segments of shared memory."""


@command.command("list")
@_name
@_json
def list_command(name: str | None, as_json: bool) -> None:
    """List segments, and whether anybody uses them.

    running: its creator lives. orphaned: its creator is gone, others use it. stale: nobody does.
    invalid: nobody does, and it is damaged. foreign: another user's.
    """
    with exit_with_message():
        _print(list_segments(name), as_json, "no segments")


@command.command("reap")
@_name
@_json
def reap_command(name: str | None, as_json: bool) -> None:
    """Remove the segments that no living process uses."""
    with exit_with_message():
        _print(reap(name), as_json, "nothing to remove")


def _print(segments: list[SegmentInfo], as_json: bool, nothing: str) -> None:
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(info) for info in segments]))
        return
    if not segments:
        click.echo(nothing)
        return
    table = Table("name", "run", "state", "MiB", "creator", "problem")
    for info in segments:
        table.add_row(
            info.name,
            info.run_id,
            info.state,
            f"{info.bytes / 2**20:.1f}",
            str(info.creator_pid or "-"),
            info.problem or "",
        )
    Console().print(table)
