"""What a circuit breaker has seen lately: a window of time, or one of calls.

Both belong to a generation, and to the settings that say what a window is: whatever else they hold
is skipped, so nobody needs to clear anything when the state changes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from shm.breaker_settings import BreakerSettings
from shm.breaker_types import BUCKETS, MOST_CALLS, Verdict


class WindowTag(NamedTuple):
    """Which window an outcome belongs to."""

    generation: int
    version: int  # of what a window is, raised by a reload that changes that


class Outcome(NamedTuple):
    """What one call came to."""

    failed: bool
    slow: bool


class Tally(NamedTuple):
    """Calls of a window."""

    calls: int = 0
    failures: int = 0
    slow: int = 0

    def plus(self, outcome: Outcome) -> Tally:
        """Return it with one call more."""
        return Tally(self.calls + 1, self.failures + outcome.failed, self.slow + outcome.slow)


@dataclass(slots=True)
class _Bucket:
    tag: WindowTag
    number: int  # of the stretch of time
    tally: Tally = field(default_factory=Tally)


@dataclass(slots=True)
class TimeShard:
    """One participant's part of a window of time."""

    buckets: list[_Bucket | None] = field(default_factory=lambda: [None] * BUCKETS)

    def count(self, tag: WindowTag, number: int, outcome: Outcome) -> None:
        """Count a call in the bucket of this number."""
        bucket = self.buckets[number % BUCKETS]
        if bucket is None or (bucket.tag, bucket.number) != (tag, number):
            bucket = self.buckets[number % BUCKETS] = _Bucket(tag, number)
        bucket.tally = bucket.tally.plus(outcome)

    def tallies(self, tag: WindowTag, number: int) -> list[Tally]:
        """Return what the bucket of this number and the ones before it in the window hold."""
        return [
            bucket.tally
            for bucket in self.buckets
            # A bucket that is ahead was begun by a clock that was read a little later.
            if bucket is not None and bucket.tag == tag and number - bucket.number < BUCKETS
        ]


@dataclass(slots=True)
class CallWindow:
    """The last calls of all participants."""

    head: int = 0
    slots: dict[int, tuple[int, WindowTag, Outcome]] = field(default_factory=dict)

    def count(self, tag: WindowTag, outcome: Outcome) -> None:
        """Count a call: take a sequence, then store the slot."""
        self.head += 1
        self.slots[self.head % MOST_CALLS] = (self.head, tag, outcome)

    def tally(self, tag: WindowTag, calls: int) -> Tally:
        """Return what the last `calls` calls came to, those of other windows being skipped."""
        tally = Tally()
        for sequence in range(max(1, self.head - calls + 1), self.head + 1):
            found, owner, outcome = self.slots[sequence % MOST_CALLS]
            if (found, owner) == (sequence, tag):
                tally = tally.plus(outcome)
        return tally


def bucket_number(settings: BreakerSettings, now_ns: int) -> int:
    """Return the number of the stretch of time that `now_ns` is in."""
    return now_ns // (settings.window_ns // BUCKETS)


def judge(tally: Tally, settings: BreakerSettings) -> Verdict:
    """Say which rate, if any, has reached its limit."""
    calls, failures, slow = tally
    if calls < settings.min_calls:
        return Verdict.MIN_CALLS_NOT_MET
    if settings.failure_bp > 0 and failures * 10_000 >= settings.failure_bp * calls:
        return Verdict.FAILURE_RATE
    if settings.slow_bp > 0 and slow * 10_000 >= settings.slow_bp * calls:
        return Verdict.SLOW_RATE
    return Verdict.PASSED
