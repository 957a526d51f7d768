"""The halt word: once it is set nothing is sent any more. Every stage sees it at its next step.

Anyone may set it, with a name and a reason; the first one is kept, and nobody clears it: a run that
was halted is over.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from pipeline.topology import HALT
from shm import RoleTakenError, Segment

_PATIENCE_S = 1.0


@dataclass(frozen=True, slots=True)
class HaltReason:
    """Who halted the run, when (ns of CLOCK_MONOTONIC) and why."""

    time_ns: int
    actor: str
    reason: str

    def __str__(self) -> str:
        return f"{self.reason} (by {self.actor})"


def halt(segment: Segment, reason: str, actor: str) -> bool:
    """Halt the run; return False if somebody else had, whose reason is kept.

    The reason is written before the word, so whoever sees the word can read it. The writer's lock
    on the row keeps two from writing at once, and is the kernel's to take from one that is killed.
    """
    words = segment.words("run")
    deadline = time.monotonic() + _PATIENCE_S
    while not words.load("halted"):
        try:
            writer = segment.table_writer("halt")
        except RoleTakenError:
            # Somebody is halting at this moment. Whether or not it gets that far, this one does.
            if time.monotonic() > deadline:
                return words.compare_and_swap("halted", 0, 1) == 0
            continue
        try:
            if words.load("halted"):
                return False
            row = np.zeros(1, HALT)
            row["time_ns"] = time.monotonic_ns()
            row["actor"] = actor.encode()[: HALT["actor"].itemsize]
            row["reason"] = reason.encode()[: HALT["reason"].itemsize]
            writer.write(0, row)
            words.store("halted", 1)
            return True
        finally:
            writer.close()
    return False


def halt_reason(segment: Segment) -> HaltReason | None:
    """Return why the run was halted; None if it was not."""
    if not segment.words("run").load("halted"):
        return None
    row = np.zeros(1, HALT)
    reader = segment.table_reader("halt")
    try:
        version, _ = reader.read(0, row)
    finally:
        reader.close()
    if not version:
        return HaltReason(0, "unknown", "unknown: whoever halted it was killed while it did")
    record = row[0]
    return HaltReason(
        int(record["time_ns"]),
        record["actor"].decode(errors="replace"),
        record["reason"].decode(errors="replace"),
    )
