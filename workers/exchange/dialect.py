"""What the protocols of all venues have in common: one conversation on one connection."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from workers.exchange.market import Events


class Dialect(ABC):
    """Makes a venue's messages for one connection, and answers its requests.

    Attributes:
        venue: Whose protocol it is.
        chunk: Events that are made into messages before other connections get their turn.
        pings: Whether the venue sends PING frames.
    """

    venue: str
    chunk = 64
    pings = False

    @abstractmethod
    def subscribed(self) -> bool:
        """Tell whether anything of the market is wanted."""

    @abstractmethod
    def answer(self, request: bytes, position: int) -> Sequence[str | bytes]:
        """Carry out a request, and return what is sent for it; `position` is the latest event."""

    @abstractmethod
    def encode(self, events: Events) -> Sequence[str | bytes]:
        """Return the messages for events, the next ones without exception."""

    def greet(self, position: int) -> Sequence[str]:
        """Return what is sent at first."""
        return ()

    def beat(self, position: int, silence: float) -> Sequence[str]:
        """Return the heartbeats that are due; called about every second.

        `silence` is how long nothing was sent, in seconds.
        """
        return ()

    def is_tired(self, age: float) -> bool:
        """Tell whether the venue closes a connection that is so many seconds old."""
        return False
