"""What all participants of a group of circuit breakers share, here as plain Python objects.

Each breaker's control word is the truth. The rest is beside it: a process killed between changing
the word and writing the rest leaves something behind that is of another generation, and is known by
that number.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from shm.breaker_settings import BreakerSettings
from shm.breaker_types import (
    BREAKER_EVENT,
    PARTICIPANTS,
    PROBES,
    EventKind,
    GlobalState,
    Limits,
    Rejection,
)
from shm.reference.breaker_window import CallWindow, TimeShard
from shm.reference.breaker_word import Control

EVENTS: Final = 64  # of one participant that wait to be read; the newest are dropped
TOTALS: Final = ("admitted", "rejected", "succeeded", "failed", "slow", "stale", "uncounted")

Event = np.ndarray[Any, np.dtype[np.void]]  # one record of BREAKER_EVENT


@dataclass(slots=True)
class Owner:
    """Who holds a permit of HALF_OPEN. Only the reaper reads it."""

    generation: int
    pid: int
    started: int  # in clock ticks since boot: pids are used again
    lease_ns: int  # until when


@dataclass(slots=True)
class Shard:
    """What one participant alone writes of one breaker."""

    window: TimeShard = field(default_factory=TimeShard)
    totals: Counter[str] = field(default_factory=Counter)
    last: Event | None = None  # the last transition that it made


@dataclass(slots=True)
class BreakerMemory:
    """One breaker. A pair of (generation, value) is nothing to other generations."""

    control: Control = field(default_factory=lambda: Control.of(0))
    since: tuple[int, int] = (0, 0)  # the tick at which the generation began
    consecutive: tuple[int, int] = (0, 0)  # failures in a row
    told: int | None = None  # the generation whose WOULD_TRIP was told
    reaped_ns: int = 0  # when an acquirer last ran the reaper
    owners: list[Owner | None] = field(default_factory=lambda: [None] * PROBES)
    missing: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0)] * PROBES)
    settings: BreakerSettings | None = None
    settings_version: int = 0
    window_version: int = 0
    calls: CallWindow = field(default_factory=CallWindow)
    shards: list[Shard] = field(default_factory=lambda: [Shard() for _ in range(PARTICIPANTS)])


@dataclass(slots=True)
class Events:
    """One participant's events that nobody has read yet, and how many found no room."""

    waiting: list[Event] = field(default_factory=list)
    dropped: Counter[EventKind] = field(default_factory=Counter)
    sequence: int = 0

    def push(self, event: Event) -> None:
        """Append an event, or drop it."""
        event["sequence"] = self.sequence
        self.sequence += 1
        if len(self.waiting) < EVENTS:
            self.waiting.append(event)
        else:
            self.dropped[EventKind(int(event["kind"][0]))] += 1


class BreakersMemory:
    """A group of breakers: zero memory, in which all of them admit nobody."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.breakers = [BreakerMemory() for _ in names]
        self.events = [Events() for _ in range(PARTICIPANTS)]
        self.limits = Limits()
        self.fed_ns = 0  # when the components were last judged; 0: nobody does that
        self.latch = False
        self.changes = 0  # of states, settings, limits and the latch, so that readers may cache
        self.cached = (GlobalState.UNKNOWN, 0)  # the global state, and when it was derived


def new_event(time_ns: int, kind: EventKind, **fields: int | bytes) -> Event:
    """Return an event as an array of one record."""
    event = np.zeros(1, BREAKER_EVENT)
    event["time_ns"] = time_ns
    event["kind"] = kind
    for name, value in fields.items():
        event[name] = value
    return event


@dataclass(frozen=True, slots=True)
class Permit:
    """The right to make one call, or why there is none."""

    generation: int
    index: int  # in HALF_OPEN; -1 otherwise
    issued_ns: int
    rejection: Rejection = Rejection.NONE
    counted: bool = True

    def __bool__(self) -> bool:
        return self.rejection == Rejection.NONE


@dataclass(frozen=True, slots=True)
class Participant:
    """Who acts: a shard of the group's memory, None for one who only looks, and a process."""

    memory: BreakersMemory
    shard: int | None
    pid: int
    started: int

    def tell(self, event: Event) -> None:
        """Put an event into the participant's ring."""
        assert self.shard is not None
        event["pid"] = self.pid
        self.memory.events[self.shard].push(event)


def is_alive(pid: int, started: int) -> bool:
    """Say whether the process that was started then still exists, and not just its entry."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    # The name, in parentheses, may itself hold blanks and parentheses; see shm/host.py.
    fields = text.rpartition(")")[2].split()
    return fields[0] not in ("Z", "X") and int(fields[19]) == started != 0


def now_or(now_ns: int | None) -> int:
    """Return a time that was given, or else the clock's."""
    return time.monotonic_ns() if now_ns is None else now_ns
