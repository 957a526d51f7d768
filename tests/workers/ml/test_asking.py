"""A model that another process evaluates: what is asked, and what is decided when."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.records import ANSWER
from pipeline.replay import Driver
from pipeline.topology import most_questions
from pipeline.vocabulary import OutcomeKind, Refusal
from tests.workers.ml.estimators import USED, imported
from tests.workers.ml.signals import ENGINES, NOW, Array, config, hear, outcome, scored
from tests.workers.ml.test_agreement import INSTRUMENTS, Market
from workers.ml.models import ModelError
from workers.ml.stage import Strategies
from workers.ta.features import Feature

MS = 1_000_000
BUDGET = 750 * MS
FULL, HALF = 10_000, 5_000  # lots of an entry with an answer, and without

pytestmark = pytest.mark.parametrize("engine", ENGINES)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return imported(tmp_path_factory.mktemp("model"), config(), data_to="2025-06-18 08:55")[0]


def stage_of(model: Path, instruments: int = 1, **settings: Any) -> Strategies:
    defaults = {"strategy": "blend", "enter_bp": 2_000, "leave_bp": 0, "answer_timeout_ms": 750}
    return Strategies.of(
        config(
            instruments,
            **{**defaults, "model": str(model), "model_kind": "skops", "trusted": (), **settings},
        )
    )


def drive(engine: str, model: Path, instruments: int = 1, **settings: Any) -> Driver:
    stage = stage_of(model, instruments, **settings)
    return Driver(stage, kernel=None if engine == "native" else stage.reference())


def row(score: float = 0.9, *, venue_ns: int = 60, instrument: int = 0) -> Array:
    made = scored(score, instrument=instrument)
    made["venue_ns"] = venue_ns
    return made


def answer(
    number: int, probability: float = 0.75, *, refusal: int = 0, instrument: int = 0
) -> Array:
    record = np.zeros(1, ANSWER)
    record["instrument"] = instrument
    record["question_id"] = number
    record["probability"] = probability
    record["refusal"] = refusal
    return record


def step(
    driver: Driver, source: str, record: Array | None, after_ms: float = 0, **more: Any
) -> Any:
    """Take a step so long after NOW; return what it emitted by ring."""
    return dict(driver.step(source, record, now_ns=NOW + int(after_ms * MS), **more))


def counted(driver: Driver) -> dict[str, int]:
    own, stage = driver.state("instruments"), driver.state("stage")[0]
    sums = {name: int(own[name].sum()) for name in ("asked", "missing", "stale")}
    return sums | {name: int(stage[name]) for name in ("late", "refused", "ignored", "unasked")}


def counts(**some: int) -> dict[str, int]:
    names = ("asked", "missing", "stale", "late", "refused", "ignored", "unasked")
    return dict.fromkeys(names, 0) | some


def test_a_row_asks_and_its_answer_decides(engine: str, model: Path) -> None:
    driver = drive(engine, model)
    emitted = step(driver, "features", row())
    assert list(emitted) == ["questions"]
    question = emitted["questions"][0]
    assert question["question_id"] == 1
    assert question["value"].tobytes() == row()["value"].tobytes()
    assert (question["valid"], question["received_ns"]) == (row()["valid"][0], 1_060)
    intent = step(driver, "answers", answer(1, 0.75), 20)["intents"][0]
    assert intent["score"] == 0.5 * 0.9 + 0.5 * (2 * 0.75 - 1)
    assert intent["quantity"] == FULL
    assert intent["created_ns"] == NOW + 20 * MS
    assert intent["received_ns"] == 1_060
    assert counted(driver) == counts(asked=1)


def test_an_answer_may_also_keep_from_trading(engine: str, model: Path) -> None:
    driver = drive(engine, model)
    step(driver, "features", row(0.9))
    assert step(driver, "answers", answer(1, 0.0)) == {}
    assert counted(driver) == counts(asked=1)


def test_after_its_budget_a_tick_decides_at_half_size(engine: str, model: Path) -> None:
    driver = drive(engine, model)
    step(driver, "features", row())
    assert step(driver, "tick", None, 749.999) == {}
    intent = step(driver, "tick", None, 750)["intents"][0]
    assert (intent["score"], intent["quantity"]) == (0.45, HALF)
    assert counted(driver) == counts(asked=1, missing=1, late=1)
    assert step(driver, "tick", None, 800) == {}
    assert step(driver, "answers", answer(1), 900) == {}
    assert counted(driver) == counts(asked=1, missing=1, late=1, ignored=1)


def test_a_tick_is_of_one_instrument(engine: str, model: Path) -> None:
    driver = drive(engine, model, instruments=2)
    step(driver, "features", row(instrument=1))
    assert step(driver, "tick", None, 800, instrument=0) == {}
    assert step(driver, "tick", None, 800, instrument=1)["intents"]["instrument"] == 1


def test_an_answer_over_the_budget_is_none_although_no_tick_came(engine: str, model: Path) -> None:
    driver = drive(engine, model)
    step(driver, "features", row())
    intent = step(driver, "answers", answer(1, 1.0), 750)["intents"][0]
    assert (intent["score"], intent["quantity"]) == (0.45, HALF)
    assert counted(driver) == counts(asked=1, missing=1, late=1)


@pytest.mark.parametrize("probability", [float("nan"), -0.01, 1.01, float("inf")])
def test_what_is_no_probability_is_no_answer(engine: str, model: Path, probability: float) -> None:
    driver = drive(engine, model)
    step(driver, "features", row())
    intent = step(driver, "answers", answer(1, probability))["intents"][0]
    assert (intent["score"], intent["quantity"]) == (0.45, HALF)
    assert counted(driver) == counts(asked=1, missing=1, refused=1)


@pytest.mark.parametrize("refusal", [each for each in Refusal if each])
def test_nor_is_a_refusal_and_that_is_no_slow_call(
    engine: str, model: Path, refusal: Refusal
) -> None:
    driver = drive(engine, model)
    step(driver, "features", row())
    intent = step(driver, "answers", answer(1, 0.9, refusal=refusal))["intents"][0]
    assert intent["quantity"] == HALF
    assert counted(driver) == counts(asked=1, missing=1, refused=1)


def test_the_next_row_decides_on_the_one_that_waits(engine: str, model: Path) -> None:
    driver = drive(engine, model)
    step(driver, "features", row(0.9))
    emitted = step(driver, "features", row(-0.9), 100)
    assert list(emitted) == ["intents", "questions"]
    assert emitted["intents"]["quantity"] == HALF
    assert emitted["questions"]["question_id"] == 2
    assert emitted["questions"]["cause_index"] == 1
    # The answer to the first comes too late; that to the second decides on it.
    assert step(driver, "answers", answer(1), 110) == {}
    hear(driver, outcome(OutcomeKind.FILL, 1, position=7))
    intent = step(driver, "answers", answer(2, 0.5), 120)["intents"][0]
    assert (intent["reduce_only"], intent["quantity"]) == (1, 7)
    # Bars that come faster than answers are no slow call, as long as answers come.
    assert counted(driver) == counts(asked=2, missing=1, ignored=1)


def test_a_model_that_is_silent_for_its_budget_is_slow_at_each_row(
    engine: str, model: Path
) -> None:
    driver = drive(engine, model)
    for number in range(9):  # asked at 0, 100, ... 800 ms; the 8th is decided on at 800
        step(driver, "features", row(0.0), 100 * number)
    assert counted(driver) == counts(asked=9, missing=8, late=1)
    step(driver, "answers", answer(1), 850)
    step(driver, "features", row(0.0), 900)
    assert counted(driver) == counts(asked=10, missing=9, late=1, ignored=1)


@pytest.mark.parametrize("spoiled", ["invalid", "infinite"])
def test_for_a_row_without_what_the_model_needs_nothing_is_asked(
    engine: str, model: Path, spoiled: str
) -> None:
    driver = drive(engine, model)
    made = row()
    if spoiled == "invalid":
        # For the strategy "blend" it could not be missing, so it has no score either.
        made["valid"] &= ~np.uint64(1 << Feature.RSI_BALANCE)
    else:
        made["value"][0, Feature.BOLLINGER_POSITION] = np.inf
    emitted = step(driver, "features", made)
    assert "questions" not in emitted
    assert counted(driver) == counts(asked=1, missing=1)


def test_what_the_model_does_not_use_may_be_anything(engine: str, model: Path) -> None:
    driver = drive(engine, model)
    made = row()
    made["value"][0, Feature.CCI] = np.nan
    assert list(step(driver, "features", made)) == ["questions"]


def test_a_model_that_is_too_old_is_not_asked(engine: str, model: Path) -> None:
    driver = drive(engine, model, model_max_age_days=30)
    end_ns = 1_750_236_900 * 10**9
    late = end_ns + 30 * 86_400 * 10**9
    assert list(step(driver, "features", row(venue_ns=late))) == ["questions"]
    step(driver, "answers", answer(1, 0.0))
    intent = step(driver, "features", row(venue_ns=late + 1))["intents"][0]
    assert intent["quantity"] == HALF
    assert counted(driver) == counts(asked=2, stale=1)


def test_there_are_never_more_questions_than_their_ring_has_room_for(
    engine: str, model: Path
) -> None:
    driver = drive(engine, model)
    most = most_questions(config())
    for number in range(most):
        assert "questions" in step(driver, "features", row(0.0), number / 1000)
    assert step(driver, "features", row(0.0), 1) == {}
    assert counted(driver)["unasked"] == 1
    assert step(driver, "answers", answer(1), 2) == {}
    emitted = step(driver, "features", row(0.0), 3)
    assert emitted["questions"]["question_id"] == most + 1


@pytest.mark.parametrize("number", [0, 2, 1 << 63])
def test_an_answer_that_nobody_asked_for_is_ignored(engine: str, model: Path, number: int) -> None:
    driver = drive(engine, model)
    step(driver, "features", row())
    assert step(driver, "answers", answer(number)) == {}
    assert step(driver, "answers", answer(1))["intents"]["quantity"] == FULL
    assert step(driver, "answers", answer(1)) == {}  # twice
    assert counted(driver) == counts(asked=1, ignored=2)


def test_an_answer_is_of_its_own_instrument(engine: str, model: Path) -> None:
    driver = drive(engine, model, instruments=2)
    step(driver, "features", row(instrument=0))
    step(driver, "features", row(instrument=1))
    emitted = step(driver, "answers", answer(1, instrument=0))
    assert emitted["intents"]["instrument"] == 0
    emitted = step(driver, "answers", answer(2, instrument=1))
    assert emitted["intents"]["instrument"] == 1
    with pytest.raises(IndexError, match=r"answer 0: instrument was 2, must be below 2"):
        step(drive(engine, model, instruments=2), "answers", answer(3, instrument=2))


class Asked(Market):
    """The same, and a process that answers whatever and whenever it likes."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, is_whole=True)
        self.questions: list[tuple[int, int]] = []
        self.now_ns = NOW

    def next(self) -> tuple[str, Any]:
        rng = self.rng
        self.now_ns += rng.choice((0, 1, MS, 40 * MS, 200 * MS, 800 * MS))
        what = rng.random()
        if what < 0.1:
            return "tick", None
        if self.questions and what < 0.5:
            number, instrument = self.questions.pop(0)
            if rng.random() < 0.05:
                number += rng.choice((-1, 1, 100))
            probability = rng.choice((rng.random(), rng.random(), rng.random(), np.nan, 2.0))
            refusal = rng.choice((0, 0, 0, 0, Refusal.LATE))
            return "answers", answer(number, probability, refusal=refusal, instrument=instrument)
        return super().next()


def history(engine: str, model: Path, seed: int, steps: int) -> tuple[Driver, str]:
    driver = drive(engine, model, INSTRUMENTS, model_max_age_days=30, enter_bp=500, leave_bp=-500)
    market = Asked(seed)
    digest = hashlib.sha256()
    for _ in range(steps):
        source, record = market.next()
        index = market.rng.randrange(INSTRUMENTS)
        more: Mapping[str, Any] = {"instrument": index} if record is None else {}
        emitted = driver.step(source, record, now_ns=market.now_ns, **more)
        for ring, made in emitted:
            digest.update(made.tobytes())
            if ring == "questions":
                found = int(made["question_id"][0]), int(made["instrument"][0])
                market.questions.append(found)
            else:
                market.open[int(made["instrument"][0])] = made
    return driver, digest.hexdigest()


@pytest.mark.parametrize("seed", range(4))
def test_native_and_reference_agree_on_long_histories(engine: str, model: Path, seed: int) -> None:
    if engine == "reference":
        pytest.skip("one comparison is of both")
    (native, one), (slow, other) = (history(each, model, seed, 1_500) for each in ENGINES)
    assert one == other
    for group in ("instruments", "stage", "books", "strategy", "rows"):
        assert native.state(group).tobytes() == slow.state(group).tobytes(), group
    found = counted(native)
    assert min(found.values()) > 0 or found["unasked"] == 0, found
    assert found["late"] and found["refused"] and found["ignored"] and found["missing"]
    assert native.state("stage")["last_intent_id"][0] > 20


def test_it_is_refused_without_trust(engine: str, tmp_path: Path) -> None:
    if engine == "reference":
        pytest.skip("it is refused before there is a kernel")
    from sklearn.ensemble import ExtraTreesClassifier

    rng = random.Random(1)
    rows = [[rng.random() for _ in USED] for _ in range(50)]
    trees = ExtraTreesClassifier(2, random_state=1).fit(rows, [row[0] > 0.5 for row in rows])
    tree = "sklearn.tree._tree.Tree"
    model, _ = imported(tmp_path, config(), trees, trusted=[tree])
    with pytest.raises(ModelError, match=rf"ml.trusted was \[\], but .* also made of {tree}; add"):
        stage_of(model).kernel()
    assert stage_of(model, trusted=(tree,)).kernel() is not None
