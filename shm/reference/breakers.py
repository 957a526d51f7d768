"""A group of circuit breakers, and the global state that follows from them: see breakers.hpp."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from shm.breaker_settings import BreakerSettings
from shm.breaker_types import (
    BREAKER_EVENT,
    GLOBAL_AGE_NS,
    GLOBAL_BREAKER,
    SILENT_NS,
    BreakerError,
    Cause,
    EventKind,
    GlobalState,
    Limits,
    State,
)
from shm.reference.breaker import Breaker
from shm.reference.breaker_memory import (
    BreakersMemory,
    Event,
    Participant,
    new_event,
    now_or,
)
from shm.reference.common import index_of

MOST_COMPONENTS: Final = (1 << 16) - 1


def global_state(memory: BreakersMemory, before: GlobalState, now: int) -> GlobalState:
    """Return what the components come to: a function of them, the latch, and the state before.

    It is open, too, if there was somebody who judged them, and is no more.

    It opens when the open ones have `open_bp` of the weight, and stays so until they have no more
    than `close_bp`. Disabled components have no weight. One without settings may be the one that
    matters most, so it is taken for critical.
    """
    enabled = [each for each in memory.breakers if each.control.state != State.DISABLED]
    is_open = [each for each in enabled if each.control.is_open]
    if memory.fed_ns and now - memory.fed_ns > SILENT_NS:
        return GlobalState.OPEN
    if memory.latch or any(each.settings is None or each.settings.critical for each in is_open):
        return GlobalState.OPEN
    if enabled and len(enabled) >= memory.limits.min_components:
        weight = sum(each.settings.weight if each.settings else 1 for each in enabled)
        open_weight = sum(each.settings.weight for each in is_open if each.settings)
        share = open_weight * 10_000
        if share >= memory.limits.open_bp * weight:
            return GlobalState.OPEN
        if before == GlobalState.OPEN and share > memory.limits.close_bp * weight:
            return GlobalState.OPEN
    if any(each.control.is_blocked for each in enabled):
        return GlobalState.DEGRADED
    return GlobalState.CLOSED


class Breakers:
    """One participant's end of a group; with `shard` None it only looks.

    That no two participants have one shard, that one at a time reads the events, and one at a time
    reloads settings, is what the locks of a segment see to. Here nothing does.
    """

    def __init__(
        self, memory: BreakersMemory, shard: int | None, *, pid: int = 0, started: int = 0
    ) -> None:
        self.names = memory.names
        self.shard = -1 if shard is None else shard
        self._memory = memory
        self._participant = Participant(memory, shard, pid, started)
        self._view = (0, 0, 0)
        self._seen_changes = 0
        self._seen_ns = 0

    def breaker(self, name: str) -> Breaker:
        """Return one breaker, by its name."""
        return Breaker(self._participant, index_of("breakers", self.names, name))

    def limits(self, min_components: int, open_bp: int, close_bp: int, live: bool = False) -> None:
        """Say when the global state is open, and whether critical components must count."""
        self._check_participant("set limits")
        if not 1 <= min_components <= MOST_COMPONENTS:
            raise BreakerError(
                f"min_components was {min_components}, must be in 1 .. {MOST_COMPONENTS}"
            )
        if not 1 <= open_bp <= 10_000:
            raise BreakerError(f"open_bp was {open_bp}, must be in 1 .. 10000")
        if not 1 <= close_bp < open_bp:
            raise BreakerError(
                f"close_bp was {close_bp}, must be in 1 .. {open_bp - 1}, below open_bp"
            )
        self._memory.limits = Limits(min_components, open_bp, close_bp, live)
        self._memory.changes += 1

    @property
    def current_limits(self) -> Limits:
        """When the global state is open."""
        return self._memory.limits

    @property
    def latch(self) -> bool:
        """Whether the global state is open whatever the components are."""
        return self._memory.latch

    def set_latch(self, on: bool) -> None:
        """Hold the global state open, or no longer."""
        self._check_participant("set the latch")
        self._memory.latch = on
        self._memory.changes += 1

    def fed(self, now_ns: int | None = None) -> None:
        """Say that the components are judged. Once said, it is to be said at least each 2 s."""
        self._check_participant("feed it")
        self._memory.fed_ns = now_or(now_ns)

    def configure(
        self,
        settings: Mapping[str, BreakerSettings],
        limits: tuple[int, int, int, bool] | None = None,
        now_ns: int | None = None,
    ) -> None:
        """Give some breakers new settings, and the group new limits, under one lock."""
        self._check_participant("configure")
        breakers = {name: self.breaker(name) for name in settings}
        if limits is not None:
            self.limits(*limits)
        for name, breaker in breakers.items():
            breaker.configure(settings[name], now_ns)

    def state(self, now_ns: int | None = None) -> GlobalState:
        """Return the global state: the cached one, unless it is old."""
        now = now_or(now_ns)
        cached, derived_ns = self._memory.cached
        if cached != GlobalState.UNKNOWN and now - derived_ns <= GLOBAL_AGE_NS:
            return cached
        return self.derive(now)

    def derive(self, now_ns: int | None = None) -> GlobalState:
        """Return the global state as it is now, cache it, and tell of it if it has changed."""
        now = now_or(now_ns)
        before, after = self._derive(now)
        if before != after and self._participant.shard is not None:
            latched = self._memory.latch
            self._participant.tell(
                new_event(
                    now,
                    EventKind.GLOBAL,
                    cause=Cause.TRIPPED if latched else Cause.COMPONENTS,
                    before=before,
                    after=after,
                    breaker=GLOBAL_BREAKER,
                )
            )
        return after

    def _derive(self, now: int) -> tuple[GlobalState, GlobalState]:
        before = self._memory.cached[0]
        after = global_state(self._memory, before, now)
        self._memory.cached = (after, now)
        self._memory.changes += before != after
        return before, after

    def view(self, now_ns: int | None = None) -> tuple[int, int, int]:
        """Return (global state, blocked, forced); bit i is breaker i.

        It looks again only if something has changed, or after 50 ms.
        """
        now = now_or(now_ns)
        is_fresh = now - self._seen_ns <= GLOBAL_AGE_NS and self._view[0] != GlobalState.UNKNOWN
        if not is_fresh or self._seen_changes != self._memory.changes:
            # Before its own derivation, which may count as a change: then it looks once more.
            self._seen_changes = self._memory.changes
            self._seen_ns = now
            blocked = forced = 0
            for index, breaker in enumerate(self._memory.breakers):
                blocked |= breaker.control.is_blocked << index
                forced |= (breaker.control.state == State.FORCED_OPEN) << index
            _, derived = self._derive(now)
            self._view = (int(derived), blocked, forced)
        return self._view

    def events(self, most: int = 1024) -> Event:
        """Take at most so many events of all participants; those taken are in order of time."""
        self._check_participant("take events")
        taken: list[Event] = []
        for events in self._memory.events:
            count = min(most - len(taken), len(events.waiting))
            taken += events.waiting[:count]
            del events.waiting[:count]
        taken.sort(key=lambda event: int(event["time_ns"][0]))
        events_taken = np.zeros(len(taken), BREAKER_EVENT)
        for index, event in enumerate(taken):
            events_taken[index] = event[0]
        return events_taken

    def drops(self) -> dict[EventKind, int]:
        """Return how many events of each kind found no room."""
        return {
            kind: sum(events.dropped[kind] for events in self._memory.events) for kind in EventKind
        }

    def _check_participant(self, what: str) -> None:
        if self._participant.shard is None:
            raise BreakerError(
                f"the group was opened to observe, and cannot {what}; open it as a participant"
            )
