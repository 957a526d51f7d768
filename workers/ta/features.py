"""The list of features: which value of a features row is what.

The same list as `native/features.hpp`, whose version it bears; a test holds them equal.
"""

from __future__ import annotations

import enum

FEATURES_VERSION = 1


class Feature(enum.IntEnum):
    """The place of a feature among a row's values, and of its bit among the valid ones.

    Prices are in ticks of the instrument. A feature is valid from the bar on which its window is
    full; one that is not valid is 0.
    """

    SMA_FAST = 0
    """Mean of the last `fast` closes."""
    SMA_SLOW = 1
    """Mean of the last `slow` closes."""
    EMA_SLOW = 2
    """Exponential mean of the closes: begins with the first, alpha = 2 / (slow + 1)."""
    RSI = 3
    """Wilder's relative strength index, 0 .. 100; 100 if there was no loss."""
    ATR = 4
    """Wilder's average true range: begins with the mean of the first `atr` ranges."""
    RETURN = 5
    """close / previous close - 1."""
    SPREAD = 6
    """(ask - bid) / mid of the latest quote; valid if that has two sides, and bid < ask."""
    IMBALANCE = 7
    """(bid quantity - ask quantity) / (their sum), -1 .. 1; valid if the spread is."""


FEATURE_NAMES = tuple(feature.name.lower() for feature in Feature)
