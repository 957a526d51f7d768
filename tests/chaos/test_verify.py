"""The proof notices each kind of difference, and finds none where there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pipeline import topology
from pipeline.chaos.run import SETTINGS, Outcome, as_json
from pipeline.chaos.verify import Verdict, verify
from pipeline.cli.run import configure
from pipeline.records import TICK, Array
from pipeline.vocabulary import OutcomeKind
from tests.chaos.recording import Recording
from workers.exchange.records import market_records

EVENTS = 1500


@pytest.fixture(scope="module")
def original() -> tuple[Recording, Array]:
    config: dict[str, Any] = configure(None, "recorded", dict(SETTINGS))
    market = market_records(config, EVENTS)
    return Recording(config, market), market


@pytest.fixture
def recording(original: tuple[Recording, Array]) -> Recording:
    """A copy that may be spoilt."""
    return original[0].copy()


@pytest.fixture
def check(recording: Recording, original: tuple[Recording, Array]) -> Callable[[], Verdict]:
    return lambda: verify(recording.records, recording.stages, recording.state, original[1])


def without(records: Array, place: int) -> Array:
    keep = np.ones(len(records), bool)
    keep[place] = False
    kept: Array = records[keep]
    return kept


def doubled(records: Array, place: int) -> Array:
    repeated: Array = records[np.sort(np.append(np.arange(len(records)), place))]
    return repeated


def renumbered(records: Array) -> Array:
    records["sequence"] = np.arange(len(records))
    return records


def test_a_run_without_a_fault_is_clean(recording: Recording, check: Callable[[], Verdict]) -> None:
    verdict = check()
    assert verdict.findings == []
    assert verdict.is_clean
    assert verdict.orders == len(recording.records("orders")) > 20
    for edge in topology.EDGES:
        if edge.producer != "supervisor":  # nobody has asked for anything
            assert len(recording.records(edge.ring)) > 20, edge.ring


@pytest.mark.parametrize(
    "ring", ["features", "correlations", "clusters", "intents", "orders", "outcomes", "executions"]
)
class TestOfEachRing:
    def test_a_lost_output_is_found(
        self, recording: Recording, check: Callable[[], Verdict], ring: str
    ) -> None:
        recording.replace(ring, renumbered(without(recording.records(ring), 7)))
        verdict = check()
        assert verdict.lost >= 1
        assert any(f"{ring}: " in finding and " 1 lost" in finding for finding in verdict.findings)

    def test_a_doubled_output_is_found(
        self, recording: Recording, check: Callable[[], Verdict], ring: str
    ) -> None:
        recording.replace(ring, renumbered(doubled(recording.records(ring), 7)))
        verdict = check()
        assert verdict.duplicated >= 1
        assert any(f"{ring}: " in finding and " 1 twice" in finding for finding in verdict.findings)

    def test_a_changed_output_is_found(
        self, recording: Recording, check: Callable[[], Verdict], ring: str
    ) -> None:
        recording.records(ring)["stamped_ns"][7] += 1
        verdict = check()
        assert verdict.changed >= 1
        assert any(
            f"{ring}: " in finding and " 1 changed" in finding for finding in verdict.findings
        )

    def test_an_output_that_nothing_caused_is_found(
        self, recording: Recording, check: Callable[[], Verdict], ring: str
    ) -> None:
        recording.records(ring)["cause_step"][-1] += 1_000_000
        verdict = check()
        assert verdict.lost >= 1
        assert verdict.changed >= 1

    def test_outputs_in_another_order_are_found(
        self, recording: Recording, check: Callable[[], Verdict], ring: str
    ) -> None:
        records = recording.records(ring)
        records[[7, 8]] = records[[8, 7]]
        renumbered(records)
        verdict = check()
        assert verdict.changed >= 1
        assert any(finding.startswith(f"{ring}: ") for finding in verdict.findings)

    def test_outputs_that_are_numbered_wrongly_are_found(
        self, recording: Recording, check: Callable[[], Verdict], ring: str
    ) -> None:
        recording.records(ring)["sequence"][7] = 8
        verdict = check()
        assert not verdict.is_clean
        assert f"{ring}: its records are not numbered 0, 1, 2 ..." in verdict.findings


@pytest.mark.parametrize("bits", [1, 1 << 63])
def test_one_bit_of_a_float_is_enough(
    recording: Recording, check: Callable[[], Verdict], bits: int
) -> None:
    recording.records("features")["value"].view("<u8")[-1, 0] ^= np.uint64(bits)
    assert check().changed >= 1


def test_a_market_record_that_is_missing_is_found(
    recording: Recording, check: Callable[[], Verdict]
) -> None:
    for ring in ("market", "ticks"):
        recording.replace(ring, without(recording.records(ring), 100))
    verdict = check()
    assert verdict.lost >= 1
    assert f"feed: {EVENTS - 1} records, must be {EVENTS}; missing [101]" in verdict.findings


def test_one_that_came_twice_is_found(recording: Recording, check: Callable[[], Verdict]) -> None:
    for ring in ("market", "ticks"):
        recording.replace(ring, doubled(recording.records(ring), 100))
    verdict = check()
    assert verdict.duplicated >= 1
    assert f"feed: {EVENTS + 1} records, must be {EVENTS}; missing []" in verdict.findings


def test_one_that_is_not_the_venues_is_found(
    recording: Recording, check: Callable[[], Verdict]
) -> None:
    for ring in ("market", "ticks"):
        recording.records(ring)["venue_ns"][100] += 1
    verdict = check()
    assert verdict.changed >= 1
    assert verdict.findings[0] == "feed: venue_ns differs in record 100"


def test_a_difference_between_the_two_rings_of_the_feed_is_found(
    recording: Recording, check: Callable[[], Verdict]
) -> None:
    recording.records("ticks")["received_ns"][3] += 1
    assert "the rings market and ticks differ" in check().findings


def test_a_record_that_was_taken_twice_or_never_is_found(
    recording: Recording, check: Callable[[], Verdict]
) -> None:
    contexts = recording.records("ml.contexts")
    source = recording.stages["ml"].inputs.index("features")
    place = np.flatnonzero((contexts["source"] == source) & (contexts["sequence"] == 9))[0]
    contexts["sequence"][place] = 8
    verdict = check()
    assert verdict.lost >= 1
    assert verdict.duplicated >= 1
    assert any(
        finding.startswith("ml: took ") and finding.endswith("in order (1 lost, 1 twice)")
        for finding in verdict.findings
    )


def test_steps_that_are_not_numbered_in_order_are_found(
    recording: Recording, check: Callable[[], Verdict]
) -> None:
    recording.records("risk.contexts")["step"][5] = 5
    assert "risk: its steps are not numbered 1, 2, 3 ..." in check().findings


def test_ticks_that_are_not_numbered_in_order_are_found(
    recording: Recording, check: Callable[[], Verdict]
) -> None:
    contexts = recording.records("risk.contexts")
    contexts["sequence"][np.flatnonzero(contexts["source"] == TICK)[1]] = 7
    assert "risk: its ticks are not numbered 0, 1, 2 ..." in check().findings


@pytest.mark.parametrize("name", topology.STAGES)
def test_another_final_state_is_found(
    recording: Recording, check: Callable[[], Verdict], name: str
) -> None:
    group = next(iter(recording.stages[name].cells()))
    state = recording.state(name, group)
    assert state.dtype.fields is not None
    _, offset, *_ = next(iter(state.dtype.fields.values()))
    state.view(np.uint8)[offset] ^= 1
    verdict = check()
    assert verdict.changed == 1
    assert verdict.findings == [f"{name}: the final state of {group!r} is another"]


def test_a_final_state_that_cannot_be_read_is_a_finding(
    recording: Recording, check: Callable[[], Verdict]
) -> None:
    recording.replace("risk.account", recording.state("risk", "account")[:0])
    assert check().findings == ["risk: the final state of 'account' is another"]


def test_two_decisions_on_one_intent_are_found(
    recording: Recording, check: Callable[[], Verdict]
) -> None:
    outcomes = recording.records("outcomes")
    decided = np.flatnonzero(outcomes["kind"] == OutcomeKind.APPROVED)[0]
    recording.replace("outcomes", renumbered(doubled(outcomes, int(decided))))
    verdict = check()
    wanted = len(recording.records("intents"))
    assert f"{wanted} intents had {wanted + 1} decisions" in verdict.findings


def test_an_intent_without_a_decision_is_found(
    recording: Recording, check: Callable[[], Verdict]
) -> None:
    outcomes = recording.records("outcomes")
    decided = np.flatnonzero(outcomes["kind"] == OutcomeKind.APPROVED)[-1]
    recording.replace("outcomes", renumbered(without(outcomes, int(decided))))
    verdict = check()
    assert verdict.lost >= 2  # as a record, and as a decision
    assert any("intents had" in finding for finding in verdict.findings)


def test_two_orders_for_one_intent_are_found(
    recording: Recording, check: Callable[[], Verdict]
) -> None:
    orders = recording.records("orders")
    recording.replace("orders", renumbered(doubled(orders, 5)))
    assert f"{len(orders)} approved intents had {len(orders) + 1} orders" in check().findings


def test_what_the_command_prints_counts_kills_and_recoveries() -> None:
    outcome = Outcome(1000, recoveries_ms=[3.04, 1.0, 9.96])
    outcome.killed.update({"ta": 2, "feed": 1})
    printed = as_json(outcome)
    assert printed["kills"] == 3
    assert list(printed["killed"]) == ["feed", "ta"]
    assert printed["recovery_ms"] == {"p50": 3.0, "max": 10.0}
    assert as_json(Outcome(1000))["recovery_ms"] == {"p50": None, "max": None}
