"""Which CPUs each process gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.config import ConfigError, Cpus


def resolve(
    wanted: Mapping[str, Cpus], processes: Sequence[str], available: Sequence[int]
) -> dict[str, tuple[int, ...]]:
    """Return the CPUs of each process, given those that this machine lets us use.

    "auto" (also for a process that is not configured) gives each a core of its own, taken in order
    from those that no process claims by number; if there are not enough, neighbours in `processes`
    share one, because a hop between processes on one core is the shorter one.

    Raises:
        ConfigError: a CPU that is not available, or a process that does not exist.
    """
    if unknown := sorted(set(wanted) - set(processes)):
        raise ConfigError(
            f"affinity names {', '.join(unknown)}, but the processes are {', '.join(processes)}"
        )
    explicit: dict[str, tuple[int, ...]] = {}
    for name in processes:
        cpus = wanted.get(name, "auto")
        if cpus == "auto":
            continue
        if missing := sorted(set(cpus) - set(available)):
            raise ConfigError(
                f"affinity of {name} was {cpus}, but of these {missing} cannot be used here; "
                f"available: {sorted(available)}"
            )
        explicit[name] = tuple(cpus)
    taken = {cpu for cpus in explicit.values() for cpu in cpus}
    free = [cpu for cpu in available if cpu not in taken] or list(available)
    automatic = [name for name in processes if name not in explicit]
    share = -(-len(automatic) // len(free))  # how many neighbours a core must take
    placed = {name: (free[index // share],) for index, name in enumerate(automatic)}
    return {name: explicit.get(name) or placed[name] for name in processes}
