"""The recorder follows everything, and says so if it could not."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from pipeline import topology
from pipeline.chaos.recorder import Recorder, RecorderError
from pipeline.cli.run import configure
from pipeline.records import CONTEXT, FEATURES, MARKET, Array
from shm import Segment


@pytest.fixture
def segment(name: str) -> Iterator[Segment]:
    small = {"pipeline.market_capacity": "256", "pipeline.capacity": "256"}
    config = configure(None, name, small)
    with Segment.create(name, topology.layout(config, config["affinity"])) as segment:
        yield segment


def numbered(dtype: np.dtype[np.void], field: str, first: int, count: int) -> Array:
    records = np.zeros(count, dtype)
    records[field] = np.arange(first, first + count)
    return records


def test_everything_is_recorded_in_order_however_often_rings_wrap_round(segment: Segment) -> None:
    recorder = Recorder(segment)
    producer, consumer = segment.producer("features"), segment.consumer("features")
    contexts = segment.observer_producer("ta.contexts")
    for turn in range(10):
        producer.push_many(numbered(FEATURES, "sequence", turn * 100, 100))
        consumer.view()
        consumer.commit()
        for context in numbered(CONTEXT, "step", turn * 100, 100):
            contexts.push(np.array([context]))
        recorder.poll()
    assert recorder.recorded("features")["sequence"].tolist() == list(range(1000))
    assert recorder.recorded("ta.contexts")["step"].tolist() == list(range(1000))
    assert len(recorder.recorded("orders")) == 0
    assert recorder.recorded("orders").dtype == topology.edge("orders").dtype


def test_it_says_how_much_of_the_market_there_was(segment: Segment) -> None:
    recorder = Recorder(segment)
    assert recorder.market == 0
    segment.producer("market").push_many(np.zeros(7, MARKET))
    recorder.poll()
    assert recorder.market == 7


def test_being_overtaken_is_an_error_with_a_remedy(segment: Segment) -> None:
    recorder = Recorder(segment)
    producer, consumer = segment.producer("features"), segment.consumer("features")
    for _ in range(2):
        producer.push_many(np.zeros(200, FEATURES))
        consumer.view()
        consumer.commit()
    with pytest.raises(
        RecorderError, match=r"features: \d+ records were overwritten .*; use a lower --rate"
    ):
        recorder.poll()


def test_so_is_being_too_late_for_the_beginning(segment: Segment) -> None:
    contexts = segment.observer_producer("ml.contexts")
    for _ in range(1000):
        contexts.push(np.zeros(1, CONTEXT))
    with pytest.raises(RecorderError, match=r"ml\.contexts: \d+ records were gone"):
        Recorder(segment)
