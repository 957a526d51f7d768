"""When which fault happens: all kinds in a seeded order, again and again, and quiet at the end."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

QUIET_S: Final = 15.0
"""Without faults, at the end: within a venue's limits all books can be had again in that time."""

STEP_S: Final = 3.0
"""From one fault to the next; less in a run that would be too short for all kinds."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A fault as the simulator knows it, and how long it lasts; None: it is over at once."""

    fault: str
    lasts: float | None = None


# Shares are of messages that come as fast as they are read: hundreds of faults a second.
KINDS: Final = (
    Kind("latency=5ms,jitter=20ms", 2.0),
    Kind("drop=0.005", 2.0),
    Kind("duplicate=0.005", 2.0),
    Kind("reorder=0.02", 2.0),
    Kind("sequence-gap=0.005", 2.0),
    Kind("bad-checksum=0.02", 2.0),
    Kind("malformed=0.005", 2.0),
    Kind("slow-reader=50ms", 2.0),
    Kind("reset"),
    Kind("half-open"),
    Kind("black-hole", 2.0),
    Kind("refuse,reset", 1.0),
    Kind("restart", 1.0),
    Kind("5xx=0.5,sequence-gap=0.005", 2.0),
    Kind("429=1s,sequence-gap=0.005", 2.0),
)


def script(seconds: float, quiet: float, seed: int, kinds: Sequence[Kind] = KINDS) -> str:
    """Return a script for `bot4 exchange` of that many seconds, the last `quiet` of them without.

    All kinds happen in each round, in an order of its own.
    """
    choose = random.Random(seed)  # noqa: S311 - a seeded order
    step = min(STEP_S, (seconds - quiet) / (len(kinds) + 1))
    end = seconds - quiet
    at = step
    entries: list[str] = []
    while at + step <= end + 1e-9:
        for kind in choose.sample(kinds, len(kinds)):
            if at + step > end + 1e-9:
                break
            entry = f'[[faults]]\nat = {at:.3f}\nfault = "{kind.fault}"\n'
            if kind.lasts is not None:
                entry += f"for = {min(kind.lasts, 0.8 * step):.3f}\n"
            entries.append(entry)
            at += step
    return "\n".join(entries)
