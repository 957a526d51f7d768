"""The words of a run that stop it. Every stage sees them at its next step.

The halt word: once it is set nothing is sent any more, and nobody clears it: a run that was halted
is over. The mode: `pipeline.mode`; in an EMERGENCY, positions are closed first. Anyone may set
either, with a name and a reason; the first one is kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.mode import mode_of
from pipeline.topology import HALT
from pipeline.vocabulary import Mode
from shm import RoleTakenError, Segment

ACTOR = "supervisor"
"""Who does what happens by itself."""

_PATIENCE_S = 1.0


@dataclass(frozen=True, slots=True)
class HaltReason:
    """Who halted or killed the run, when (ns of CLOCK_MONOTONIC) and why."""

    time_ns: int
    actor: str
    reason: str

    def __str__(self) -> str:
        return f"{self.reason} (by {self.actor})"


def halt(segment: Segment, reason: str, actor: str) -> bool:
    """Halt the run; return False if somebody else had. The reason of whoever killed it is kept.

    The halt word comes before the mode: no step between the two closes a position.
    """

    def stop() -> bool:
        is_first = segment.words("run").compare_and_swap("halted", 0, 1) == 0
        raise_mode(segment, Mode.EMERGENCY)
        return is_first

    is_first = _stop(segment, reason, actor, stop)
    return stop() if is_first is None else is_first


def kill(segment: Segment, reason: str, actor: str) -> bool:
    """Raise the mode to EMERGENCY; return False if the run was killed, whose reason is kept."""
    return bool(
        _stop(
            segment,
            reason,
            actor,
            lambda: raise_mode(segment, Mode.EMERGENCY) is not Mode.EMERGENCY,
        )
    )


def _stop(segment: Segment, reason: str, actor: str, stop: Callable[[], bool]) -> bool | None:
    """Return what `stop` does, with the reason kept; None if the run was killed before.

    The reason is written before any word, so whoever sees one can read it. The writer's lock on the
    row keeps two from writing at once, and is the kernel's to take from one that is killed.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while not is_killed(segment):
        try:
            writer = segment.table_writer("halt")
        except RoleTakenError:
            # Somebody is halting at this moment. Whether or not it gets that far, this one does.
            if time.monotonic() > deadline:
                return stop()
            continue
        try:
            if is_killed(segment):
                return None
            row = np.zeros(1, HALT)
            row["time_ns"] = time.monotonic_ns()
            row["actor"] = actor.encode()[: HALT["actor"].itemsize]
            row["reason"] = reason.encode()[: HALT["reason"].itemsize]
            writer.write(0, row)
            return stop()
        finally:
            writer.close()
    return None


def mode(segment: Segment) -> Mode:
    """Return the mode of a run."""
    return mode_of(segment.words("run").load("mode"))


def raise_mode(segment: Segment, wanted: Mode) -> Mode:
    """Raise the mode of a run, unless it is as high; return what it was."""
    words = segment.words("run")
    while True:
        before = words.load("mode")
        if before >= wanted or words.compare_and_swap("mode", before, wanted) == before:
            return mode_of(before)


def lower_mode(segment: Segment, wanted: Mode) -> Mode:
    """Lower the mode of a run, for an operator; return what it was.

    A run that was killed stays so.
    """
    words = segment.words("run")
    while True:
        before = words.load("mode")
        if before <= wanted or mode_of(before) is Mode.EMERGENCY:
            return mode_of(before)
        if words.compare_and_swap("mode", before, wanted) == before:
            return mode_of(before)


def is_killed(segment: Segment) -> bool:
    """Whether the run is being ended by the kill switch, or was halted."""
    return mode(segment) is Mode.EMERGENCY or bool(segment.words("run").load("halted"))


def halt_reason(segment: Segment) -> HaltReason | None:
    """Return why the run was halted; None if it was not."""
    return kill_reason(segment) if segment.words("run").load("halted") else None


def kill_reason(segment: Segment) -> HaltReason | None:
    """Return why the run was killed, whether or not it is halted yet; None if it was not."""
    if not is_killed(segment):
        return None
    row = np.zeros(1, HALT)
    reader = segment.table_reader("halt")
    try:
        version, _ = reader.read(0, row)
    finally:
        reader.close()
    if not version:
        return HaltReason(0, "unknown", "unknown: whoever did it was killed meanwhile")
    record = row[0]
    return HaltReason(
        int(record["time_ns"]),
        record["actor"].decode(errors="replace"),
        record["reason"].decode(errors="replace"),
    )
