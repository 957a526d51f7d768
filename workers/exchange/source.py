"""Where a connection's events come from, and when each is due."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

from workers.exchange.market import Events


class Schedule(Protocol):
    """When each event is due, in ns of a monotonic clock; see `pacing`."""

    def due(self, now_ns: int) -> int:
        """Return the last event that is due."""

    def wait(self, index: int, now_ns: int) -> float:
        """Return the seconds until event `index` is due, at least 0."""


class Source(ABC):
    """Numbered events.

    Attributes:
        last: The event with which it ends; None: it never does.
        farewell: With which a connection is closed that was sent the last; empty: it stays.
    """

    last: int | None
    farewell = b""

    @abstractmethod
    def begin(self) -> int:
        """Return after which event a client begins that does not say."""

    @abstractmethod
    def approach(self, index: int, most: int) -> bool:
        """Make some of what lies before event `index`; return whether it is near."""

    @abstractmethod
    def events(self, first: int, count: int) -> Events:
        """Return events from `first` on."""

    @abstractmethod
    def pace(self, first: int, *, live: bool) -> Schedule | None:
        """Return when events are due from `first` on, None: as fast as the client reads.

        `live` is a client that did not say where to begin.
        """

    def reached(self, index: int) -> None:  # noqa: B027 - most do not care
        """Note that a client that did not say where to begin was sent that event."""
