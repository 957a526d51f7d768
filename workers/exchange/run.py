"""The exchange as a process: from its configuration until a signal."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.instruments import Instrument, instruments_from
from workers.exchange.faults import faults_of
from workers.exchange.listing import Listing, listings_from
from workers.exchange.playback import Recording, Speed
from workers.exchange.request import COINBASE, KRAKEN
from workers.exchange.script import Entry, load, play
from workers.exchange.server import ExchangeServer
from workers.feed.capture import END

BEAT_EVERY = 0.5
"""Seconds between heartbeats."""

_NEVER_SEEN = 1_000_000  # ticks


async def run(
    config: Mapping[str, Any],
    store_port: Callable[[int], None],
    store_beat: Callable[[int], None],
    leash: Callable[[], int] = lambda: 0,
) -> None:
    """Serve until SIGTERM or SIGINT.

    `config` is the resolved configuration, of which ``exchange`` and ``instruments`` are read and,
    if there is one, ``run``: what it says of a capture is played. The port is stored once it
    accepts clients, and a heartbeat (ns of CLOCK_MONOTONIC) twice a second. The `leash` is the
    event beyond which a seeded market does not go for now; as long as it is 0 that of ``run``
    holds, if there is one.

    Raises:
        ListingError: the configuration has a value that cannot be.
        CaptureError: a captured file cannot be played.
        OSError: the port cannot be had, or a file cannot be read.
    """
    exchange = config["exchange"]
    chosen = config.get("run", {})
    if "capture" in chosen:
        server = await _playing(config, chosen["capture"], store_beat)
    else:
        server = ExchangeServer(
            listings_from(config["instruments"]),
            seed=exchange["seed"],
            volatility_bp=exchange["volatility_bp"],
            rate=exchange["rate"],
            last=chosen.get("events"),
        )
        first = chosen.get("leash", 0)
        server.exchange.leash = lambda: leash() or first
    await serve(server, store_port, store_beat, host=exchange["host"])


async def _playing(
    config: Mapping[str, Any], capture: Mapping[str, Any], store_beat: Callable[[int], None]
) -> ExchangeServer:
    """Return a server of a capture, which takes some time to be read."""
    paths = [Path(name) for name in capture["files"]]
    loading = asyncio.ensure_future(asyncio.to_thread(Recording.load, paths))
    while not loading.done():
        store_beat(time.monotonic_ns())
        await asyncio.wait((loading,), timeout=BEAT_EVERY)
    venue = config["instruments"][0]["venue"]
    return ExchangeServer(
        tuple(map(_listing, instruments_from(config))),
        seed=config["exchange"]["seed"],
        volatility_bp=0,
        rate=config["exchange"]["rate"],
        venues=(venue,),
        recording=loading.result(),
        speed=Speed.parse(capture["speed"]),
        farewell=END,
    )


def _listing(instrument: Instrument) -> Listing:
    """Return an instrument whose market is a capture, so that its own market is never seen."""
    return Listing(
        instrument.symbol,
        instrument.tick_e8,
        instrument.lot_e8,
        _NEVER_SEEN,
        instrument.base,
        instrument.quote,
    )


async def serve(
    server: ExchangeServer,
    store_port: Callable[[int], None],
    store_beat: Callable[[int], None] = lambda now: None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    script: Sequence[Entry] = (),
) -> None:
    """Start a server, with faults by a script, and serve until SIGTERM or SIGINT.

    Raises:
        OSError: the port cannot be had.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    over: list[asyncio.Task[None]] = []
    try:
        chosen = await server.start(host, port)
        over = [
            loop.create_task(_stopped(stop)),
            loop.create_task(server.wait_failed()),
            loop.create_task(play(server.faults, script)),
        ]
        store_port(chosen)
        while not any(task.done() for task in over):
            store_beat(time.monotonic_ns())
            await asyncio.wait(over, timeout=BEAT_EVERY, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in over:
            task.cancel()
        await asyncio.gather(*over, return_exceptions=True)
        await server.close()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def _stopped(stop: asyncio.Event) -> None:
    await stop.wait()


@dataclass(frozen=True, slots=True)
class Options:
    """What `bot4 exchange` was told; see its help.

    `instruments` are those of a resolved configuration.
    """

    instruments: Sequence[Mapping[str, Any]]
    host: str
    port: int
    seed: int
    rate: int
    volatility_bp: float
    venues: tuple[str, ...]
    faults: tuple[str, ...]
    script: Path | None
    captures: tuple[Path, ...]
    speed: str
    position: int = 0


def run_alone(options: Options, announce: Callable[[dict[str, Any]], None]) -> None:
    """Serve until SIGTERM or SIGINT; `announce` is told the addresses once clients are accepted.

    Raises:
        ListingError: an instrument or a number cannot be.
        FaultError: a fault cannot be.
        CaptureError: a captured file cannot be played.
        OSError: a file cannot be read, or the port cannot be had.
    """
    faults = tuple(fault for text in options.faults for fault in faults_of(text))
    entries = [Entry(0.0, faults, None)] if faults else []
    if options.script is not None:
        entries += load(options.script)
    speed = Speed.parse(options.speed)
    server = ExchangeServer(
        listings_from(options.instruments),
        seed=options.seed,
        volatility_bp=options.volatility_bp,
        rate=options.rate,
        position=options.position,
        venues=options.venues,
        recording=Recording.load(options.captures) if options.captures else None,
        speed=speed,
    )
    asyncio.run(
        serve(
            server,
            lambda port: announce(addresses(options.host, port, options.venues)),
            lambda now: server.exchange.keep_up(),
            host=options.host,
            port=options.port,
            script=entries,
        )
    )


def addresses(host: str, port: int, venues: Sequence[str]) -> dict[str, Any]:
    """Return where everything is to be had."""
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    sockets = {"binance": "", "kraken": KRAKEN, "coinbase": COINBASE[0]}
    return {
        "host": host,
        "port": port,
        "pid": os.getpid(),
        "venues": {
            venue: {"websocket": f"ws://{place}{sockets[venue]}", "rest": f"http://{place}"}
            for venue in venues
        },
        "control": f"http://{place}/control",
    }
