"""`bot4 kill`: no new risk from this moment on, all positions closed, and no run until a reset."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pipeline.breakers.audit import FILE, AuditTrail
from pipeline.breakers.by_hand import Act, Record
from pipeline.cli.config import configuration_flags, flags
from pipeline.cli.failure import FAILURE, NOT_RUNNING, exit_with_message, warn
from pipeline.cli.responsible import responsible
from pipeline.cli.running import foreign
from pipeline.config import load
from pipeline.kill.latch import LatchFile
from pipeline.kill.positions import listed
from pipeline.kill.sequence import Kill, Killed
from pipeline.notify.notifier import Notifier
from pipeline.vocabulary import Mode
from shm import list_segments


@click.command("kill")
@responsible
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@configuration_flags
@click.pass_obj
def command(
    config_file: Path | None,
    reason: str,
    actor: str,
    as_json: bool,
    name: str | None,
    settings: dict[str, str],
) -> None:
    """Kill a deployment: take no new risk, close all positions, end the run.

    Every stage sees the word at its next step. The latch is set on the disk, so that no run begins
    until `bot4 resume --reason`; the first reason is kept. If the run does not do its part, it is
    ended, and the executor started alone. Exit code 1 if what was to be closed is still held; do it
    again then.
    """
    with exit_with_message():
        loaded = load(config_file, flags=flags(name, settings))
        config = loaded.config
        folder = Path(config.state_dir)
        if not _is_known(config.name, folder):
            warn(f"{config.name} is not running; start it (bot4 run), or give its --name")
            raise click.exceptions.Exit(NOT_RUNNING)
        with Notifier(loaded.resolved(), warn) as notifier:
            done = Kill(config.name, folder, actor, reason, warn, notifier).run()
            act = Act(AuditTrail(folder / FILE), done.run_id, actor, reason, warn)
            before = Mode.EMERGENCY.label if done.was_killed else ""
            if done.run_id or done.latch is not None:
                act.note(Record("mode", before, Mode.EMERGENCY.label, "killed"))
            if as_json:
                click.echo(json.dumps(_document(done)))
            else:
                for line in _lines(config.name, reason, done):
                    click.echo(line)
    if others := "" if done.run_id else foreign(list_segments(config.name)):
        warn(f"a run goes on: {others}")
    if others or not done.is_done:
        raise click.exceptions.Exit(FAILURE)


def _is_known(name: str, folder: Path) -> bool:
    """Whether there is anything to kill: a run, or a state directory in which one may begin."""
    return bool(list_segments(name)) or not LatchFile(folder).is_new()


def _lines(name: str, reason: str, done: Killed) -> list[str]:
    which = f"{name}, run {done.run_id}" if done.run_id else f"{name}, which was not running"
    if done.was_killed:
        lines = [f"{which}, was killed: {done.first or done.latch}"]
    elif not done.run_id and done.latch is None:
        return [f"not killed: {which}"]
    else:
        lines = [f"killed {which}: {reason}"]
    if done.held:
        lines.append(f"still held: {listed(done.held)}")
    if done.latch is not None:
        lines.append("latched: no run begins until bot4 resume --reason TEXT")
    return lines


def _document(done: Killed) -> dict[str, object]:
    first = done.first
    return {
        "run_id": done.run_id or None,
        "first": None if first is None else {"actor": first.actor, "reason": first.reason},
        "was_killed": done.was_killed,
        "latch": None if done.latch is None else done.latch.as_json(),
        "held": done.held,
        "alone": done.alone,
    }
