"""`bot4 status`: what a running deployment is doing."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from pipeline import topology
from pipeline.cli.config import configuration_flags
from pipeline.cli.failure import HALTED, exit_with_message
from pipeline.cli.running import running_segment
from pipeline.cli.view import StateTable, as_json, console
from pipeline.kill.latch import LatchFile
from pipeline.kill.words import kill_reason, mode
from pipeline.supervisor import snapshot
from pipeline.vocabulary import Mode

_LOOK_S = 0.5


@click.command("status")
@click.option("--json", "as_json_object", is_flag=True, help="Print one JSON object.")
@configuration_flags
@click.pass_obj
def command(
    config_file: Path | None, as_json_object: bool, name: str | None, settings: dict[str, str]
) -> None:
    """Show the processes, queues and latencies of a running deployment.

    Exit code 3 if it is not running, 4 if it is killed or halted.
    """
    with exit_with_message(), running_segment(config_file, name, settings) as (segment, config):
        stages = {each: topology.stage(each, config) for each in topology.STAGES}
        reason = kill_reason(segment)
        latch = LatchFile(Path(config["state_dir"])).read()
        current = mode(segment)
        if as_json_object:
            now = snapshot(segment, config, stages)
            halted = None if reason is None else {"actor": reason.actor, "reason": reason.reason}
            figures = {
                "run_id": segment.run_id,
                "halted": halted,
                "latch": latch.as_json(),
                **as_json(now, config),
            }
            click.echo(json.dumps(figures))
        else:
            before = snapshot(segment, config, stages)
            time.sleep(_LOOK_S)
            now = snapshot(segment, config, stages)
            title = f"{segment.name}, run {segment.run_id}"
            console().print(StateTable(now, before, title, config))
            if reason is not None:
                click.echo(f"halted: {reason}")
            elif current is not Mode.NORMAL:
                click.echo(f"mode {current.label}: {latch}")
            if latch.is_killed:
                click.echo(f"latch: killed: {latch}")
    if reason is not None:
        raise click.exceptions.Exit(HALTED)
