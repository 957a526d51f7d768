"""All lines to one venue: one or two, each replaced before the venue ends it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator

from workers._native import Arbiter, Outbox
from workers.feed.connection import Connection
from workers.feed.rest import Rest
from workers.feed.venue import Venue, jittered

_log = logging.getLogger("bot4.feed")

_OVERLAP_S = 30.0  # for a new line to become live; else the old one stays
_LOOK_S = 0.05

_DECODED = ("messages", "malformed", "unknown", "gaps", "checksum_failed", "crossed")
COUNTS = (*_DECODED, "trades", "quotes", "stales", "resyncs", "takeovers")
"""Messages, and what was wrong in them, by any line; records, as all lines together told them.

A gap is one in the sequence of messages or of trades; a takeover, that of an instrument's quotes by
the other line when one was lost.
"""


class Lines:
    """Keeps `links` lines to a venue, of which any one is enough.

    A line that is about to end, by the venue's word or its age, is replaced by one that is live
    before it goes.
    """

    def __init__(
        self,
        venue: Venue,
        outbox: Outbox,
        instruments: int,
        *,
        links: int = 1,
        settle: Callable[[], None],
        told: Callable[[], None] | None = None,
        connected: Callable[[], None] = lambda: None,
        overlap_s: float = _OVERLAP_S,
    ) -> None:
        """Prepare; `instruments` is how many there are in all, whatever their venue."""
        self.venue = venue
        self.arbiter = Arbiter(outbox, instruments, comparable=venue.comparable)
        self._outbox = outbox
        self._rest = Rest()
        self._settle = settle
        self._told = told
        self._connected = connected
        self._overlap_s = overlap_s
        self._links = links
        self._seed = 0
        self._connections: list[Connection] = []
        self._farewells: set[Connection] = set()
        self._retired = dict.fromkeys(_DECODED, 0)
        self._stop = asyncio.Event()

    @property
    def connections(self) -> tuple[Connection, ...]:
        """The lines that there are, live or not."""
        return tuple(self._connections)

    @property
    def heard_ns(self) -> int:
        """When anything came over any of the lines; 0 if never."""
        return max((each.session.heard_ns for each in self._connections), default=0)

    @property
    def has_ended(self) -> bool:
        """Whether the venue was played to its end."""
        return any(each.session.has_ended for each in self._connections)

    def counts(self) -> dict[str, int]:
        """Return what there was so far, over all lines: see `COUNTS`."""
        total = dict(self._retired)
        for connection in self._connections:
            _add(total, connection)
        told = self.arbiter.counts()
        return {name: total[name] if name in total else told[name] for name in COUNTS}

    def stop(self) -> None:
        """End `run` in order; nothing is told any more."""
        self._stop.set()
        for connection in self._connections:
            connection.stop()

    async def run(self) -> None:
        """Read until `stop`.

        Raises:
            Exception: what one of the callbacks raised.
        """
        if self.venue.has_books:
            await self._rest.load()
        keepers = [asyncio.create_task(self._keep()) for _ in range(self._links)]
        try:
            await asyncio.gather(*keepers)
        finally:
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)
            await self._rest.close()

    async def _keep(self) -> None:
        """Keep one line, and its successors."""
        if self._stop.is_set():
            return
        current, running = self._begin()
        try:
            for lifetime in self._lifetimes():
                await self._lasts(current, running, lifetime)
                if running.done() or self._stop.is_set():
                    break
                successor, follows = self._begin()
                if await self._takes_over(successor, follows):
                    current.retire()
                    await running
                    self._end(current)
                    successor.go_on_from(current)
                    current, running = successor, follows
                else:
                    _log.warning("%s: no new connection to replace the old one", self.venue.name)
                    successor.stop()
                    await follows
                    self._end(successor)
                    current.go_on_from(successor)
            await running
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    def _lifetimes(self) -> Iterator[float | None]:
        while True:
            lifetime = self.venue.limits.lifetime
            # Two lines that were made together shall not be replaced together.
            yield None if lifetime is None else jittered(lifetime, 0.02)

    def _begin(self) -> tuple[Connection, asyncio.Task[None]]:
        self._seed += 1
        connection = Connection(
            self.venue,
            self.arbiter,
            self._outbox,
            self._rest,
            settle=self._settle,
            told=self._told,
            connected=self._connected,
            farewell=lambda: self._farewells.add(connection),
            seed=self._seed,
        )
        self._connections.append(connection)
        return connection, asyncio.create_task(connection.run())

    def _end(self, connection: Connection) -> None:
        self._connections.remove(connection)
        self._farewells.discard(connection)
        _add(self._retired, connection)

    async def _lasts(
        self, connection: Connection, running: asyncio.Task[None], lifetime: float | None
    ) -> None:
        """Wait until a line is to be replaced, or has ended."""
        loop = asyncio.get_running_loop()
        end = None if lifetime is None else loop.time() + lifetime
        while not running.done() and connection not in self._farewells:
            left = 1.0 if end is None else end - loop.time()
            if left <= 0:
                return
            await asyncio.wait((running,), timeout=min(left, _LOOK_S * 2))
        self._farewells.discard(connection)

    async def _takes_over(self, successor: Connection, running: asyncio.Task[None]) -> bool:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._overlap_s
        while loop.time() < end and not running.done() and not self._stop.is_set():
            if successor.is_live:
                return True
            await asyncio.sleep(_LOOK_S)
        return False


def _add(total: dict[str, int], connection: Connection) -> None:
    counts = connection.decoder.counts()
    counts["gaps"] += counts["trade_gaps"]
    for name in total:
        total[name] += counts[name]
