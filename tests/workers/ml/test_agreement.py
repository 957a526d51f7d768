"""Native and reference over long random histories: the same bytes, and what holds in all."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.vocabulary import OutcomeKind, Side
from tests.workers.ml.signals import ENGINES, Array, correlations, drive, features, means, outcome
from tests.workers.ml.test_running import dated
from workers.ta.features import Feature

INSTRUMENTS = 3
PENDING_ENDS = (OutcomeKind.DENIED, OutcomeKind.REJECTED, OutcomeKind.EXPIRED)


class Market:
    """Rows of features, and a risk stage that answers intents with whatever may happen to them."""

    def __init__(self, seed: int, *, is_whole: bool = False, is_related: bool = False) -> None:
        self.rng = random.Random(seed)
        self.is_related = is_related  # it tells correlations too
        self.is_whole = is_whole  # rows have all features, as models want them
        self.close = [6_000_000, 300_000, 15_000]
        self.open: dict[int, Array] = {}  # instrument -> its intent
        self.position = [0] * INSTRUMENTS

    def next(self) -> tuple[str, Array]:
        rng = self.rng
        index = rng.randrange(INSTRUMENTS)
        if self.is_related and rng.random() < 0.1:
            values = [rng.randint(-10_000, 10_000) for _ in range(INSTRUMENTS)]
            return "clusters", correlations(index, values, samples=rng.choice((0, 19, 20, 256)))
        if index in self.open and rng.random() < 0.5:
            return "outcomes", self.answer(index, self.open[index])
        if self.position[index] > 0 and rng.random() < 0.02:
            self.position[index] = 0
            kind = rng.choice((OutcomeKind.STOP, OutcomeKind.FILL))
            return "outcomes", outcome(kind, 0, Side.SELL, instrument=index)
        if self.is_whole:
            return "features", self.whole_row(index)
        slow = rng.uniform(1e3, 1e7)
        fast = slow + rng.choice((-1, 0, 1)) * rng.uniform(0, 5)
        row = means(fast, slow, rng.randint(1, 10**8), rng.expovariate(1e-3), index)
        if rng.random() < 0.05:
            row["valid"] = rng.randrange(1 << 8)
        return "features", row

    def whole_row(self, index: int) -> Array:
        """Return a row like one of the market's: a walk, and oscillators somewhere."""
        rng = self.rng
        self.close[index] = max(100, round(self.close[index] * rng.gauss(1.0, 0.002)))
        close = self.close[index]
        values = {feature: rng.gauss(0.0, 0.7) for feature in Feature}
        values[Feature.ATR] = close * rng.uniform(0.0005, 0.005)
        values[Feature.ADX_SHARE] = rng.random() * 0.5
        values[Feature.SPREAD] = rng.choice((0.0, 0.0001, 0.01))
        values[Feature.ATR_RATIO] = values[Feature.ATR] / close
        values[Feature.VOLATILITY] = values[Feature.ATR_RATIO] / 1.5
        row = features(values, close, index)
        row["venue_ns"] = rng.choice((0, 1, 10**18, 2 * 10**18))
        if rng.random() < 0.1:
            row["valid"] &= np.uint64(rng.getrandbits(64))
        return row

    def answer(self, index: int, intent: Array) -> Array:
        number, side = int(intent["intent_id"][0]), Side(int(intent["side"][0]))
        what = self.rng.random()
        if what < 0.3:
            return outcome(OutcomeKind.APPROVED, number, side, instrument=index)
        if what < 0.5:
            del self.open[index]
            return outcome(self.rng.choice(PENDING_ENDS), number, side, instrument=index)
        if what < 0.6:
            self.position[index] = max(1, self.position[index])
            leaves = self.rng.randint(1, 9)
        else:
            del self.open[index]
            self.position[index] = int(intent["quantity"][0]) if side == Side.BUY else 0
            leaves = 0
        return outcome(
            OutcomeKind.FILL,
            number,
            side,
            position=self.position[index],
            leaves=leaves,
            instrument=index,
        )


def history(
    seed: int, steps: int, settings: Mapping[str, Any], **kinds: bool
) -> Iterator[tuple[int, Array]]:
    """Drive both kernels, compare all that they say; yield (step, intent)."""
    drivers = [drive(engine, INSTRUMENTS, **settings) for engine in ENGINES]
    market = Market(seed, **kinds)
    for now in range(1, steps + 1):
        ring, record = market.next()
        outputs = [driver.step(ring, record, now_ns=now) for driver in drivers]
        said = [[(to, intent.tobytes()) for to, intent in each] for each in outputs]
        assert said[0] == said[1]
        assert ring == "features" or not outputs[0]
        for _, intent in outputs[0]:
            index = int(intent["instrument"][0])
            assert index not in market.open
            market.open[index] = intent
            yield now, intent
        if now % 250 == 0:
            for group in ("instruments", "stage", "books", "strategy", "correlations"):
                states = [driver.state(group).tobytes() for driver in drivers]
                assert states[0] == states[1]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("weight_bp", [5_000, 3_333])
def test_native_and_reference_agree_in_every_bit_and_have_one_intent_under_way(
    seed: int, weight_bp: int
) -> None:
    intents = [intent for _, intent in history(seed, 5_000, {"weight_bp": weight_bp})]
    assert [int(intent["intent_id"][0]) for intent in intents] == [*range(1, len(intents) + 1)]
    assert {int(intent["side"][0]) for intent in intents} == {Side.BUY, Side.SELL}
    assert len(intents) > 300


BLEND: Mapping[str, Any] = {
    "strategy": "blend",
    "leave_bp": 0,
    "cost_margin_bp": 12_000,
    "volatility_target_bp": 3,
    "kelly_bp": 2_500,
    "order_notional": "1500",
}


@pytest.mark.parametrize("days", [0, 3650])
@pytest.mark.parametrize("engine_settings", [{}, {"kelly_bp": 10, "weight_bp": 8_765}])
def test_so_they_do_with_a_model_that_may_be_too_old(
    tmp_path: Path, days: int, engine_settings: dict[str, int]
) -> None:
    model = dated(tmp_path / "model", "2005-01-01 00:00:00")
    settings = {**BLEND, "model": str(model), "model_max_age_days": days, **engine_settings}
    intents = [intent for _, intent in history(3, 4_000, settings, is_whole=True)]
    entries = [intent for intent in intents if intent["side"][0] == Side.BUY]
    assert len(entries) > 50
    assert all(0 < each["stop"][0] < each["target"][0] for each in entries)
    assert len({int(each["quantity"][0]) for each in entries}) > 20


@pytest.mark.parametrize("change", [{}, {"volatility_target_bp": 0}, {"cluster_cap_bp": 1_111}])
def test_so_they_do_where_instruments_move_together(change: dict[str, int]) -> None:
    settings = {**BLEND, "order_notional": "100000", "correlation_bp": 1_000, **change}
    found = history(6, 4_000, settings, is_whole=True, is_related=True)
    entries = [intent for _, intent in found if intent["side"][0] == Side.BUY]
    assert len(entries) > 50
    free = [
        int(i["quantity"][0])
        for _, i in history(
            6, 4_000, settings | {"cluster_cap_bp": 0}, is_whole=True, is_related=True
        )
        if i["side"][0] == Side.BUY
    ]
    assert [int(each["quantity"][0]) for each in entries] != free


def test_the_intents_of_a_seeded_history_are_these() -> None:
    digest = hashlib.sha256()
    for _, intent in history(4, 3_000, BLEND, is_whole=True):
        digest.update(intent.tobytes())
    assert digest.hexdigest() == (
        "e17cc6425357e48021fb61ae1b205b4b63f97fec30e0ae6417c4ebaf7a0fa311"
    )
