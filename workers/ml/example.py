"""A strategy of one's own, to begin with: copy this file, and name yours in the configuration.

```toml
[ml]
strategy = "my_rebound.py:Rebound"
```

As it is, it is the strategy "example": an entry point of this package.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from workers.ml.strategies import Row


class Rebound:
    """Buys when the RSI comes back from below 30, and leaves when it goes beyond 70."""

    STATE: ClassVar[np.dtype[Any]] = np.dtype([("oversold", "<i8")])
    """What it remembers of an instrument; it begins as zeros, and survives a crash."""

    def on_features(self, row: Row, state: np.void) -> float | None:
        """Return a score in -1 .. 1, twice the chance of a rise minus 1; None for no signal."""
        rsi = row.features.get("rsi")
        if rsi is None:
            return None
        was_oversold = state["oversold"] == 1
        state["oversold"] = rsi < 30
        if was_oversold and rsi >= 30:
            return 1.0
        return -1.0 if rsi > 70 else None
