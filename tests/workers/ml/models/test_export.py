"""Exported models are scikit-learn's to the bit, or are not written."""

from __future__ import annotations

import copy
import stat
from pathlib import Path

import numpy as np
import pytest

from tests.workers.ml.models.estimators import (
    CALIBRATIONS,
    CARD,
    KINDS,
    USED,
    Floats,
    fitted,
    rows,
)
from workers.ml.models import export, load, read_manifest
from workers.ml.models.export import LEAST_ROWS
from workers.ml.models.load import ALL_VALID


@pytest.fixture(scope="module")
def compared() -> Floats:
    return rows(LEAST_ROWS, seed=5, scale=2.0)


@pytest.mark.parametrize("calibration", CALIBRATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_model_read_again_is_the_estimator(
    kind: str, calibration: str, compared: Floats, tmp_path: Path
) -> None:
    estimator = fitted(kind, calibration)
    written = export(estimator, tmp_path / "model", card=CARD, rows=compared)
    assert (written.kind, written.calibration, written.card) == (kind, calibration, CARD)
    model = load(tmp_path / "model")
    assert model.manifest == written == read_manifest(tmp_path / "model")

    others = rows(1000, seed=6)
    probabilities, neutral = model.evaluate(others, np.full(len(others), ALL_VALID))
    expected = estimator.predict_proba(others)[:, 1]
    assert not neutral.any()
    if kind == "lr":
        assert np.max(np.abs(probabilities - expected)) < 1e-10
        assert written.check.max_abs_diff < 1e-10
    else:
        assert probabilities.tobytes() == expected.tobytes()
        assert written.check.max_abs_diff == written.check.tolerance == 0.0


def test_a_forest_of_several_threads_is_compared_on_one(compared: Floats, tmp_path: Path) -> None:
    # Two threads add trees up in any order, so that the last bits are not always the same.
    forest = copy.copy(fitted("rf"))
    forest.n_jobs = 2
    assert export(forest, tmp_path, card=CARD, rows=compared).check.max_abs_diff == 0.0
    assert forest.n_jobs == 2


def test_both_files_are_their_owners_alone(compared: Floats, tmp_path: Path) -> None:
    export(fitted("lr"), tmp_path / "model", card=CARD, rows=compared)
    files = sorted((tmp_path / "model").iterdir())
    assert [file.name for file in files] == ["manifest.json", "model.npz"]
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600, 0o600]
    assert len(USED) == len(read_manifest(tmp_path / "model").card.features)
