"""What a stage keeps of the rows of correlations that ta publishes.

The slow, obvious form of `native/kept_correlations.hpp`.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def row_dtype(instruments: int) -> np.dtype[Any]:
    """Return that of the cell of an instrument: its correlations with all, in basis points.

    The native kernel reads both halves as they lie there: they are of whole words.
    """
    padded = -(-instruments // 4) * 4
    return np.dtype([("value", "<i2", (padded,)), ("samples", "<u2", (padded,))])


def keep(row: np.void, kept: np.void, instruments: int) -> None:
    """Take a record into the cell of its instrument, as far as it is of instruments there are."""
    first, rows = int(row["first"]), len(row["value"])
    for i in range(min(int(row["count"]), rows, max(0, instruments - first))):
        kept["value"][first + i] = row["value"][i]
        kept["samples"][first + i] = row["samples"][i]
