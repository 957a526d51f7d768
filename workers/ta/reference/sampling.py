"""Samples for the correlations in slow, obvious Python: what `native/sampling.hpp` does.

What a sample does to the correlations is `workers.ta.correlation`; here the native one is used, as
its sums have to have the same bits.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from pipeline import _native
from pipeline.records import CORRELATIONS
from workers import native
from workers.ta.correlation import LARGEST

MOST = CORRELATIONS["value"].shape[0]
"""Correlations in a record."""

LATE: Final = 60
"""Intervals that a record may be late, as those of an outage are."""

MANY_LATE: Final = 1_000
"""So many in a row that are later show that the clock was wrong before: otherwise one date in a far
future would end all samples until then."""


class Sampler:
    """Takes a sample of all instruments where the venues' time enters another interval.

    The interval is that of the first record that is dated in it, of whatever instrument. A return
    is that of the last trade before its end to the last before its beginning; an instrument has
    none if that is not known, if trades were lost meanwhile, or if it is beyond what correlations
    take. None has one if there was no record at all in the interval, or if the venues' time was set
    back.
    """

    def __init__(self, interval_ms: int, instruments: int) -> None:
        self.interval_ns = interval_ms * 1_000_000
        self.instruments = instruments
        self.parts = -(-instruments // MOST)

    def take(self, event: np.void, state: _native.State) -> None:
        """Take a sample if the record is of a later interval than the one before."""
        if event["venue_ns"] <= 0:
            return
        interval = int(event["venue_ns"]) // self.interval_ns
        before = int(state.read("clock", 0)["interval"])
        clock = state.edit("clock", 0)
        if interval <= before:
            clock["late"] = clock["late"] + 1 if before - interval > LATE else 0
            if clock["late"] < MANY_LATE:
                return
        clock["late"] = 0
        if interval == before + 1:
            self._sample(state)
            clock["rows_due"] = self.instruments * self.parts
        clock["interval"] = interval
        for index in range(self.instruments):
            bars = state.read("bars", index)
            then = state.edit("samples", index)
            then["price"] = 0 if bars["in_doubt"] else bars["close"]
            then["restarts"] = bars["restarts"]

    def emit_due(self, event: np.void, state: _native.State, emit: _native.Emit) -> None:
        """Emit the next row of the latest sample, if one is due."""
        due = int(state.read("clock", 0)["rows_due"])
        if due == 0:
            return
        clock = state.edit("clock", 0)
        clock["rows_due"] = due - 1
        index, part = divmod(self.instruments * self.parts - due, self.parts)
        made = self._correlation(state.read("correlation", 0)).record(index, part * MOST)
        row: np.ndarray[Any, np.dtype[Any]] = np.frombuffer(bytearray(made), CORRELATIONS)
        row["venue_ns"] = int(clock["interval"]) * self.interval_ns
        row["received_ns"] = event["received_ns"]
        emit("correlations", row)
        emit("clusters", row)

    def _sample(self, state: _native.State) -> None:
        returns = np.zeros(self.instruments)
        valid = np.zeros(self.instruments, np.bool_)
        for index in range(self.instruments):
            bars, then = state.read("bars", index), state.read("samples", index)
            if then["price"] == 0 or bars["in_doubt"] or bars["restarts"] != then["restarts"]:
                continue
            change = float(bars["close"]) / float(then["price"]) - 1.0
            if change <= LARGEST:  # else one of the two prices is wrong
                returns[index] = change
                valid[index] = True
        cell = state.edit("correlation", 0)
        correlation = self._correlation(cell)
        correlation.add(returns, valid)
        cell["words"] = np.frombuffer(correlation.snapshot(), "<u8")

    def _correlation(self, cell: np.void) -> native.Correlation:
        made = native.Correlation(self.instruments)
        if cell["words"][0]:  # zero memory is a new one
            made.restore(cell.tobytes())
        return made
