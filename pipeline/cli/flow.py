"""`bot4 flow`: a deposit to the paper account, or a withdrawal from it."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import numpy as np

from pipeline.breakers.by_hand import Act, OperationError, Record
from pipeline.cli.config import configuration_flags
from pipeline.cli.failure import exit_with_message
from pipeline.cli.responsible import act_on, responsible
from pipeline.cli.running import running_segment
from pipeline.instruments import InstrumentError, money_to_text, to_e8
from pipeline.money import INT64_MAX
from pipeline.requests import Request, RequestError, risk_account, turn
from pipeline.stage import load_object
from pipeline.vocabulary import ControlKind
from shm import Segment


@click.command("flow", context_settings={"ignore_unknown_options": True})
@click.argument("amount")
@responsible
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@configuration_flags
@click.pass_obj
def command(
    config_file: Path | None,
    amount: str,
    actor: str,
    reason: str,
    as_json: bool,
    name: str | None,
    settings: dict[str, str],
) -> None:
    """Deposit AMOUNT, in the account's currency, or withdraw it if it is negative.

    On paper: no money moves anywhere else. Units of the account are issued or redeemed at the price
    of the moment, so it moves neither the drawdown nor the results of day, week and month.
    """
    amount_e8 = _amount(amount)

    with (
        exit_with_message(OperationError, RequestError),
        running_segment(config_file, name, settings) as (segment, config),
    ):
        act = act_on(segment, config, actor, reason)
        request = Request(ControlKind.FLOW, actor, reason, amount_e8)
        account = _ask(segment, request, act, config["currency"])
        if as_json:
            click.echo(json.dumps({"run_id": segment.run_id, **_figures(account, amount_e8)}))
        else:
            for line in _lines(account, amount_e8, config):
                click.echo(line)


def _amount(text: str) -> int:
    try:
        amount_e8 = to_e8(text)
    except InstrumentError as error:
        raise click.BadParameter(str(error), param_hint="AMOUNT") from None
    if amount_e8 == 0:
        raise click.BadParameter("was 0, must be more or less", param_hint="AMOUNT")
    return amount_e8


def _ask(segment: Segment, request: Request, act: Act, currency: str) -> np.void:
    """Have it booked; return the account after it.

    Raises:
        RequestError: it was not, or nobody knows.
        OperationError: it cannot be recorded, so it was not tried.
    """
    mine = turn(segment)
    before = money_to_text(int(risk_account(segment)["equity_e8"]))
    figures = {"amount_e8": request.amount}
    with act.recorded(Record("account", before, before, "flow", 0, figures)) as result:
        is_booked, account = mine.ask(request)
        result.after = money_to_text(int(account["equity_e8"]))
        if not is_booked:
            remedy = (
                f"leave some of the equity, {result.after} {currency}"
                if request.amount < 0
                else f"go to an equity above 0, and with it be within {money_to_text(INT64_MAX)}"
            )
            raise RequestError(
                f"flow was {money_to_text(request.amount)}, must {remedy}; nothing was booked"
            )
    return account


def _figures(account: np.void, amount_e8: int) -> dict[str, Any]:
    return {
        "amount": money_to_text(amount_e8),
        "equity": money_to_text(int(account["equity_e8"])),
        "flows": money_to_text(int(account["flows_e8"])),
        "units": money_to_text(int(account["units"])),
        "unit": str(Decimal(int(account["nav_e12"])) / 10**12),
        "drawdown_bp": load_object("workers.risk.account:fall_bp")(account),
    }


def _lines(account: np.void, amount_e8: int, config: dict[str, Any]) -> list[str]:
    what = "deposited" if amount_e8 > 0 else "withdrawn"
    money = f"{money_to_text(abs(amount_e8))} {config['currency']}"
    unit = load_object("workers.risk.account:unit_text")(int(account["nav_e12"]))
    fall_bp = load_object("workers.risk.account:fall_bp")(account)
    equity = f"equity {money_to_text(int(account['equity_e8']))} {config['currency']}"
    units = f"{money_to_text(int(account['units']))} units at {unit}"
    return [
        f"{what}: {money}, {config['name']}, on paper",
        f"{equity}: {units}; {fall_bp} bp below the high-water mark, as before",
    ]
