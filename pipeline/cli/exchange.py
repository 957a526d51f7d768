"""`bot4 exchange`: the simulated exchange alone, for clients of any kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from pipeline.cli.config import configuration_flags, flags
from pipeline.cli.failure import exit_with_message
from pipeline.config import load
from pipeline.stage import load_object

_VENUES = ("binance", "kraken", "coinbase")
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


def _chosen(context: click.Context, option: click.Parameter, value: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in value.split(",")))
    for name in names:
        if name not in _VENUES:
            raise click.BadParameter(f"was {name!r}, must be some of {', '.join(_VENUES)}")
    return names


@click.command("exchange")
@click.option("--host", help="Address to listen at. [default: exchange.host]")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0: the system's choice.")
@click.option(
    "--venues",
    default=",".join(_VENUES),
    callback=_chosen,
    help="Whose protocols are spoken.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), help="Of market and faults. [default: exchange.seed]"
)
@click.option(
    "--rate",
    type=click.IntRange(min=0),
    help="Market events a second, 0: as fast as clients read. [default: exchange.rate]",
)
@click.option(
    "--position",
    type=click.IntRange(min=0),
    default=0,
    help="Event of the market after which it begins, for an exchange that goes on.",
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="[VENUE:]NAME[=VALUE],...",
    help="What is wrong from the start: drop=0.01, latency=50ms, kraken:bad-checksum=0.001.",
)
@click.option("--script", type=_FILE, help="Faults with times, as TOML tables [[faults]].")
@click.option(
    "--capture",
    "captures",
    type=_FILE,
    multiple=True,
    help="Send the frames of captured files in place of the seeded market.",
)
@click.option(
    "--speed",
    default="recorded",
    metavar="recorded|10x|fixed:RATE|max",
    help="Of a capture; RATE in frames a second.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the addresses as one JSON object.")
@configuration_flags
@click.pass_obj
def command(
    config_file: Path | None,
    host: str | None,
    port: int,
    venues: tuple[str, ...],
    seed: int | None,
    rate: int | None,
    position: int,
    faults: tuple[str, ...],
    script: Path | None,
    captures: tuple[Path, ...],
    speed: str,
    as_json: bool,
    name: str | None,
    settings: dict[str, str],
) -> None:
    """Serve a seeded market by the protocols of Binance, Kraken and Coinbase, until SIGTERM.

    WebSockets and public REST share one port. Instruments are those of venue "sim" in the
    configuration. Faults can also be changed while it runs: POST /control, from loopback only.
    """
    errors = [
        load_object(f"workers.{path}")
        for path in (
            "exchange.listing:ListingError",
            "exchange.faults:FaultError",
            "feed.capture:CaptureError",
        )
    ]
    options = load_object("workers.exchange.run:Options")
    run_alone = load_object("workers.exchange.run:run_alone")

    def announce(found: dict[str, Any]) -> None:
        click.echo(json.dumps(found) if as_json else _as_text(found))

    with exit_with_message(*errors, ImportError):
        config = load(config_file, flags=flags(name, settings)).config.resolved()
        exchange = config["exchange"]
        run_alone(
            options(
                instruments=config["instruments"],
                host=exchange["host"] if host is None else host,
                port=port,
                seed=exchange["seed"] if seed is None else seed,
                rate=exchange["rate"] if rate is None else rate,
                volatility_bp=exchange["volatility_bp"],
                venues=venues,
                faults=faults,
                script=script,
                captures=captures,
                speed=speed,
                position=position,
            ),
            announce,
        )


def _as_text(found: dict[str, Any]) -> str:
    lines = [
        f"{venue:9} {place['websocket']}  {place['rest']}"
        for venue, place in found["venues"].items()
    ]
    return "\n".join([*lines, f"{'control':9} {found['control']}"])
