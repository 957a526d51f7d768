"""`bot4 init`: a new state directory, with a latch that is clear; or a new account in one."""

from __future__ import annotations

import time
from pathlib import Path

import click

from pipeline.account import Account, AccountError, AccountFile, balances_of
from pipeline.breakers.audit import FILE, AuditTrail, utc
from pipeline.breakers.by_hand import Act, OperationError, Record
from pipeline.cli.config import configuration_flags, flags
from pipeline.cli.failure import FAILURE, exit_with_message, warn
from pipeline.cli.responsible import actor, cleaned
from pipeline.config import load
from pipeline.config.model import Config
from pipeline.instruments import money_to_text
from pipeline.kill.latch import LatchFile
from pipeline.stage import load_object
from pipeline.supervisor.start import NameLock
from pipeline.vocabulary import Denial, Mode
from shm import list_segments


@click.command("init")
@click.option(
    "--rebase", is_flag=True, help="Begin the paper account anew, with the configured equity."
)
@actor
@click.option("--reason", help="Why; kept in the audit trail. Needed with --rebase.")
@configuration_flags
@click.pass_obj
def command(
    config_file: Path | None,
    rebase: bool,
    actor: str,
    reason: str | None,
    name: str | None,
    settings: dict[str, str],
) -> None:
    """Initialise the state directory of a deployment; on paper, bot4 run does so itself.

    A latch that is set, or missing where there was one, is reset by bot4 resume alone. --rebase
    begins the account of earlier runs anew, and puts its file aside; if that cannot be read, nobody
    knows what was lost today, and risk is paused until bot4 resume.
    """
    why = cleaned(reason or "")
    if rebase and not why:
        raise click.UsageError("--reason was empty, must say why; it is kept in the audit trail")
    with exit_with_message(OperationError):
        config = load(config_file, flags=flags(name, settings)).config
        file = LatchFile(Path(config.state_dir))
        if file.begin():
            click.echo(f"initialised {config.name}: {file.folder}")
            return
        if rebase:
            _rebase(config, file.folder, actor, why)
            return
        held = file.read()
        if held.is_killed:
            click.echo(
                f"bot4: {config.name} is killed: {held}; bot4 resume --reason TEXT ends that",
                err=True,
            )
            raise click.exceptions.Exit(FAILURE)
        click.echo(f"{config.name} was initialised before: {file.folder}")


def _rebase(config: Config, folder: Path, actor: str, reason: str) -> None:
    file = AccountFile(folder)

    lock = NameLock(folder)
    try:
        for info in list_segments(config.name):
            if info.state in ("orphaned", "stale"):
                raise OperationError(
                    f"run {info.run_id} was killed and has an account of its own; go on with it "
                    f"(bot4 run), or give it up (bot4 shm reap --name {config.name})"
                )
        paused = False
        before = ""
        try:
            if (account := file.read()) is not None:
                before = money_to_text(account.figures["equity_e8"])
        except AccountError as error:
            paused = True
            warn(str(error))
        opening = load_object("workers.risk.settings:RiskOpening").of(config.resolved())._asdict()
        if paused:
            opening |= {"mode": int(Mode.PAUSED), "mode_code": int(Denial.DAILY)}
        equity_e8 = opening["equity_e8"]
        after = money_to_text(equity_e8)
        figures = {**opening, "opened_e8": equity_e8, "flows_e8": 0, "value_e8": 0}
        act = Act(AuditTrail(folder / FILE), "", actor, reason, warn)
        with act.recorded(Record("account", before, after, "rebased")):
            aside = file.set_aside()
            now, resolved = utc(time.time_ns()), config.resolved()
            balances = {name: (*each, 0, 0) for name, each in balances_of(resolved).items()}
            file.write(Account(config.currency, "", now, figures, balances))
    finally:
        lock.release()
    click.echo(f"the account of {config.name} begins anew: {after} {config.currency}")
    if aside is not None:
        click.echo(f"the last one is {aside}")
    if paused:
        click.echo("what was lost today is not known, so risk is paused: bot4 resume --reason TEXT")
