"""A run of its own, for a chaos command to break."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Final

from shm import Segment, SegmentNotFoundError, list_segments, reap

START_S = 60.0  # a machine may have other work
_END_S = 20.0  # its processes die with it, at once unless a disk keeps them


TRADES_ALL_THE_TIME: Final[Mapping[str, str]] = {
    **dict.fromkeys(("risk.daily_loss", "risk.weekly_loss", "risk.monthly_loss"), "0"),
    **dict.fromkeys(
        (
            *("risk.strategy_rate", "risk.symbol_rate", "risk.venue_rate", "risk.global_rate"),
            *("risk.dup_count", "risk.repeated", "risk.losses", "risk.stop_cooldown_s"),
            *("risk.spread_factor", "risk.slippage_bp", "risk.per_symbol"),
        ),
        "0",
    ),
}
"""Switches off what keeps a strategy from trading more often than is good for it."""

OPEN_ONLY_FOR_WHAT_LASTS: Final[Mapping[str, str]] = {
    "breakers.consecutive": "0",
    "breakers.failure_bp": "10000",
    "breakers.min_calls": "200",
}
"""Opens a breaker only if every look of its window, 10 s, has found a failure.

A machine that is busy with other things makes everything late now and then. That is an illness, and
a breaker is right to open for it; but its 30 s without new risk are then missing in a run that is
to show something else.
"""


class ChaosError(Exception):
    """The run did not get to its end; the message says why."""


class Victim:
    """Starts `bot4 run --json` in a process of its own, as often as it takes."""

    def __init__(self, name: str, settings: Mapping[str, str], *arguments: str) -> None:
        """Prepare it; `settings` go over the default configuration."""
        self.name = name
        self._command = [sys.executable, "-m", "pipeline", "run", "--json", "--name", name]
        self._command += arguments
        self._command += ["--set", "notify.command=[]"]  # what is broken on purpose wakes nobody
        for key, value in settings.items():
            self._command += ["--set", f"{key}={value}"]
        self._process: subprocess.Popen[str] | None = None

    @property
    def process(self) -> subprocess.Popen[str]:
        """The supervisor's process."""
        assert self._process is not None, "it was not started"
        return self._process

    def start(self) -> None:
        """Start it; the environment does not configure it."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith("BOT4_")}
        self._process = subprocess.Popen(
            self._command, env=clean, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def attach(self, patience_s: float = START_S) -> Segment:
        """Return its segment as soon as there is one.

        Raises:
            ChaosError: it did not start.
        """
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline and self.process.poll() is None:
            for info in list_segments(self.name):
                if info.state == "running":
                    try:
                        return Segment.attach(self.name, run_id=info.run_id)
                    except SegmentNotFoundError:
                        continue
            time.sleep(0.002)
        self.process.kill()
        raise ChaosError(f"the run did not start within {patience_s:g} s: {self.messages()}")

    def messages(self) -> str:
        """Wait for its end; return what it said."""
        return (self.process.communicate()[1] or "").strip() or "nothing was printed"

    def end(self) -> None:
        """Kill it if it still runs, and remove its segment: nobody goes on with it."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()
        deadline = time.monotonic() + _END_S
        while list_segments(self.name) and time.monotonic() < deadline:
            reap(self.name)  # which leaves it as long as one of its processes is still dying
            time.sleep(0.002)  # they are not this one's children: nobody tells when they are gone
