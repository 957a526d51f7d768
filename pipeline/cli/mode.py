"""`bot4 mode`: how much a deployment may still do, shown or changed by hand."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pipeline.account import AccountError
from pipeline.breakers.by_hand import OperationError
from pipeline.cli.config import configuration_flags, flags
from pipeline.cli.failure import exit_with_message, warn
from pipeline.cli.responsible import actor, cleaned
from pipeline.config import load
from pipeline.kill.by_hand import Operator, attached, own_mode
from pipeline.kill.latch import LatchError, LatchFile
from pipeline.kill.words import mode as mode_of_run
from pipeline.mode import LABELS
from pipeline.notify.by_hand import tell_changed
from pipeline.requests import RequestError, risk_account
from pipeline.vocabulary import Denial, Mode


@click.command("mode")
@click.argument("wanted", type=click.Choice(LABELS[:-1]), required=False, metavar="[MODE]")
@actor
@click.option("--reason", help="Why; kept in the audit trail. Needed to change it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@configuration_flags
@click.pass_obj
def command(
    config_file: Path | None,
    wanted: str | None,
    actor: str,
    reason: str | None,
    as_json: bool,
    name: str | None,
    settings: dict[str, str],
) -> None:
    """Show the mode of a deployment, or change it to normal, paused or reduced.

    paused: no new risk. reduced: positions are closed, too. Both hold for the next run as well.
    An emergency is declared by bot4 kill, and ended by bot4 resume.
    """
    why = cleaned(reason or "")
    if wanted is not None and not why:
        raise click.UsageError("--reason was empty, must say why; it is kept in the audit trail")
    with exit_with_message(AccountError, OperationError, LatchError, RequestError):
        loaded = load(config_file, flags=flags(name, settings))
        config, resolved = loaded.config, loaded.resolved()
        folder = Path(config.state_dir)
        if wanted is None:
            _show(config.name, LatchFile(folder), as_json)
            return
        mode = Mode(LABELS.index(wanted))

        operator = Operator(config.name, folder, actor, why, warn, resolved)
        with attached(config.name) as segment:
            run = Mode.NORMAL if segment is None else mode_of_run(segment)
        now = max(run, LatchFile(folder).read().mode)
        if now is Mode.EMERGENCY:
            raise LatchError(
                f"{config.name} is killed: {LatchFile(folder).read()}; "
                "bot4 resume --reason TEXT ends that"
            )
        done = operator.raise_to(mode) if mode > now else operator.lower_to(mode)
        if as_json:
            said = {"before": done.before.label, "mode": done.after.label}
            click.echo(json.dumps({"run_id": done.run_id or None, **said}))
        elif done.before is done.after and not done.notes:
            click.echo(f"{config.name}: mode was {done.before.label}: nothing changed")
        else:
            click.echo(f"{config.name}: mode {done.before.label} -> {done.after.label}")
            for note in done.notes:
                click.echo(note)
        tell_changed(resolved, done, actor, why, warn)


def _show(name: str, file: LatchFile, as_json: bool) -> None:
    latch = file.read()
    with attached(name) as segment:
        run_id = None if segment is None else segment.run_id
        mode = latch.mode if segment is None else max(latch.mode, mode_of_run(segment))
        account = None if segment is None else risk_account(segment)
        own = Mode.NORMAL if account is None else own_mode(account)
    if as_json:
        said = {"run_id": run_id, "mode": mode.label, "risk": own.label}
        click.echo(json.dumps({**said, "latch": latch.as_json()}))
        return
    why = f": {latch}" if latch.reason else ""
    click.echo(f"{name}: mode {mode.label}{why}")
    if account is not None and own is not Mode.NORMAL:
        click.echo(f"risk by itself: {own.label} ({Denial(int(account['mode_code'])).name})")
