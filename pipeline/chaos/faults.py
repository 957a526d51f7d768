"""What is broken to see whether the right circuit breaker notices, and how it is mended.

Each fault is real: processes are stopped, killed or throttled from outside, a file is taken away.
None of them needs the help of what it breaks.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from pipeline.breakers.audit import FILE
from pipeline.breakers.settings import apply
from pipeline.chaos.victim import TRADES_ALL_THE_TIME
from shm import Breakers, Segment

SETTINGS: Final[Mapping[str, str]] = {
    # Many orders, so that what stops is seen to stop; but not such short averages that what was
    # held is sold before a breaker opens, and nothing is left that could be reduced.
    "ta.trades_per_bar": "2",
    "ta.fast": "20",
    "ta.slow": "60",
    "ml.strategy": "moving-average",
    "ml.model": "",
    "ml.cost_margin_bp": "0",
    "ml.kelly_bp": "0",
    "ml.target_atr_bp": "1000000",
    "equity": "100000000",
    **TRADES_ALL_THE_TIME,
    "pipeline.market_capacity": "65536",
    "pipeline.capacity": "16384",
    "supervisor.restart_budget": "1000",
    # All in seconds instead of minutes.
    "supervisor.restart_window_s": "2",
    "breakers.cooldown_s": "1",
    "breakers.window_s": "2",
    "breakers.restarts": "2",
    # Short for what is broken, long for the rest: a machine that is busy with other things may
    # stand still for a second, and that is not what is to be shown.
    "breakers.feed.age_ms": "2000",
    "supervisor.heartbeat_s": "5",
    "breakers.ml.p99_ms": "200",
    "breakers.storage.lag_ms": "1000",
    "breakers.p99_ms": "5000",
    "breakers.beat_ms": "1900",
    # Not so by default: here, to show what a journal will do that trading cannot do without.
    "breakers.storage.critical": "true",
}
"""How a run with faults differs from the default configuration."""

_STOPPED_S, _RUNNING_S = 0.3, 0.006  # a throttled process: 2 % of the time is its own


@dataclass(frozen=True, slots=True)
class Scene:
    """The run that is broken."""

    segment: Segment
    config: Mapping[str, Any]
    group: Breakers
    state_dir: Path

    def signal(self, process: str, number: int) -> None:
        """Send a process a signal; nothing if there is none at the moment."""
        pid = self.segment.words(f"{process}.words").load("pid")
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


class Fault(Protocol):
    """Something that can be broken and mended.

    Attributes:
        component: The one whose breaker must open.
        stops: Whether intents go on to come meanwhile, so that some must be refused.
    """

    component: str
    stops: bool

    def begin(self, scene: Scene) -> None:
        """Break it."""

    def keep(self, scene: Scene) -> None:
        """Keep it broken; called each few ms."""

    def end(self, scene: Scene) -> None:
        """Mend it."""


class Stale:
    """The exchange falls silent without closing the connection."""

    component = "feed.sim"
    stops = False  # without a market there are no intents

    def begin(self, scene: Scene) -> None:
        """Stop its process."""
        scene.signal("exchange", signal.SIGSTOP)

    def keep(self, scene: Scene) -> None:
        """Stay silent."""

    def end(self, scene: Scene) -> None:
        """Let it go on."""
        scene.signal("exchange", signal.SIGCONT)


class CrashLoop:
    """A stage dies again and again."""

    component = "ta"
    stops = True

    def __init__(self) -> None:
        self._killed = 0

    def begin(self, scene: Scene) -> None:
        """Begin with the first death."""
        self.keep(scene)

    def keep(self, scene: Scene) -> None:
        """Kill each successor as soon as it works."""
        words = scene.segment.words(f"{self.component}.words")
        pid = words.load("pid")
        if pid != self._killed and words.load("first_ns"):
            self._killed = pid
            scene.signal(self.component, signal.SIGKILL)

    def end(self, scene: Scene) -> None:
        """Let the last one live."""


class SlowInference:
    """ml gets 2 % of the time that it needs."""

    component = "ml"
    stops = True

    def begin(self, scene: Scene) -> None:
        """Begin with the first pause."""

    def keep(self, scene: Scene) -> None:
        """Stop it for a while, and let it run for a moment."""
        scene.signal(self.component, signal.SIGSTOP)
        time.sleep(_STOPPED_S)
        scene.signal(self.component, signal.SIGCONT)
        time.sleep(_RUNNING_S)

    def end(self, scene: Scene) -> None:
        """Leave it alone."""


class LaggingStorage:
    """The audit trail cannot be written: something else has taken its place."""

    component = "storage"
    stops = True

    def begin(self, scene: Scene) -> None:
        """Take the file away, and have something to write."""
        trail = scene.state_dir / FILE
        if trail.exists():
            trail.rename(self._kept(scene))
        trail.mkdir()
        apply(scene.group, scene.config)  # a reload is an event of each breaker

    def keep(self, scene: Scene) -> None:
        """Leave it so."""

    def end(self, scene: Scene) -> None:
        """Put the file back."""
        trail = scene.state_dir / FILE
        trail.rmdir()
        if self._kept(scene).exists():
            self._kept(scene).rename(trail)

    @staticmethod
    def _kept(scene: Scene) -> Path:
        return scene.state_dir / f"{FILE}.kept"


FAULTS: Final[Mapping[str, type[Fault]]] = {
    "stale-feed": Stale,
    "crash-loop": CrashLoop,
    "slow-inference": SlowInference,
    "lagging-storage": LaggingStorage,
}
"""By name, in the order in which they are made."""
