"""When each event is due: open loop, by a schedule that no delay moves."""

from __future__ import annotations

from collections.abc import Callable

_SECOND = 1_000_000_000
_HELD_S = 0.002


class Pace:
    """The schedule of the events from `first` on: event k is due at start + (k - first) / rate.

    A server that was late finds all events due that it has missed, and skips none.
    """

    def __init__(self, first: int, rate: int, start_ns: int) -> None:
        self._first = first
        self._rate = rate
        self._start = start_ns

    def due(self, now_ns: int) -> int:
        """Return the last event that is due, ``first - 1`` if none is."""
        elapsed = now_ns - self._start
        return self._first + elapsed * self._rate // _SECOND if elapsed >= 0 else self._first - 1

    def wait(self, index: int, now_ns: int) -> float:
        """Return the seconds until event `index` is due, at least 0."""
        # Rounded up, so that whoever waits as long finds it due.
        due = self._start - (self._first - index) * _SECOND // self._rate
        return max(0, due - now_ns) / _SECOND


class Leashed:
    """A schedule that is held back at event `leash()` for as long as that says so; 0: it is not.

    What became due meanwhile is due at once when the leash gets longer.
    """

    def __init__(self, pace: Pace, leash: Callable[[], int]) -> None:
        self._pace = pace
        self._leash = leash

    def due(self, now_ns: int) -> int:
        """Return the last event that is due and may be sent."""
        due, leash = self._pace.due(now_ns), self._leash()
        return min(due, leash) if leash else due

    def wait(self, index: int, now_ns: int) -> float:
        """Return the seconds until event `index` is due, or the leash is to be looked at again."""
        wait, leash = self._pace.wait(index, now_ns), self._leash()
        return max(wait, _HELD_S) if leash and leash < index else wait
