"""The feed: the venues' messages in, market records out."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Mapping
from typing import Any

from pipeline.instruments import SIMULATOR, Instrument, instruments_from
from pipeline.runtime import collect_garbage
from shm import Segment
from shm._native import Wake
from workers._native import Outbox, Publisher
from workers.exchange.request import COINBASE, KRAKEN
from workers.feed.binance import Binance, Simulator
from workers.feed.coinbase import Coinbase
from workers.feed.decoding import StaleReason
from workers.feed.kraken import Kraken
from workers.feed.lines import COUNTS, Lines
from workers.feed.unified import CcxtVenue, Unified
from workers.feed.venue import Capture, Venue

_PATHS = {"binance": "", "kraken": KRAKEN, "coinbase": COINBASE[0]}
_BEAT_S = 0.1
_IDLE_MESSAGES = 200  # fewer between two beats leave time for a collection

VENUES: dict[str, type[Venue]] = {each.name: each for each in (Binance, Kraken, Coinbase)}
"""Those that are read natively, the simulator apart; all others are read through ccxt."""


class Feed:
    """Reads all instruments from their venues and publishes what is told of them.

    What was published by a process before this one stays as it is: the simulator sends on from a
    position; of other venues, trades go on by their ids, and quotes are stale until there are new
    ones. If a ring is full it stops reading: the venues' messages wait in the sockets.
    """

    def __init__(self, segment: Segment, config: Mapping[str, Any]) -> None:
        """Take the feed's roles in the segment.

        Raises:
            FeedError: a venue cannot be read as configured.
        """
        self._segment = segment
        self._config = config
        self._last: int | None = config.get("run", {}).get("events")
        self._capture = config.get("run", {}).get("capture")
        self._words = segment.words("feed.words")
        self._exchange = segment.words("exchange.words")
        self._counters = segment.counters_writer("feed.counters")
        self._counted = dict.fromkeys(COUNTS, 0)
        self._doorbell = segment.doorbell("feed")
        self._publisher = Publisher(
            market=segment.producer("market").pointer,
            ta=segment.bell("ta").pointer,
            ticks=segment.producer("ticks").pointer,
            quotes=segment.table_writer("quotes").pointer,
            latency=segment.histograms_writer("feed.latency").pointer,
            words=self._words.pointer,
        )
        self._outbox = Outbox(self._publisher)
        self._stopped = False
        instruments = instruments_from(config)
        traded: dict[str, list[Instrument]] = {}
        for instrument in instruments:
            traded.setdefault(instrument.venue, []).append(instrument)
        self._lines = [self._read(name, each, len(instruments)) for name, each in traded.items()]
        for lines in self._lines:
            self._resume(lines)

    async def run(self) -> None:
        """Read until SIGTERM, or until the run's last event, or all of a capture, is published."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop)
        beats = asyncio.create_task(self._beat())
        try:
            played = any(self._is_played(lines.venue.name) for lines in self._lines)
            while played and not (self._exchange.load("port") or self._stopped):
                await asyncio.sleep(0.005)
            if not self._is_finished():
                await asyncio.gather(*(lines.run() for lines in self._lines))
        finally:
            beats.cancel()
            self._count()
        if self._is_finished():
            self._segment.words("run").store("finished", 1)

    def _is_played(self, name: str) -> bool:
        """Return whether a venue is the run's own process `exchange`."""
        return name == SIMULATOR or self._capture is not None

    def _read(self, name: str, instruments: list[Instrument], count: int) -> Lines | Unified:
        """Return what reads a venue; `count` is of all instruments."""
        if name != SIMULATOR and name not in VENUES:
            places = self._config["venues"].get(name, {})
            return Unified(
                CcxtVenue(name, tuple(instruments), places.get("url"), places.get("rest_url")),
                self._outbox,
                count,
                settle=self._settle,
                connected=lambda: self._counters.add("connects"),
            )
        return Lines(
            self._venue(name, instruments),
            self._outbox,
            count,
            links=1 if self._is_played(name) else self._config["venues"][name]["links"],
            settle=self._settle,
            told=None if self._last is None else self._end_after_the_last,
            connected=lambda: self._counters.add("connects"),
        )

    def _venue(self, name: str, instruments: list[Instrument]) -> Venue:
        if name == SIMULATOR:
            return Simulator(instruments, self._place, lambda: self._outbox.position, self._last)
        if self._capture is not None:
            return VENUES[name](
                instruments,
                lambda: f"ws://{self._place()}{_PATHS[name]}",
                lambda: f"http://{self._place()}",
                Capture(self._capture["microseconds"], self._capture["depth"]),
            )
        places = self._config["venues"][name]
        return VENUES[name](instruments, places["url"], places["rest_url"])

    def _place(self) -> str:
        return f"{self._config['exchange']['host']}:{self._exchange.load('port')}"

    def _resume(self, lines: Lines | Unified) -> None:
        """Go on from what a predecessor has published."""
        if self._capture is not None:
            self._outbox.resume(self._publisher.position, self._publisher.told_there)
        for instrument in lines.venue.instruments:
            row = instrument.index
            is_stale = self._publisher.is_stale(row)
            # All of a capture is sent again, and the outbox knows what of it was told.
            last = 0 if self._capture is not None else self._publisher.last_trade(row)
            lines.arbiter.resume(row, last, is_stale)
            # What the simulator has sent since will follow, but a venue does not repeat itself.
            if lines.venue.has_books and self._publisher.is_quoted(row):
                now = time.monotonic_ns()
                lines.arbiter.doubt(row, StaleReason.DISCONNECTED, now)
        self._outbox.flush()

    def _stop(self) -> None:
        self._stopped = True
        for lines in self._lines:
            lines.stop()

    def _is_finished(self) -> bool:
        if self._capture is not None:
            return all(isinstance(lines, Lines) and lines.has_ended for lines in self._lines)
        return self._last is not None and self._publisher.position >= self._last

    def _end_after_the_last(self) -> None:
        if self._is_finished():
            self._stop()

    def _settle(self) -> None:
        """Wait until all that was told is published."""
        if self._outbox.flush():
            return
        self._counters.add("full")
        while not self._outbox.flush():
            # The consumer's commit rings. A signal does, too: what was received is then dropped
            # here, unpublished, and whoever comes after asks for it again.
            if self._doorbell.wait(_BEAT_S) is Wake.SIGNAL:
                self._stop()
                return
            self._words.store("beat", time.monotonic_ns())

    def _count(self) -> None:
        counts = [lines.counts() for lines in self._lines]
        dropped = self._outbox.dropped()
        for name, before in self._counted.items():
            now = sum(each[name] for each in counts) - dropped.get(name, 0)
            self._counters.add(name, now - before)
            self._counted[name] = now

    async def _beat(self) -> None:
        rows = {
            lines: [instrument.index for instrument in lines.venue.instruments]
            for lines in self._lines
        }
        while True:
            self._words.store("beat", time.monotonic_ns())
            for lines in self._lines:
                self._publisher.heard(lines.heard_ns, rows[lines])
            messages = self._counted["messages"]
            self._count()
            await asyncio.sleep(_BEAT_S)
            collect_garbage(idle=self._counted["messages"] - messages < _IDLE_MESSAGES)
