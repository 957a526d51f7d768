"""How a process waits at its doorbell, and which way follows from where the processes run.

Measured on two cores (`perf/ipc.py` repeats it): with a core of its own a spinning reader has a
record in 0.1-0.3 us, a sleeping one in 40; on a shared core a spinning reader keeps the core from
the very process that it waits for, and a hop takes 3 ms.
"""

from __future__ import annotations

import enum
import signal
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from shm.errors import StrategyError

ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT)
"""The signals that end a wait at once, if they have handlers."""


MOST_LOOKS = 1_000_000
"""The most spins or yields before a wait goes on to something kinder."""


class Finally(enum.IntEnum):
    """What a wait does when its spins and yields are used up (numbers as in doorbell.hpp)."""

    SPIN = 0
    YIELD = 1
    SLEEP = 2


@dataclass(frozen=True, slots=True)
class WaitStrategy:
    """So many looks with a pause instruction between them, then with a yield, then as it says."""

    name: str
    spins: int
    yields: int
    finally_: Finally

    def __post_init__(self) -> None:
        for what, times in (("spins", self.spins), ("yields", self.yields)):
            if not 0 <= times <= MOST_LOOKS:
                raise StrategyError(
                    f"{what} of wait strategy {self.name!r} was {times}, must be in "
                    f"0 .. {MOST_LOOKS}"
                )


SPIN = WaitStrategy("spin", 0, 0, Finally.SPIN)
SPIN_YIELD = WaitStrategy("spin-yield", 2000, 0, Finally.YIELD)
# On a core of its own a longer spin costs nobody: 10,000 looks are about 0.25 ms, so that a stream
# of 4,000 records a second or more never has to wake anyone.
SPIN_FUTEX = WaitStrategy("spin-futex", 10_000, 0, Finally.SLEEP)
YIELD = WaitStrategy("yield", 0, 0, Finally.YIELD)
# perf/waits.py and perf/pipeline.py chose the number: with fewer a stream of some 1,000/s falls
# asleep between its records, more cost the tail when others compute on the same cores.
YIELD_FUTEX = WaitStrategy("yield-futex", 0, 250, Finally.SLEEP)
FUTEX = WaitStrategy("futex", 0, 0, Finally.SLEEP)

STRATEGIES: Mapping[str, WaitStrategy] = {
    strategy.name: strategy
    for strategy in (SPIN, SPIN_YIELD, SPIN_FUTEX, YIELD, YIELD_FUTEX, FUTEX)
}


def named(strategy: WaitStrategy | str) -> WaitStrategy:
    """Return a strategy given by its name, or as it is.

    Raises:
        StrategyError: no such name.
    """
    if isinstance(strategy, WaitStrategy):
        return strategy
    if strategy not in STRATEGIES:
        raise StrategyError(
            f"wait strategy was {strategy!r}, must be one of {', '.join(STRATEGIES)}"
        )
    return STRATEGIES[strategy]


def shares_a_core(affinity: Mapping[str, Collection[int] | None], process: str) -> bool:
    """Return whether another process of the map may run where this one does.

    A process whose CPUs are not known (None) may run anywhere.
    """
    own = affinity[process]
    if own is None:
        return True
    return any(
        cpus is None or not set(own).isdisjoint(cpus)
        for other, cpus in affinity.items()
        if other != process
    )


def choose(affinity: Mapping[str, Collection[int] | None], process: str) -> WaitStrategy:
    """Return the strategy for one process of an affinity map (name -> CPUs, or None: unknown)."""
    return YIELD_FUTEX if shares_a_core(affinity, process) else SPIN_FUTEX


def check(
    strategy: WaitStrategy, affinity: Mapping[str, Collection[int] | None], process: str
) -> WaitStrategy:
    """Return `strategy` if it does no harm there.

    Raises:
        StrategyError: it spins for ever on a core that others need.
    """
    if strategy.finally_ is Finally.SPIN and shares_a_core(affinity, process):
        raise StrategyError(
            f"wait strategy of {process} was {strategy.name!r}, but it shares a core "
            f"(CPUs {_cpus(affinity)}): each hop would take milliseconds; "
            f"use {YIELD_FUTEX.name!r} or give it a core of its own"
        )
    return strategy


def _cpus(affinity: Mapping[str, Collection[int] | None]) -> str:
    return ", ".join(
        f"{name}: {'any' if cpus is None else sorted(cpus)}" for name, cpus in affinity.items()
    )
