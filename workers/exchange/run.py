"""The exchange as a process: from its configuration until a signal."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any

from workers.exchange.listing import listings_from
from workers.exchange.server import ExchangeServer

BEAT_EVERY = 0.5
"""Seconds between heartbeats."""


async def run(
    config: Mapping[str, Any],
    store_port: Callable[[int], None],
    store_beat: Callable[[int], None],
) -> None:
    """Serve until SIGTERM or SIGINT.

    `config` is the resolved configuration, of which ``exchange`` and ``instruments`` are read and,
    if there is one, ``run``. The port is stored once it accepts clients, and a heartbeat (ns of
    CLOCK_MONOTONIC) twice a second.

    Raises:
        ListingError: the configuration has a value that cannot be.
        OSError: the port cannot be had.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    exchange = config["exchange"]
    server = ExchangeServer(
        listings_from(config["instruments"]),
        seed=exchange["seed"],
        volatility_bp=exchange["volatility_bp"],
        rate=exchange["rate"],
        last=config.get("run", {}).get("events"),
    )
    store_port(await server.start(exchange["host"]))
    over = [loop.create_task(stop.wait()), loop.create_task(server.wait_failed())]
    try:
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
