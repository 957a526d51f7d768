"""The supervisor's part in a kill: it waits until all positions are closed, then halts the run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from pipeline.kill.positions import held, listed
from pipeline.kill.words import ACTOR, HaltReason, halt, kill_reason, mode
from pipeline.notify.notice import Notice, Severity, to_nobody
from pipeline.vocabulary import Mode
from shm import Segment

_CLOCK = time.monotonic_ns


class Closing:
    """Watches the word of the mode. All calls come from one thread."""

    def __init__(
        self,
        segment: Segment,
        config: Mapping[str, Any],
        report: Callable[[str], None],
        tell: Callable[[Notice], object] = to_nobody,
    ) -> None:
        """Begin with a run that may be in any mode; `tell` is given what came of a kill."""
        self._tell = tell
        self._segment = segment
        self._config = config
        self._report = report
        self._since_ns = 0

    def look(self, *, is_ending: bool) -> bool:
        """Do what follows; return whether the run was found killed by this call, not before.

        Args:
            is_ending: Whether the run is being drained: the market does not come any more, so what
                is held stays.
        """
        words = self._segment.words("run")
        if words.load("halted") or mode(self._segment) is not Mode.EMERGENCY:
            return False
        now_ns = _CLOCK()
        is_news = not self._since_ns
        if is_news:
            self._since_ns = now_ns
            self._report(f"killed: {kill_reason(self._segment)}; all positions are closed")
        left = held(self._segment, self._config)
        # Beyond that beat no step is under way that has not seen the word.
        is_told = self._segment.words("executor.words").load("beat") > self._since_ns
        is_flat = not left and is_told and not self._segment.depth("orders")
        is_late = now_ns - self._since_ns > self._config["kill"]["flatten_s"] * 1e9
        if is_flat or is_late or is_ending:
            notice = ended(left, kill_reason(self._segment))
            self._report(notice.text)
            if halt(self._segment, "killed", ACTOR):
                self._tell(notice)
        return is_news


def ended(left: Mapping[str, str], first: HaltReason | None) -> Notice:
    """Return what is told of a kill that is over.

    Args:
        left: What is still held (`positions.held`).
        first: Who killed it first, and why.
    """
    severity: Severity = "critical" if left else "info"
    said = f"killed: still held: {listed(left)}" if left else "killed: nothing is held any more"
    reason, actor = ("", "") if first is None else (first.reason, first.actor)
    return Notice("kill", severity, said, reason, "" if actor == ACTOR else actor)
