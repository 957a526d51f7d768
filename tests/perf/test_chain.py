"""The pipeline benchmark: its pure parts, and one small run of each transport."""

from __future__ import annotations

import json
import os
import time

import numpy as np
import pytest
from click.testing import CliRunner

from perf import pipeline as script
from perf.chain import queues, report
from perf.chain.session import RING, TRANSPORTS, Sample, why_missing
from perf.chain.source import MOST, groups
from perf.chain.workload import configuration, due_times, market_records, quotes_after
from pipeline import topology
from pipeline.records import FEATURES, MARKET
from pipeline.topology import PIPELINE
from shm import list_segments
from workers.exchange import market


def sample(transport: str, rate: int, p50: float | None, lost: int = 0) -> Sample:
    p99 = None if p50 is None else 2 * p50
    return Sample(transport, "any", rate, float(rate), 10, p50, p99, p99, lost, {})


def test_every_process_of_the_configuration_has_cpus() -> None:
    config = configuration("perf-test")
    assert set(config["affinity"]) == set(PIPELINE)
    assert all(config["affinity"].values())


def test_records_are_those_of_the_simulated_market() -> None:
    records = market_records(configuration("perf-test"), 500)
    trades = records[records["kind"] == market.TRADE]
    quotes = records[records["kind"] == market.QUOTE]
    assert len(trades) + len(quotes) == 500
    assert (records["sequence"] == np.arange(500)).all()
    assert (trades["price"] > 0).all()
    assert (quotes["bid"] < quotes["ask"]).all()


def test_due_times_are_even_and_never_early() -> None:
    due = due_times(7, 3, 100)
    assert due[0] == 100
    assert due[3] == 100 + 1_000_000_000
    assert due[1] == 100 + 333_333_334


def test_a_row_of_quotes_is_the_latest_of_its_instrument() -> None:
    records = np.zeros(4, MARKET)
    records["instrument"] = [0, 1, 0, 1]
    records["kind"] = [market.QUOTE, market.QUOTE, market.TRADE, market.QUOTE]
    records["bid"] = [5, 7, 0, 8]
    records["received_ns"] = [10, 20, 30, 40]
    rows = quotes_after(records)
    assert rows["bid"].tolist() == [5, 7, 5, 8]
    assert rows["received_ns"].tolist() == [10, 20, 10, 40]
    assert rows["link_ns"].tolist() == [10, 20, 30, 40]


def test_groups_give_every_record_once_and_not_before_it_is_due() -> None:
    rate, start = 20_000, time.monotonic_ns()
    due = due_times(1000, rate, start)
    expected = 0
    for first, end in groups(1000, rate, start):
        assert first == expected
        assert first < end <= first + MOST
        assert due[end - 1] <= time.monotonic_ns()
        expected = end
    assert expected == 1000


def test_neighbouring_messages_of_a_ring_are_joined() -> None:
    messages = [b"ab\x00", b"cd\x00", b"ef\x01", b"gh\x00"]
    assert queues.by_source(messages) == [(0, b"abcd"), (1, b"ef"), (0, b"gh")]


def test_a_message_says_which_input_of_its_consumer_it_is_for() -> None:
    config = configuration("perf-test")
    for edge in topology.EDGES:
        inputs = topology.stage(edge.consumer, config).inputs
        assert inputs[queues.tag_of(edge.ring, config)[0]] == edge.ring


@pytest.mark.parametrize("batch", [1, 16])
def test_a_stepped_stage_emits_the_same_in_any_batch(batch: int) -> None:
    config = configuration("perf-test")
    records = market_records(config, 100).tobytes()
    stepper = queues.Stepper(topology.stage("ta", config), None, batch)
    taken, rows = 0, b""
    for portion in stepper.batches(0, records):
        count, emitted = stepper.run(0, portion)
        taken += count
        rows += b"".join(output for _, output in emitted)
    assert taken == 100
    features = np.frombuffer(rows, FEATURES)
    traded = np.frombuffer(records, MARKET)
    traded = traded[traded["kind"] == market.TRADE]
    assert (features["close"] == traded["price"]).all()


def test_a_result_has_the_median_and_all_that_was_lost() -> None:
    samples = [sample(RING, 1000, p50, lost) for p50, lost in ((3.0, 1), (1.0, 0), (2.0, 4))]
    result = report.summary(samples)
    assert (result["p50_us"], result["p50_us_spread"], result["lost"]) == (2.0, [1.0, 3.0], 5)


def test_a_result_without_an_order_has_no_percentile() -> None:
    assert report.summary([sample(RING, 1000, None)])["p50_us"] is None


@pytest.mark.parametrize(("peer", "met"), [(20.0, True), (19.9, False)])
def test_expectations_compare_with_the_peer_of_the_same_rate(peer: float, met: bool) -> None:
    results = [
        report.summary([sample(RING, 50_000, 1.0)]),
        report.summary([sample(report.PEER, 50_000, peer)]),
    ]
    found = report.expectations(results)
    assert [each["met"] for each in found] == [None, None, met, True]


def test_a_loss_is_not_what_was_expected() -> None:
    assert report.expectations([report.summary([sample(RING, 1, 1.0, 1)])])[-1]["met"] is False


@pytest.mark.parametrize("value", ["", "0", "ten", "1000,2000000"])
def test_a_wrong_rate_is_refused(value: str) -> None:
    result = CliRunner().invoke(script.main, ["--rates", value])
    assert result.exit_code == 2
    assert "must be" in result.output


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_small_run_delivers_everything(transport: str) -> None:
    if reason := why_missing(transport):
        pytest.skip(reason)
    arguments = ["--json", "--seconds", "0.5", "--repeats", "1", "--rates", "1000"]
    result = CliRunner().invoke(script.main, [*arguments, "--transports", transport])
    assert result.exit_code == 0, result.output
    (found,) = json.loads(result.stdout)["results"]
    assert (found["transport"], found["rate"], found["lost"]) == (transport, 1000, 0)
    assert found["orders"] > 0
    assert 0 < found["p50_us"] <= found["p99_us"] <= found["p999_us"]
    assert list_segments(f"perf-{os.getpid()}") == []
