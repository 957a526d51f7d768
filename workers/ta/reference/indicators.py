"""The indicators, updated bar by bar, and the features that follow from them.

`Feature` says what each is. Sums over a window are added anew at each bar, oldest first: a running
sum would keep the error of each value that ever went through it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np

from workers.ta.features import Feature, Windows

Values = dict[Feature, float]
"""The valid features of a row."""

STILL: Final = 2.0**-44
"""Of the close. Where no price moves, an ATR fades to nothing, but exponential means stay a
rounding error away from the close: below this their distance would grow without bound."""


class Bar(NamedTuple):
    """A bar in double precision, with its typical price."""

    high: float
    low: float
    close: float
    volume: float
    typical: float


class Indicators:
    """The indicators of any number of instruments; `own` is the state of one."""

    def __init__(self, windows: Windows) -> None:
        self.windows = windows

    def update(self, own: np.void, high: float, low: float, close: float, volume: float) -> Values:
        """Take the next bar; return its features, all but those of quotes and aggressors."""
        high, low, close, volume = float(high), float(low), float(close), float(volume)
        bar = Bar(high, low, close, volume, (high + low + close) / 3.0)
        before = _bar_before(own)
        _push(own, bar, before)
        values: Values = {}
        distances: Values = {}  # to be divided by the ATR
        self._average_range(own, bar, before, values)
        self._means(own, bar, values, distances)
        self._macd(own, bar, values, distances)
        self._relative_strength(own, bar, before, values)
        self._directional(own, bar, before, values)
        self._bollinger(own, bar, values, distances)
        self._ranges(own, bar, values)
        self._volumes(own, bar, before, values, distances)
        self._money_flow(own, values)
        self._typical(own, values)
        self._returns(own, bar, before, values, distances)
        if (atr := values.get(Feature.ATR)) is not None and math.isfinite(atr):
            moves = atr > STILL * abs(bar.close)
            values |= {name: each / atr if moves else 0.0 for name, each in distances.items()}
        return {feature: value for feature, value in values.items() if math.isfinite(value)}

    def _average_range(self, own: np.void, bar: Bar, before: Bar | None, values: Values) -> None:
        window = self.windows["atr"]
        atr, true_range = float(own["atr"]), _true_range(bar, before)
        if own["bars"] <= window:
            own["atr"] = atr + true_range
            if own["bars"] < window:
                return
            own["atr"] = float(own["atr"]) / window
        else:
            own["atr"] = (atr * (window - 1.0) + true_range) / window
        values[Feature.ATR] = float(own["atr"])
        values[Feature.ATR_RATIO] = _ratio(values[Feature.ATR], bar.close)

    def _means(self, own: np.void, bar: Bar, values: Values, distances: Values) -> None:
        fast, slow = self.windows["fast"], self.windows["slow"]
        _smooth(own, "ema_slow", bar.close, _alpha(slow), own["bars"] == 1)
        if own["bars"] >= fast:
            values[Feature.SMA_FAST] = _mean(_last(own, "closes", fast))
            distances[Feature.SMA_FAST_DISTANCE] = bar.close - values[Feature.SMA_FAST]
        if own["bars"] >= slow:
            values[Feature.SMA_SLOW] = _mean(_last(own, "closes", slow))
            values[Feature.EMA_SLOW] = float(own["ema_slow"])
            distances[Feature.SMA_SLOW_DISTANCE] = bar.close - values[Feature.SMA_SLOW]
            distances[Feature.EMA_SLOW_DISTANCE] = bar.close - values[Feature.EMA_SLOW]

    def _macd(self, own: np.void, bar: Bar, values: Values, distances: Values) -> None:
        for name in ("macd_fast", "macd_slow"):
            _smooth(own, name, bar.close, _alpha(self.windows[name]), own["bars"] == 1)
        begins = max(self.windows["macd_fast"], self.windows["macd_slow"])
        if own["bars"] < begins:
            return
        macd = float(own["macd_fast"]) - float(own["macd_slow"])
        values[Feature.MACD] = distances[Feature.MACD_SCALED] = macd
        signal = self.windows["macd_signal"]
        _smooth(own, "macd_signal", macd, _alpha(signal), own["bars"] == begins)
        if own["bars"] >= begins + signal - 1:
            histogram = macd - float(own["macd_signal"])
            values[Feature.MACD_SIGNAL] = float(own["macd_signal"])
            values[Feature.MACD_HISTOGRAM] = histogram
            distances[Feature.MACD_HISTOGRAM_SCALED] = histogram

    def _relative_strength(
        self, own: np.void, bar: Bar, before: Bar | None, values: Values
    ) -> None:
        window = self.windows["rsi"]
        if before is not None:  # both averages begin with the 0 of the first bar
            change = bar.close - before.close
            _smooth(own, "average_gain", max(change, 0.0), _alpha_wilder(window), False)
            _smooth(own, "average_loss", max(-change, 0.0), _alpha_wilder(window), False)
        if own["bars"] >= window:
            gain, loss = float(own["average_gain"]), float(own["average_loss"])
            rsi = 100.0 if loss == 0.0 else 100.0 - 100.0 / (1.0 + gain / loss)
            values[Feature.RSI] = rsi
            values[Feature.RSI_BALANCE] = _ratio(gain - loss, gain + loss)

    def _directional(self, own: np.void, bar: Bar, before: Bar | None, values: Values) -> None:
        if before is None:
            return
        window = self.windows["adx"]
        up, down = bar.high - before.high, before.low - bar.low
        changes = int(own["bars"]) - 1
        for name, amount in (
            ("range", _true_range(bar, before)),
            ("plus", up if up > down and up > 0.0 else 0.0),
            ("minus", down if down > up and down > 0.0 else 0.0),
        ):
            total = float(own[name])
            own[name] = total + amount if changes <= window else total - total / window + amount
        if changes < window:
            return
        plus = 100.0 * _ratio(float(own["plus"]), float(own["range"]))
        minus = 100.0 * _ratio(float(own["minus"]), float(own["range"]))
        balance = _ratio(plus - minus, plus + minus)
        values[Feature.DI_PLUS] = plus
        values[Feature.DI_MINUS] = minus
        values[Feature.DI_BALANCE] = balance
        adx, index = float(own["adx"]), 100.0 * abs(balance)
        indices = changes - window + 1
        if indices <= window:
            own["adx"] = adx + index
            if indices < window:
                return
            own["adx"] = float(own["adx"]) / window
        else:
            own["adx"] = (adx * (window - 1.0) + index) / window
        values[Feature.ADX] = float(own["adx"])
        values[Feature.ADX_SHARE] = values[Feature.ADX] / 100.0

    def _bollinger(self, own: np.void, bar: Bar, values: Values, distances: Values) -> None:
        window = self.windows["bollinger"]
        if own["bars"] < window:
            return
        closes = _last(own, "closes", window)
        # The mean of equal closes may differ from them by its last bit, which is no deviation.
        mean = bar.close if max(closes) == min(closes) else _mean(closes)
        width = 2.0 * math.sqrt(_mean((close - mean) * (close - mean) for close in closes))
        values[Feature.BOLLINGER_MIDDLE] = mean
        values[Feature.BOLLINGER_UPPER] = mean + width
        values[Feature.BOLLINGER_LOWER] = mean - width
        values[Feature.BOLLINGER_POSITION] = _ratio(bar.close - mean, width)
        distances[Feature.BOLLINGER_WIDTH] = width

    def _ranges(self, own: np.void, bar: Bar, values: Values) -> None:
        if bounds := _bounds(own, self.windows["stochastic"]):
            high, low = bounds
            k = 50.0 if high == low else 100.0 * (bar.close - low) / (high - low)
            own["ks"][(int(own["bars"]) - 1) % len(own["ks"])] = k
            values[Feature.STOCHASTIC_K] = k
            values[Feature.STOCHASTIC_BALANCE] = (k - 50.0) / 50.0
            signal = self.windows["stochastic_signal"]
            if own["bars"] >= self.windows["stochastic"] + signal - 1:
                values[Feature.STOCHASTIC_D] = _mean(_last(own, "ks", signal))
        if bounds := _bounds(own, self.windows["donchian"]):
            high, low = bounds
            values[Feature.DONCHIAN_UPPER] = high
            values[Feature.DONCHIAN_LOWER] = low
            values[Feature.DONCHIAN_POSITION] = _ratio(
                (bar.close - low) - (high - bar.close), high - low
            )
        if bounds := _bounds(own, self.windows["williams"]):
            high, low = bounds
            is_flat = high == low
            values[Feature.WILLIAMS_R] = (
                -50.0 if is_flat else -100.0 * (high - bar.close) / (high - low)
            )

    def _volumes(
        self, own: np.void, bar: Bar, before: Bar | None, values: Values, distances: Values
    ) -> None:
        is_lower = before is not None and bar.close < before.close
        own["obv"] = float(own["obv"]) + (-bar.volume if is_lower else bar.volume)
        values[Feature.OBV] = float(own["obv"])
        window = self.windows["vwap"]
        if own["bars"] < window:
            return
        volumes = _last(own, "volumes", window)
        typicals = _last(own, "typicals", window)
        volume = _sum(volumes)
        if volume <= 0.0:
            return
        vwap = _sum(price * lots for price, lots in zip(typicals, volumes, strict=True)) / volume
        values[Feature.VWAP] = vwap
        values[Feature.VOLUME_RATIO] = bar.volume / (volume / window)
        distances[Feature.VWAP_DISTANCE] = bar.close - vwap
        if own["bars"] > window:
            closes = _last(own, "closes", window + 1)
            change = _sum(
                -lots if now < then else lots
                for then, now, lots in zip(closes[:-1], closes[1:], volumes, strict=True)
            )
            values[Feature.OBV_BALANCE] = change / volume

    def _money_flow(self, own: np.void, values: Values) -> None:
        window = self.windows["mfi"]
        if own["bars"] < window:
            return
        flows = _last(own, "flows", window)
        up = _sum(max(flow, 0.0) for flow in flows)
        down = _sum(max(-flow, 0.0) for flow in flows)
        without_loss = 100.0 if up > 0.0 else 50.0
        values[Feature.MFI] = 100.0 - 100.0 / (1.0 + up / down) if down > 0.0 else without_loss
        values[Feature.MFI_BALANCE] = _ratio(up - down, up + down)

    def _typical(self, own: np.void, values: Values) -> None:
        window = self.windows["cci"]
        if own["bars"] >= window:
            typicals = _last(own, "typicals", window)
            mean = _mean(typicals)
            deviation = _mean(abs(each - mean) for each in typicals)
            is_flat = max(typicals) == min(typicals)
            cci = 0.0 if is_flat else _ratio(typicals[-1] - mean, 0.015 * deviation)
            values[Feature.CCI] = cci
            values[Feature.CCI_SCALED] = cci / 100.0
        window = self.windows["keltner"]
        if own["bars"] >= window:
            columns = (_last(own, name, window) for name in ("highs", "lows", "closes"))
            bars = list(zip(*columns, strict=True))
            values[Feature.KELTNER_MIDDLE] = _mean(_last(own, "typicals", window))
            values[Feature.KELTNER_UPPER] = _mean(
                (4.0 * high - 2.0 * low + close) / 3.0 for high, low, close in bars
            )
            values[Feature.KELTNER_LOWER] = _mean(
                (-2.0 * high + 4.0 * low + close) / 3.0 for high, low, close in bars
            )

    def _returns(
        self, own: np.void, bar: Bar, before: Bar | None, values: Values, distances: Values
    ) -> None:
        if before is None:
            return
        values[Feature.RETURN] = _last(own, "returns", 1)[0]
        distances[Feature.RETURN_SCALED] = bar.close - before.close
        if own["bars"] > self.windows["roc"]:
            then = _last(own, "closes", self.windows["roc"] + 1)[0]
            values[Feature.ROC] = _ratio(bar.close - then, then) * 100.0
            distances[Feature.ROC_SCALED] = bar.close - then
        window = self.windows["volatility"]
        if own["bars"] > window:
            returns = _last(own, "returns", window)
            values[Feature.VOLATILITY] = math.sqrt(_mean(each * each for each in returns))


def flow(
    signed_volume: float,
    volume: float,
    bid: float,
    bid_quantity: float,
    ask: float,
    ask_quantity: float,
) -> Values:
    """Return the features of the aggressors of a bar and of the quote when it closed."""
    values: Values = {}
    if volume > 0:
        values[Feature.SIGNED_VOLUME] = float(signed_volume)
        values[Feature.SIGNED_VOLUME_SHARE] = float(signed_volume) / float(volume)
    if min(bid_quantity, ask_quantity) <= 0 or not 0 < bid < ask:
        return values
    spread = (ask - bid) / ((bid + ask) * 0.5)
    imbalance = (bid_quantity - ask_quantity) / (bid_quantity + ask_quantity)
    values[Feature.SPREAD] = spread
    values[Feature.IMBALANCE] = imbalance
    # As Feature says, but with less rounding.
    values[Feature.MICROPRICE] = spread * 0.5 * imbalance
    return values


def _bar_before(own: np.void) -> Bar | None:
    if own["bars"] == 0:
        return None
    return Bar(
        *(_last(own, name, 1)[0] for name in ("highs", "lows", "closes", "volumes", "typicals"))
    )


def _push(own: np.void, bar: Bar, before: Bar | None) -> None:
    number = int(own["bars"])
    direction = 0
    change = 0.0
    if before is not None:
        direction = (bar.typical > before.typical) - (bar.typical < before.typical)
        change = _ratio(bar.close - before.close, before.close)
    for name, value in (
        ("highs", bar.high),
        ("lows", bar.low),
        ("closes", bar.close),
        ("volumes", bar.volume),
        ("typicals", bar.typical),
        ("flows", direction * (bar.typical * bar.volume) if direction else 0.0),
        ("returns", change),
    ):
        own[name][number % len(own[name])] = value
    own["bars"] = number + 1


def _last(own: np.void, name: str, window: int) -> list[float]:
    """Return the last values of a ring, oldest first."""
    ring, bars = own[name], int(own["bars"])
    return [float(ring[number % len(ring)]) for number in range(bars - window, bars)]


def _bounds(own: np.void, window: int) -> tuple[float, float] | None:
    """Return the highest high and the lowest low of a window, once it is full."""
    if own["bars"] < window:
        return None
    return max(_last(own, "highs", window)), min(_last(own, "lows", window))


def _sum(values: Iterable[float]) -> float:
    """Return the sum, each addition rounded; `sum` would round less often from Python 3.12 on."""
    total = 0.0
    for value in values:
        total += value
    return total


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return _sum(values) / len(values)


def _ratio(part: float, whole: float) -> float:
    """Return 0 where nothing moves: what is divided by nothing is nothing there."""
    return 0.0 if whole == 0.0 else part / whole


def _true_range(bar: Bar, before: Bar | None) -> float:
    if before is None:
        return bar.high - bar.low
    return max(bar.high, before.close) - min(bar.low, before.close)


def _smooth(own: np.void, name: str, value: float, alpha: float, is_first: bool) -> None:
    """Take one step of an exponential mean. A value equal to it leaves it alone, bit for bit."""
    mean = float(own[name])
    if is_first:
        own[name] = value
    elif mean != value:
        own[name] = (1.0 - alpha) * mean + alpha * value


# Both as pandas derives them, by way of the centre of mass: the last bit may differ from that of
# 2 / (window + 1) and 1 / window.


def _alpha(window: int) -> float:
    return 1.0 / (1.0 + (window - 1.0) / 2.0)


def _alpha_wilder(window: int) -> float:
    alpha = 1.0 / window
    return 1.0 / (1.0 + (1.0 - alpha) / alpha)
