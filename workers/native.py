"""The native kernels of the stages, and the dtypes of their states."""

from __future__ import annotations

from typing import Final

import numpy as np

from workers import _native
from workers._native import (
    Correlation,
    blend,
    correlate,
    correlate_plainly,
    moving_average,
    paper_executor,
    risk,
    risk_limit_names,
    simd_names,
    technical_analysis,
)

__all__ = [
    "Correlation",
    "blend",
    "correlate",
    "correlate_plainly",
    "layouts",
    "moving_average",
    "paper_executor",
    "risk",
    "risk_limit_names",
    "simd_names",
    "technical_analysis",
]

layouts: Final[dict[str, np.dtype[np.void]]] = {
    name: np.dtype(fields) for name, fields in _native.layouts().items()
}
"""State struct of a C++ kernel -> its numpy dtype."""
