"""`bot4 run`: the whole pipeline, on paper, until it is told to stop."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.live import Live

from pipeline import affinity, runtime, topology
from pipeline.account import AccountError
from pipeline.cli import captured, view
from pipeline.cli.config import configuration_flags, flags
from pipeline.cli.failure import FAILURE, HALTED, exit_with_message, warn
from pipeline.cli.seconds import Seconds
from pipeline.cli.view import StateTable, as_json, as_line
from pipeline.config import ConfigError, load
from pipeline.config.model import Venues
from pipeline.instruments import SIMULATOR
from pipeline.kill.latch import KilledError
from pipeline.markets import stream
from pipeline.notify.command import doubts
from pipeline.stage import load_object
from pipeline.supervisor import Snapshot, Supervisor
from pipeline.supervisor.supervisor import Result
from shm import choose

_LINE_S = 5.0
_TABLE_S = 0.5


@click.command("run")
@click.option("--duration", type=Seconds(min=0, min_open=True), help="End after so many seconds.")
@click.option("--events", type=click.IntRange(min=1), help="End after so many market records.")
@click.option(
    "--seed", type=click.IntRange(min=0), help="Of the simulated market. [default: exchange.seed]"
)
@click.option("--venue", help="Trade the instruments of this venue only. [default: all]")
@click.option(
    "--capture",
    "captures",
    type=click.Path(path_type=Path, exists=True, dir_okay=False, resolve_path=True),
    multiple=True,
    help="Trade the market of a captured file, to its end; several are merged by time.",
)
@click.option(
    "--speed",
    metavar="recorded|max|10x|fixed:RATE",
    help="Of a capture; RATE in messages a second. [default: recorded]",
)
@click.option("--paper", is_flag=True, help="Trade on paper, as is done so far in any case.")
@click.option("--sabotage", type=click.Choice(["dedupe", "slots", "context"]), hidden=True)
@click.option("--leash", type=click.IntRange(min=1), hidden=True)
@click.option("--json", "as_json_object", is_flag=True, help="Print one JSON object at the end.")
@configuration_flags
@click.pass_obj
def command(
    config_file: Path | None,
    duration: float | None,
    events: int | None,
    seed: int | None,
    venue: str | None,
    captures: tuple[Path, ...],
    speed: str | None,
    paper: bool,
    sabotage: str | None,
    leash: int | None,
    as_json_object: bool,
    name: str | None,
    settings: dict[str, str],
) -> None:
    """Run the pipeline on paper, on the market data of the venues of its instruments.

    Venue "sim" is the built-in exchange simulator; the others are on the internet.

    With --capture it is on the messages of a captured file, of Binance spot, Kraken v2 or Coinbase
    Advanced Trade, which the built-in exchange sends by the venue's protocol: as they were
    received, so many times faster, or as fast as the pipeline takes them (--speed max). Instruments
    are those of the capture, by the configuration if it has them, else with the steps of price and
    quantity that occur and a fee of 0.1 %. It ends with the capture.

    On a terminal it shows a live table, otherwise a line every few seconds; Ctrl-C ends it in
    order, a second one at once.
    """
    console = view.console(stderr=as_json_object)
    with exit_with_message(AccountError, *(captured.errors() if captures else ())):
        config = configure(
            config_file,
            name,
            settings,
            events=events,
            seed=seed,
            venue=venue,
            captures=captures,
            speed=speed,
            sabotage=sabotage,
            leash=leash,
        )

        def say(text: str) -> None:
            # What people or strategies wrote may be in it, so it is no markup.
            console.print(text, highlight=False, markup=False, soft_wrap=True)

        for line in config.pop("notes"):
            say(line)
        supervisor = Supervisor(config, say)
        started = time.monotonic()
        live = console.is_terminal and not as_json_object
        with _progress(console, config, started, live=live, quiet=as_json_object) as progress:
            try:
                result = supervisor.run(
                    duration_s=duration,
                    every_s=_TABLE_S if live else _LINE_S,
                    progress=progress,
                )
            except KilledError as error:
                warn(str(error))
                raise click.exceptions.Exit(HALTED) from None
        if as_json_object:
            click.echo(json.dumps(summary(result, config)))
        else:
            title = f"run {result.run_id}: {result.seconds:.1f} s, ended by {result.exit_reason}"
            console.print(StateTable(result.last, None, title, config))
            console.print(
                f"memory {result.memory_mb:.0f} MB (all processes, shared memory included)",
                highlight=False,
            )
    if result.failed:
        raise click.exceptions.Exit(FAILURE)
    if result.halted:
        raise click.exceptions.Exit(HALTED)


def configure(
    config_file: Path | None,
    name: str | None,
    settings: dict[str, str],
    *,
    events: int | None = None,
    seed: int | None = None,
    venue: str | None = None,
    captures: tuple[Path, ...] = (),
    speed: str | None = None,
    sabotage: str | None = None,
    leash: int | None = None,
) -> dict[str, Any]:
    """Return the resolved configuration with CPUs, run options and ``notes`` to print.

    Its instruments are those of `venue`, if one is given, or of captured files.

    Raises:
        ConfigError: something in it is wrong.
        Exception: one of `captured.errors`, if there are captured files.
    """
    given: dict[str, Any] = dict(flags(name, settings))
    if seed is not None:
        given["exchange.seed"] = seed
    loaded = load(config_file, flags=given)
    config = loaded.resolved()
    # Whoever takes over from a process that died has to have the same answers.
    config["ml"]["model_sha256"] = load_object("workers.ml.running:sha256_of")(config)
    config["ml"]["model_kind"] = load_object("workers.ml.running:kind_of")(config)
    options = {"events": events, "sabotage": sabotage, "leash": leash}
    config["run"] = {key: value for key, value in options.items() if value}
    said: list[str] = []
    if captures:
        said = captured.choose(config, captures, venue, "recorded" if speed is None else speed)
    else:
        if speed is not None:
            raise ConfigError(f"--speed was {speed!r}, must be left out without --capture")
        _choose(config, venue)
    if events is not None and any(each["venue"] != SIMULATOR for each in config["instruments"]):
        raise ConfigError(
            f"--events was {events}, must be left out: only venue {SIMULATOR!r} numbers its "
            "events; use --duration"
        )
    started = ("supervisor", *topology.processes(config))
    placed = affinity.resolve(
        loaded.config.affinity(),
        [name for name in affinity.PROCESSES if name in started],
        sorted(os.sched_getaffinity(0)),
    )
    config["affinity"] = {process: list(cpus) for process, cpus in placed.cpus.items()}
    where = ", ".join(
        f"{process} {','.join(map(str, cpus))}" for process, cpus in placed.cpus.items()
    )
    config["notes"] = [*said, f"CPUs: {where}", *placed.notes, f"waiting: {_waiting(config)}"]
    config["notes"] += [*_slower(config), *load_object("workers.ml.running:doubts")(config)]
    config["notes"] += doubts(config)
    return config


def _choose(config: dict[str, Any], venue: str | None) -> None:
    """Keep the instruments of one venue, if one is given; refuse those that nothing reads.

    Raises:
        ConfigError: an instrument is elsewhere, or none is left.
    """
    native = (SIMULATOR, *Venues.model_fields)
    if venue is not None and venue not in native and venue not in stream.names():
        raise ConfigError(f"--venue was {venue!r}, must {stream.remedy(venue, native)}")
    chosen = [each for each in config["instruments"] if venue in (None, each["venue"])]
    if not chosen:
        raise ConfigError(
            f"instruments of venue {venue!r} were none, must be at least one: "
            f"see `bot4 instruments --venue {venue} --toml`"
        )
    for each in chosen:
        name = each["venue"]
        if name not in native and name not in stream.names():
            raise ConfigError(
                f"venue of {each['symbol']} was {name!r}, must {stream.remedy(name, native)}"
            )
    config["instruments"] = chosen


def _slower(config: dict[str, Any]) -> list[str]:
    """Say which venues are not read natively."""
    native = (SIMULATOR, *Venues.model_fields)
    others = dict.fromkeys(each["venue"] for each in config["instruments"])
    return [
        f"venue {name} is read through ccxt: slower than {', '.join(native[1:])}"
        for name in others
        if name not in native
    ]


def _waiting(config: dict[str, Any]) -> str:
    """Say how the stages wait; which follows from their CPUs, unless it is configured."""
    affinity_of = {name: config["affinity"][name] for name in topology.PIPELINE}
    chosen = {
        name: runtime.wait_strategy(config) or choose(affinity_of, name).name
        for name in topology.PIPELINE
    }
    return ", ".join(f"{name} {strategy}" for name, strategy in chosen.items())


def summary(result: Result, config: dict[str, Any]) -> dict[str, Any]:
    """Return what `run --json` prints."""
    return {
        "run_id": result.run_id,
        "seconds": result.seconds,
        "exit_reason": result.exit_reason,
        **as_json(result.last, config),
        "memory_mb": result.memory_mb,
    }


@contextlib.contextmanager
def _progress(
    console: Console, config: dict[str, Any], started: float, *, live: bool, quiet: bool
) -> Iterator[Callable[[Snapshot], None]]:
    before: Snapshot | None = None

    def line(now: Snapshot) -> None:
        nonlocal before
        if not quiet:
            seconds = time.monotonic() - started
            console.print(as_line(now, before, seconds, config), highlight=False, soft_wrap=True)
        before = now

    if not live:
        yield line
        return
    with Live(console=console, auto_refresh=False, transient=True) as screen:

        def table(now: Snapshot) -> None:
            nonlocal before
            title = f"bot4 {config['name']}: {time.monotonic() - started:.0f} s"
            screen.update(StateTable(now, before, title, config), refresh=True)
            before = now

        yield table
