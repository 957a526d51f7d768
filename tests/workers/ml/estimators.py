"""Estimators of scikit-learn in files of skops, as a user would bring them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import skops.io
from sklearn.linear_model import LogisticRegression

from workers.ml.importing import import_estimator
from workers.ml.models import Manifest
from workers.ta.features import Feature

FEATURES = ("rsi_balance", "bollinger_position")
USED = [Feature[name.upper()] for name in FEATURES]


def fitted(seed: int = 1) -> LogisticRegression:
    """Return one of FEATURES for which a low RSI speaks for a rise."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(400, len(FEATURES)))
    rises = -rows[:, 0] + 0.3 * rng.normal(size=len(rows)) > 0
    return LogisticRegression().fit(rows, rises.astype(int))


def dumped(folder: Path, estimator: Any = None) -> Path:
    """Write an estimator, by default `fitted()`, as skops does."""
    path = folder / "estimator.skops"
    skops.io.dump(fitted() if estimator is None else estimator, path)
    return path


def imported(
    folder: Path,
    config: Mapping[str, Any],
    estimator: Any = None,
    *,
    features: Sequence[str] | None = FEATURES,
    trusted: Sequence[str] = (),
    data_to: str | None = None,
    like: Path | None = None,
) -> tuple[Path, Manifest]:
    """Make a model of an estimator for a configuration."""
    out = folder / "imported"
    manifest = import_estimator(
        dumped(folder, estimator),
        out,
        config,
        features=features,
        like=like,
        data_to=data_to,
        trusted=trusted,
    )
    return out, manifest
