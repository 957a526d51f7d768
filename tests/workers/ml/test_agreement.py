"""Native and reference over long random histories: the same bytes, and what holds in all."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from pipeline.vocabulary import OutcomeKind, Side
from tests.workers.ml.signals import ENGINES, Array, drive, means, outcome

INSTRUMENTS = 3
PENDING_ENDS = (OutcomeKind.DENIED, OutcomeKind.REJECTED, OutcomeKind.EXPIRED)


class Market:
    """Rows of features, and a risk stage that answers intents with whatever may happen to them."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.open: dict[int, Array] = {}  # instrument -> its intent
        self.position = [0] * INSTRUMENTS

    def next(self) -> tuple[str, Array]:
        rng = self.rng
        index = rng.randrange(INSTRUMENTS)
        if index in self.open and rng.random() < 0.5:
            return "outcomes", self.answer(index, self.open[index])
        if self.position[index] > 0 and rng.random() < 0.02:
            self.position[index] = 0
            kind = rng.choice((OutcomeKind.STOP, OutcomeKind.FILL))
            return "outcomes", outcome(kind, 0, Side.SELL, instrument=index)
        slow = rng.uniform(1e3, 1e7)
        fast = slow + rng.choice((-1, 0, 1)) * rng.uniform(0, 5)
        row = means(fast, slow, rng.randint(1, 10**8), rng.expovariate(1e-3), index)
        if rng.random() < 0.05:
            row["valid"] = rng.randrange(1 << 8)
        return "features", row

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


def history(seed: int, steps: int, settings: dict[str, int]) -> Iterator[tuple[int, Array]]:
    """Drive both kernels, compare all that they say; yield (step, intent)."""
    drivers = [drive(engine, INSTRUMENTS, **settings) for engine in ENGINES]
    market = Market(seed)
    for now in range(1, steps + 1):
        ring, record = market.next()
        outputs = [driver.step(ring, record, now_ns=now) for driver in drivers]
        said = [[(to, intent.tobytes()) for to, intent in each] for each in outputs]
        assert said[0] == said[1]
        assert not (ring == "outcomes" and outputs[0])
        for _, intent in outputs[0]:
            index = int(intent["instrument"][0])
            assert index not in market.open
            market.open[index] = intent
            yield now, intent
        if now % 250 == 0:
            for group in ("instruments", "stage", "strategy"):
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
