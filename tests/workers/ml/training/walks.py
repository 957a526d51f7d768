"""Histories and data sets for the tests of training."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from workers.ml.training.canary import random_walk
from workers.ml.training.dataset import Dataset
from workers.ml.training.estimators import Kind
from workers.ml.training.history import History
from workers.ml.training.splits import WalkForward
from workers.ml.training.walk import Recipe

MINUTE = 60_000
NAMES = ("time_ms", "open", "high", "low", "close", "volume")


def walk(bars: int, seed: int = 1) -> History:
    """Return a random walk of one-minute bars with 0.2 % volatility."""
    random = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(random.normal(0, 0.002, bars)))
    flat = np.column_stack([close] * 4 + [np.ones(bars)])
    closed = (1 + np.arange(bars, dtype=np.int64)) * MINUTE
    like = History("walk", MINUTE, closed, flat, np.zeros(bars, np.int64))
    return random_walk(like, seed, bars)


def write(history: History, path: Path) -> Path:
    """Write it as CSV, with prices of two decimals and volumes of three."""
    lines = [",".join(NAMES)]
    for closed, (opened, high, low, close, volume) in zip(
        history.closed_ms.tolist(), history.bars.tolist(), strict=True
    ):
        prices = ",".join(f"{price:.2f}" for price in (opened, high, low, close))
        lines.append(f"{closed - history.interval_ms},{prices},{volume:.3f}")
    path.write_text("\n".join(lines) + "\n")
    return path


def recipe(kind: Kind = "lr", *, folds: int = 2, horizon: int = 12, seed: int = 7) -> Recipe:
    return Recipe(kind, "sigmoid", WalkForward(folds, embargo_ms=horizon * MINUTE), 0.1, seed)


def labelled(rows: int, skill: float, seed: int = 3) -> Dataset:
    """Return rows whose first feature tells the outcome with such a skill, and the second nothing.

    One in ten is not decided.
    """
    random = np.random.default_rng(seed)
    values = random.normal(size=(rows, 2))
    up = skill * values[:, 0] + random.normal(size=rows) > 0
    outcome = np.where(random.random(rows) < 0.1, 0, np.where(up, 1, -1)).astype(np.int8)
    begin = np.arange(rows, dtype=np.int64) * MINUTE
    way = outcome.astype(np.float64) * 0.01
    return Dataset(
        values=values,
        outcome=outcome,
        long=way - 0.001,
        short=-way - 0.001,
        ambiguous=np.zeros(rows, np.bool_),
        begin_ms=begin,
        end_ms=begin + MINUTE,
        weight=(outcome != 0).astype(np.float64),
        together=1,
        is_dated=True,
    )
