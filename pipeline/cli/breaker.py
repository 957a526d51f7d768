"""`bot4 breaker`: what the circuit breakers of a running deployment do, and how to change it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from pipeline import topology
from pipeline.breakers import settings as breaker_settings
from pipeline.breakers.audit import FILE, read
from pipeline.breakers.by_hand import OPERATIONS, Operation, OperationError, Record
from pipeline.breakers.explain import readable
from pipeline.breakers.figures import figures_of
from pipeline.cli.breaker_view import BreakerTable, as_lines, details
from pipeline.cli.config import configuration_flags, flags
from pipeline.cli.failure import exit_with_message, warn
from pipeline.cli.responsible import act_on, actor, reason, responsible
from pipeline.cli.run import configure
from pipeline.cli.running import running_segment
from pipeline.cli.view import console
from pipeline.config import ConfigError, load
from shm import GlobalState, Segment

_REGION = "breakers"
_ALL = "all"
"""What stands in the audit trail for the breaker of an operation that is about all of them."""


@click.group("breaker")
def command() -> None:
    """Show or change the circuit breakers of a running deployment."""


_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@command.command("list")
@_json
@configuration_flags
@click.pass_obj
def list_command(
    config_file: Path | None, as_json: bool, name: str | None, settings: dict[str, str]
) -> None:
    """List the breakers: state, rates, and how far each is from its limits."""
    with exit_with_message(), running_segment(config_file, name, settings) as (segment, config):
        figures = figures_of(segment, config)
        if as_json:
            breakers = {each.name: each.as_json() for each in figures.breakers}
            document = {
                "run_id": segment.run_id,
                "global": figures.as_json(),
                "breakers": breakers,
                "dropped": dict(figures.dropped),
            }
            click.echo(json.dumps(document))
            return
        console().print(BreakerTable(f"{segment.name}, run {segment.run_id}", figures))


@command.command("show")
@click.argument("breaker")
@_json
@configuration_flags
@click.pass_obj
def show_command(
    config_file: Path | None,
    breaker: str,
    as_json: bool,
    name: str | None,
    settings: dict[str, str],
) -> None:
    """Show everything of one breaker, and explain its state."""
    with exit_with_message(), running_segment(config_file, name, settings) as (segment, config):
        figures = figures_of(segment, config)
        index = _index([each.name for each in figures.breakers], breaker)
        one = figures.breakers[index]
        if as_json:
            click.echo(json.dumps({"breaker": one.name, **one.as_json()}))
            return
        screen = console()
        for what, text in details(one):
            screen.print(f"{what:16}", text, markup=False, highlight=False, soft_wrap=True)


def _add(operation: Operation) -> None:
    @command.command(operation.name, help=operation.help)
    @click.argument("breaker")
    @responsible
    @configuration_flags
    @click.pass_obj
    def operate(
        config_file: Path | None,
        breaker: str,
        actor: str,
        reason: str,
        name: str | None,
        settings: dict[str, str],
    ) -> None:
        with (
            exit_with_message(OperationError),
            running_segment(config_file, name, settings) as (segment, config),
        ):
            _operate(segment, config, operation, breaker, actor, reason)


for _each in OPERATIONS:
    _add(_each)


def _operate(
    segment: Segment,
    config: Mapping[str, Any],
    operation: Operation,
    name: str,
    actor: str,
    reason: str,
) -> None:
    group = segment.breakers(_REGION)
    breaker = group.breaker(group.names[_index(group.names, name)])
    whole = group.state()
    done = act_on(segment, config, actor, reason).change(breaker, operation)
    if done.changed:
        change = readable(f"{done.before} -> {done.after}")
        click.echo(f"{name}: {change} (generation {done.generation})")
    else:
        click.echo(f"{name} was {readable(done.before)}: nothing changed")
    now_whole = group.derive()
    if now_whole != whole:
        states = (GlobalState(each).name.lower() for each in (whole, now_whole))
        click.echo(f"global breaker: {' -> '.join(states)}")


@command.command("reload")
@actor
@reason("reload")
@configuration_flags
@click.pass_obj
def reload_command(
    config_file: Path | None, actor: str, reason: str, name: str | None, settings: dict[str, str]
) -> None:
    """Apply the breakers' settings as the configuration has them now to a running deployment.

    They reach all breakers at once, or, if anything in the configuration is wrong, none of them.
    Limits of health and what is done when the global breaker opens are taken up by the next run;
    which of them have changed is said.
    """
    with (
        exit_with_message(OperationError),
        running_segment(config_file, name, settings) as (segment, running),
    ):
        config = configure(config_file, name, settings)
        wanted = topology.components(config)
        group = segment.breakers(_REGION)
        if wanted != group.names:
            raise ConfigError(
                f"the configuration's components were {', '.join(wanted)}, must be those of the "
                f"run, {', '.join(group.names)}; stop it and start it anew (bot4 stop, bot4 run)"
            )
        intent = Record(_ALL, "", "", "reloaded")
        with act_on(segment, running, actor, reason).recorded(intent):
            breaker_settings.apply(group, config)
        click.echo(f"{segment.name}, run {segment.run_id}: reloaded {len(wanted)} breakers")
        if later := breaker_settings.left_for_the_next_run(running, config):
            warn(f"{', '.join(later)}: taken up by the next run")


@command.command("log")
@click.option("--last", type=click.IntRange(min=1), help="Only so many entries.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
@configuration_flags
@click.pass_obj
def log_command(
    config_file: Path | None,
    last: int | None,
    as_json: bool,
    name: str | None,
    settings: dict[str, str],
) -> None:
    """Print the audit trail, oldest first, of this run and of those before it."""
    with exit_with_message():
        folder = Path(load(config_file, flags=flags(name, settings)).config.state_dir)
        entries, notes = read(folder / FILE)
        entries = entries[-(last or 0) :]
        for note in notes:
            warn(note)
        if as_json:
            click.echo(json.dumps([entry.as_json() for entry in entries]))
            return
        if not entries:
            click.echo(f"{folder / FILE}: no entries")
        screen = console()
        for line in as_lines(entries):
            screen.print(line, soft_wrap=True, highlight=False)


def _index(names: Sequence[str], name: str) -> int:
    if name in names:
        return list(names).index(name)
    meant = difflib.get_close_matches(name, names, 1, 0.5)
    hint = f"; did you mean {meant[0]}?" if meant else ""
    raise click.BadParameter(
        f"was {name!r}, must be one of {', '.join(names)}{hint}", param_hint="'BREAKER'"
    )
