"""The model's process without the process: its rings, and what is between them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import _native, topology
from pipeline.config import load
from pipeline.records import ANSWER, QUESTION, Array
from pipeline.vocabulary import Refusal
from shm import Segment
from tests.pipeline.supervisor.started import until
from tests.workers.ml.estimators import USED, fitted, imported
from workers.ml.models import ModelError
from workers.model.host import Desk, Loading, probabilities

FRESH = 0


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    resolved = load(None, environ={}).resolved()
    return imported(tmp_path_factory.mktemp("model"), resolved)[0]


@pytest.fixture
def config(model: Path) -> dict[str, Any]:
    flags = {"ml.model": str(model), "pipeline.market_capacity": "256", "pipeline.capacity": "64"}
    resolved = load(None, flags=flags, environ={}).resolved()
    resolved["ml"]["model_kind"] = "skops"
    return resolved


@pytest.fixture
def segment(name: str, config: dict[str, Any]) -> Iterator[Segment]:
    cpus: dict[str, tuple[int, ...]] = dict.fromkeys((*topology.PIPELINE, topology.MODEL), ())
    with Segment.create(name, topology.layout(config, cpus)) as segment:
        yield segment


@contextlib.contextmanager
def opened(segment: Segment, config: dict[str, Any]) -> Iterator[Desk]:
    """Another life of the process."""
    with Segment.attach(segment.name, run_id=segment.run_id) as own:
        yield Desk(own, config, own.doorbell(topology.MODEL, "futex"))


def question(number: int, values: tuple[float, float] = (0.3, -0.2), age_ms: int = FRESH) -> Array:
    record = np.zeros(1, QUESTION)
    record["sequence"] = number - 1
    record["question_id"] = number
    record["instrument"] = 1
    record["received_ns"] = 77
    record["value"][0, USED] = values
    record["stamped_ns"] = time.monotonic_ns() - age_ms * 1_000_000
    return record


def taken(answers: Any) -> Array:
    records = np.zeros(256, ANSWER)
    count = answers.drain(records)
    answers.commit()
    return records[:count]


def test_questions_are_answered_in_order_with_what_the_estimator_says(
    segment: Segment, config: dict[str, Any]
) -> None:
    questions, answers = segment.producer("questions"), segment.consumer("answers")
    with opened(segment, config) as desk:
        assert desk.answer(fitted()) == 0
        rows = [(0.1 * number, -0.5) for number in range(1, 4)]
        for number, row in enumerate(rows, 1):
            questions.push(question(number, row))
        assert desk.answer(fitted()) == 3
    found = taken(answers)
    assert found["question_id"].tolist() == found["cause_step"].tolist() == [1, 2, 3]
    assert found["sequence"].tolist() == [0, 1, 2]
    assert found["probability"].tolist() == fitted().predict_proba(rows)[:, 1].tolist()
    assert found["refusal"].tolist() == [Refusal.NONE] * 3
    assert found["instrument"].tolist() == [1] * 3
    assert found["received_ns"].tolist() == [77] * 3
    assert segment.depth("questions") == 0


def test_while_it_is_loaded_and_when_nobody_waits_any_more_they_are_refused(
    segment: Segment, config: dict[str, Any]
) -> None:
    questions, answers = segment.producer("questions"), segment.consumer("answers")
    with opened(segment, config) as desk:
        questions.push(question(1))
        assert desk.answer(None) == 1
        questions.push(question(2, age_ms=751))
        questions.push(question(3))
        assert desk.answer(fitted()) == 2
    found = taken(answers)
    assert found["refusal"].tolist() == [Refusal.LOADING, Refusal.LATE, Refusal.NONE]
    assert found["probability"][:2].tolist() == [0.0, 0.0]


class Broken:
    """An estimator that fails in one of many ways."""

    def __init__(self, says: Any) -> None:
        self.says = says

    def predict_proba(self, rows: Any) -> Any:
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


@pytest.mark.parametrize(
    "says",
    [ValueError("no"), None, np.zeros((1, 1)), np.zeros((9, 2)), np.array([["a", "b"]])],
)
def test_an_estimator_that_fails_is_no_end(
    segment: Segment, config: dict[str, Any], says: Any
) -> None:
    questions, answers = segment.producer("questions"), segment.consumer("answers")
    with opened(segment, config) as desk:
        questions.push(question(1))
        assert desk.answer(Broken(says)) == 1
    assert taken(answers)["refusal"].tolist() == [Refusal.FAILED]
    assert probabilities(Broken(says), np.zeros((1, 2))) is None


def test_what_a_predecessor_answered_is_not_answered_again(
    segment: Segment, config: dict[str, Any]
) -> None:
    questions, answers = segment.producer("questions"), segment.consumer("answers")
    for number in (1, 2, 3):
        questions.push(question(number))
    # It died between its answer and the release of the question.
    with Segment.attach(segment.name, run_id=segment.run_id) as own:
        producer = own.producer("answers")
        for number in (1, 2):
            answer = np.zeros(1, ANSWER)
            answer["sequence"] = number - 1
            answer["question_id"] = number
            producer.push(answer)
    with opened(segment, config) as desk:
        assert desk.answer(fitted()) == 3
    found = taken(answers)
    assert found["question_id"].tolist() == [1, 2, 3]
    assert found["sequence"].tolist() == [0, 1, 2]


def test_without_room_for_answers_questions_wait(segment: Segment, config: dict[str, Any]) -> None:
    questions, answers = segment.producer("questions"), segment.consumer("answers")
    with opened(segment, config) as desk:
        for number in range(1, _native.BATCH + 1):
            questions.push(question(number))
        assert desk.answer(fitted()) == _native.BATCH == 64
        questions.push(question(_native.BATCH + 1))
        assert desk.answer(fitted()) == 0
        taken(answers)
        assert desk.answer(fitted()) == 1
    assert taken(answers)["question_id"].tolist() == [_native.BATCH + 1]


def test_it_is_loaded_while_the_process_beats(config: dict[str, Any]) -> None:
    loading = Loading(config)
    until(lambda: loading.estimator() is not None, "the estimator")
    assert loading.estimator().predict_proba([[0.0, 0.0]]).shape == (1, 2)


def test_what_cannot_be_loaded_is_an_error(config: dict[str, Any]) -> None:
    config["ml"]["model_sha256"] = "0" * 64
    loading = Loading(config)
    with pytest.raises(ModelError, match="was changed while it was in use"):
        until(lambda: loading.estimator() is not None, "an error")


# The declared pipeline, with it


def test_its_rings_are_there_only_for_such_a_model(config: dict[str, Any]) -> None:
    assert topology.processes(config) == (*topology.PROCESSES, topology.MODEL)
    assert [edge.ring for edge in topology.edges(config)[-2:]] == ["questions", "answers"]
    stage = topology.stage("ml", config)
    assert stage.inputs == ("outcomes", "answers", "features", "clusters")
    assert stage.tick_steps == len(config["instruments"])
    outputs = topology.outputs_of("ml", topology.edges(config))
    assert [edge.ring for edge in outputs] == ["intents", "questions"]
    config["ml"]["model_kind"] = "hgb"
    assert topology.processes(config) == topology.PROCESSES
    assert topology.edges(config) == topology.EDGES


def test_no_ring_waits_for_itself_with_it_either(config: dict[str, Any]) -> None:
    waits: dict[str, set[str]] = {"questions": {"answers"}}
    for name in topology.STAGES:
        stage = topology.stage(name, config)
        for source in stage.inputs:
            waits[source] = set(stage.emits[source])
    assert waits["answers"] == {"intents"}
    list(TopologicalSorter(waits).static_order())  # raises CycleError


@pytest.mark.parametrize("count", [1, 3, 32, 33, 500])
def test_the_ring_of_questions_has_room_for_a_batch_that_is_not_released(
    config: dict[str, Any], count: int
) -> None:
    config["instruments"] = config["instruments"][:1] * count
    most, capacity = topology.most_questions(config), topology.questions_capacity(config)
    assert capacity & (capacity - 1) == 0
    assert most >= 2 * count
    # The last one is asked with `most` - 1 under way.
    assert most - 1 + _native.BATCH <= capacity - 1
