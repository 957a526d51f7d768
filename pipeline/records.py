"""The dtypes of everything that travels through the pipeline, from the C++ that defines them.

Field by field they are explained in `native/records.hpp`. Prices are in ticks, quantities in lots,
money in 1e-8 of the quote currency, times in ns.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from pipeline import _native

Array = np.ndarray[Any, np.dtype[Any]]


def _record(name: str) -> np.dtype[np.void]:
    dtype: np.dtype[np.void] = np.dtype(_native.layouts()[name])
    return dtype


MARKET: Final = _record("Market")
QUOTE: Final = _record("Quote")
CONTEXT: Final = _record("Context")
FEATURES: Final = _record("Features")
QUESTION: Final = _record("Question")
ANSWER: Final = _record("Answer")
CORRELATIONS: Final = _record("Correlations")
INTENT: Final = _record("Intent")
ORDER: Final = _record("Order")
EXECUTION: Final = _record("Execution")
OUTCOME: Final = _record("Outcome")
CONTROL: Final = _record("Control")
CURSORS: Final = _record("Cursors")

TICK: Final[int] = _native.TICK
"""The `source` of a context whose step had no input but the passing of time."""
