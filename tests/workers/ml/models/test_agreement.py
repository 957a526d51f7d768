"""Native evaluation and the reference: the same probabilities and the same neutral rows."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.ml.models.damage import damaged, made_of, vectors_of
from tests.workers.ml.models.estimators import CALIBRATIONS, KINDS, USED, Floats, rows
from workers.ml.models import Model, ModelError, reference
from workers.ml.models.load import ALL_VALID

ALL = (1 << 64) - 1
ODD = (math.nan, math.inf, -math.inf, 1e300, -1e300, 3.5e38, 1e39, 5e-324, 0.0, -0.0)


def agree(model: Model, twin: reference.Model, values: Floats, valid: list[int]) -> None:
    probabilities, neutral = model.evaluate(values, np.array(valid, np.uint64))
    for i, row in enumerate(values.tolist()):
        expected = twin.evaluate(row, valid[i])
        assert (probabilities[i], neutral[i]) == expected, f"row {i}: {row}, valid {valid[i]:b}"
        assert 0.0 <= probabilities[i] <= 1.0


@pytest.mark.parametrize("calibration", CALIBRATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_all_kinds(kind: str, calibration: str) -> None:
    vectors = vectors_of(kind, calibration)
    model = made_of(kind, calibration, vectors)
    twin = reference.Model(model.manifest, vectors, range(len(USED)))
    source = random.Random(3)
    values = rows(300, seed=8, scale=3.0)
    # Where a threshold is met exactly, and around.
    if "threshold" in vectors:
        edges = np.random.default_rng(4).choice(vectors["threshold"], size=values.shape)
        values[100:200] = edges[100:200]
        values[150:200] = np.nextafter(values[150:200], source.choice((-np.inf, np.inf)))
    for i in range(200, 300):
        values[i, source.randrange(len(USED))] = source.choice(ODD)
    valid = [ALL if source.random() < 0.7 else source.getrandbits(len(USED)) for _ in values]
    agree(model, twin, values, valid)


@pytest.mark.parametrize("calibration", CALIBRATIONS)
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_damaged_arrays_are_refused_or_evaluated_alike(
    kind: str, calibration: str, seed: int
) -> None:
    vectors = damaged(vectors_of(kind, calibration), random.Random(seed))
    try:
        model = made_of(kind, calibration, vectors)
    except ModelError:
        return
    twin = reference.Model(model.manifest, vectors, range(len(USED)))
    with np.errstate(over="ignore"):
        agree(model, twin, rows(20, seed=seed, scale=2.0), [ALL] * 20)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 16, 17])
def test_a_row_does_not_depend_on_those_beside_it(kind: str, count: int) -> None:
    model = made_of(kind, "none", vectors_of(kind, "none"))
    values = rows(count, seed=9)
    valid = np.full(count, ALL_VALID)
    valid[::3] = 0
    together, neutral = model.evaluate(values, valid)
    assert neutral.tolist() == [i % 3 == 0 for i in range(count)]
    for i in range(count):
        alone, flag = model.evaluate(values[i : i + 1], valid[i : i + 1])
        assert (alone[0], flag[0]) == (together[i], neutral[i])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_none_makes_its_row_neutral(kind: str, value: float) -> None:
    model = made_of(kind, "none", vectors_of(kind, "none"))
    values = rows(3, seed=10)
    values[1, 4] = value
    probabilities, neutral = model.evaluate(values, np.full(3, ALL_VALID))
    assert neutral.tolist() == [False, True, False]
    assert probabilities[1] == 0.5


def test_a_score_that_overflows_is_neutral() -> None:
    vectors = vectors_of("lr", "none")
    vectors["coefficient"][:] = 1e308
    model = made_of("lr", "none", vectors)
    probabilities, neutral = model.evaluate(np.full((1, len(USED)), 1e3), np.full(1, ALL_VALID))
    assert (probabilities[0], neutral[0]) == (0.5, True)


@pytest.mark.parametrize(("score", "probability"), [(-800.0, 0.0), (0.0, 0.5), (800.0, 1.0)])
def test_extreme_log_odds_are_certain(score: float, probability: float) -> None:
    vectors = vectors_of("lr", "none")
    vectors["coefficient"][:] = 0.0
    vectors["intercept"][:] = score
    model = made_of("lr", "none", vectors)
    twin = reference.Model(model.manifest, vectors, range(len(USED)))
    row = np.zeros((1, len(USED)))
    found, neutral = model.evaluate(row, np.full(1, ALL_VALID))
    assert (found[0], neutral[0]) == (probability, False) == twin.evaluate(row[0].tolist(), ALL)
