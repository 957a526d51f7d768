"""Exported models are scikit-learn's to the bit, or are not written."""

from __future__ import annotations

import copy
import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.workers.ml.models.estimators import (
    CALIBRATIONS,
    CARD,
    KINDS,
    USED,
    Floats,
    data,
    fitted,
    make,
    rows,
    unfitted,
)
from workers.ml.models import Card, ModelError, export, load, read_manifest
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


def refusal(estimator: Any, directory: Path, compared: Floats, card: Card = CARD) -> str:
    """Return why it was not written; nothing was."""
    before = sorted(directory.iterdir())
    with pytest.raises(ModelError) as caught:
        export(estimator, directory / "model", card=card, rows=compared)
    assert sorted(directory.iterdir()) == before
    return str(caught.value)


def renamed(names: tuple[str, ...]) -> Card:
    return msgspec.structs.replace(CARD, features=names)


def test_what_differs_from_scikit_learn_is_not_written(
    compared: Floats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    estimator = fitted("hgb")
    true = type(estimator).predict_proba

    # A scikit-learn that adds up otherwise: one row differs in its last bit.
    def other(self: Any, x: Floats) -> Floats:
        probabilities: Floats = true(self, x)
        probabilities[17, 1] = np.nextafter(probabilities[17, 1], 1.0)
        return probabilities

    monkeypatch.setattr(type(estimator), "predict_proba", other)
    message = refusal(estimator, tmp_path, compared)
    assert message.startswith("native probability of row 17 was 0.")
    assert "they may differ by 0. Nothing was written: scikit-learn " in message


@pytest.mark.parametrize("calibration", CALIBRATIONS)
def test_a_linear_model_farther_than_its_tolerance_is_not_written(
    calibration: str, compared: Floats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    estimator = fitted("lr", calibration)
    true = type(estimator).predict_proba

    def other(self: Any, x: Floats) -> Floats:
        probabilities: Floats = true(self, x)
        return probabilities + 3e-11

    monkeypatch.setattr(type(estimator), "predict_proba", other)
    assert "they may differ by 1e-12" in refusal(estimator, tmp_path, compared)


def test_the_same_estimator_is_the_same_bytes(compared: Floats, tmp_path: Path) -> None:
    for name in ("a", "b"):
        export(fitted("hgb"), tmp_path / name, card=CARD, rows=compared)
    for file in ("model.npz", "manifest.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_model_is_replaced(compared: Floats, tmp_path: Path) -> None:
    export(fitted("lr"), tmp_path, card=CARD, rows=compared)
    export(fitted("rf"), tmp_path, card=CARD, rows=compared)
    assert load(tmp_path).manifest.kind == "rf"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (lambda: make("svm", "SVC").fit(*data()), "estimator was SVC, must be HistGradient"),
        (lambda: unfitted("hgb"), "was HistGradientBoostingClassifier, not fitted; must be"),
        (
            lambda: make("pipeline", "make_pipeline", make("tree", "DecisionTreeClassifier")).fit(
                *data()
            ),
            "steps of the Pipeline were DecisionTreeClassifier, must be StandardScaler, Logistic",
        ),
        (
            lambda: unfitted("rf").fit(data()[0], np.arange(3000) % 3),
            "must be two: no rise, and a rise",
        ),
        (
            lambda: make("calibration", "CalibratedClassifierCV", unfitted("lr"), cv=3).fit(
                *data()
            ),
            "CalibratedClassifierCV had 3 fitted members, must have 1: fit it on later data",
        ),
        (
            lambda: make(
                "calibration", "CalibratedClassifierCV",
                make("frozen", "FrozenEstimator", fitted("lr")),
                method="temperature", ensemble=False,
            ).fit(*data()),
            "method of CalibratedClassifierCV was temperature, must be sigmoid or isotonic",
        ),
        (
            lambda: make(
                "ensemble", "HistGradientBoostingClassifier", max_iter=2, categorical_features=[0]
            ).fit(np.abs(data()[0].round()), data()[1]),
            "had categorical features, must have none",
        ),
    ],
)  # fmt: skip
def test_an_estimator_that_arrays_cannot_tell_is_refused(
    estimator: Callable[[], Any], message: str, compared: Floats, tmp_path: Path
) -> None:
    assert message in refusal(estimator(), tmp_path, compared)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[:-1], "rows to compare on were float64 of shape (19999, 8), must be float64"),
        (lambda x: x[0], "rows to compare on were float64 of shape (8,)"),
        (lambda x: x.astype(np.float32), "rows to compare on were float32"),
        (lambda x: x[:, :7], "the rows' width was 7, must be 8"),
        (lambda x: np.where(x > 3, np.inf, x), "must be finite and within what"),
    ],
)
def test_rows_to_compare_on_are_checked(
    change: Callable[[Floats], Floats], message: str, compared: Floats, tmp_path: Path
) -> None:
    assert message in refusal(fitted("hgb"), tmp_path, change(compared))


@pytest.mark.parametrize(
    ("card", "message"),
    [
        (renamed(USED[:-1]), "card.features was 7, must be 8"),
        (renamed((*USED[:-1], "news")), "card.features had news, must be of card.kernel.features"),
        (renamed((*USED[:-1], USED[0])), "card.features had feature_1 twice"),
    ],
)
def test_a_card_of_other_features_is_refused(
    card: Card, message: str, compared: Floats, tmp_path: Path
) -> None:
    assert message in refusal(fitted("lr"), tmp_path, compared, card)


def test_a_directory_that_is_a_file_is_refused(compared: Floats, tmp_path: Path) -> None:
    (tmp_path / "model").write_text("a file")
    message = refusal(fitted("lr"), tmp_path, compared)
    assert f"{tmp_path / 'model'}: cannot be written to (File exists)" in message


def test_a_failed_write_leaves_the_model_that_was_there(
    compared: Floats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(fitted("lr"), tmp_path, card=CARD, rows=compared)

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ModelError, match=r"cannot be written to \(No space left on device\)"):
        export(fitted("hgb"), tmp_path, card=CARD, rows=compared)
    assert load(tmp_path).manifest.kind == "lr"
    assert len(list(tmp_path.iterdir())) == 2
