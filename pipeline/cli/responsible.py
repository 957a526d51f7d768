"""`--actor` and `--reason`, of commands that say in the audit trail who did what and why."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import click

from pipeline.breakers.audit import FILE, AuditTrail
from pipeline.breakers.by_hand import Act
from pipeline.cli.failure import warn
from shm import Segment

_MOST: Final = 400


def cleaned(text: str) -> str:
    """Return text as records and terminals take it: one line, no control characters, no essay.

    It is cut, not refused: nobody should have to kill a deployment twice.
    """
    # Bytes of the command line that are no text come as lone surrogates, which no record takes.
    text = text.encode(errors="replace").decode()
    text = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return text if len(text) <= _MOST else f"{text[:_MOST]}..."


def _actor(context: click.Context, option: click.Parameter, value: str | None) -> str:
    return _filled(context, option, getpass.getuser() if value is None else value)


def _filled(context: click.Context, option: click.Parameter, value: str) -> str:
    value = cleaned(value)
    if not value:
        raise click.BadParameter("was empty, must say something; it is kept in the audit trail")
    return value


actor = click.option("--actor", callback=_actor, help="Who does it. [default: your login name]")
"""The option `--actor`."""


def reason(default: str | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option `--reason`, which is required if there is no default."""
    # A default of None would be one.
    given: dict[str, Any] = {"required": True} if default is None else {"default": default}
    return click.option("--reason", callback=_filled, help="Why; kept in the audit trail.", **given)


def responsible(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--actor` and `--reason`."""
    return actor(reason()(function))


def act_on(segment: Segment, config: Mapping[str, Any], actor: str, reason: str) -> Act:
    """Return what somebody is about to do to a run."""
    return Act(AuditTrail(Path(config["state_dir"]) / FILE), segment.run_id, actor, reason, warn)
