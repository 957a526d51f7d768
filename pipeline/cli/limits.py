"""`bot4 limits`: the limits of risk, shown with where they come from, or changed in a run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from pipeline.breakers.by_hand import OperationError, Record
from pipeline.cli.config import configuration_flags, flags
from pipeline.cli.failure import exit_with_message, warn
from pipeline.cli.responsible import act_on, responsible
from pipeline.cli.running import running_segment
from pipeline.cli.view import console
from pipeline.config import load
from pipeline.config.load import leaves
from pipeline.kill.by_hand import attached
from pipeline.kill.positions import committed
from pipeline.live_limits import SOURCE, in_run, planned
from pipeline.requests import Request, RequestError, latest, live_of, risk_account, turn
from pipeline.stage import load_object
from pipeline.vocabulary import ControlKind

_UNITS = {"_bp": "bp", "_ms": "ms", "_s": "s", "_rate": "/s"}
_OF_BASE = ("order_quantity", "adv")


@click.group("limits")
def command() -> None:
    """Show the limits of risk, or change them in a running deployment."""


@command.command("show")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
@configuration_flags
@click.pass_obj
def show_command(
    config_file: Path | None, as_json: bool, name: str | None, settings: dict[str, str]
) -> None:
    """Show each limit in force, its unit, and where it comes from.

    That is of the run, if there is one: the configuration that it was started with, and what was
    changed since by bot4 limits set. What a preset makes of a limit is shown beside it.
    """
    with exit_with_message():
        loaded = load(config_file, flags=flags(name, settings))
        now = {key: (value, str(place)) for key, (value, place) in loaded.values().items()}
        started: Mapping[str, Any] = loaded.resolved()
        live: Mapping[str, Any] = {}
        pending = False
        with attached(loaded.config.name) as segment:
            if segment is not None:
                started = json.loads(segment.blob("config"))
                row = latest(segment)
                live = live_of(row)
                pending = row is not None and row["request"] > risk_account(segment)["request"]
        rows = _rows(started, live, now)
        if pending:
            warn("a request has not been dealt with yet; repeat this")
        if as_json:
            click.echo(json.dumps(rows))
            return
        table = Table("limit", "value", "in force", "unit", "from")
        for each in rows:
            table.add_row(*("" if cell is None else str(cell) for cell in each.values()))
        screen = console()
        if screen.is_terminal:
            screen.print(table)
            return
        for each in rows:
            click.echo(_line(each))


@command.command("set")
@click.argument("settings_given", nargs=-1, required=True, metavar="KEY=VALUE...")
@responsible
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@configuration_flags
@click.pass_obj
def set_command(
    config_file: Path | None,
    settings_given: tuple[str, ...],
    actor: str,
    reason: str,
    as_json: bool,
    name: str | None,
    settings: dict[str, str],
) -> None:
    """Change limits in a running deployment: all at once, or, if one is wrong, none of them.

    KEY is one of the table [risk] of the configuration, e.g. position_bp, or
    instruments.BTCUSDT.position_bp. They hold until the run ends; for the next one, put them into
    config.toml. Nothing but this command loosens a limit.
    """
    wanted = _given(settings_given)

    with (
        exit_with_message(OperationError, RequestError),
        running_segment(config_file, name, settings) as (segment, config),
    ):
        mine = turn(segment)
        change = planned(config, mine.live, wanted, committed(segment, "risk", "limits"))
        if change.differ:
            act = act_on(segment, config, actor, reason)
            texts = [_listed(change.differ, which) for which in (0, 1)]
            request = Request(
                ControlKind.APPLY, actor, reason, limits=change.numbers, live=change.live
            )
            with act.recorded(Record("limits", texts[0], texts[1], "limits")):
                mine.ask(request)
        if as_json:
            said = {key: {"before": one, "after": two} for key, (one, two) in change.differ.items()}
            click.echo(json.dumps({"run_id": segment.run_id, "changed": said}))
            return
        for line in _lines(segment.name, change.differ):
            click.echo(line)


def _given(settings: Sequence[str]) -> dict[str, str]:
    """Return the values by their keys in [risk], dotted."""
    found: dict[str, str] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        key = key.strip().removeprefix("risk.")
        if not equals or not key:
            raise click.BadParameter(f"was {setting!r}, must be KEY=VALUE")
        key = key.replace('"', "")
        if key in found:
            raise click.BadParameter(f"{key} was given twice, must be given once")
        found[key] = value.strip()
    return found


def _listed(differ: Mapping[str, tuple[object, object]], which: int) -> str:
    return ", ".join(f"{key}={_text(pair[which])}" for key, pair in differ.items())


def _rows(
    started: Mapping[str, Any], live: Mapping[str, Any], now: Mapping[str, tuple[object, str]]
) -> list[dict[str, Any]]:
    risk = in_run(started, live)
    in_force = load_object("workers.risk.settings:in_force")
    rows = []
    for key, value in leaves(risk):
        place = now.get(f"risk.{key}", (None, ""))
        source = place[1] if place[0] == value else "the start of the run"
        rows.append(
            {
                "key": key,
                "value": value,
                "in_force": in_force(key, value, risk),
                "unit": _unit(key, value, started["currency"]),
                "source": SOURCE if key in live else source,
            }
        )
    return rows


def _line(row: Mapping[str, Any]) -> str:
    force = "" if row["in_force"] == row["value"] else f" (in force: {row['in_force']})"
    unit = f" {row['unit']}" if row["unit"] else ""
    return f"{row['key']} = {_text(row['value'])}{unit}{force}  # {row['source']}"


def _unit(key: str, value: object, currency: str) -> str | None:
    name = key.rpartition(".")[2]
    for ending, unit in _UNITS.items():
        if name.endswith(ending):
            return unit
    if not isinstance(value, str) or name in ("preset", "asset_class"):
        return None
    return "of the base currency" if name in _OF_BASE else currency


def _text(value: object) -> str:
    return "unset" if value is None else value if isinstance(value, str) else json.dumps(value)


def _lines(name: str, differ: Mapping[str, tuple[object, object]]) -> list[str]:
    if not differ:
        return [f"{name}: these are the limits in force: nothing changed"]
    keys = ", ".join(f"risk.{key}" for key in differ)
    return [
        *(f"{key}: {_text(one)} -> {_text(two)}" for key, (one, two) in differ.items()),
        f"{name}: in force until this run ends; for the next one put {keys} into config.toml",
    ]
