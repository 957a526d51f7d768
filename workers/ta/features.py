"""The list of features: which value of a features row is what, and what it takes to know it.

The same list as `native/features.hpp`, whose version it bears; a test holds them equal.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

from workers import _native

FEATURES_VERSION: Final = 2

Windows = Mapping[str, int]
"""Bars that each indicator looks at: the keys of WINDOWS, in a table such as `[ta]`."""

WINDOWS: Final[Mapping[str, int]] = _native.window_limits()
"""Name of each window -> the longest that it may be."""


class Feature(enum.IntEnum):
    """The place of a feature among a row's values, and of its bit among the valid ones.

    Levels are in ticks of the instrument, volumes in lots; a name in `backquotes` is a window. A
    feature is valid from the bar on which its window is full; one that is not valid is 0. Where a
    window's highest is its lowest, the deviation and CCI are 0, and %K, %R and MFI in the middle;
    what would be divided by an ATR of 0 is 0.
    """

    SMA_FAST = 0
    """Mean of the last `fast` closes."""
    SMA_SLOW = 1
    """Mean of the last `slow` closes."""
    EMA_SLOW = 2
    """Exponential mean of the closes: begins with the first, alpha = 2 / (slow + 1)."""
    MACD = 3
    """EMA of `macd_fast` minus that of `macd_slow` closes (Appel)."""
    MACD_SIGNAL = 4
    """EMA of the last `macd_signal` of MACD; begins with its first valid one."""
    MACD_HISTOGRAM = 5
    """MACD - MACD_SIGNAL."""
    RSI = 6
    """Wilder's relative strength index, 0 .. 100; 100 if there was no loss."""
    BOLLINGER_MIDDLE = 7
    """Mean of the last `bollinger` closes."""
    BOLLINGER_UPPER = 8
    """The middle + 2 standard deviations of the population of those closes."""
    BOLLINGER_LOWER = 9
    """The middle - 2 of them."""
    ATR = 10
    """Wilder's average true range: begins with the mean of the first `atr` ranges."""
    ADX = 11
    """Wilder's mean of DX = 100 |DI+ - DI-| / (DI+ + DI-); begins with that of the first `adx`."""
    DI_PLUS = 12
    """Wilder's directional indicator, 0 .. 100: upward movement / true range, of `adx` bars."""
    DI_MINUS = 13
    """The same of downward movement."""
    STOCHASTIC_K = 14
    """Place of the close between the lowest low and highest high of `stochastic` bars, 0 .. 100."""
    STOCHASTIC_D = 15
    """Mean of the last `stochastic_signal` of %K."""
    OBV = 16
    """On-balance volume, in lots: minus the volume of a lower close, plus that of any other."""
    VWAP = 17
    """Typical prices, (high + low + close) / 3, weighted by volume, of `vwap` bars."""
    CCI = 18
    """(typical price - its mean) / (0.015 mean absolute deviation), of `cci` bars (Lambert)."""
    MFI = 19
    """Money flow index, 0 .. 100: an RSI of typical price times volume, of `mfi` bars."""
    KELTNER_MIDDLE = 20
    """Mean of the typical prices of `keltner` bars (the original channel)."""
    KELTNER_UPPER = 21
    """Mean of (4 high - 2 low + close) / 3."""
    KELTNER_LOWER = 22
    """Mean of (4 low - 2 high + close) / 3."""
    DONCHIAN_UPPER = 23
    """Highest high of `donchian` bars."""
    DONCHIAN_LOWER = 24
    """Lowest low of them."""
    ROC = 25
    """Rate of change: 100 (close / that of `roc` bars ago - 1)."""
    WILLIAMS_R = 26
    """-100 .. 0: 100 (close - highest high) / (highest high - lowest low), of `williams` bars."""
    RETURN = 27
    """close / previous close - 1."""
    SIGNED_VOLUME = 28
    """Lots of the bar that were bought minus those that were sold, by the aggressor."""
    VOLATILITY = 29
    """Realised volatility: root mean square of the last `volatility` returns."""
    SPREAD = 30
    """(ask - bid) / mid of the latest quote; valid if that has two sides, and bid < ask."""
    MICROPRICE = 31
    """(bid ask_quantity + ask bid_quantity) / (sum of both) / mid - 1."""
    IMBALANCE = 32
    """(bid_quantity - ask_quantity) / (sum of both), -1 .. 1."""
    SIGNED_VOLUME_SHARE = 33
    """SIGNED_VOLUME / volume of the bar, -1 .. 1."""
    SMA_FAST_DISTANCE = 34
    """(close - SMA_FAST) / ATR."""
    SMA_SLOW_DISTANCE = 35
    """(close - SMA_SLOW) / ATR."""
    EMA_SLOW_DISTANCE = 36
    """(close - EMA_SLOW) / ATR."""
    VWAP_DISTANCE = 37
    """(close - VWAP) / ATR."""
    MACD_SCALED = 38
    """MACD / ATR."""
    MACD_HISTOGRAM_SCALED = 39
    """MACD_HISTOGRAM / ATR."""
    RETURN_SCALED = 40
    """(close - previous close) / ATR."""
    ROC_SCALED = 41
    """(close - that of `roc` bars ago) / ATR."""
    BOLLINGER_WIDTH = 42
    """2 standard deviations / ATR."""
    ATR_RATIO = 43
    """ATR / close."""
    RSI_BALANCE = 44
    """(mean gain - mean loss) / (their sum), -1 .. 1: RSI / 50 - 1, or 0 if nothing moved."""
    DI_BALANCE = 45
    """(DI+ - DI-) / (their sum), -1 .. 1."""
    ADX_SHARE = 46
    """ADX / 100."""
    STOCHASTIC_BALANCE = 47
    """STOCHASTIC_K / 50 - 1, -1 .. 1."""
    BOLLINGER_POSITION = 48
    """(close - middle) / 2 standard deviations."""
    DONCHIAN_POSITION = 49
    """Place of the close between the bands, -1 .. 1."""
    CCI_SCALED = 50
    """CCI / 100."""
    MFI_BALANCE = 51
    """(inflow - outflow) / (their sum), -1 .. 1: MFI / 50 - 1."""
    OBV_BALANCE = 52
    """Change of the OBV over `vwap` bars / their volume, -1 .. 1."""
    VOLUME_RATIO = 53
    """Volume / mean volume of `vwap` bars."""


FEATURE_NAMES: Final = tuple(feature.name.lower() for feature in Feature)

MODEL_FEATURES: Final = tuple(Feature)[Feature.VOLATILITY :]
"""What a model may read: neither the price nor, but for VOLATILITY and ATR_RATIO, the calm of a
market shows in them."""

FLOW_FEATURES: Final = frozenset(
    {
        Feature.SIGNED_VOLUME,
        Feature.SPREAD,
        Feature.MICROPRICE,
        Feature.IMBALANCE,
        Feature.SIGNED_VOLUME_SHARE,
    }
)
"""Those of quotes and aggressors. They are not valid in a history of bars, which has neither."""


class Memory(enum.Enum):
    """How a feature depends on the bars before it."""

    WINDOW = enum.auto()
    """On the last `first_bar` and one: with them, it is the same in every bit."""
    FADING = enum.auto()
    """On all, with weights that fade: with the last `history` it is the same within 1e-9."""
    WHOLE = enum.auto()
    """On all alike: only a snapshot of the state leads on."""


_FADING: Final = frozenset(
    {
        Feature.EMA_SLOW,
        Feature.MACD,
        Feature.MACD_SIGNAL,
        Feature.MACD_HISTOGRAM,
        Feature.RSI,
        Feature.ATR,
        Feature.ADX,
        Feature.DI_PLUS,
        Feature.DI_MINUS,
        Feature.RSI_BALANCE,
        Feature.DI_BALANCE,
        Feature.ADX_SHARE,
        Feature.ATR_RATIO,
        Feature.SMA_FAST_DISTANCE,
        Feature.SMA_SLOW_DISTANCE,
        Feature.EMA_SLOW_DISTANCE,
        Feature.VWAP_DISTANCE,
        Feature.MACD_SCALED,
        Feature.MACD_HISTOGRAM_SCALED,
        Feature.RETURN_SCALED,
        Feature.ROC_SCALED,
        Feature.BOLLINGER_WIDTH,
    }
)


def memory(feature: Feature) -> Memory:
    """Return how a feature depends on the past."""
    if feature is Feature.OBV:
        return Memory.WHOLE
    return Memory.FADING if feature in _FADING else Memory.WINDOW


def first_bar(feature: Feature, windows: Windows) -> int:
    """Return the number, from 1, of the bar on which a feature becomes valid.

    Those of quotes also need a quote, and VWAP, VOLUME_RATIO and OBV_BALANCE some volume.
    """
    atr = windows["atr"]
    macd = max(windows["macd_fast"], windows["macd_slow"])
    histogram = macd + windows["macd_signal"] - 1
    bars = {
        Feature.SMA_FAST: windows["fast"],
        Feature.SMA_SLOW: windows["slow"],
        Feature.EMA_SLOW: windows["slow"],
        Feature.MACD: macd,
        Feature.MACD_SIGNAL: histogram,
        Feature.MACD_HISTOGRAM: histogram,
        Feature.RSI: windows["rsi"],
        Feature.BOLLINGER_MIDDLE: windows["bollinger"],
        Feature.BOLLINGER_UPPER: windows["bollinger"],
        Feature.BOLLINGER_LOWER: windows["bollinger"],
        Feature.ATR: atr,
        Feature.ADX: 2 * windows["adx"],
        Feature.DI_PLUS: windows["adx"] + 1,
        Feature.DI_MINUS: windows["adx"] + 1,
        Feature.STOCHASTIC_K: windows["stochastic"],
        Feature.STOCHASTIC_D: windows["stochastic"] + windows["stochastic_signal"] - 1,
        Feature.VWAP: windows["vwap"],
        Feature.CCI: windows["cci"],
        Feature.MFI: windows["mfi"],
        Feature.KELTNER_MIDDLE: windows["keltner"],
        Feature.KELTNER_UPPER: windows["keltner"],
        Feature.KELTNER_LOWER: windows["keltner"],
        Feature.DONCHIAN_UPPER: windows["donchian"],
        Feature.DONCHIAN_LOWER: windows["donchian"],
        Feature.ROC: windows["roc"] + 1,
        Feature.WILLIAMS_R: windows["williams"],
        Feature.RETURN: 2,
        Feature.VOLATILITY: windows["volatility"] + 1,
        Feature.SMA_FAST_DISTANCE: max(windows["fast"], atr),
        Feature.SMA_SLOW_DISTANCE: max(windows["slow"], atr),
        Feature.EMA_SLOW_DISTANCE: max(windows["slow"], atr),
        Feature.VWAP_DISTANCE: max(windows["vwap"], atr),
        Feature.MACD_SCALED: max(macd, atr),
        Feature.MACD_HISTOGRAM_SCALED: max(histogram, atr),
        Feature.RETURN_SCALED: max(2, atr),
        Feature.ROC_SCALED: max(windows["roc"] + 1, atr),
        Feature.BOLLINGER_WIDTH: max(windows["bollinger"], atr),
        Feature.ATR_RATIO: atr,
        Feature.RSI_BALANCE: windows["rsi"],
        Feature.DI_BALANCE: windows["adx"] + 1,
        Feature.ADX_SHARE: 2 * windows["adx"],
        Feature.STOCHASTIC_BALANCE: windows["stochastic"],
        Feature.BOLLINGER_POSITION: windows["bollinger"],
        Feature.DONCHIAN_POSITION: windows["donchian"],
        Feature.CCI_SCALED: windows["cci"],
        Feature.MFI_BALANCE: windows["mfi"],
        Feature.OBV_BALANCE: windows["vwap"] + 1,
        Feature.VOLUME_RATIO: windows["vwap"],
    }
    return bars.get(feature, 1)


def history(windows: Windows) -> int:
    """Return how many bars make every feature of `Memory.FADING` the same within 1e-9.

    A weight fades by 1 - alpha with each bar: 40 / alpha bars leave e^-40 of the beginning, if what
    is averaged is averaged again something more.
    """
    wilder = max(windows["rsi"], windows["atr"], 2 * windows["adx"])
    means = (windows["macd_slow"] + windows["macd_fast"] + windows["macd_signal"], windows["slow"])
    return 40 * max(wilder, *((window + 1) // 2 for window in means)) + max(windows.values())
