"""`bot4 instruments`: what a venue trades, in which steps and for which fees."""

from __future__ import annotations

import datetime
import difflib
import json
from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from pathlib import Path

import click
from pydantic import ValidationError
from rich.table import Table
from rich.text import Text

from pipeline.cli.config import configuration_flags, flags
from pipeline.cli.failure import exit_with_message, warn
from pipeline.cli.view import console
from pipeline.config import load
from pipeline.config.model import InstrumentConfig
from pipeline.markets.exact import plain
from pipeline.markets.listing import Listing, as_text, listing
from pipeline.markets.market import Market
from pipeline.markets.venue import VenueError

_UNLIMITED = Decimal((1 << 63) // 10**8)  # what int64 holds in 1e-8; no order is larger either
_NAMES = ("symbol", "base", "quote")
_NUMBERS = ("tick", "lot", "min_notional", "min_quantity", "max_quantity", "maker_fee", "taker_fee")


@click.command("instruments")
@click.option("--venue", required=True, help="The venue, as ccxt calls it: binance, kraken ...")
@click.option(
    "--symbol",
    "symbols",
    multiple=True,
    help="Only this market, by its symbol or the venue's id. Repeatable. [default: all]",
)
@click.option("--refresh", is_flag=True, help="Ask the venue even if today's answer is kept.")
@click.option("--url", help="Ask this server in the place of the venue, e.g. a simulator.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--toml", "as_toml", is_flag=True, help="Print [[instruments]] for config.toml.")
@configuration_flags
@click.pass_obj
def command(
    config_file: Path | None,
    venue: str,
    symbols: tuple[str, ...],
    refresh: bool,
    url: str | None,
    as_json: bool,
    as_toml: bool,
    name: str | None,
    settings: dict[str, str],
) -> None:
    """List the spot markets of a venue: steps of price and quantity, least order, fees.

    The answer is kept in the state directory for a day. If the venue cannot be asked, the last
    answer serves, and its date is said. Fees are those of a new account.
    """
    if as_json and as_toml:
        raise click.UsageError("--json and --toml exclude each other")
    with exit_with_message(VenueError):
        state_dir = Path(load(config_file, flags=flags(name, settings)).config.state_dir)
        now = datetime.datetime.now(datetime.UTC)
        found = listing(venue, state_dir, now=now, url=url, refresh=refresh)
        for note in found.notes:
            warn(note)
        markets = [_named(found, symbol) for symbol in symbols] or list(found.markets)
        if as_json:
            click.echo(json.dumps(_document(found, markets)))
        elif as_toml:
            click.echo("\n".join(_toml(found, markets, by_name=bool(symbols))))
        else:
            console().print(_table(found, markets))


def _named(found: Listing, symbol: str) -> Market:
    match found.find(symbol):
        case [market]:
            return market
        case [*several] if several:
            ids = ", ".join(market.id for market in several)
            raise click.BadParameter(
                f"was {symbol!r}, which {found.venue} calls several markets; name one by its id: "
                f"{ids}",
                param_hint="'--symbol'",
            )
    known = [name for market in found.markets for name in {market.symbol, market.unified}]
    meant = sorted(difflib.get_close_matches(symbol.upper(), known, 3, 0.5))
    hint = f"; did you mean {' or '.join(meant)}?" if meant else ""
    raise click.BadParameter(
        f"was {symbol!r}, which {found.venue} does not trade{hint}", param_hint="'--symbol'"
    )


def _origin(found: Listing) -> str:
    source = "kept" if found.cached else "asked now"
    return f"{found.venue}, {as_text(found.date)} ({source}, ccxt {found.ccxt})"


def _document(found: Listing, markets: Sequence[Market]) -> dict[str, object]:
    return {
        "venue": found.venue,
        "url": found.url,
        "date": as_text(found.date),
        "cached": found.cached,
        "ccxt": found.ccxt,
        "notes": found.notes,
        "instruments": [
            {**market.as_json(), "problem": _problem(found.venue, market)} for market in markets
        ],
    }


def _table(found: Listing, markets: Sequence[Market]) -> Table:
    table = Table(title=Text(_origin(found)), title_justify="left")
    shown = [
        number for number in _NUMBERS if number != "max_quantity"
    ]  # few need it, and it is long
    for name in _NAMES:
        table.add_column(name, no_wrap=True)
    for number in shown:
        table.add_column(number.replace("_", " "), justify="right", no_wrap=True)
    table.add_column("active")
    for market in markets:
        active = {True: "yes", False: "no", None: "-"}[market.active]
        # As text: brackets in a name are no markup.
        table.add_row(*(Text(_cell(getattr(market, key))) for key in (*_NAMES, *shown)), active)
    return table


def _cell(value: str | Decimal | None) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else plain(value)


def _toml(found: Listing, markets: Sequence[Market], *, by_name: bool) -> list[str]:
    lines = [f"# {_origin(found)}; fees of a new account."]
    for market in markets:
        problem = _problem(found.venue, market)
        if problem is None and not by_name and market.active is False:
            problem = "it is not traded now"
        if problem is not None:
            lines += ["", f"# {market.unified} is left out: {problem}"]
            continue
        lines += ["", "[[instruments]]"]
        for key, value in _entry(found.venue, market).items():
            remark = "" if getattr(market, key, "") is not None else "  # the venue names none"
            lines.append(f'{key} = "{value}"{remark}')
    return lines


def _entry(venue: str, market: Market) -> dict[str, str | None]:
    """Return a market as it stands in the configuration; None for what cannot."""
    numbers = {key: getattr(market, key) for key in _NUMBERS}
    numbers["min_notional"] = market.min_notional or Decimal(0)
    numbers["min_quantity"] = _in_lots(market.min_quantity, market.lot, ROUND_CEILING)
    numbers["max_quantity"] = _in_lots(market.max_quantity, market.lot, ROUND_FLOOR)
    return {
        "symbol": market.symbol,
        "venue": venue,
        "base": market.base,
        "quote": market.quote,
        **{key: None if value is None else plain(value) for key, value in numbers.items()},
    }


def _in_lots(quantity: Decimal | None, lot: Decimal | None, rounding: str) -> Decimal:
    """Return a limit of quantities, 0 for none, as orders can meet it: in lots, if they fit."""
    if quantity is None or lot is None or quantity > _UNLIMITED:
        return Decimal(0)
    return (quantity / lot).to_integral_value(rounding) * lot


def _problem(venue: str, market: Market) -> str | None:
    """Return why a market cannot stand in the configuration, if so."""
    entry = _entry(venue, market)
    if unknown := [key for key, value in entry.items() if value is None]:
        return f"the venue has no fixed {', '.join(unknown).replace('_', ' ')}"
    try:
        InstrumentConfig.model_validate(entry)
    except ValidationError as error:
        return "; ".join(
            f"{each['loc'][0]} was {entry[str(each['loc'][0])]}, "
            f"{each['msg'].removeprefix('Value error, ')}"
            for each in error.errors(include_url=False, include_context=False)
        )
    return None
