"""Heartbeats, judged fairly: nobody is late by the clock of a watcher who was late himself."""

from __future__ import annotations


class Heartbeats:
    """Decides which processes have stopped without having died."""

    def __init__(self, limit_ns: int) -> None:
        """A process whose last beat is older than `limit_ns` has stopped."""
        self._limit_ns = limit_ns
        self._last_look_ns: int | None = None
        self._fair_from_ns = 0

    def late(self, now_ns: int, beats: dict[str, int]) -> list[str]:
        """Return the processes (name -> time of the last beat) that have stopped.

        To be called at least four times within the limit. If this call comes late, the whole
        machine may have stood still, and everybody gets the full limit from now on.
        """
        before = self._last_look_ns
        self._last_look_ns = now_ns
        if before is None or now_ns - before > self._limit_ns // 4:
            self._fair_from_ns = now_ns
        return [
            name
            for name, beat in beats.items()
            if now_ns - max(beat, self._fair_from_ns) > self._limit_ns
        ]
