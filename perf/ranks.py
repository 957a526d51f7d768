"""Percentiles by nearest rank: each is one of the values, also where these are few."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def percentiles(
    values: npt.ArrayLike, per_mille: Sequence[int] = (500, 990, 999)
) -> tuple[Any, ...]:
    """Return for each rank the least value that so many per mille of them do not exceed."""
    ordered = np.sort(values)
    return tuple(ordered[-(-len(ordered) * rank // 1000) - 1].item() for rank in per_mille)
