"""What is held, as the venue on paper says: the executor, which may be all that is left."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.instruments import Instrument, instruments_from
from pipeline.records import Array
from shm import OvertakenError, Segment


def executor_cells(segment: Segment) -> Array:
    """Return a copy of the executor's cells, one an instrument, as of its last commit."""
    return committed(segment, "executor", "instruments")


def committed(segment: Segment, stage: str, group: str) -> Array:
    """Return a copy of a group of cells of a stage as of its last commit."""
    return committed_together(segment, stage, group)[0]


def committed_together(segment: Segment, stage: str, *groups: str) -> list[Array]:
    """Return copies of groups of cells of a stage, all as of the same commit, its last."""
    words = segment.words(f"{stage}.words")
    while True:
        with contextlib.suppress(OvertakenError):
            step = words.load("committed")
            return [segment.cells(f"{stage}.{group}", step) for group in groups]


def held(segment: Segment, config: Mapping[str, Any]) -> dict[str, str]:
    """Return what is held: the signed quantity by symbol and venue; nothing if it is flat."""
    return quantities(executor_cells(segment)["position"].tolist(), instruments_from(config))


def quantities(lots: Sequence[int], instruments: Sequence[Instrument]) -> dict[str, str]:
    """Return the positions that are not 0 as text, by ``SYMBOL@venue``."""
    return {
        f"{instrument.symbol}@{instrument.venue}": str(instrument.lots_to_quantity(position))
        for instrument, position in zip(instruments, lots, strict=True)
        if position
    }


def listed(held: Mapping[str, str]) -> str:
    """Return positions in a line."""
    return ", ".join(f"{quantity} {what}" for what, quantity in held.items())
