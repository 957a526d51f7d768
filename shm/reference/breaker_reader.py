"""What anyone can see of a circuit breaker."""

from __future__ import annotations

import numpy as np

from shm.breaker_settings import BreakerSettings
from shm.breaker_types import TICK_NS, Counts, State, Verdict
from shm.reference.breaker_memory import TOTALS, Participant, now_or
from shm.reference.breaker_window import Tally, WindowTag, bucket_number, judge
from shm.reference.breaker_word import Control


class BreakerReader:
    """One breaker of a group, to look at."""

    def __init__(self, participant: Participant, index: int) -> None:
        self.name = participant.memory.names[index]
        self.index = index
        self._participant = participant
        self._memory = participant.memory.breakers[index]

    @property
    def word(self) -> int:
        """Return the control word."""
        return self._memory.control.word

    @property
    def state(self) -> State:
        """What it is doing."""
        return self._memory.control.state

    @property
    def settings(self) -> BreakerSettings | None:
        """What it decides by; None if it was never configured."""
        return self._memory.settings

    @property
    def generation(self) -> int:
        """The number of changes of state, modulo 2**20."""
        return self._memory.control.generation

    @property
    def attempt(self) -> int:
        """The number of failed episodes of probes since it was last closed; saturates at 15."""
        return self._memory.control.attempt

    @property
    def in_flight(self) -> int:
        """The number of permits of HALF_OPEN that are out."""
        return self._memory.control.probes.in_flight if self.state == State.HALF_OPEN else 0

    def probes(self) -> tuple[int, int, int, int] | None:
        """Return (issued, done, succeeded, failed) of HALF_OPEN; `done` has a bit a permit."""
        if self.state != State.HALF_OPEN:
            return None
        probes = self._memory.control.probes
        return probes.issued, probes.done, probes.succeeded, probes.failed

    @property
    def deadline_ns(self) -> int:
        """Return when OPEN lets probes through, in other states 0."""
        return self._memory.control.payload * TICK_NS if self.state == State.OPEN else 0

    @property
    def since_ns(self) -> int:
        """Return when this generation began, rounded down to a tick; 0 if nobody has said."""
        generation, tick = self._memory.since
        return tick * TICK_NS if generation == self.generation else 0

    def counts(self, now_ns: int | None = None) -> Counts:
        """Return the window of the current generation."""
        now = now_or(now_ns)
        memory, settings = self._memory, self._memory.settings
        if settings is None:
            return Counts(0, 0, 0, 0, Verdict.MIN_CALLS_NOT_MET)
        tag = WindowTag(self.generation, memory.window_version)
        if settings.window == "count":
            tally = memory.calls.tally(tag, settings.window_calls)
        else:
            number = bucket_number(settings, now)
            parts = [part for each in memory.shards for part in each.window.tallies(tag, number)]
            tally = Tally(*(sum(column) for column in zip(Tally(), *parts, strict=True)))
        consecutive = memory.consecutive[1] if memory.consecutive[0] == self.generation else 0
        return Counts(*tally, consecutive, judge(tally, settings))

    def totals(self) -> dict[str, int]:
        """Return what all participants have counted since the beginning."""
        return {
            total: sum(shard.totals[total] for shard in self._memory.shards) for total in TOTALS
        }

    def last(self) -> np.void | None:
        """Return the transition that began this generation; None if its author died untold."""
        found = [
            shard.last[0]
            for shard in self._memory.shards
            if shard.last is not None
            and Control.of(int(shard.last["after"][0])).generation == self.generation
        ]
        return max(found, key=lambda event: int(event["time_ns"]), default=None)
