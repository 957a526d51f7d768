"""The words in which circuit breakers speak: states, causes, verdicts, events, errors."""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np

from shm.errors import ShmError

TICK_NS: Final = 1 << 20  # what deadlines and beginnings are rounded to, about a millisecond
BUCKETS: Final = 10  # of a window of time
MOST_CALLS: Final = 1024  # of a window of calls
PROBES: Final = 16  # indices of one episode of HALF_OPEN
PARTICIPANTS: Final = 16  # processes with a shard of their own
GENERATIONS: Final = 1 << 20  # then they begin again at 0
MOST_ATTEMPTS: Final = 15  # where the attempt saturates
GLOBAL_AGE_NS: Final = 50_000_000  # an older global state is derived anew by whoever reads it
SILENT_NS: Final = 2_000_000_000  # what whoever judges the components may be silent
ORPHAN_NS: Final = 50_000_000  # what a permit may stay without an owner record
LARGEST_LEASE_NS: Final = (1 << 22) * TICK_NS  # 73 minutes; an older permit is stale by age alone
ACTOR_BYTES: Final = 32
REASON_BYTES: Final = 96
GLOBAL_BREAKER: Final = 0xFFFF_FFFF  # `breaker` of an event of the global state


class State(IntEnum):
    """What a breaker is doing."""

    UNINIT = 0  # what zero memory is; admits nobody
    CLOSED = 1
    OPEN = 2
    HALF_OPEN = 3
    FORCED_OPEN = 4
    DISABLED = 5
    METRICS_ONLY = 6
    INVALID = 7  # never stored; admits nobody


class GlobalState(IntEnum):
    """What all components together come to."""

    UNKNOWN = 0  # never derived: counts as open
    CLOSED = 1
    DEGRADED = 2
    OPEN = 3


class Rejection(IntEnum):
    """Why a permit was refused."""

    NONE = 0  # it was not
    OPEN = 1
    EXHAUSTED = 2  # HALF_OPEN, and all of its permits are out
    FORCED_OPEN = 3
    UNINIT = 4  # also an invalid word, and no settings yet


class Completion(IntEnum):
    """What became of an outcome."""

    COUNTED = 1
    STALE = 2  # of another generation, given back twice, or too old
    UNCOUNTED = 3  # a call of DISABLED that ends while it still is


class Cause(IntEnum):
    """Why a state changed, or would have."""

    NONE = 0
    INITIALISED = 1
    FAILURE_RATE = 2
    SLOW_RATE = 3
    CONSECUTIVE = 4
    COOLDOWN_OVER = 5
    PROBES_SUCCEEDED = 6
    PROBES_FAILED = 7
    MAX_STAY = 8
    NO_PROBES_LEFT = 9
    TRIPPED = 10
    FORCED_OPEN = 11
    RESET = 12
    DISABLED = 13
    METRICS_ONLY = 14
    RELOADED = 15
    COMPONENTS = 16  # of the global state


class EventKind(IntEnum):
    """What an event tells."""

    TRANSITION = 1
    WOULD_TRIP = 2  # METRICS_ONLY, once a generation
    LEASE_EXPIRED = 3
    OWNER_DIED = 4
    RELOADED = 5
    GLOBAL = 6


class Verdict(IntEnum):
    """What the rules say of a window; below `min_calls` there is no rate, and so no verdict."""

    MIN_CALLS_NOT_MET = 0
    PASSED = 1
    FAILURE_RATE = 2
    SLOW_RATE = 3


class Counts(NamedTuple):
    """The window of the current generation."""

    calls: int
    failures: int
    slow: int
    consecutive: int
    verdict: Verdict


class Limits(NamedTuple):
    """When the global state is open.

    Attributes:
        min_components: Enabled ones below which the ratio means nothing.
        open_bp: Share of the enabled weight, open, that opens it.
        close_bp: Share at which it is no longer open.
        live: Critical components can be neither disabled nor only watched.
    """

    min_components: int = 1
    open_bp: int = 5_000
    close_bp: int = 3_500
    live: bool = False


BREAKER_EVENT: Final = np.dtype(
    {
        "names": [
            "time_ns",  # CLOCK_MONOTONIC
            "before",  # the control word; a GlobalState if `kind` is GLOBAL
            "after",
            "breaker",  # its index, or GLOBAL_BREAKER
            "kind",
            "cause",
            "pid",
            "spare",
            "calls",
            "failures",
            "slow",
            "consecutive",
            "settings_version",
            "sequence",  # of its shard
            "actor",
            "reason",
        ],
        "formats": [
            *("<i8", "<u8", "<u8", "<u4", "<u2", "<u2", "<u4", "<u4", "<u4", "<u4", "<u4", "<u4"),
            *("<u8", "<u8", f"S{ACTOR_BYTES}", f"S{REASON_BYTES}"),
        ],
        "offsets": [0, 8, 16, 24, 28, 30, 32, 36, 40, 44, 48, 52, 56, 64, 72, 104],
        "itemsize": 256,
    }
)


class BreakerError(ShmError, ValueError):
    """A breaker refuses what it was asked; the message says why, and what to do instead."""


class BreakerSettingsError(BreakerError):
    """Settings that no breaker can work by; `problems` has a sentence for each wrong field."""

    def __init__(self, problems: dict[str, str]) -> None:
        super().__init__("; ".join(problems.values()))
        self.problems = problems


class BreakerOpenError(ShmError):
    """A call was not made, because its breaker admitted nobody."""

    def __init__(self, breaker: str, rejection: Rejection) -> None:
        super().__init__(
            f"breaker {breaker!r} admitted no call: {rejection.name}; try again later, or see "
            "why with its last()"
        )
        self.breaker = breaker
        self.rejection = rejection
