"""The step that a dead stage had begun: found in the segment, shown and saved."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pipeline.records import CONTEXT, FEATURES, TICK
from pipeline.stage import Stage
from pipeline.supervisor.poison import step_in_progress
from shm import Segment


def begin_step(segment: Segment, number: int, source: int, sequence: int) -> None:
    contexts = segment.observer_producer("ml.contexts")
    while contexts.published < number:
        context = np.zeros(1, CONTEXT)
        context["step"], context["source"] = contexts.published + 1, source
        context["sequence"], context["now_ns"] = sequence, 42
        contexts.push(context)
    contexts.close()


def test_a_stage_that_had_committed_everything_had_begun_no_step(
    segment: Segment, stages: Mapping[str, Stage]
) -> None:
    assert step_in_progress(segment, stages["ml"]) is None
    begin_step(segment, 3, TICK, 0)
    segment.words("ml.words").store("committed", 3)
    assert step_in_progress(segment, stages["ml"]) is None


def test_a_step_that_was_begun_is_found_with_its_record(
    segment: Segment, stages: Mapping[str, Stage]
) -> None:
    records = np.zeros(5, FEATURES)
    records["sequence"] = range(5)
    records["close"] = range(100, 105)
    producer = segment.producer("features")
    producer.push_many(records)
    source = stages["ml"].inputs.index("features")
    begin_step(segment, 9, source, 3)
    segment.words("ml.words").store("committed", 7)
    step = step_in_progress(segment, stages["ml"])
    assert step is not None
    assert (step.stage, step.number, step.ring) == ("ml", 9, "features")
    assert (step.context["step"], step.context["now_ns"]) == (9, 42)
    assert step.record is not None
    assert (step.record["sequence"], step.record["close"]) == (3, 103)


def test_the_record_is_found_in_a_ring_that_has_filled_up_behind_it(
    segment: Segment, stages: Mapping[str, Stage]
) -> None:
    records = np.zeros(256, FEATURES)
    records["sequence"] = range(256)
    segment.producer("features").push_many(records)
    begin_step(segment, 1, stages["ml"].inputs.index("features"), 0)
    step = step_in_progress(segment, stages["ml"])
    assert step is not None
    assert step.record is not None
    assert step.record["sequence"] == 0
    # And it is still there for the stage's successor.
    assert len(segment.consumer("features").view()) == 256


def test_a_tick_has_no_record(segment: Segment, stages: Mapping[str, Stage]) -> None:
    begin_step(segment, 1, TICK, 0)
    step = step_in_progress(segment, stages["ml"])
    assert step is not None
    assert (step.ring, step.record) == ("tick", None)


def test_a_record_that_is_not_in_the_ring_any_more_is_none(
    segment: Segment, stages: Mapping[str, Stage]
) -> None:
    producer, consumer = segment.producer("features"), segment.consumer("features")
    for _ in range(2):
        producer.push_many(np.zeros(200, FEATURES))
        consumer.view()
        consumer.commit()
    consumer.close()  # its process is dead
    begin_step(segment, 1, stages["ml"].inputs.index("features"), 3)
    step = step_in_progress(segment, stages["ml"])
    assert step is not None
    assert (step.ring, step.record) == ("features", None)


def test_a_step_is_saved_as_json_for_its_owner_only(
    segment: Segment, stages: Mapping[str, Stage], tmp_path: Path
) -> None:
    segment.producer("features").push(np.zeros(1, FEATURES))
    begin_step(segment, 1, stages["ml"].inputs.index("features"), 0)
    step = step_in_progress(segment, stages["ml"])
    assert step is not None
    path = step.save(tmp_path / "new" / "folder", "run7")
    assert path.name == "poison-run7-ml-1.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    saved = json.loads(path.read_text())
    assert saved["stage"] == "ml"
    assert saved["step"] == 1
    assert saved["ring"] == "features"
    assert saved["record"].keys() == set(FEATURES.names or ())
    assert saved["context"].keys() == set(CONTEXT.names or ())
