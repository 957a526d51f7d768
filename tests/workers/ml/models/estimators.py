"""Fitted estimators of each kind, and rows to evaluate them on."""

from __future__ import annotations

import functools
import importlib
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.ml.models import Card, Kernel

Floats = npt.NDArray[np.float64]

FEATURES = tuple(f"feature_{i}" for i in range(12))
USED = FEATURES[1:9]
KERNEL = Kernel(version=2, hash="5eed" * 16, features=FEATURES)
CARD = Card(
    features=USED,
    kernel=KERNEL,
    seed=7,
    data_hash="da7a" * 16,
    labels={"kind": "triple-barrier", "bars": 20},
    metrics={"auc": 0.53, "trials": 4},
)

KINDS = ("hgb", "rf", "lr")
CALIBRATIONS = ("none", "sigmoid", "isotonic")


def make(module: str, name: str, *arguments: Any, **parameters: Any) -> Any:
    return getattr(importlib.import_module(f"sklearn.{module}"), name)(*arguments, **parameters)


def rows(count: int, seed: int = 1, scale: float = 1.0) -> Floats:
    return np.random.default_rng(seed).normal(scale=scale, size=(count, len(USED)))


@functools.cache
def data() -> tuple[Floats, npt.NDArray[np.int64]]:
    x = rows(3000)
    noise = np.random.default_rng(2).normal(size=len(x))
    return x, (x[:, 0] + x[:, 1] ** 2 + noise > 1).astype(np.int64)


def unfitted(kind: str) -> Any:
    if kind == "hgb":
        return make("ensemble", "HistGradientBoostingClassifier", max_iter=25, random_state=3)
    if kind == "rf":
        return make("ensemble", "RandomForestClassifier", 20, max_depth=7, random_state=3)
    scaler = make("preprocessing", "StandardScaler")
    return make(
        "pipeline", "Pipeline", [("s", scaler), ("r", make("linear_model", "LogisticRegression"))]
    )


@functools.cache
def fitted(kind: str, calibration: str = "none") -> Any:
    x, y = data()
    if calibration == "none":
        return unfitted(kind).fit(x[:2000], y[:2000])
    frozen = make("frozen", "FrozenEstimator", fitted(kind))
    calibrated = make("calibration", "CalibratedClassifierCV", frozen, method=calibration)
    calibrated.ensemble = False
    return calibrated.fit(x[2000:], y[2000:])
