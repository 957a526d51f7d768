"""Who computes the indicators of a bar, each as its documentation says.

Every one is made for a history of bars, and then given one bar after the other. What it returns for
a bar are the values that it has under the names of `workers.ta.features`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from workers import _native
from workers.ta.features import Feature

Floats = npt.NDArray[np.float64]
Values = dict[Feature, float]

WINDOWS: Mapping[str, int] = {
    "fast": 5,
    "slow": 20,
    "macd_fast": 12,
    "macd_slow": 26,
    "macd_signal": 9,
    "rsi": 14,
    "bollinger": 20,
    "atr": 14,
    "adx": 14,
    "stochastic": 14,
    "stochastic_signal": 3,
    "vwap": 14,
    "cci": 20,
    "mfi": 14,
    "keltner": 10,
    "donchian": 20,
    "roc": 12,
    "williams": 14,
    "volatility": 20,
}
HISTORY = 500
"""Bars before those that are measured; `ta`, which keeps no state, looks at as many each time."""


class Peer(Protocol):
    """Someone who can compute the indicators."""

    def update(self) -> Any:
        """Take the next bar: this is what is measured."""

    def values(self) -> Values:
        """Return what is known of the last bar that was taken."""


class Bot4:
    """The native kernel, called from Python; the other features of a row are computed too."""

    def __init__(self, bars: Floats) -> None:
        self._indicators = _native.Indicators(WINDOWS)
        self._view = self._indicators.values
        for bar in bars[:HISTORY].tolist():
            self._indicators.update(*bar)
        self._bars = iter(bars[HISTORY:].tolist())

    def update(self) -> Any:
        """Take the next bar."""
        return self._indicators.update(*next(self._bars))

    def values(self) -> Values:
        """Return those of the last bar."""
        return dict(zip(Feature, self._view.tolist(), strict=False))


class Ta:
    """`ta`: pandas series of the last bars; the last value of each indicator."""

    def __init__(self, bars: Floats) -> None:
        self._columns = [np.ascontiguousarray(column) for column in bars.T]
        self._end = HISTORY
        self._last: dict[Feature, Any] = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pandas as pd
            import ta.momentum
            import ta.trend
            import ta.volatility
            import ta.volume

        self._series = pd.Series
        self._ta = ta

    def update(self) -> Any:
        """Take the next bar: look at the last 500."""
        self._end += 1
        window = slice(self._end - HISTORY, self._end)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            columns = (self._series(column[window]) for column in self._columns)
            self._last = self._last_values(*columns)

    def values(self) -> Values:
        """Return those of the last bar."""
        return {feature: float(value) for feature, value in self._last.items()}

    def _last_values(self, high: Any, low: Any, close: Any, volume: Any) -> Any:
        trend, momentum = self._ta.trend, self._ta.momentum
        volatility, by_volume = self._ta.volatility, self._ta.volume
        macd = trend.MACD(close)
        bands = volatility.BollingerBands(close)
        adx = trend.ADXIndicator(high, low, close)
        stochastic = momentum.StochasticOscillator(high, low, close)
        keltner = volatility.KeltnerChannel(high, low, close, 10)
        donchian = volatility.DonchianChannel(high, low, close)
        series = {
            Feature.SMA_SLOW: trend.sma_indicator(close, 20),
            Feature.EMA_SLOW: trend.ema_indicator(close, 20),
            Feature.MACD: macd.macd(),
            Feature.MACD_SIGNAL: macd.macd_signal(),
            Feature.MACD_HISTOGRAM: macd.macd_diff(),
            Feature.RSI: momentum.rsi(close),
            Feature.BOLLINGER_UPPER: bands.bollinger_hband(),
            Feature.BOLLINGER_LOWER: bands.bollinger_lband(),
            Feature.ATR: volatility.average_true_range(high, low, close),
            Feature.ADX: adx.adx(),
            Feature.DI_PLUS: adx.adx_pos(),
            Feature.DI_MINUS: adx.adx_neg(),
            Feature.STOCHASTIC_K: stochastic.stoch(),
            Feature.STOCHASTIC_D: stochastic.stoch_signal(),
            Feature.OBV: by_volume.on_balance_volume(close, volume),
            Feature.VWAP: by_volume.volume_weighted_average_price(high, low, close, volume),
            Feature.CCI: trend.cci(high, low, close),
            Feature.MFI: by_volume.money_flow_index(high, low, close, volume),
            Feature.KELTNER_UPPER: keltner.keltner_channel_hband(),
            Feature.KELTNER_LOWER: keltner.keltner_channel_lband(),
            Feature.DONCHIAN_UPPER: donchian.donchian_channel_hband(),
            Feature.DONCHIAN_LOWER: donchian.donchian_channel_lband(),
            Feature.ROC: momentum.roc(close),
            Feature.WILLIAMS_R: momentum.williams_r(high, low, close),
        }
        return {feature: each.iloc[-1] for feature, each in series.items()}


class TaLib:
    """TA-Lib's streams, which keep a state; no rolling VWAP, of Keltner's channel only the mean."""

    def __init__(self, bars: Floats) -> None:
        from talib import stream

        high, low, close, volume = (np.ascontiguousarray(each) for each in bars[:HISTORY].T)
        self._bars = iter(bars[HISTORY:].tolist())
        self._of_close: dict[tuple[Feature, ...], Any] = {
            (Feature.SMA_SLOW,): stream.SMA(close, 20),
            (Feature.EMA_SLOW,): stream.EMA(close, 20),
            (Feature.MACD, Feature.MACD_SIGNAL, Feature.MACD_HISTOGRAM): stream.MACD(close),
            (Feature.RSI,): stream.RSI(close, 14),
            (Feature.BOLLINGER_UPPER, Feature.BOLLINGER_MIDDLE, Feature.BOLLINGER_LOWER): (
                stream.BBANDS(close, 20, 2.0, 2.0)
            ),
            (Feature.ROC,): stream.ROC(close, 12),
            (): stream.EMA(close, 10),
        }
        self._of_range: dict[tuple[Feature, ...], Any] = {
            (Feature.ATR,): stream.ATR(high, low, close, 14),
            (Feature.ADX,): stream.ADX(high, low, close, 14),
            (Feature.DI_PLUS,): stream.PLUS_DI(high, low, close, 14),
            (Feature.DI_MINUS,): stream.MINUS_DI(high, low, close, 14),
            (Feature.STOCHASTIC_K, Feature.STOCHASTIC_D): stream.STOCHF(high, low, close, 14, 3),
            (Feature.CCI,): stream.CCI(high, low, close, 20),
            (Feature.WILLIAMS_R,): stream.WILLR(high, low, close, 14),
        }
        self._highest, self._lowest = stream.MAX(high, 20), stream.MIN(low, 20)
        self._obv = stream.OBV(close, volume)
        self._mfi = stream.MFI(high, low, close, volume, 14)

    def update(self) -> Any:
        """Take the next bar."""
        high, low, close, volume = next(self._bars)
        for each in self._of_close.values():
            each.update(close)
        for each in self._of_range.values():
            each.update(high, low, close)
        self._highest.update(high)
        self._lowest.update(low)
        self._obv.update(close, volume)
        self._mfi.update(high, low, close, volume)

    def values(self) -> Values:
        """Return those of the last bar."""
        found = {
            Feature.DONCHIAN_UPPER: self._highest.value,
            Feature.DONCHIAN_LOWER: self._lowest.value,
            Feature.MFI: self._mfi.value,
        }
        for features, each in (*self._of_close.items(), *self._of_range.items()):
            of = each.value if isinstance(each.value, tuple) else (each.value,)
            found |= dict(zip(features, of, strict=False))
        return {feature: float(value) for feature, value in found.items()}


class Talipp:
    """talipp's incremental indicators; no MFI, and the VWAP is of the whole session."""

    def __init__(self, bars: Floats) -> None:
        from talipp import indicators as of
        from talipp.ohlcv import OHLCV

        # The closes for those of one column; the open is that of the bar before.
        self._bars = iter([OHLCV(row[2], *row) for row in bars.tolist()])
        self._of_closes = {
            "sma": of.SMA(20),
            "ema": of.EMA(20),
            "macd": of.MACD(12, 26, 9),
            "rsi": of.RSI(14),
            "bands": of.BB(20, 2),
            "roc": of.ROC(12),
        }
        self._of_bars = {
            "atr": of.ATR(14),
            "adx": of.ADX(14, 14),
            "stochastic": of.Stoch(14, 3),
            "obv": of.OBV(),
            "vwap": of.VWAP(),
            "cci": of.CCI(20),
            "keltner": of.KeltnerChannels(10, 10, 2, 2),
            "donchian": of.DonchianChannels(20),
            "williams": of.Williams(14),
        }
        for _ in range(HISTORY):
            self.update()

    def update(self) -> Any:
        """Take the next bar."""
        bar = next(self._bars)
        for indicator in self._of_closes.values():
            indicator.add(bar.close)
        for indicator in self._of_bars.values():
            indicator.add(bar)

    def values(self) -> Values:
        """Return those of the last bar."""
        closes, bars = self._of_closes, self._of_bars
        return {
            Feature.SMA_SLOW: closes["sma"][-1],
            Feature.EMA_SLOW: closes["ema"][-1],
            Feature.MACD: closes["macd"][-1].macd,
            Feature.MACD_SIGNAL: closes["macd"][-1].signal,
            Feature.MACD_HISTOGRAM: closes["macd"][-1].histogram,
            Feature.RSI: closes["rsi"][-1],
            Feature.BOLLINGER_UPPER: closes["bands"][-1].ub,
            Feature.BOLLINGER_LOWER: closes["bands"][-1].lb,
            Feature.ATR: bars["atr"][-1],
            Feature.ADX: bars["adx"][-1].adx,
            Feature.DI_PLUS: bars["adx"][-1].plus_di,
            Feature.DI_MINUS: bars["adx"][-1].minus_di,
            Feature.STOCHASTIC_K: bars["stochastic"][-1].k,
            Feature.STOCHASTIC_D: bars["stochastic"][-1].d,
            Feature.CCI: bars["cci"][-1],
            Feature.DONCHIAN_UPPER: bars["donchian"][-1].ub,
            Feature.DONCHIAN_LOWER: bars["donchian"][-1].lb,
            Feature.ROC: closes["roc"][-1],
            Feature.WILLIAMS_R: bars["williams"][-1],
        }


PEERS: Mapping[str, Callable[[Floats], Peer]] = {
    "bot4": Bot4,
    "ta": Ta,
    "TA-Lib": TaLib,
    "talipp": Talipp,
}
"""Name, which is also that of its distribution, -> how it is made."""

BARS: Mapping[str, int] = {"bot4": 20_000, "ta": 60, "TA-Lib": 5_000, "talipp": 3_000}
"""Bars that each is timed with: `ta` takes 20 ms for one."""
