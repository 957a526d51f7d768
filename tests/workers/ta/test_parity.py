"""Others' figures: those of the library `ta`, of StockCharts and of Tulip.

What differs is listed with its reason. Where `ta` is wrong, a test shows how.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tests.workers.ta.market import SHORT, WINDOWS
from tests.workers.ta.test_features import column, series
from tests.workers.ta.vectors import Floats, sheet, tulip
from workers.ta.batch import features_of
from workers.ta.features import Feature, first_bar


def ours(bars: Floats, feature: Feature, **windows: int) -> Floats:
    """Return a feature of each bar, NaN before it is valid."""
    return column(*features_of(bars, {**WINDOWS, **windows}), feature)


# `ta`


@pytest.fixture(scope="module")
def ta() -> Iterator[Any]:
    """The library; what it does to pandas is deprecated in many places."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ta
        import ta.momentum
        import ta.trend
        import ta.volatility
        import ta.volume

        yield ta


def theirs(ta: Any, feature: Feature, bars: Floats) -> Floats:
    """Return a feature as `ta` has it, for the usual windows."""
    import pandas as pd

    high, low, close, volume = (pd.Series(each) for each in bars.T)
    makers: dict[Feature, Callable[[], Any]] = {
        Feature.SMA_SLOW: lambda: ta.trend.sma_indicator(close, 20),
        Feature.EMA_SLOW: lambda: ta.trend.ema_indicator(close, 20),
        Feature.MACD: lambda: ta.trend.macd(close),
        Feature.MACD_SIGNAL: lambda: ta.trend.macd_signal(close),
        Feature.MACD_HISTOGRAM: lambda: ta.trend.macd_diff(close),
        Feature.RSI: lambda: ta.momentum.rsi(close),
        Feature.BOLLINGER_MIDDLE: lambda: ta.volatility.bollinger_mavg(close),
        Feature.BOLLINGER_UPPER: lambda: ta.volatility.bollinger_hband(close),
        Feature.BOLLINGER_LOWER: lambda: ta.volatility.bollinger_lband(close),
        Feature.ATR: lambda: ta.volatility.average_true_range(high, low, close),
        Feature.ADX: lambda: ta.trend.adx(high, low, close),
        Feature.DI_PLUS: lambda: ta.trend.adx_pos(high, low, close),
        Feature.DI_MINUS: lambda: ta.trend.adx_neg(high, low, close),
        Feature.STOCHASTIC_K: lambda: ta.momentum.stoch(high, low, close),
        Feature.STOCHASTIC_D: lambda: ta.momentum.stoch_signal(high, low, close),
        Feature.OBV: lambda: ta.volume.on_balance_volume(close, volume),
        Feature.VWAP: lambda: ta.volume.volume_weighted_average_price(high, low, close, volume),
        Feature.CCI: lambda: ta.trend.cci(high, low, close),
        Feature.MFI: lambda: ta.volume.money_flow_index(high, low, close, volume),
        Feature.KELTNER_MIDDLE: lambda: ta.volatility.keltner_channel_mband(high, low, close, 10),
        Feature.KELTNER_UPPER: lambda: ta.volatility.keltner_channel_hband(high, low, close, 10),
        Feature.KELTNER_LOWER: lambda: ta.volatility.keltner_channel_lband(high, low, close, 10),
        Feature.DONCHIAN_UPPER: lambda: ta.volatility.donchian_channel_hband(high, low, close),
        Feature.DONCHIAN_LOWER: lambda: ta.volatility.donchian_channel_lband(high, low, close),
        Feature.ROC: lambda: ta.momentum.roc(close),
        Feature.WILLIAMS_R: lambda: ta.momentum.williams_r(high, low, close),
    }
    return np.asarray(makers[feature](), np.float64)


EQUAL = (
    Feature.EMA_SLOW,
    Feature.MACD,
    Feature.MACD_SIGNAL,
    Feature.MACD_HISTOGRAM,
    Feature.RSI,
    Feature.ATR,
    Feature.DI_PLUS,
    Feature.DI_MINUS,
    Feature.STOCHASTIC_K,
    Feature.OBV,
    Feature.DONCHIAN_UPPER,
    Feature.DONCHIAN_LOWER,
    Feature.ROC,
    Feature.WILLIAMS_R,
)
CLOSE = (
    Feature.SMA_SLOW,
    Feature.BOLLINGER_MIDDLE,
    Feature.BOLLINGER_UPPER,
    Feature.BOLLINGER_LOWER,
    Feature.ADX,
    Feature.STOCHASTIC_D,
    Feature.VWAP,
    Feature.CCI,
    Feature.MFI,
    Feature.KELTNER_MIDDLE,
    Feature.KELTNER_UPPER,
    Feature.KELTNER_LOWER,
)
"""Where pandas sums by other ways: running sums, or pairwise ones."""

ZERO_AT_FIRST = (Feature.DI_PLUS, Feature.DI_MINUS)
"""`ta` leaves out the first bar on which they are known."""

MOVING = series(41, 900, rests=False)[0] + np.array([0.0, 0.0, 0.0, 1.0])


def compared(feature: Feature, mine: Floats, other: Floats) -> tuple[Floats, Floats]:
    """Return both from the bar on which the feature is known."""
    first = first_bar(feature, WINDOWS) - 1 + (feature in ZERO_AT_FIRST)
    assert not np.isnan(mine[first:]).any()
    return mine[first:], other[first:]


@pytest.mark.parametrize("feature", EQUAL, ids=lambda feature: feature.name.lower())
def test_in_ticks_it_is_what_ta_has_bit_for_bit(ta: Any, feature: Feature) -> None:
    mine, other = compared(feature, ours(MOVING, feature), theirs(ta, feature, MOVING))
    assert mine.tobytes() == other.tobytes()


@pytest.mark.parametrize("feature", CLOSE, ids=lambda feature: feature.name.lower())
def test_in_ticks_it_is_what_ta_has_within_a_billionth(ta: Any, feature: Feature) -> None:
    mine, other = compared(feature, ours(MOVING, feature), theirs(ta, feature, MOVING))
    np.testing.assert_allclose(mine, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("feature", EQUAL + CLOSE, ids=lambda feature: feature.name.lower())
def test_in_decimals_it_is_what_ta_has_within_a_billionth(ta: Any, feature: Feature) -> None:
    bars = MOVING * np.array([0.01, 0.01, 0.01, 0.001])
    mine, other = compared(feature, ours(bars, feature), theirs(ta, feature, bars))
    np.testing.assert_allclose(mine, other, rtol=1e-9, atol=1e-9)


# Where `ta` is wrong


@pytest.mark.parametrize("feature", [Feature.ATR, Feature.ADX, Feature.DI_PLUS, Feature.DI_MINUS])
def test_ta_says_0_where_it_does_not_know_yet(ta: Any, feature: Feature) -> None:
    first = first_bar(feature, WINDOWS) - 1
    assert np.isnan(ours(MOVING, feature)[:first]).all()
    other = theirs(ta, feature, MOVING)
    assert (other[: first + (feature in ZERO_AT_FIRST)] == 0).all()
    assert ours(MOVING, feature)[first] > 0


@pytest.mark.parametrize("feature", [Feature.KELTNER_UPPER, Feature.KELTNER_LOWER])
def test_ta_has_bands_before_their_window_is_full(ta: Any, feature: Feature) -> None:
    assert not np.isnan(theirs(ta, feature, MOVING)[:9]).any()
    assert np.isnan(ours(MOVING, feature)[:9]).all()


FLAT = np.array(
    [
        *((10_000.1 + n, 9_000.7 - n, 9_500.3 + 7 * n, 5) for n in range(40)),
        *[(9_777.3, 9_777.3, 9_777.3, 5)] * 100,
    ]
)


@pytest.mark.parametrize(
    ("feature", "flat"),
    [
        (Feature.STOCHASTIC_K, 50.0),
        (Feature.WILLIAMS_R, -50.0),
        (Feature.MFI, 50.0),
    ],
)
def test_ta_divides_by_nothing_where_nothing_moves(ta: Any, feature: Feature, flat: float) -> None:
    assert ours(FLAT, feature)[-1] == flat
    with np.errstate(all="ignore"):
        other = theirs(ta, feature, FLAT)[-1]
    assert not np.isfinite(other)


def test_running_sums_leave_a_deviation_where_there_is_none(ta: Any) -> None:
    """As pandas has them, from version to version another one; it grows with what came before."""
    jump = FLAT.copy()
    jump[20] *= 1e6
    width = ours(jump, Feature.BOLLINGER_UPPER) - ours(jump, Feature.BOLLINGER_LOWER)
    assert width[-1] == 0
    upper, lower = (
        theirs(ta, feature, jump)[-1]
        for feature in (Feature.BOLLINGER_UPPER, Feature.BOLLINGER_LOWER)
    )
    assert 0 <= upper - lower < 1e6


# StockCharts

SHEETS = {
    "cs-adx.csv": {Feature.ADX: "ADX", Feature.DI_PLUS: "+DI14", Feature.DI_MINUS: "-DI14"},
    "cs-atr.csv": {Feature.ATR: "ATR"},
    "cs-bbands.csv": {
        Feature.BOLLINGER_MIDDLE: "MiddleBand",
        Feature.BOLLINGER_UPPER: "HighBand",
        Feature.BOLLINGER_LOWER: "LowBand",
    },
    "cs-cci.csv": {Feature.CCI: "CCI"},
    "cs-dc.csv": {Feature.DONCHIAN_UPPER: "upper_band", Feature.DONCHIAN_LOWER: "lower_band"},
    "cs-macd.csv": {
        Feature.MACD: "MACD_line",
        Feature.MACD_SIGNAL: "MACD_signal",
        Feature.MACD_HISTOGRAM: "MACD_diff",
    },
    "cs-percentr.csv": {Feature.WILLIAMS_R: "Williams_%R"},
    "cs-rsi.csv": {Feature.RSI: "RSI"},
    "cs-soo.csv": {Feature.STOCHASTIC_K: "SO", Feature.STOCHASTIC_D: "SO_SIG"},
    "cs-vwap.csv": {Feature.VWAP: "vwap"},
}
"""Sheet -> feature -> its column. Left out are kc, a channel of exponential means and ATRs, where
ours is the original one; obv, which begins with 0, ours with the first volume; and what ours has
not: accum, easeofmovement, fi, psar, pvo, stc, ultosc, vpt, wma.
"""

FADES = {Feature.MACD_SIGNAL: 40, Feature.MACD_HISTOGRAM: 40}
"""Bars until nothing is left of another beginning: StockCharts' signal begins with the first bar,
ours and that of `ta` with the first MACD that is known."""


@pytest.mark.parametrize(
    ("name", "feature", "title"),
    [(name, feature, title) for name, of in SHEETS.items() for feature, title in of.items()],
)
def test_it_is_what_stockcharts_has(name: str, feature: Feature, title: str) -> None:
    table = {key.lower(): numbers for key, numbers in sheet(name).items()}
    close = table["close"]
    rows = len(close)
    bars = np.stack(
        [table.get(key, close) for key in ("high", "low")]
        + [close, table.get("volume", np.ones(rows))],
        axis=1,
    )
    # Some sheets begin with closes that are not given and not used.
    bars[:, 2] = np.where(np.isnan(close), bars[:, :2].mean(axis=1), close)
    mine, expected = ours(bars, feature), table[title.lower()]
    known = ~np.isnan(mine) & ~np.isnan(expected)
    known[: first_bar(feature, WINDOWS) + FADES.get(feature, 0) - 1] = False
    assert known.sum() >= 5
    np.testing.assert_allclose(mine[known], expected[known], rtol=1e-6, atol=2e-4)


# Tulip

TULIP: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[Feature, ...]]] = {
    "atr": (("high", "low", "close"), ("atr",), (Feature.ATR,)),
    "bbands": (
        ("close",),
        ("bollinger",),
        (Feature.BOLLINGER_LOWER, Feature.BOLLINGER_MIDDLE, Feature.BOLLINGER_UPPER),
    ),
    "cci": (("high", "low", "close"), ("cci",), (Feature.CCI,)),
    "ema": (("close",), ("slow",), (Feature.EMA_SLOW,)),
    "macd": (
        ("close",),
        ("macd_fast", "macd_slow", "macd_signal"),
        (Feature.MACD, Feature.MACD_SIGNAL, Feature.MACD_HISTOGRAM),
    ),
    "max": (("high",), ("donchian",), (Feature.DONCHIAN_UPPER,)),
    "mfi": (("high", "low", "close", "volume"), ("mfi",), (Feature.MFI,)),
    "min": (("low",), ("donchian",), (Feature.DONCHIAN_LOWER,)),
    "roc": (("close",), ("roc",), (Feature.ROC,)),
    "sma": (("close",), ("slow",), (Feature.SMA_SLOW,)),
    "stoch": (
        ("high", "low", "close"),
        ("stochastic", "stochastic_signal"),
        (Feature.STOCHASTIC_D,),
    ),
    "willr": (("high", "low", "close"), ("williams",), (Feature.WILLIAMS_R,)),
}
"""Indicator -> columns that it takes, options that it takes, outputs. Its %K of 3 is our %D.

Those with another convention: rsi begins with the mean of the first changes, di and adx with one
change less, obv with 0 and without equal closes; volatility is of a year.
"""


@pytest.mark.parametrize("file", ["untest.txt", "atoz.txt"])
def test_it_is_what_tulip_has(file: str) -> None:
    seen = set()
    for vector in tulip(file):
        # With (12, 26) Tulip takes the weights that Appel rounded, 0.15 and 0.075.
        if vector.name not in TULIP or vector.options[:2] == (12, 26):
            continue
        inputs, options, features = TULIP[vector.name]
        given = dict(zip(inputs, vector.columns, strict=False))
        any_column = next(iter(given.values()))
        high = given.get("high", given.get("close", any_column))
        low = given.get("low", given.get("close", any_column))
        close = given.get("close", any_column)
        volume = given.get("volume", np.ones(len(close)))
        windows = dict(zip(options, map(int, vector.options), strict=False))
        bars = np.stack([high, low, close, volume], axis=1)
        for feature, expected in zip(features, vector.columns[len(inputs) :], strict=False):
            mine = ours(bars, feature, **{**SHORT, **windows})[len(close) - len(expected) :]
            scale = 100.0 if vector.name == "roc" else 1.0
            known = ~np.isnan(mine)
            np.testing.assert_allclose(
                mine[known] / scale, expected[known], rtol=0, atol=6e-4, err_msg=str(vector[:2])
            )
            seen.add((vector.name, bool(known.any())))
    assert (len(seen) >= 10) if file == "untest.txt" else (len(seen) >= 3)
