"""`bot4 why`: what risk answered an intent, and the numbers that it compared."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.table import Table

from pipeline.cli.config import configuration_flags
from pipeline.cli.failure import exit_with_message
from pipeline.cli.running import running_segment
from pipeline.cli.view import console
from pipeline.instruments import money_to_text
from pipeline.kill.positions import committed_together
from pipeline.live_limits import in_run
from pipeline.requests import latest, live_of
from pipeline.rules import RULES, Unit
from pipeline.vocabulary import Denial
from pipeline.why import Decision, DecisionError, decisions, find, named

_LAST = 20


@click.command("why")
@click.argument("intent_id", type=click.IntRange(1, 2**64 - 1), required=False)
@click.option("--last", type=click.IntRange(min=1), help=f"List so many. [default: {_LAST}]")
@click.option("--denied", is_flag=True, help="List only what was denied.")
@click.option("--codes", is_flag=True, help="List all codes and when they refuse.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@configuration_flags
@click.pass_obj
def command(
    config_file: Path | None,
    intent_id: int | None,
    last: int | None,
    denied: bool,
    codes: bool,
    as_json: bool,
    name: str | None,
    settings: dict[str, str],
) -> None:
    """Explain what risk answered an intent of a running deployment.

    What was asked, every check that failed, and the two numbers that the first of them compared,
    with the limit in the configuration. Without an id the last decisions are listed; 4,096 are
    kept.
    """
    if intent_id is not None and (last is not None or denied):
        raise click.UsageError("INTENT_ID was given, must be left out with --last and --denied")
    if codes:
        _codes(as_json)
        return
    with (
        exit_with_message(DecisionError),
        running_segment(config_file, name, settings) as (segment, config),
    ):
        # Later than the decision, perhaps, but of two limits the one that can be acted upon.
        if live := live_of(latest(segment)):
            config["risk"] = in_run(config, live)
        cells, orders = committed_together(segment, "risk", "decisions", "orders")
        now_ns = time.monotonic_ns()
        if intent_id is not None:
            one = find(cells, config, intent_id)
            order = _order_of(one, orders)
            if as_json:
                document = {"run_id": segment.run_id, **as_data(one, order, now_ns)}
                click.echo(json.dumps(document))
                return
            for what, text in explained(one, order, now_ns):
                click.echo(f"{what:10} {text}".rstrip())
            return
        chosen = [each for each in decisions(cells, config) if each.failed or not denied]
        chosen = chosen[-(last or _LAST) :]
        if as_json:
            found = [as_data(each, _order_of(each, orders), now_ns) for each in chosen]
            click.echo(json.dumps({"run_id": segment.run_id, "decisions": found}))
            return
        console().print(listed(chosen, now_ns))


def explained(one: Decision, order: np.void | None, now_ns: int) -> Iterator[tuple[str, str]]:
    """Yield what is said of a decision, line by line; `order` is what is still open of it."""
    cell = one.cell
    yield "intent", f"{cell['intent_id']}, {_ago(one, now_ns)} ago: {one.answer}"
    yield "asked", _asked(one)
    waited = one.text(Unit.TIME, int(cell["decided_ns"]) - int(cell["created_ns"]))
    life = one.text(Unit.TIME, int(cell["ttl_ns"]))
    yield (
        "",
        f"by strategy {cell['strategy']}, decided {waited} after it was made, valid for {life}",
    )
    if cell["reference"]:
        quoted = "ask" if one.side == "buy" else "bid"
        yield "quote", f"{quoted} {one.text(Unit.PRICE, int(cell['reference']))}"
    if not one.failed:
        yield from _approved(one, order)
        return
    yield "because", one.because()
    limits = [(code, one.limit_of(code)) for code in one.failed]
    if (limit := limits[0][1]) is not None:
        yield "limit", str(limit)
    for place, (code, limit) in enumerate(limits[1:]):
        bound = "" if limit is None else f" [{limit}]"
        yield "also" if place == 0 else "", f"{named(code)}: {RULES[code].refused}{bound}"
    preset = one.config["risk"]["preset"]
    if preset != "standard" and any(limit is not None for _, limit in limits):
        yield "preset", f"{preset}: it scales limits of size and loss"


def _asked(one: Decision) -> str:
    cell = one.cell
    quantity = one.text(Unit.QUANTITY, int(cell["quantity"])).split(" ")[0]
    at = f"at {one.text(Unit.PRICE, int(cell['limit']))}" if cell["limit"] else "at the market"
    extras = [
        f"{what} {one.text(Unit.PRICE, int(cell[what]))}"
        for what in ("stop", "target")
        if cell[what]
    ]
    flag = ["reduce only"] if cell["reduce_only"] else []
    return ", ".join([f"{one.side} {quantity} {one.symbol} {at}", *extras, *flag])


def _approved(one: Decision, order: np.void | None) -> Iterator[tuple[str, str]]:
    cell = one.cell
    reserved = one.text(Unit.QUOTED, one.reserved_e8)
    yield "order", f"limit {one.text(Unit.PRICE, int(cell['price']))}, {reserved} reserved"
    exposure, equity = one.compared
    if equity > 0:
        share = one.text(Unit.SHARE, exposure * 1_000_000 // equity)
        worth, whole = one.text(Unit.MONEY, exposure), one.text(Unit.MONEY, equity)
        yield "worst case", f"a position of {worth}, {share} of the equity, {whole}"
        if (limit := one.limit_of(Denial.POSITION_SIZE)) is not None:
            yield "limit", str(limit)
    if order is None:
        yield "now", "over: nothing is reserved any more"
        return
    leaves = one.text(Unit.QUANTITY, int(order["leaves"]))
    money = one.text(Unit.QUOTED, int(order["reserved_e8"]))
    at_risk = one.text(Unit.MONEY, int(order["at_risk_e8"]))
    yield "now", f"open: {leaves} left, {money} reserved, {at_risk} at risk to the stop"


def as_data(one: Decision, order: np.void | None, now_ns: int) -> dict[str, Any]:
    """Return a decision as JSON data; what is exact is text."""
    cell = one.cell

    def text(unit: Unit, field: str) -> str | None:
        raw = int(cell[field])
        return None if raw == 0 and unit is Unit.PRICE else f"{one.exact(unit, raw):f}"

    data: dict[str, Any] = {
        "intent_id": int(cell["intent_id"]),
        "answer": "denied" if one.failed else "approved",
        "age_s": round((now_ns - int(cell["decided_ns"])) / 1e9, 3),
        "asked": {
            "instrument": one.symbol,
            "strategy": int(cell["strategy"]),
            "side": one.side,
            "quantity": text(Unit.QUANTITY, "quantity"),
            **{field: text(Unit.PRICE, field) for field in ("limit", "stop", "target")},
            "reduce_only": bool(cell["reduce_only"]),
            "waited_ms": (int(cell["decided_ns"]) - int(cell["created_ns"])) / 1e6,
            "ttl_ms": int(cell["ttl_ns"]) / 1e6,
        },
        "reference": text(Unit.PRICE, "reference"),
        "currency": one.config["currency"],
        "quoted": one.quoted,
    }
    value, bound = one.compared
    if not one.failed:
        data["order"] = {
            "order_id": int(cell["order_id"]),
            "limit": text(Unit.PRICE, "price"),
            "reserved": money_to_text(one.reserved_e8),
            "worst_case": money_to_text(value) if bound else None,
            "equity": money_to_text(bound) if bound else None,
            "open": None
            if order is None
            else {
                "quantity": f"{one.exact(Unit.QUANTITY, int(order['leaves'])):f}",
                "reserved": money_to_text(int(order["reserved_e8"])),
                "at_risk": money_to_text(int(order["at_risk_e8"])),
            },
        }
        return data
    unit = one.rule.unit
    plain = unit in (Unit.MODE, Unit.BREAKERS)
    texts = one.texts(unit, value, bound) if plain else (None, None)
    data["because"] = {
        "text": one.because(),
        "unit": unit.value,
        "sign": one.sign(unit),
        "value": texts[0] if plain else f"{one.exact(unit, value):f}",
        "bound": texts[1] if plain else f"{one.exact(unit, bound):f}",
    }
    data["failed"] = [
        {
            "code": code.value,
            "name": code.name,
            "refused": RULES[code].refused,
            "limit": None if limit is None else {"key": limit.key, "value": limit.value},
        }
        for code in one.failed
        for limit in (one.limit_of(code),)
    ]
    return data


def listed(chosen: Sequence[Decision], now_ns: int) -> Table | str:
    """Return decisions as a table, a row each."""
    if not chosen:
        return "no decisions"
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold underline")
    for column in ("intent", "ago", "by", "side", "quantity", "instrument", "answer"):
        right = column in ("intent", "ago", "by", "quantity")
        table.add_column(column, justify="right" if right else "left", no_wrap=True)
    for one in chosen:
        table.add_row(
            str(one.cell["intent_id"]),
            _ago(one, now_ns),
            str(one.cell["strategy"]),
            one.side,
            one.text(Unit.QUANTITY, int(one.cell["quantity"])).split(" ")[0],
            one.symbol,
            named(one.code) if one.failed else f"order {one.cell['order_id']}",
        )
    return table


def _codes(as_json: bool) -> None:
    if as_json:
        rules = {
            code.value: {
                "name": code.name,
                "refused": rule.refused,
                "limit": rule.key or None,
                "reducing": rule.reducing,
                "said": rule.said,
                "unit": rule.unit.value,
            }
            for code, rule in RULES.items()
        }
        click.echo(json.dumps(rules))
        return
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold underline")
    table.add_column("code", no_wrap=True)
    table.add_column("refused when")
    table.add_column("limit in \\[risk]", overflow="fold")
    for code, rule in RULES.items():
        table.add_row(named(code), rule.refused, rule.key)
    console().print(table, highlight=False)


def _order_of(one: Decision, orders: np.ndarray[Any, np.dtype[Any]]) -> np.void | None:
    """Return the cell of its order, if that is still open."""
    order_id = int(one.cell["order_id"])
    order: np.void = orders[order_id % len(orders)]
    return order if order_id != 0 and int(order["order_id"]) == order_id else None


def _ago(one: Decision, now_ns: int) -> str:
    age_s = max(0, now_ns - int(one.cell["decided_ns"])) / 1e9
    return f"{age_s:,.1f} s" if age_s < 120 else f"{age_s / 60:,.1f} min"
