"""`bot4 resume`: back to the normal mode, by somebody who says why."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pipeline.account import AccountError
from pipeline.breakers.by_hand import OperationError
from pipeline.cli.config import configuration_flags, flags
from pipeline.cli.failure import exit_with_message, warn
from pipeline.cli.responsible import responsible
from pipeline.config import load
from pipeline.kill.by_hand import Operator, attached
from pipeline.kill.latch import LatchError
from pipeline.notify.by_hand import tell_changed
from pipeline.requests import RequestError
from pipeline.vocabulary import Mode
from shm import GlobalState


@click.command("resume")
@responsible
@click.option(
    "--rebase", is_flag=True, help="Have drawdown and losses count anew, from what is there now."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@configuration_flags
@click.pass_obj
def command(
    config_file: Path | None,
    actor: str,
    reason: str,
    rebase: bool,
    as_json: bool,
    name: str | None,
    settings: dict[str, str],
) -> None:
    """Let a deployment take new risk again: reset the latch of a kill, or end another mode.

    Refused while a killed run has not ended; and while a limit of loss is reached, unless that is
    to count anew (--rebase). Nothing else resets it, no restart and no new day. After losses in a
    row it is an acknowledgement: risk goes on once the cooldown is over, or at once with --rebase.
    In any mode, normal too, a strategy that repeated itself (605) may go on.
    """
    with exit_with_message(AccountError, OperationError, LatchError, RequestError):
        loaded = load(config_file, flags=flags(name, settings))
        config, resolved = loaded.config, loaded.resolved()
        folder = Path(config.state_dir)
        operator = Operator(config.name, folder, actor, reason, warn, resolved)
        done = operator.lower_to(Mode.NORMAL, rebase=rebase)
        if as_json:
            said = {"before": done.before.label, "mode": done.after.label}
            notes = {"notes": done.notes} if done.notes else {}
            click.echo(json.dumps({"run_id": done.run_id or None, **said, **notes}))
        elif done.before is Mode.NORMAL and not done.notes:
            click.echo(f"{config.name}: mode was normal: nothing changed")
        else:
            did = "resumed"
            if done.before is done.after:
                did = "re-enabled" if done.after is Mode.NORMAL else "acknowledged"
                did = "rebased" if rebase else did
            click.echo(f"{did} {config.name}: mode {done.before.label} -> {done.after.label}")
            for note in done.notes:
                click.echo(note)
        with attached(config.name) as segment:
            if segment is not None:
                group = segment.breakers("breakers", observe=True)
                if group.state() == GlobalState.OPEN:
                    warn("the global breaker is still open: bot4 breaker list says why")
        tell_changed(resolved, done, actor, reason, warn)
