"""The estimators that can be trained, each fitted on one thread, so that a seed says it all."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np

from workers.ml.training.dataset import Booleans, Floats

Kind = Literal["hgb", "rf", "lr"]
KINDS: tuple[Kind, ...] = ("hgb", "rf", "lr")

Memory = Literal["memory"]
"""Trees that remember every row: useless as a model, but nothing finds neighbours better."""

Method = Literal["sigmoid", "isotonic"]
METHODS: tuple[Method, ...] = ("sigmoid", "isotonic")


def fit(kind: Kind | Memory, values: Floats, up: Booleans, weight: Floats, seed: int) -> Any:
    """Return a fitted estimator.

    Args:
        kind: hgb: histogram gradient boosting; rf: random forest; lr: logistic regression;
            memory: what the canary knows neighbours by.
        values: Features, shape (rows, features).
        up: The labels, shape (rows,).
        weight: How much each counts, shape (rows,).
        seed: Of what is random in it.
    """
    from threadpoolctl import threadpool_limits

    estimator, key = _made(kind, seed)
    # Sums of several threads have an order, and so bits, that depend on their number.
    with threadpool_limits(1):
        return estimator.fit(values, up, **{key: weight})


def calibrated(estimator: Any, method: Method, values: Floats, up: Booleans, weight: Floats) -> Any:
    """Return a fitted estimator with its probabilities set right on data that it has not seen."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1), warnings.catch_warnings():
        # It warns that a frozen estimator does not learn from the weights; nor should it.
        warnings.filterwarnings("ignore", "Since FrozenEstimator does not appear to accept")
        frozen = CalibratedClassifierCV(FrozenEstimator(estimator), method=method)
        return frozen.fit(values, up, sample_weight=weight)


def probability(estimator: Any, values: Floats) -> Floats:
    """Return the probability of "up" for each row."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        return np.asarray(estimator.predict_proba(values)[:, 1], np.float64)


def _made(kind: Kind | Memory, seed: int) -> tuple[Any, str]:
    """Return an estimator, and the name of its `fit`'s weights."""
    # All are kept coarse: what there is to learn of a market is little, and noise is plenty.
    if kind == "hgb":
        from sklearn.ensemble import HistGradientBoostingClassifier

        return HistGradientBoostingClassifier(
            max_iter=100,
            max_bins=63,
            learning_rate=0.05,
            max_leaf_nodes=15,
            min_samples_leaf=100,
            l2_regularization=1.0,
            early_stopping=False,  # it would be judged on rows that overlap those it learnt from
            random_state=seed,
        ), "sample_weight"
    if kind == "rf":
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(
            n_estimators=100,
            max_depth=8,
            min_samples_leaf=50,
            max_samples=0.5,
            n_jobs=1,
            random_state=seed,
        ), "sample_weight"
    if kind == "memory":
        from sklearn.ensemble import ExtraTreesClassifier

        return ExtraTreesClassifier(n_estimators=20, n_jobs=1, random_state=seed), "sample_weight"
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    regression = LogisticRegression(C=0.1, max_iter=1000, random_state=seed)
    return make_pipeline(StandardScaler(), regression), "logisticregression__sample_weight"
