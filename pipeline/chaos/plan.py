"""Which process is killed when, and how: all of it from a seed."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pipeline import topology

OUTSIDE: Final = 0
"""The kill comes from outside, at whatever instruction the process is at."""

POINTS: Final = {"feed": (2, 1, 3, 4), "stage": (4, 3, 5, 2, 6, 1, 7)}
"""The instants at which a process can be told to kill itself: CrashPoint in native/loop.hpp and in
workers/feed/native/publisher.hpp. They are a few instructions wide, so no kill from outside would
hit them in a lifetime. Those at which most can go wrong come first."""

_WHENEVER: Final = ("supervisor", topology.MODEL)
"""These cannot be told to."""

LEAST = 3
"""Each process is killed so often, if there are enough kills."""


@dataclass(frozen=True, slots=True)
class Kill:
    """Once `position` market records are published, kill `process` at `point`."""

    position: int
    process: str
    point: int


def plan(
    seed: int,
    events: int,
    kills: int,
    only: str | None,
    processes: Sequence[str] = topology.PIPELINE,
) -> list[Kill]:
    """Return so many kills, in the order of their positions.

    They are spread over the middle 85 % of the events; the processes take turns in random order, so
    each gets its share.

    Args:
        seed: Of all that is random.
        events: Market records of the run.
        kills: How many.
        only: The process that all of them hit, if it is one.
        processes: Else those that take turns.
    """
    source = random.Random(seed)  # noqa: S311 - to be repeatable is the point
    processes = [only] if only else processes
    victims: list[str] = []
    while len(victims) < kills:
        victims += source.sample(processes, len(processes))
    victims = victims[:kills]
    positions = sorted(source.randrange(events // 20, events * 9 // 10) for _ in range(kills))
    # Every point of every process comes round, each process begins at another one, and every
    # fourth kill is from outside.
    points = {
        process: _endless(POINTS["feed" if process == "feed" else "stage"], begin=number)
        for number, process in enumerate(reversed(processes))
    }
    return [
        Kill(
            position,
            process,
            OUTSIDE if process in _WHENEVER or number % 4 == 3 else next(points[process]),
        )
        for number, (position, process) in enumerate(zip(positions, victims, strict=True))
    ]


def _endless(points: Sequence[int], begin: int) -> Iterator[int]:
    return itertools.cycle((*points[begin:], *points[:begin]))
