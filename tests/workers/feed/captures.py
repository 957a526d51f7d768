"""Where the captured data is, if it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def captured(*names: str) -> list[Path]:
    """Return captured files; skip the test without them."""
    root = os.environ.get("MARKET_DATA")
    data = Path(root) if root else Path(__file__).parents[4] / "shared" / "data"
    paths = [data / "ws_raw" / name for name in names]
    for path in paths:
        if not path.exists():
            pytest.skip(f"no captured data: {path} is not there (MARKET_DATA names its folder)")
    return paths
