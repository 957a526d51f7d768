"""`bot4 flow`: a deposit to the paper account, or a withdrawal from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
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
from pipeline.kill.positions import committed
from pipeline.money import INT64_MAX
from pipeline.requests import Request, RequestError, risk_account, turn
from pipeline.stage import load_object
from pipeline.vocabulary import ControlKind
from shm import Segment


@click.command("flow", context_settings={"ignore_unknown_options": True})
@click.argument("amount")
@click.option("--currency", help="Of the amount. [default: the account's]")
@responsible
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@configuration_flags
@click.pass_obj
def command(
    config_file: Path | None,
    amount: str,
    currency: str | None,
    actor: str,
    reason: str,
    as_json: bool,
    name: str | None,
    settings: dict[str, str],
) -> None:
    """Deposit AMOUNT to the account, or withdraw it if it is negative.

    On paper: no money moves anywhere else. Units of the account are issued or redeemed at the price
    of the moment, so it moves neither the drawdown nor the results of day, week and month.
    """
    amount_e8 = _amount(amount)
    with (
        exit_with_message(OperationError, RequestError),
        running_segment(config_file, name, settings) as (segment, config),
    ):
        flow = _Flow.of(amount_e8, currency, config)
        act = act_on(segment, config, actor, reason)
        account = _ask(segment, flow, act, config["currency"])
        if as_json:
            figures = _figures(account, flow, _books(segment, flow.number))
            click.echo(json.dumps({"run_id": segment.run_id, **figures}))
        else:
            for line in _lines(account, flow, config):
                click.echo(line)


@dataclass(frozen=True, slots=True)
class _Flow:
    """What comes to the account: an amount in 1e-8, of the currency that risk knows by a number."""

    amount_e8: int
    currency: str
    number: int

    @classmethod
    def of(cls, amount_e8: int, currency: str | None, config: Mapping[str, Any]) -> _Flow:
        """Find the number.

        Raises:
            click.BadParameter: the run has no such currency.
        """
        others = load_object("workers.risk.currency:Currencies").of(config).names
        names = (config["currency"], *others)
        currency = names[0] if currency is None else currency
        if currency not in names:
            raise click.BadParameter(
                f"was {currency!r}, must be one of this run: {', '.join(names)}",
                param_hint="--currency",
            )
        return cls(amount_e8, currency, names.index(currency))

    def __str__(self) -> str:
        return f"{money_to_text(self.amount_e8)} {self.currency}"


def _amount(text: str) -> int:
    try:
        amount_e8 = to_e8(text)
    except InstrumentError as error:
        raise click.BadParameter(str(error), param_hint="AMOUNT") from None
    if amount_e8 == 0:
        raise click.BadParameter("was 0, must be more or less", param_hint="AMOUNT")
    return amount_e8


def _ask(segment: Segment, flow: _Flow, act: Act, own: str) -> np.void:
    """Have it booked; return the account after it.

    Raises:
        RequestError: it was not, or nobody knows.
        OperationError: it cannot be recorded, so it was not tried.
    """
    mine = turn(segment)
    request = Request(ControlKind.FLOW, act.actor, act.reason, flow.amount_e8, flow.number)
    before = money_to_text(int(risk_account(segment)["equity_e8"]))
    cause = f"flow of {flow.currency}" if flow.number else "flow"
    figures = {"amount_e8": flow.amount_e8}
    with act.recorded(Record("account", before, before, cause, 0, figures)) as result:
        is_booked, account = mine.ask(request)
        result.after = money_to_text(int(account["equity_e8"]))
        if not is_booked:
            remedy = (
                f"wait for a price of {flow.currency}: there has been none yet"
                if flow.number and not _books(segment, flow.number)["bid_e8"]
                else f"leave some of the equity, {result.after} {own}"
                if flow.amount_e8 < 0
                else f"go to an equity above 0, and with it be within {money_to_text(INT64_MAX)}"
            )
            raise RequestError(f"flow was {flow}, must {remedy}; nothing was booked")
    return account


def _books(segment: Segment, number: int) -> np.void:
    """Return the books of a currency; of the account's own that is the account."""
    if number == 0:
        return risk_account(segment)
    books: np.void = committed(segment, "risk", "currencies")[number - 1]
    return books


def _figures(account: np.void, flow: _Flow, books: np.void) -> dict[str, Any]:
    return {
        "amount": money_to_text(flow.amount_e8),
        "currency": flow.currency,
        "flows": money_to_text(int(books["flows_e8"])),
        "equity": money_to_text(int(account["equity_e8"])),
        "units": money_to_text(int(account["units"])),
        "unit": str(Decimal(int(account["nav_e12"])) / 10**12),
        "drawdown_bp": load_object("workers.risk.account:fall_bp")(account),
    }


def _lines(account: np.void, flow: _Flow, config: Mapping[str, Any]) -> list[str]:
    what = "deposited" if flow.amount_e8 > 0 else "withdrawn"
    money = f"{money_to_text(abs(flow.amount_e8))} {flow.currency}"
    unit = load_object("workers.risk.account:unit_text")(int(account["nav_e12"]))
    fall_bp = load_object("workers.risk.account:fall_bp")(account)
    equity = f"equity {money_to_text(int(account['equity_e8']))} {config['currency']}"
    units = f"{money_to_text(int(account['units']))} units at {unit}"
    return [
        f"{what}: {money}, {config['name']}, on paper",
        f"{equity}: {units}; {fall_bp} bp below the high-water mark, as before",
    ]
