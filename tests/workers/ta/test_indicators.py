"""Each indicator against its formula over the whole history of bars."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.ta.market import ENGINES, drive, rows, trade, value
from workers.ta.features import Feature

pytestmark = pytest.mark.parametrize("engine", ENGINES)


class Bar(NamedTuple):
    high: int
    low: int
    close: int


TRADES_PER_BAR = 3

walks = st.tuples(
    st.integers(1_000, 10**9),
    st.lists(st.one_of(st.integers(-5, 5), st.integers(-900, 900)), min_size=3, max_size=90),
)
windows = st.integers(1, 12)


def prices_of(walk: tuple[int, list[int]]) -> list[int]:
    price, steps = walk
    prices = []
    for step in steps:
        price = max(1, price + step)
        prices.append(price)
    return prices


def bars_of(prices: list[int]) -> list[Bar]:
    """Return the complete bars of a list of trades."""
    ends = range(TRADES_PER_BAR, len(prices) + 1, TRADES_PER_BAR)
    groups = [prices[end - TRADES_PER_BAR : end] for end in ends]
    return [Bar(max(group), min(group), group[-1]) for group in groups]


def values(engine: str, prices: list[int], feature: Feature, **window: int) -> list[float | None]:
    driver = drive(engine, trades_per_bar=TRADES_PER_BAR, **window)
    return [value(row, feature) for row in rows(driver, map(trade, prices))]


def close_to(expected: list[float | None]) -> list[object]:
    return [None if v is None else pytest.approx(v, rel=1e-12, abs=1e-9) for v in expected]


@settings(max_examples=40)
@given(walk=walks, window=windows)
@pytest.mark.parametrize(
    ("feature", "key"), [(Feature.SMA_FAST, "fast"), (Feature.SMA_SLOW, "slow")]
)
def test_simple_means_are_exact(
    engine: str, feature: Feature, key: str, walk: tuple[int, list[int]], window: int
) -> None:
    prices = prices_of(walk)
    closes = [bar.close for bar in bars_of(prices)]
    expected = [
        sum(closes[n + 1 - window : n + 1]) / window if n + 1 >= window else None
        for n in range(len(closes))
    ]
    assert values(engine, prices, feature, **{key: window}) == expected


@settings(max_examples=40)
@given(walk=walks, window=windows)
def test_the_exponential_mean_weighs_the_whole_history(
    engine: str, walk: tuple[int, list[int]], window: int
) -> None:
    prices = prices_of(walk)
    closes = [bar.close for bar in bars_of(prices)]
    alpha = 2 / (window + 1)
    expected: list[float | None] = []
    for n in range(len(closes)):
        mean = (1 - alpha) ** n * closes[0]
        mean += sum(alpha * (1 - alpha) ** back * closes[n - back] for back in range(n))
        expected.append(mean if n + 1 >= window else None)
    assert values(engine, prices, Feature.EMA_SLOW, slow=window) == close_to(expected)


@settings(max_examples=40)
@given(walk=walks, window=windows)
def test_rsi_compares_wilders_means_of_gains_and_losses(
    engine: str, walk: tuple[int, list[int]], window: int
) -> None:
    prices = prices_of(walk)
    closes = [bar.close for bar in bars_of(prices)]
    gain = loss = 0.0
    expected: list[float | None] = []
    for n, close in enumerate(closes):
        change = close - closes[n - 1] if n else 0
        gain = (gain * (window - 1) + max(change, 0)) / window
        loss = (loss * (window - 1) + max(-change, 0)) / window
        rsi = 100 * gain / (gain + loss) if loss else 100
        expected.append(rsi if n + 1 >= window else None)
    assert values(engine, prices, Feature.RSI, rsi=window) == close_to(expected)


@settings(max_examples=40)
@given(walk=walks, window=windows)
def test_atr_begins_with_a_mean_and_goes_on_as_wilder_does(
    engine: str, walk: tuple[int, list[int]], window: int
) -> None:
    prices = prices_of(walk)
    bars = bars_of(prices)
    ranges: list[float] = [
        max(b.high - b.low, *(abs(e - bars[n - 1].close) for e in (b.high, b.low) if n), 0)
        for n, b in enumerate(bars)
    ]
    expected: list[float | None] = []
    for n in range(len(bars)):
        if n + 1 < window:
            expected.append(None)
        elif n + 1 == window:
            expected.append(sum(ranges[:window]) / window)
        else:
            before = expected[-1]
            assert before is not None
            expected.append(before + (ranges[n] - before) / window)
    assert values(engine, prices, Feature.ATR, atr=window) == close_to(expected)


@settings(max_examples=40)
@given(walk=walks)
def test_the_return_is_that_of_the_last_two_closes(
    engine: str, walk: tuple[int, list[int]]
) -> None:
    prices = prices_of(walk)
    closes = [bar.close for bar in bars_of(prices)]
    expected = [None, *((now - before) / before for before, now in itertools.pairwise(closes))]
    assert values(engine, prices, Feature.RETURN) == expected[: len(closes)]


def test_the_longest_window_leaves_out_what_lies_before_it(engine: str) -> None:
    driver = drive(engine, trades_per_bar=1, fast=255, slow=256)
    closes = [10**6 + 7 * n * n % 1_001 for n in range(600)]
    emitted = rows(driver, map(trade, closes))
    for n in (255, 256, 257, 511, 512, 599):
        assert value(emitted[n], Feature.SMA_FAST) == sum(closes[n - 254 : n + 1]) / 255
        assert value(emitted[n], Feature.SMA_SLOW) == sum(closes[n - 255 : n + 1]) / 256
    assert value(emitted[254], Feature.SMA_SLOW) is None


def test_a_market_that_stands_still_has_its_price_as_mean_and_no_range(engine: str) -> None:
    driver = drive(engine, trades_per_bar=1, slow=10)
    price = 12_003  # its two shares in the mean do not add up to it in floating point
    assert (1 - 2 / 11) * price + 2 / 11 * price != price
    row = rows(driver, [trade(price)] * 500)[-1]
    assert value(row, Feature.SMA_FAST) == value(row, Feature.EMA_SLOW) == price
    assert value(row, Feature.ATR) == value(row, Feature.RETURN) == 0
    assert value(row, Feature.RSI) == 100  # Wilder's formula where there is no loss


def test_rsi_is_0_where_there_are_only_losses(engine: str) -> None:
    driver = drive(engine, trades_per_bar=1)
    row = rows(driver, [trade(1_000 - n) for n in range(20)])[-1]
    assert value(row, Feature.RSI) == 0
