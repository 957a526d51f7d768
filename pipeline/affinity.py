"""Which CPUs each process gets, and whether the kernel agrees."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.config import ConfigError, Cpus
from pipeline.topology import MODEL, PIPELINE

BACKGROUND = ("supervisor", "exchange", MODEL)
HOT = PIPELINE
"""The feed and the stages, in the order in which a market record passes through them."""

PROCESSES = (*BACKGROUND, *HOT)
"""All that there may be."""


class AffinityError(RuntimeError):
    """The kernel runs a process elsewhere than it was placed."""


@dataclass(frozen=True, slots=True)
class Placement:
    """The effective map, and what the operator should know about it.

    Attributes:
        cpus: The CPUs of each process, in the order of the processes.
        notes: Sentences to print, e.g. "supervisor shares CPU 0 with feed, ta".
    """

    cpus: Mapping[str, tuple[int, ...]]
    notes: tuple[str, ...]


def resolve(
    wanted: Mapping[str, Cpus], processes: Sequence[str], available: Sequence[int]
) -> Placement:
    """Place `processes` on the `available` CPUs of this machine.

    What is configured by number is taken as it is. "auto" (also for a process that is not
    configured) takes from the CPUs that no process claims by number, or from all if none is left:

    - enough of them: a CPU for each hot stage, and another for the background: the supervisor, the
      exchange and the model;
    - at least three: one for the background, the rest shared by the hot stages,
      neighbours together, because a hop between processes on one core is the shorter one;
    - fewer: the hot stages share them all, and the others join the CPU with the fewest of them.

    If supervisor or exchange is configured, the rest of the background joins it.

    Raises:
        ConfigError: a CPU that is not available.
    """
    explicit: dict[str, tuple[int, ...]] = {}
    for name in processes:
        cpus = wanted.get(name, "auto")
        if cpus == "auto":
            continue
        if missing := sorted(set(cpus) - set(available)):
            raise ConfigError(
                f"affinity of {name} was {list(cpus)}, but of these {missing} cannot be used here; "
                f"available: {sorted(available)}"
            )
        explicit[name] = tuple(sorted(cpus))
    claimed = {cpu for cpus in explicit.values() for cpu in cpus}
    free = sorted(set(available) - claimed) or sorted(available)
    automatic = [name for name in processes if name not in explicit]
    background = [name for name in automatic if name in BACKGROUND]
    hot = [name for name in automatic if name not in BACKGROUND]

    placed = dict(explicit)
    for name in (name for name in BACKGROUND if name in explicit and name != MODEL):
        placed.update(dict.fromkeys(background, explicit[name]))
        background = []
    own = free
    if background and (len(free) > len(hot) or len(free) >= 3):
        keep = _least_hot(free, placed)
        placed.update(dict.fromkeys(background, (keep,)))
        own = [cpu for cpu in free if cpu != keep] or free
        background = []
    share = min(len(own), len(hot))
    placed.update({name: (own[i * share // len(hot)],) for i, name in enumerate(hot)})
    if background:
        placed.update(dict.fromkeys(background, (_least_hot(free, placed),)))
    ordered = {name: placed[name] for name in processes}
    return Placement(ordered, tuple(_notes(ordered)))


def _least_hot(cpus: Sequence[int], placed: Mapping[str, tuple[int, ...]]) -> int:
    """Return the CPU with the fewest hot stages; of several, the first."""
    hot_on = [cpu for name, own in placed.items() if name not in BACKGROUND for cpu in own]
    return min(cpus, key=hot_on.count)


def _notes(placed: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Name whoever keeps a hot stage from having its core to itself without being one."""
    notes = []
    for name in BACKGROUND:
        for cpu in placed.get(name, ()):
            guests = [hot for hot, cpus in placed.items() if hot not in BACKGROUND and cpu in cpus]
            if guests:
                notes.append(f"{name} shares CPU {cpu} with {', '.join(guests)}")
    return notes


def verify(pids: Mapping[str, int], placed: Mapping[str, Sequence[int]]) -> None:
    """Compare where the kernel may run each process (name -> pid) with where it was placed.

    Raises:
        AffinityError: a process has ended, or may run elsewhere; all of them are named.
    """
    problems = []
    for name, pid in pids.items():
        try:
            actual = os.sched_getaffinity(pid)
        except ProcessLookupError:
            problems.append(f"process {name} (pid {pid}) has ended, so its CPUs cannot be verified")
            continue
        if actual != set(placed[name]):
            problems.append(
                f"CPUs of {name} (pid {pid}) were {sorted(actual)}, must be "
                f"{sorted(placed[name])}; something has moved it: look for taskset, a cgroup's "
                "cpuset or a tuning daemon"
            )
    if problems:
        raise AffinityError("\n".join(problems))
