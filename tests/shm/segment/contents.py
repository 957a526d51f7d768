"""What is in the segments of these tests, and how a test changes what is in a header."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from shm import Layout, RingSpec, WordsSpec
from shm.layout import structure
from tests.conftest import TRADE

LAYOUT = Layout(RingSpec("market", TRADE, 8), WordsSpec("control", ("halt",)))


def write_header(path: Path, **fields: object) -> None:
    header = np.memmap(path, structure("SegmentHeader"), "r+", shape=(1,))
    for field, value in fields.items():
        header[field] = value
