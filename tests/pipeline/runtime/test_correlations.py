"""What ta tells of correlations, where risk and ml take it into account."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline import topology
from pipeline.records import CORRELATIONS, EXECUTION
from pipeline.vocabulary import Denial, ExecutionKind, Side
from tests.pipeline.kernels import NewDesk, reference
from tests.pipeline.runtime.intents import sound_intent
from tests.workers.ml.signals import scored


@pytest.mark.parametrize("is_native", [True, False], ids=["native", "reference"])
@pytest.mark.parametrize(("rho", "code"), [(7000, Denial.NONE), (7001, Denial.CORRELATION)])
def test_risk_refuses_what_moves_with_a_position_as_ta_tells(
    new_desk: NewDesk, rho: int, code: Denial, is_native: bool
) -> None:
    desk = new_desk(risk={"correlated": 1, "concentration_bp": 0})
    desk.start("risk", None if is_native else reference(topology.stage("risk", desk.config)))
    desk.quote(0, 5_999_999, 6_000_001)
    fill = np.zeros(1, EXECUTION)
    fill["kind"], fill["side"], fill["instrument"] = ExecutionKind.FILL, Side.BUY, 1
    fill["quantity"], fill["price"] = 1000, 300_000
    row = np.zeros(1, CORRELATIONS)
    row["count"], row["value"][0, 1], row["samples"][0, 1] = 3, rho, 20
    for ring, record in (
        ("executions", fill),
        ("correlations", row),
        ("intents", sound_intent()),
    ):
        assert desk.segment.producer(ring).push(record)
        desk.settle()
    assert desk.state("risk", "correlations")["value"][0, :3].tolist() == [0, rho, 0]
    assert desk.recording["outcomes"]["code"].tolist() == [0, code]


@pytest.mark.parametrize("is_native", [True, False], ids=["native", "reference"])
@pytest.mark.parametrize(("rho", "share"), [(7000, 1.0), (7001, 0.5)])
def test_ml_sizes_what_moves_with_an_entry_as_ta_tells(
    new_desk: NewDesk, rho: int, share: float, is_native: bool
) -> None:
    desk = new_desk(ml={"strategy": "blend", "volatility_target_bp": 1, "cluster_cap_bp": 15_000})
    desk.start("ml", None if is_native else reference(topology.stage("ml", desk.config)))
    row = np.zeros(1, CORRELATIONS)
    row["instrument"], row["count"] = 1, 3
    row["value"][0, 0], row["samples"][0, 0] = rho, 20
    second_row = scored(1.0, close=300_000, atr=6_000.0, instrument=1)
    second_row["sequence"] = 1
    # One ATR of 2 % of either may move the account by 10, so 500 of it are entered with.
    for ring, record in (
        ("clusters", row),
        ("features", scored(1.0, close=6_000_000, atr=120_000.0)),
        ("features", second_row),
    ):
        assert desk.segment.producer(ring).push(record)
        desk.settle()
    first, second = desk.recording["intents"]["quantity"] * desk.recording["features"]["close"]
    assert first * 1e-7 == pytest.approx(500, rel=0.01)
    assert second * 1e-6 == pytest.approx(500 * share, rel=0.01)
