"""The features of a whole history: training data, from the kernel that trades.

Bars come from a file or from `workers.ta.stage` over recorded trades; whichever, there is no second
implementation of any feature.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from workers import _native
from workers.ta.features import FEATURE_NAMES, FEATURES_VERSION, WINDOWS, Windows

Floats = npt.NDArray[np.float64]
Masks = npt.NDArray[np.uint64]

BAR_COLUMNS: Final = ("high", "low", "close", "volume")
FLOW_COLUMNS: Final = ("signed_volume", "bid", "bid_quantity", "ask", "ask_quantity")


def features_of(
    bars: npt.ArrayLike, windows: Windows, flow: npt.ArrayLike | None = None
) -> tuple[Floats, Masks]:
    """Return what the stage would say of each bar.

    Args:
        bars: Shape (n, 4), of `BAR_COLUMNS`: one series without gaps, from its first bar on, in any
            unit of price and volume.
        windows: The `[ta]` table, or as much of it as `WINDOWS` names.
        flow: Shape (n, 5), of `FLOW_COLUMNS`: aggressors and quotes, if they are known. A quote
            with a quantity of 0 is none.

    Returns:
        Values of shape (n, len(FEATURE_NAMES)), 0 where they are not valid, and masks of shape
        (n,), in which bit `feature` says that it is.

    Raises:
        ValueError: the shape is another, a number is not finite, or a window is out of its range.
    """
    series = _checked("bars", bars, len(BAR_COLUMNS))
    beside = None if flow is None else _checked("flow", flow, len(FLOW_COLUMNS))
    values = np.empty((len(series), len(FEATURE_NAMES)))
    valid = np.empty(len(series), np.uint64)
    _native.batch(windows, series, beside, values, valid)
    return values, valid


def kernel_hash(windows: Windows) -> str:
    """Return what a model's manifest calls the features that it was trained on, 64 hex digits.

    It is of the names, the windows, and the values for a short fixed series: whatever changes a bit
    of a feature changes it.
    """
    series, flow = _fixed_series()
    values, valid = features_of(series, windows, flow)
    about: dict[str, Any] = {
        "version": FEATURES_VERSION,
        "features": FEATURE_NAMES,
        "windows": {name: windows[name] for name in sorted(WINDOWS)},
    }
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    digest.update(values.tobytes())
    digest.update(valid.tobytes())
    return digest.hexdigest()


def _checked(what: str, table: npt.ArrayLike, columns: int) -> Floats:
    array = np.ascontiguousarray(table, np.float64)
    if array.ndim != 2 or array.shape[1] != columns:
        raise ValueError(f"{what} had shape {array.shape}, must be (n, {columns})")
    if not (finite := np.isfinite(array).all(axis=1)).all():
        row = int(np.argmin(finite))
        raise ValueError(f"{what}: row {row} was {array[row].tolist()}, must be finite numbers")
    return array


def _fixed_series() -> tuple[Floats, Floats]:
    """Return 1024 bars and quotes, made of integers: the same on every machine."""
    state, price = 1, 100_000
    bars, flow = [], []
    for _ in range(1024):
        draws = []
        for _ in range(6):
            state = (state * 6_364_136_223_846_793_005 + 1_442_695_040_888_963_407) % (1 << 64)
            draws.append(state >> 40)
        price += draws[0] % 401 - 200
        high, low = price + draws[1] % 97, price - draws[2] % 97
        volume = draws[3] % 1000
        bars.append((high, low, price, volume))
        signed = draws[4] % (2 * volume + 1) - volume
        flow.append((signed, price - 1 - draws[5] % 5, 1 + draws[4] % 50, price + 1, draws[5] % 50))
    return np.array(bars, np.float64), np.array(flow, np.float64)
