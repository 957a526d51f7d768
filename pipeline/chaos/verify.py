"""The proof: what was recorded equals what the same steps give without any kill, bit for bit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.records import TICK, Array
from pipeline.replay import Driver
from pipeline.stage import Stage
from pipeline.vocabulary import MarketKind, OutcomeKind

_SHOWN = 3


@dataclass(slots=True)
class Verdict:
    """How the recording differs from the replay; `findings` says where, the first of each kind."""

    lost: int = 0
    duplicated: int = 0
    changed: int = 0
    orders: int = 0
    findings: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether there is no difference at all."""
        return not (self.lost or self.duplicated or self.changed or self.findings)

    def note(self, finding: str) -> None:
        """Keep a finding."""
        self.findings.append(finding)


def verify(
    recorded: Callable[[str], Array],
    stages: Mapping[str, Stage],
    final_state: Callable[[str, str], Array],
    market: Array,
) -> Verdict:
    """Replay each stage over the recorded inputs and contexts, and compare.

    `market` are the records that the feed should have published, stamps apart. As each stage's
    inputs are the recorded outputs of the others, the pipeline as a whole is right if every one is.
    """
    verdict = Verdict()
    _compare_market(verdict, recorded("market"), recorded("ticks"), market)
    for name, stage in stages.items():
        contexts = recorded(f"{name}.contexts")
        inputs = {ring: recorded(ring) for ring in stage.inputs}
        if not _check_steps(verdict, stage, contexts, inputs):
            continue
        driver = Driver(stage)
        for ring, expected in driver.run(contexts, inputs).items():
            _compare(verdict, ring, recorded(ring), expected)
        for group in stage.cells():
            expected, found = driver.state(group), final_state(name, group)
            fields = expected.dtype.names or ()
            if any(expected[each].tobytes() != found[each].tobytes() for each in fields):
                verdict.changed += 1
                verdict.note(f"{name}: the final state of {group!r} is another")
    _check_decisions(verdict, recorded("intents"), recorded("outcomes"), recorded("orders"))
    verdict.orders = len(recorded("orders"))
    return verdict


def _compare_market(verdict: Verdict, market: Array, ticks: Array, expected: Array) -> None:
    if market.tobytes() != ticks.tobytes():
        verdict.changed += 1
        verdict.note("the rings market and ticks differ")
    # That a link was lost, and is there again, is no event of the market.
    places = np.flatnonzero(market["kind"] <= MarketKind.QUOTE)
    market = market[places]
    positions = market["position"].astype(np.int64)
    _, counts = np.unique(positions, return_counts=True)
    verdict.duplicated += int((counts - 1).sum())
    missing = np.setdiff1d(expected["position"], positions)
    verdict.lost += len(missing)
    if len(missing) or len(market) != len(expected):
        verdict.note(
            f"feed: {len(market)} records, must be {len(expected)}; missing {missing[:_SHOWN]}"
        )
        return
    expected = expected.copy()
    expected["sequence"] = expected["cause_step"] = places
    for name in expected.dtype.names or ():
        if name in ("received_ns", "stamped_ns"):
            continue
        differ = np.flatnonzero(market[name] != expected[name])
        if len(differ):
            verdict.changed += len(differ)
            verdict.note(f"feed: {name} differs in record {differ[0]}")


def _check_steps(
    verdict: Verdict, stage: Stage, contexts: Array, inputs: Mapping[str, Array]
) -> bool:
    """Check that every input is in exactly one step; False if no replay is possible."""
    good = True
    if not np.array_equal(contexts["step"], np.arange(1, len(contexts) + 1)):
        verdict.note(f"{stage.name}: its steps are not numbered 1, 2, 3 ...")
        good = False
    for source, ring in enumerate(stage.inputs):
        taken = contexts["sequence"][contexts["source"] == source]
        available = np.arange(len(inputs[ring]))
        lost = len(np.setdiff1d(available, taken))
        duplicated = len(taken) - len(np.unique(taken))
        verdict.lost += lost
        verdict.duplicated += duplicated
        if not np.array_equal(taken, available):
            verdict.note(
                f"{stage.name}: took {len(taken)} records of {ring}, must be each of "
                f"{len(available)} once, in order ({lost} lost, {duplicated} twice)"
            )
            good = False
        if not np.array_equal(inputs[ring]["sequence"], available):
            verdict.note(f"{ring}: its records are not numbered 0, 1, 2 ...")
            good = False
    ticks = contexts["sequence"][contexts["source"] == TICK]
    if not np.array_equal(ticks, np.arange(len(ticks))):
        verdict.note(f"{stage.name}: its ticks are not numbered 0, 1, 2 ...")
        good = False
    return good


def _compare(verdict: Verdict, ring: str, found: Array, expected: Array) -> None:
    """Compare a ring's records with those of the replay, by what caused them."""
    found_causes, expected_causes = _causes(found), _causes(expected)
    unique, first, counts = np.unique(found_causes, return_index=True, return_counts=True)
    duplicated = int((counts - 1).sum())
    lost = len(np.setdiff1d(expected_causes, unique))
    extra = len(np.setdiff1d(unique, expected_causes))
    both, of_found, of_expected = np.intersect1d(unique, expected_causes, return_indices=True)
    names = [name for name in found.dtype.names or () if name != "sequence"]
    left, right = found[first[of_found]], expected[of_expected]
    differ = np.zeros(len(both), bool)
    for name in names:
        # As bytes: floats are to be the same bits.
        one, two = _bytes(left[name]), _bytes(right[name])
        differ |= (one != two).any(axis=1)
    changed = int(differ.sum()) + extra
    if not (duplicated or lost or changed) and not (
        np.array_equal(found["sequence"], np.arange(len(found)))
        and np.array_equal(found_causes, expected_causes)
    ):
        changed = 1  # the right records in another order
    verdict.duplicated += duplicated
    verdict.lost += lost
    verdict.changed += changed
    if duplicated or lost or changed:
        verdict.note(
            f"{ring}: {len(found)} records, {len(expected)} in the replay: {lost} lost, "
            f"{duplicated} twice, {changed} changed"
        )


def _bytes(values: Array) -> Array:
    width = values.dtype.itemsize * math.prod(values.shape[1:])  # of none, too
    return np.frombuffer(values.tobytes(), np.uint8).reshape(len(values), width)


def _causes(records: Array) -> np.ndarray[Any, np.dtype[np.uint64]]:
    return records["cause_step"] * np.uint64(1 << 8) + records["cause_index"].astype(np.uint64)


def _check_decisions(verdict: Verdict, intents: Array, outcomes: Array, orders: Array) -> None:
    """Check that every intent was decided exactly once, and no order came without an intent."""
    decisions = outcomes["intent_id"][
        np.isin(outcomes["kind"], (OutcomeKind.DENIED, OutcomeKind.APPROVED))
    ]
    wanted = np.sort(intents["intent_id"])
    if not np.array_equal(np.sort(decisions), wanted):
        undecided = np.setdiff1d(wanted, decisions)
        verdict.lost += len(undecided)
        verdict.duplicated += len(decisions) - len(np.unique(decisions))
        verdict.note(f"{len(wanted)} intents had {len(decisions)} decisions")
    approved = outcomes["intent_id"][outcomes["kind"] == OutcomeKind.APPROVED]
    if not np.array_equal(np.sort(orders["intent_id"]), np.sort(approved)):
        verdict.duplicated += len(orders) - len(np.unique(orders["intent_id"]))
        verdict.note(f"{len(approved)} approved intents had {len(orders)} orders")
