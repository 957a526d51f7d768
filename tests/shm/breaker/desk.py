"""A group of breakers of either engine, its participants, and a clock that only tests move."""

from __future__ import annotations

import os
from typing import Any

from shm import BreakerSettings, BreakersSpec, Layout, Permit, Segment, _native
from shm.breaker_types import TICK_NS, State
from shm.host import process_start
from shm.layout import structure
from shm.reference.breaker_memory import BreakersMemory
from shm.reference.breaker_memory import Permit as ReferencePermit
from shm.reference.breaker_word import Control
from shm.reference.breakers import Breakers

NAMES = ("feed", "orders", "ta")
START = 1 << 45  # a tick; ten hours after boot
MS = 1_000_000
SECOND = 1_000_000_000
ALIVE = (os.getpid(), process_start(os.getpid()))
DEAD = ((1 << 22) + 1, 5)  # above the largest pid there can be
WHO = {"actor": "test", "reason": "to see"}

Group = Any  # Breakers of either engine, which have the same methods
One = Any  # Breaker of either engine


def settings(**changes: Any) -> BreakerSettings:
    """Settings with round figures and no jitter: only 3 failures in a row open it."""
    base: dict[str, Any] = {
        "window_ns": 10 * SECOND,
        "window_calls": 10,
        "min_calls": 4,
        "failure_bp": 0,
        "consecutive": 3,
        "cooldown_ns": 1000 * TICK_NS,
        "cooldown_max_ns": 8000 * TICK_NS,
        "jitter_bp": 0,
        "probes": 2,
        "successes": 3,
        "failures": 1,
        "max_stay_ns": 60 * SECOND,
        "lease_ns": SECOND,
    }
    return BreakerSettings(**(base | changes))


class Desk:
    """All that a test needs; `now` is the time that its calls pass."""

    permit_type: Any  # of this engine

    def __init__(self, names: tuple[str, ...] = NAMES) -> None:
        self.names = names
        self.now = START
        self._groups: dict[int, Group] = {}

    def new_group(self, shard: int) -> Group:
        raise NotImplementedError

    def observer(self) -> Group:
        raise NotImplementedError

    def group(self, participant: int = 0) -> Group:
        """One participant's end, made when it is first asked for."""
        for shard in range(participant + 1):
            if shard not in self._groups:
                self._groups[shard] = self.new_group(shard)
        return self._groups[participant]

    def breaker(self, name: str = "feed", participant: int = 0) -> One:
        return self.group(participant).breaker(name)

    def closed(self, name: str = "feed", **changes: Any) -> One:
        """A breaker that was just closed."""
        breaker = self.breaker(name)
        breaker.configure(settings(**changes), self.now)
        assert breaker.initialise(self.now)
        self.events()
        return breaker

    def opened(self, name: str = "feed", **changes: Any) -> One:
        breaker = self.closed(name, **changes)
        assert breaker.trip(self.now, **WHO)
        self.events()
        return breaker

    def half_open(self, name: str = "feed", **changes: Any) -> tuple[One, Any]:
        """A breaker in HALF_OPEN, and the permit that made it so."""
        breaker = self.opened(name, **changes)
        self.now = breaker.deadline_ns
        permit = breaker.acquire(self.now)
        assert permit
        self.events()
        return breaker, permit

    def in_state(self, state: State, name: str = "feed", **changes: Any) -> One:
        """A breaker in any state but INVALID, which nothing leads to."""
        if state == State.UNINIT:
            breaker = self.breaker(name)
            breaker.configure(settings(**changes), self.now)
        elif state == State.OPEN:
            breaker = self.opened(name, **changes)
        elif state == State.HALF_OPEN:
            breaker, _ = self.half_open(name, **changes)
        else:
            breaker = self.closed(name, **changes)
            call = {
                State.FORCED_OPEN: "force_open",
                State.DISABLED: "disable",
                State.METRICS_ONLY: "metrics_only",
            }
            if state in call:
                assert getattr(breaker, call[state])(self.now, **WHO)
        self.events()
        assert breaker.state == state
        return breaker

    def fail(self, breaker: One, times: int = 1, **arguments: Any) -> None:
        self.calls(breaker, times, ok=False, **arguments)

    def calls(self, breaker: One, times: int = 1, ok: bool = True, duration_ns: int = 0) -> None:
        """So many calls, one after the other."""
        for _ in range(times):
            permit = breaker.acquire(self.now)
            assert permit
            breaker.complete(permit, ok, self.now, duration_ns)

    def permit(self, index: int, name: str = "feed") -> Any:
        """The permit that a breaker has given now, or might have, under this index."""
        return self.permit_type(self.breaker(name).generation, index, self.now)

    def events(self) -> Any:
        """The events since the last look."""
        return self.group().events()

    def forget_owner(self, permit: int) -> None:
        """As if whoever has this permit of the first breaker had been killed before its record."""
        raise NotImplementedError

    def put_word(self, word: int) -> None:
        """Change the first breaker's word and nothing else, as one killed right after it."""
        raise NotImplementedError

    def close(self) -> None:
        pass


class ReferenceDesk(Desk):
    """The reference's objects."""

    permit_type = ReferencePermit

    def __init__(self, names: tuple[str, ...] = NAMES) -> None:
        super().__init__(names)
        self.memory = BreakersMemory(names)

    def new_group(self, shard: int) -> Group:
        return Breakers(self.memory, shard, pid=ALIVE[0], started=ALIVE[1])

    def observer(self) -> Group:
        return Breakers(self.memory, None)

    def forget_owner(self, permit: int) -> None:
        self.memory.breakers[0].owners[permit] = None

    def put_word(self, word: int) -> None:
        self.memory.breakers[0].control = Control.of(word)


class NativeDesk(Desk):
    """A segment of its own."""

    permit_type = Permit

    def __init__(self, name: str, names: tuple[str, ...] = NAMES) -> None:
        super().__init__(names)
        self.segment = Segment.create(name, Layout(BreakersSpec("breakers", names)))

    def new_group(self, shard: int) -> Group:
        group = self.segment.breakers("breakers")
        assert group.shard == shard
        return group

    def observer(self) -> Group:
        return self.segment.breakers("breakers", observe=True)

    def forget_owner(self, permit: int) -> None:
        words = structure("BreakerWords")
        assert words.fields is not None
        # The owners follow on the next line but one: four words each, of which the tag is first.
        last = words.fields["reaped_ns"][1]
        owners = -(-(last + 8) // _native.CACHE_LINE) * _native.CACHE_LINE
        self._put(owners + 4 * 8 * permit, 0)

    def put_word(self, word: int) -> None:
        self._put(0, word)

    def _put(self, offset: int, word: int) -> None:
        region = self.segment.layout.regions["breakers"].offset
        with open(self.segment.path, "r+b", buffering=0) as file:  # noqa: PTH123  # unbuffered
            file.seek(region + structure("BreakersHeader").itemsize + offset)
            file.write(word.to_bytes(8, "little"))

    def close(self) -> None:
        self.segment.close()
