"""The orderly end: who is told to stop, in which order, and what is waited for."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Mapping
from typing import Any, cast

import numpy as np
import pytest

from pipeline import topology
from pipeline.supervisor.child import Child
from pipeline.supervisor.drain import Drain
from shm import Segment

ORDER = ["feed", "exchange", "ta", "ml", "risk", "executor"]


class Process:
    """What a drain sees of a process: it takes signals, and ends when the test says."""

    def __init__(self, name: str, told: list[tuple[str, int]]) -> None:
        self._name = name
        self._told = told

    def signal(self, number: int) -> None:
        self._told.append((self._name, number))


class Scene:
    """Processes that run, and a clock that the test turns."""

    def __init__(self, segment: Segment, limit_s: float = 5.0) -> None:
        self.now = 100.0
        self.segment = segment
        self.told: list[tuple[str, int]] = []
        self.alive = {name: Process(name, self.told) for name in topology.PROCESSES}
        self.due: dict[str, float] = {}
        sys.modules["pipeline.supervisor.drain"].time = self  # type: ignore[attr-defined]
        self.drain = Drain(segment, cast(Mapping[str, Child], self.alive), self.due, limit_s)

    def monotonic(self) -> float:
        return self.now

    def advance(self, looks: int = 5) -> list[tuple[str, int]]:
        """Look some times; return who was told what."""
        before = len(self.told)
        for _ in range(looks):
            self.drain.advance()
        return self.told[before:]

    def end(self, name: str) -> None:
        del self.alive[name]


@pytest.fixture
def scene(segment: Segment, monkeypatch: pytest.MonkeyPatch) -> Scene:
    module = sys.modules["pipeline.supervisor.drain"]
    monkeypatch.setattr(module, "time", module.time)  # put back afterwards
    return Scene(segment)


def fill(segment: Segment, ring: str) -> None:
    producer = segment.producer(ring)
    producer.push(np.zeros(1, topology.edge(ring).dtype))
    producer.close()


def empty(segment: Segment, ring: str) -> None:
    consumer = segment.consumer(ring)
    consumer.view()
    consumer.commit()
    consumer.close()


def test_each_is_told_when_the_one_before_it_has_ended_from_source_to_sink(scene: Scene) -> None:
    for name in ORDER:
        assert scene.advance() == [(name, signal.SIGTERM)]
        assert scene.advance() == []
        assert scene.drain.was_told(name)
        assert not scene.drain.is_over()
        scene.end(name)
    scene.advance()
    assert scene.drain.is_over()
    assert scene.drain.left_behind == ""


def test_one_that_does_not_end_is_killed(scene: Scene) -> None:
    scene.advance()
    scene.now += 1.9
    assert scene.advance() == []
    scene.now += 0.2
    assert scene.advance(1) == [("feed", signal.SIGKILL)]


@pytest.mark.parametrize("ring", [edge.ring for edge in topology.EDGES])
def test_no_stage_is_told_while_anything_waits_in_a_ring(
    scene: Scene, segment: Segment, ring: str
) -> None:
    fill(segment, ring)
    for name in ("feed", "exchange"):
        scene.advance()
        scene.end(name)
    scene.now += 4.9
    assert scene.advance(100) == []
    empty(segment, ring)
    assert scene.advance() == [("ta", signal.SIGTERM)]


def test_rings_must_stay_empty_for_some_looks(scene: Scene, segment: Segment) -> None:
    for name in ("feed", "exchange"):
        scene.advance(1)
        scene.end(name)
    assert scene.advance(2) == []
    fill(segment, "executions")  # between the look at risk's inputs and that at its outputs
    assert scene.advance(1) == []
    empty(segment, "executions")
    assert scene.advance(2) == []
    assert scene.advance(1) == [("ta", signal.SIGTERM)]


def test_what_is_not_drained_in_time_is_named_and_left_behind(
    scene: Scene, segment: Segment
) -> None:
    fill(segment, "features")
    fill(segment, "orders")
    for name in ("feed", "exchange"):
        scene.advance()
        scene.end(name)
    scene.now += 5.1
    assert scene.advance() == [("ta", signal.SIGTERM)]
    assert scene.drain.left_behind == "1 records in features, 1 records in orders"


def test_what_nobody_is_left_to_take_is_not_waited_for(scene: Scene, segment: Segment) -> None:
    for name in ("feed", "exchange"):
        scene.advance()
        scene.end(name)
    fill(segment, "features")
    fill(segment, "orders")
    scene.end("ml")  # for good, as it is not to be started again
    assert scene.advance() == []  # the executor is there to take the order
    empty(segment, "orders")
    assert scene.advance() == [("ta", signal.SIGTERM)]
    assert scene.drain.left_behind == "1 records in features"


def test_a_stage_that_has_died_comes_back_before_it_is_told(scene: Scene) -> None:
    for name in ("feed", "exchange"):
        scene.advance()
        scene.end(name)
    scene.end("ta")
    scene.due["ta"] = scene.now + 1
    assert scene.advance() == []
    del scene.due["ta"]
    scene.alive["ta"] = Process("ta", scene.told)
    assert scene.advance() == [("ta", signal.SIGTERM)]


def test_one_that_does_not_come_back_in_time_is_not_waited_for(scene: Scene) -> None:
    for name in ("feed", "exchange"):
        scene.advance()
        scene.end(name)
    scene.end("ta")
    scene.due["ta"] = scene.now + 60
    scene.now += 5.1
    assert scene.advance() == [("ml", signal.SIGTERM)]


def test_a_source_that_has_died_is_not_waited_for(scene: Scene) -> None:
    scene.end("feed")
    scene.due["feed"] = scene.now + 1
    assert scene.advance() == [("exchange", signal.SIGTERM)]
    assert scene.drain.was_told("feed")


@pytest.fixture
def asking(name: str, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """A run in which ml asks another process."""
    config["ml"]["model_kind"] = "skops"
    config["affinity"][topology.MODEL] = []
    module = sys.modules["pipeline.supervisor.drain"]
    monkeypatch.setattr(module, "time", module.time)
    with Segment.create(name, topology.layout(config, config["affinity"])) as segment:
        scene = Scene(segment)
        scene.alive[topology.MODEL] = Process(topology.MODEL, scene.told)
        for source in ("feed", "exchange"):
            scene.advance()
            scene.end(source)
        yield scene


def test_a_row_that_waits_for_its_answer_is_waited_for(asking: Scene) -> None:
    cells = asking.segment.cells_writer("ml.instruments", 0)
    cells.edit(1)["question"] = 7
    cells.stamp(1)
    words = asking.segment.words("ml.words")
    words.store("committed", 1)
    assert asking.advance(100) == []
    cells.begin_next()
    cells.edit(1)["question"] = 0
    cells.stamp(2)
    words.store("committed", 2)
    fill(asking.segment, "answers")
    assert asking.advance(100) == []
    empty(asking.segment, "answers")
    fill(asking.segment, "questions")  # which nobody waits for
    assert asking.advance() == [(topology.MODEL, signal.SIGTERM)]
    asking.end(topology.MODEL)
    assert asking.advance() == [("ta", signal.SIGTERM)]
    assert asking.drain.left_behind == ""


def test_but_not_for_longer_than_all_the_rest(asking: Scene) -> None:
    cells = asking.segment.cells_writer("ml.instruments", 0)
    cells.edit(0)["question"] = 1
    cells.stamp(1)
    asking.segment.words("ml.words").store("committed", 1)
    assert asking.advance(10) == []
    asking.now += 5.1
    assert asking.advance() == [(topology.MODEL, signal.SIGTERM)]
    assert asking.drain.left_behind == ""
