"""Everything that a run publishes, copied while it runs; nobody waits for it."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline import topology
from pipeline.records import CONTEXT, Array
from shm import Segment

_AT_ONCE = 4096


class RecorderError(Exception):
    """The recorder was too slow, and something is missing in the recording."""


class Recorder:
    """Follows all rings and context rings of a segment from their beginning."""

    def __init__(self, segment: Segment) -> None:
        """Begin, before any of them has wrapped round."""
        self._readers: dict[str, Any] = {}
        self._buffers: dict[str, Array] = {}
        self._parts: dict[str, list[Array]] = {}
        for edge in (*topology.EDGES, *topology.MODEL_EDGES):
            if edge.ring not in segment.layout.regions:
                continue
            self._add(edge.ring, edge.dtype, segment.ring_follower(edge.ring, from_oldest=True))
        for name in topology.STAGES:
            contexts = f"{name}.contexts"
            self._add(contexts, CONTEXT, segment.observer_reader(contexts, from_oldest=True))

    def _add(self, name: str, dtype: np.dtype[Any], reader: Any) -> None:
        self._readers[name] = reader
        self._buffers[name] = np.zeros(_AT_ONCE, dtype)
        self._parts[name] = []
        if reader.position:
            raise RecorderError(f"{name}: {reader.position} records were gone at the beginning")

    def poll(self) -> None:
        """Copy what is new.

        Raises:
            RecorderError: something was overwritten before it was copied.
        """
        for name, reader in self._readers.items():
            buffer = self._buffers[name]
            while True:
                copied, lost = reader.read(buffer)
                if lost:
                    raise RecorderError(
                        f"{name}: {lost} records were overwritten before they were recorded; "
                        "use a lower --rate, or a larger pipeline.market_capacity"
                    )
                if copied:
                    self._parts[name].append(buffer[:copied].copy())
                if copied < len(buffer):
                    break

    def recorded(self, name: str) -> Array:
        """Return all records of a ring (by its name) or of a stage's contexts, in order."""
        parts = self._parts[name]
        # Not numpy.concatenate, which packs a dtype that has gaps.
        records = np.zeros(sum(map(len, parts)), self._buffers[name].dtype)
        place = 0
        for part in parts:
            records[place : place + len(part)] = part
            place += len(part)
        return records

    @property
    def market(self) -> int:
        """How many market records were published."""
        return int(self._readers["market"].position)
