"""Rows of features for training, from the kernel that trades."""

from __future__ import annotations

import numpy as np

from workers.ml.models import Kernel
from workers.ml.training.dataset import Computed
from workers.ml.training.history import History
from workers.ta.batch import features_of, kernel_hash
from workers.ta.features import (
    FEATURE_NAMES,
    FEATURES_VERSION,
    FLOW_FEATURES,
    MODEL_FEATURES,
    Feature,
    Windows,
    first_bar,
)

FEATURES = tuple(feature for feature in MODEL_FEATURES if feature not in FLOW_FEATURES)
"""What a model reads: those of bars, as histories have neither quotes nor aggressors."""

NAMES = tuple(FEATURE_NAMES[feature] for feature in FEATURES)

MASK = np.uint64(sum(1 << feature for feature in FEATURES))
"""The bits of a row that has all of them."""
_ATR = np.uint64(1 << Feature.ATR)


def kernel(windows: Windows) -> Kernel:
    """Return what computes the rows, as a model's manifest names it."""
    return Kernel(FEATURES_VERSION, kernel_hash(windows), FEATURE_NAMES)


def compute(history: History, windows: Windows) -> Computed:
    """Return the features of each bar of a history; each segment begins anew."""
    count = len(history)
    values = np.zeros((count, len(FEATURES)))
    valid = np.zeros(count, np.bool_)
    atr = np.zeros(count)
    for segment in history.segments:
        # High, low, close and volume.
        rows, masks = features_of(history.bars[segment, 1:], windows)
        values[segment] = rows[:, FEATURES]
        valid[segment] = masks & MASK == MASK
        atr[segment] = np.where(masks & _ATR == _ATR, rows[:, Feature.ATR], 0.0)
    return Computed(values, valid, atr)


def warm_up(windows: Windows) -> int:
    """Return how many bars it takes until all features are there."""
    return max(first_bar(feature, windows) for feature in FEATURES)
