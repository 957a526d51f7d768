"""The orderly end: the source stops, what is on its way is worked off, then the stages stop."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping

from pipeline import topology
from pipeline.kill.positions import committed
from pipeline.supervisor.child import Child
from shm import Segment

_PATIENCE_S = 2.0  # for one process to end when told to
_QUIET_LOOKS = 3


class Drain:
    """Ends a run from source to sink. `advance` is called until `is_over`."""

    def __init__(
        self,
        segment: Segment,
        children: Mapping[str, Child],
        due: Mapping[str, float],
        limit_s: float,
    ) -> None:
        """Begin; what is not drained after `limit_s` is left behind.

        `children` are the processes that run, `due` those that are to be started again; both are
        looked at anew in each step.
        """
        self.left_behind = ""
        self._segment = segment
        asks = "questions" in segment.layout.regions
        self._helpers = [topology.MODEL] if asks else []
        self._children = children
        self._due = due
        self._deadline = time.monotonic() + limit_s
        # The source of the sources too: nothing reads from it any more.
        self._order = ["feed", "exchange", *self._helpers, *topology.STAGES]
        self._told: dict[str, float] = {}
        self._quiet = 0

    def was_told(self, name: str) -> bool:
        """Return whether a process has been told to end, so that its end is no surprise."""
        return name in self._told

    def is_over(self) -> bool:
        """Return whether all processes have ended."""
        return len(self._told) == len(self._order) and not self._children

    def advance(self) -> None:
        """Take the next step that can be taken now."""
        for name in self._order:
            if name in (*self._helpers, *topology.STAGES) and not self._is_quiet():
                return
            if name in topology.STAGES and name in self._due and not self._is_late():
                return  # it may have begun a step, which its successor is to finish
            if name not in self._told:
                self._told[name] = time.monotonic()
                if name in self._children:
                    self._children[name].signal(signal.SIGTERM)
            if name in self._children:
                if time.monotonic() - self._told[name] > _PATIENCE_S:
                    self._children[name].signal(signal.SIGKILL)
                return

    def _is_late(self) -> bool:
        return time.monotonic() > self._deadline

    def _has_consumer(self, ring: str) -> bool:
        consumer = topology.edge(ring).consumer
        return consumer in self._children or consumer in self._due

    def _is_quiet(self) -> bool:
        """Return whether all rings are empty and have stayed so for some looks.

        Or time is up, or nobody is left who would empty them.
        """
        if self._quiet >= _QUIET_LOOKS:
            return True
        waiting = {
            edge.ring: depth for edge in topology.EDGES if (depth := self._segment.depth(edge.ring))
        }
        # Questions may stay behind. A row that waits for its answer is decided on, or too late.
        if self._helpers and not self._is_late():
            rows = int((committed(self._segment, "ml", "instruments")["question"] != 0).sum())
            answers = self._segment.depth("answers")
            waiting |= {ring: n for ring, n in (("features", rows), ("answers", answers)) if n}
        self._quiet = 0 if waiting else self._quiet + 1
        if waiting and (self._is_late() or not any(map(self._has_consumer, waiting))):
            self.left_behind = ", ".join(f"{n} records in {ring}" for ring, n in waiting.items())
            self._quiet = _QUIET_LOOKS
        return self._quiet >= _QUIET_LOOKS
