"""scikit-learn's estimators as flat arrays."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.ml.models.manifest import Calibration, Kind, ModelError

KINDS = (
    "HistGradientBoostingClassifier, RandomForestClassifier or a Pipeline of StandardScaler and "
    "LogisticRegression"
)

_LEAF = -1


@dataclass(frozen=True, slots=True)
class Flat:
    """An estimator as data.

    Attributes:
        kind: Which estimator it was.
        calibration: How it was calibrated.
        features: How many features it takes.
        vectors: Its arrays, by the names in `workers.ml.models.manifest`.
    """

    kind: Kind
    calibration: Calibration
    features: int
    vectors: dict[str, npt.NDArray[Any]]


def flatten(estimator: object) -> Flat:
    """Return a fitted estimator as arrays.

    Args:
        estimator: One of KINDS, for two classes, or a CalibratedClassifierCV around a frozen one.

    Raises:
        ModelError: it is another one, or was fitted in a way that the arrays cannot tell.
    """
    calibration, vectors = _calibration(estimator)
    inner = uncalibrated(estimator)
    name = type(inner).__name__
    classes = getattr(inner, "classes_", None)
    if classes is None:
        raise ModelError(f"estimator was {name}, not fitted; must be fitted, one of {KINDS}")
    if len(classes) != 2:
        raise ModelError(
            f"classes of {name} were {list(classes)}, must be two: no rise, and a rise"
        )
    kind: Kind
    if _is(inner, "sklearn.ensemble", "HistGradientBoostingClassifier"):
        kind, own = "hgb", _boosted(inner)
    elif _is(inner, "sklearn.ensemble", "RandomForestClassifier"):
        kind, own = "rf", _random(inner)
    elif _is(inner, "sklearn.pipeline", "Pipeline"):
        kind, own = "lr", _linear(inner)
    else:
        raise ModelError(f"estimator was {name}, must be {KINDS}")
    return Flat(kind, calibration, int(inner.n_features_in_), {**own, **vectors})


def uncalibrated(estimator: Any) -> Any:
    """Return the estimator within a CalibratedClassifierCV, or the one given."""
    if _is(estimator, "sklearn.calibration", "CalibratedClassifierCV"):
        return uncalibrated(_only_member(estimator).estimator)
    if _is(estimator, "sklearn.frozen", "FrozenEstimator"):
        return uncalibrated(estimator.estimator)
    return estimator


def calibrator(estimator: Any) -> Any:
    """Return what turns scores into probabilities in a CalibratedClassifierCV."""
    return _only_member(estimator).calibrators[0]


def _is(estimator: object, module: str, name: str) -> bool:
    """Tell whether it is of just that class: a subclass may predict otherwise."""
    return type(estimator) is getattr(importlib.import_module(module), name)


def _only_member(calibrated: Any) -> Any:
    members = getattr(calibrated, "calibrated_classifiers_", [])
    if len(members) != 1:
        raise ModelError(
            f"CalibratedClassifierCV had {len(members)} fitted members, must have 1: "
            "fit it on later data, around FrozenEstimator(the fitted estimator)"
        )
    return members[0]


def _calibration(estimator: Any) -> tuple[Calibration, dict[str, npt.NDArray[Any]]]:
    if not _is(estimator, "sklearn.calibration", "CalibratedClassifierCV"):
        return "none", {}
    method, curve = estimator.method, calibrator(estimator)
    if method == "sigmoid":
        return "sigmoid", {"sigmoid": _floats([curve.a_, curve.b_])}
    if method == "isotonic":
        return "isotonic", {
            "isotonic_x": _floats(curve.X_thresholds_),
            "isotonic_y": _floats(curve.y_thresholds_),
        }
    raise ModelError(f"method of CalibratedClassifierCV was {method}, must be sigmoid or isotonic")


def _boosted(estimator: Any) -> dict[str, npt.NDArray[Any]]:
    if estimator.is_categorical_ is not None:
        raise ModelError("HistGradientBoostingClassifier had categorical features, must have none")
    trees = []
    for (predictor,) in estimator._predictors:
        nodes = predictor.nodes
        is_leaf = nodes["is_leaf"].astype(bool)
        trees.append(
            _preorder(
                np.where(is_leaf, _LEAF, nodes["feature_idx"]),
                np.where(is_leaf, nodes["value"], nodes["num_threshold"]),
                nodes["left"],
                nodes["right"],
            )
        )
    return {**_forest(trees), "base": _floats(estimator._baseline_prediction)}


def _random(estimator: Any) -> dict[str, npt.NDArray[Any]]:
    trees = []
    for member in estimator.estimators_:
        tree = member.tree_
        is_leaf = tree.children_left == _LEAF
        # The share of the second class among the rows of a leaf.
        values = np.where(is_leaf, tree.value[:, 0, 1], tree.threshold)
        trees.append(
            _preorder(
                np.where(is_leaf, _LEAF, tree.feature),
                values,
                tree.children_left,
                tree.children_right,
            )
        )
    return _forest(trees)


def _linear(pipeline: Any) -> dict[str, npt.NDArray[Any]]:
    steps = [step for _, step in pipeline.steps]
    if (
        len(steps) != 2
        or not _is(steps[0], "sklearn.preprocessing", "StandardScaler")
        or not _is(steps[1], "sklearn.linear_model", "LogisticRegression")
    ):
        names = ", ".join(type(step).__name__ for step in steps)
        raise ModelError(
            f"steps of the Pipeline were {names}, must be StandardScaler, LogisticRegression"
        )
    scaler, regression = steps
    count = int(pipeline.n_features_in_)
    return {
        "mean": _floats(scaler.mean_ if scaler.with_mean else np.zeros(count)),
        "scale": _floats(scaler.scale_ if scaler.with_std else np.ones(count)),
        "coefficient": _floats(regression.coef_),
        "intercept": _floats(np.broadcast_to(regression.intercept_, 1)),
    }


def _preorder(
    feature: npt.NDArray[Any],
    threshold: npt.NDArray[Any],
    left: npt.NDArray[Any],
    right: npt.NDArray[Any],
) -> tuple[list[int], list[float], list[int]]:
    """Return a tree with each left child behind its parent: features, thresholds, right children.

    Children are counted from the tree's first node.
    """
    features: list[int] = []
    thresholds: list[float] = []
    rights: list[int] = []
    todo = [(0, _LEAF)]  # a node as it was numbered, and the parent whose right child it is
    while todo:
        node, parent = todo.pop()
        if parent != _LEAF:
            rights[parent] = len(features)
        own = len(features)
        features.append(int(feature[node]))
        thresholds.append(float(threshold[node]))
        rights.append(_LEAF)
        if features[own] != _LEAF:
            todo.append((int(right[node]), own))
            todo.append((int(left[node]), _LEAF))
    return features, thresholds, rights


def _forest(
    trees: list[tuple[list[int], list[float], list[int]]],
) -> dict[str, npt.NDArray[Any]]:
    feature: list[int] = []
    threshold: list[float] = []
    right: list[int] = []
    root: list[int] = []
    for features, thresholds, rights in trees:
        begin = len(feature)
        root.append(begin)
        feature += features
        threshold += thresholds
        right += [_LEAF if child == _LEAF else begin + child for child in rights]
    return {
        "feature": np.array(feature, "<i4"),
        "threshold": np.array(threshold, "<f8"),
        "right": np.array(right, "<i4"),
        "root": np.array(root, "<i4"),
    }


def _floats(values: Any) -> npt.NDArray[np.float64]:
    return np.array(values, "<f8").reshape(-1)
