"""A record that kills its stage each time: found, shown and saved, instead of tried for ever."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.records import CONTEXT, TICK, Array
from pipeline.stage import Stage
from shm import Segment

DEATHS = 3
"""So many deaths at one step are no accident."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step that was begun and not committed, with its context and the record that it took."""

    stage: str
    number: int
    ring: str
    context: dict[str, Any]
    record: dict[str, Any] | None

    def save(self, folder: Path, run_id: str) -> Path:
        """Write it as JSON, for its owner only; return where."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"poison-{run_id}-{self.stage}-{self.number}.json"
        path.touch(mode=0o600)
        path.write_text(
            json.dumps(
                {"stage": self.stage, "step": self.number, "ring": self.ring}
                | {"context": self.context, "record": self.record},
                indent=2,
            ),
            encoding="utf-8",
        )
        return path


class Poison:
    """The deaths of one stage, by the step that it died at."""

    def __init__(self) -> None:
        """Begin with none."""
        self._step = 0
        self._deaths = 0

    def died_at(self, step: int) -> bool:
        """Note a death at a step (0: between steps); return whether the step is poison."""
        if step == 0 or step != self._step:
            self._deaths = 0
        self._step = step
        self._deaths += 1
        return step != 0 and self._deaths >= DEATHS


def step_in_progress(segment: Segment, stage: Stage) -> Step | None:
    """Return the last step that a dead stage had begun; None if it had committed all."""
    reader = segment.observer_reader(f"{stage.name}.contexts")
    try:
        last = reader.published
        if last <= segment.words(f"{stage.name}.words").load("committed"):
            return None
        context = np.zeros(1, CONTEXT)
        reader.seek(last - 1)
        if reader.read(context)[0] != 1:
            return None
    finally:
        reader.close()
    source = int(context["source"][0])
    if source == TICK:
        return Step(stage.name, last, "tick", _fields(context), None)
    ring = stage.inputs[source]
    # As its consumer, whose place is free, and not as a follower: that one may not have the oldest
    # quarter of a ring, which is where the record is once the ring has filled up behind it.
    consumer = segment.consumer(ring)
    try:
        records = consumer.view()
        found = records[records["sequence"] == context["sequence"][0]]
        record = _fields(found) if len(found) else None
    finally:
        consumer.close()
    return Step(stage.name, last, ring, _fields(context), record)


def _fields(record: Array) -> dict[str, Any]:
    return {name: record[name][0].tolist() for name in record.dtype.names or ()}
