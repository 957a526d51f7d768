"""Outages of one kind, one after the other, of one venue and one client."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from perf.outage.clients import CLIENTS, Client
from perf.outage.ledger import Books, Tops, Trades
from perf.outage.venue import FailedError, Venue, market

SHORTEST_S = 0.5
SETTLE_S = 15.0
"""For trades to be told that were missed: a venue lets nobody ask for them as often as he likes."""

_READY_S = 120.0  # importing ccxt takes a busy machine long
_POLL_S = 0.005
_LOOK_S = 0.1  # for missing trades
_CALM_S = (0.2, 0.7)  # between outages, so that they fall anywhere between two heartbeats


class StoppedError(Exception):
    """The run is over before its time."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be measured.

    Attributes:
        lengths: Of the outages, in seconds.
        limit: Seconds after the end of an outage after which a client has not recovered.
    """

    client: str
    venue: str
    outage: str
    lengths: tuple[float, ...]
    limit: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was measured.

    Attributes:
        recovery: Seconds from the end of each outage to the last instrument's first valid book,
            None if that took longer than the limit.
        lost: Trades that the venue could still tell when the client was back, and never were told.
        duplicated: Trades that were told again.
    """

    plan: Plan
    recovery: tuple[float | None, ...]
    lost: int
    duplicated: int


def lengths(seed: int, outage: str, count: int, longest: float) -> tuple[float, ...]:
    """Return random lengths of outages in seconds, the same for every client."""
    chance = random.Random(f"{seed} {outage}")  # noqa: S311 - no secret
    return tuple(round(chance.uniform(SHORTEST_S, longest), 3) for _ in range(count))


def run(plan: Plan, stop: threading.Event) -> Outcome:
    """Measure.

    Raises:
        FailedError: a process hung or died, or what was told is not what was sent.
        StoppedError: `stop` was set.
    """
    chance = random.Random(str(plan))  # noqa: S311 - no secret
    recovery: list[float | None] = []
    lost = duplicated = 0
    with Venue(plan.venue) as venue:
        while len(recovery) < len(plan.lengths):
            with _start(plan, venue, stop) as client:
                life = _Life(client, venue, stop)
                life.ready()
                while len(recovery) < len(plan.lengths):
                    life.follow(chance.uniform(*_CALM_S))
                    seconds = plan.lengths[len(recovery)]
                    recovery.append(life.outage(plan.outage, seconds, plan.limit))
                    if recovery[-1] is None:
                        break
                lost, duplicated = lost + life.trades.lost, duplicated + life.trades.duplicated
                life.trades.check()
    return Outcome(plan, tuple(recovery), lost, duplicated)


def _start(plan: Plan, venue: Venue, stop: threading.Event) -> Client:
    if stop.is_set():
        raise StoppedError
    return CLIENTS[plan.client](venue.place, f"{plan.client} {plan.outage}")


class _Life:
    """One process of a client, until it has not recovered."""

    def __init__(self, client: Client, venue: Venue, stop: threading.Event) -> None:
        self._client = client
        self._venue = venue
        self._stop = stop
        self._market = market()
        self._books = Books()
        self._is_true: Callable[[int, int, int], bool] | None = None
        self.trades = Trades(self._market)

    def ready(self) -> None:
        """Wait until all books are valid and trades come."""
        self._await_books(time.monotonic_ns())
        if not self.follow(_READY_S, lambda: self._has_books and self.trades.has_all):
            raise FailedError(f"{self._client.label} was not ready within {_READY_S:g} s")

    def outage(self, kind: str, seconds: float, limit: float) -> float | None:
        """Make an outage; return in how many seconds all books were valid after it."""
        self._is_true = None
        end_ns = self._venue.fail(kind, seconds, self.follow)
        self._await_books(end_ns)
        left = limit - (time.monotonic_ns() - end_ns) / 1e9
        self.follow(left, lambda: self._has_books)
        valid_ns = self._books.valid_ns
        if valid_ns is None or valid_ns - end_ns > limit * 1e9:
            return None
        self.trades.resumed(self._venue.position(valid_ns))
        for _ in range(round(SETTLE_S / _LOOK_S)):
            if not self.trades.lost:
                break
            self.follow(_LOOK_S)
        return (valid_ns - end_ns) / 1e9

    def follow(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Take what is told for so long; return at once, and True, when `until` holds."""
        end = time.monotonic() + seconds
        while True:
            rows = self._client.take()
            if rows.shape[1]:
                self._books.add(rows, self._is_true)
                self.trades.add(rows)
                if until():
                    return True
            left = end - time.monotonic()
            if left <= 0:
                return until()
            if self._stop.wait(min(left, _POLL_S)):
                raise StoppedError

    @property
    def _has_books(self) -> bool:
        return self._books.valid_ns is not None

    def _await_books(self, end_ns: int) -> None:
        """Look for books of after that time."""
        tops = Tops(self._market, self._venue.position(end_ns))
        self._books.forget(end_ns)

        def is_true(instrument: int, bid: int, ask: int) -> bool:
            now = self._venue.position(time.monotonic_ns())
            return tops.has(instrument, bid, ask, now)

        self._is_true = is_true
