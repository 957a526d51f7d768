"""What is judged in a run: memory, rings, and whether its books agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline import topology

WARM_UP_S = 10.0
"""Before memory is judged; the first half of a run that is shorter than twice that."""

GROWTH_MB = 4.0
GROWTH_MB_PER_MINUTE = 1.0
"""Memory grows if the line through its samples rises by more than both, in all and in a minute."""

FULL_SAMPLES = 5
"""A ring stays full if it is so in as many samples one behind the other."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One look at a run.

    Attributes:
        seconds: Since the first look.
        records: Market records published.
        pss_mb: Proportional memory of all processes.
        own_mb: The part of it that is not of files.
        depths: Records waiting in each ring.
    """

    seconds: float
    records: int
    pss_mb: float
    own_mb: float
    depths: Mapping[str, int]


def growth(moments: Sequence[Moment]) -> tuple[float, float] | None:
    """Return by how many MB memory rose after the warm-up, and by how many a minute.

    None with too few samples to draw a line through.
    """
    if not moments:
        return None
    warm = min(WARM_UP_S, moments[-1].seconds / 2)
    judged = [moment for moment in moments if moment.seconds >= warm]
    if len(judged) < 3:
        return None
    times = np.array([moment.seconds for moment in judged])
    slope = float(np.polyfit(times - times[0], [moment.own_mb for moment in judged], 1)[0])
    return round(slope * float(times[-1] - times[0]), 2), round(slope * 60, 2)


def judged_growth(rise: tuple[float, float] | None) -> list[str]:
    """Return what is wrong with a growth of memory."""
    if rise is None:
        return ["memory was not sampled often enough to judge; run for some more seconds"]
    if rise[0] <= GROWTH_MB or rise[1] <= GROWTH_MB_PER_MINUTE:
        return []
    grown = (
        f"memory grew by {rise[0]:g} MB, {rise[1]:g} MB a minute, must be at most "
        f"{GROWTH_MB:g} MB or {GROWTH_MB_PER_MINUTE:g} MB a minute"
    )
    return [grown]


def judged_rings(moments: Sequence[Moment], capacities: Mapping[str, int]) -> list[str]:
    """Return which rings stay full."""
    problems = []
    for ring, capacity in capacities.items():
        longest = in_a_row = 0
        for moment in moments:
            in_a_row = in_a_row + 1 if moment.depths[ring] >= capacity else 0
            longest = max(longest, in_a_row)
        if longest >= FULL_SAMPLES:
            problems.append(
                f"ring {ring} had all of its {capacity:,} records waiting in {longest} samples in "
                f"a row, must be fewer than {FULL_SAMPLES}: its consumer does not keep up"
            )
    return problems


def conservation(summary: Mapping[str, Any]) -> list[str]:
    """Return where, by what `bot4 run --json` says at its end, records were lost or made up."""
    stages = summary["stages"]
    into = {name: stages[name]["records_in"] for name in topology.PIPELINE}
    out = {name: stages[name]["records_out"] for name in topology.PIPELINE}
    orders, denied = summary["orders"], summary["denied"]
    equal = [
        ("market records that ta took", into["ta"], "that feed published", out["feed"]),
        # Together: of what ta publishes the correlations go to risk, and nobody says how many.
        (
            "records that ml and risk took",
            into["ml"] + into["risk"],
            "that ta, ml, executor and risk (but for its orders) published",
            out["ta"] + out["ml"] + out["executor"] + out["risk"] - orders,
        ),
        (
            "market records and orders that executor took",
            into["executor"],
            "that feed and risk published",
            out["feed"] + orders,
        ),
        ("intents", out["ml"], "decisions", orders + denied),
    ]
    problems = [
        f"{what} were {count:,}, must be the {other:,} {of}"
        for what, count, of, other in equal
        if count != other
    ]
    if into["risk"] < (told := out["ml"] + out["executor"]):
        problems.append(
            f"records that risk took were {into['risk']:,}, must be at least the {told:,} that ml "
            "and executor published"
        )
    problems += [
        f"ring {ring} had {queue['depth']:,} records left after the drain, must have none"
        for ring, queue in summary["queues"].items()
        if queue["depth"]
    ]
    problems += [
        f"{name} was started again {stages[name]['restarts']} times, must never be"
        for name in topology.PIPELINE
        if stages[name]["restarts"]
    ]
    if out["feed"] == 0:
        problems.append("market records were none, must be some")
    return problems
