"""Intents that risk approves, unless a test has changed them."""

from __future__ import annotations

import time

import numpy as np

from pipeline.records import INTENT, Array
from pipeline.vocabulary import Side
from tests.pipeline.kernels import HOUR_MS


def sound_intent(**fields: int) -> Array:
    """Return an intent to buy at a quote of 60,000, changed by `fields`."""
    intent = np.zeros(1, INTENT)
    usual = {"intent_id": 1, "side": Side.BUY, "quantity": 1000, "stop": 5_900_000}
    times = {"created_ns": time.monotonic_ns(), "ttl_ns": HOUR_MS * 1_000_000}
    for field, value in (usual | times | fields).items():
        intent[field] = value
    return intent
