"""What every feature has to be: any that is added to the list is looked at by itself."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from tests.workers.ta.market import SHORT, WINDOWS
from workers import _native
from workers.native import layouts
from workers.ta.batch import Floats, features_of, kernel_hash
from workers.ta.features import (
    FEATURE_NAMES,
    FEATURES_VERSION,
    FLOW_FEATURES,
    MODEL_FEATURES,
    Feature,
    Memory,
    first_bar,
    history,
    memory,
)
from workers.ta.reference.indicators import Indicators as Reference
from workers.ta.reference.indicators import flow as reference_flow

BARS = 1_500


def series(
    seed: int, count: int = BARS, tick: float = 1.0, *, rests: bool = True
) -> tuple[Floats, Floats]:
    """Return bars that move, jump, and stand still for a while, with quotes and aggressors."""
    rng = random.Random(seed)
    price = 50_000
    bars, flow = [], []
    for n in range(count):
        is_still = rests and n % 400 > 340
        step = 0 if is_still else rng.choice((0, 3, 40, 900))
        price = max(1_000, price + rng.randint(-step, step))
        up, down = (0, 0) if is_still else (rng.randint(0, 60), rng.randint(0, 60))
        volume = rng.choice((0, 1, 7, 1_000, rng.randint(1, 10**9)))
        bars.append(((price + up) * tick, (price - down) * tick, price * tick, volume))
        flow.append(
            (
                rng.randint(-volume, volume),
                (price - rng.randint(-1, 3)) * tick,
                rng.randint(0, 9),
                (price + rng.randint(0, 3)) * tick,
                rng.randint(0, 9),
            )
        )
    return np.array(bars, np.float64), np.array(flow, np.float64)


def column(values: Floats, valid: Any, feature: Feature) -> Floats:
    """Return a feature of each bar, NaN where it is not valid; it has to be 0 there."""
    known = (valid >> np.uint64(feature) & np.uint64(1)).astype(bool)
    assert not values[~known, feature].any()
    return np.where(known, values[:, feature], np.nan)


BARS_AND_FLOW = series(5)
LONG, LONG_VALID = features_of(*BARS_AND_FLOW[:1], WINDOWS, BARS_AND_FLOW[1])


def test_the_lists_of_both_languages_are_one() -> None:
    assert tuple(_native.feature_names()) == FEATURE_NAMES
    assert _native.FEATURES_VERSION == FEATURES_VERSION


def test_values_are_finite_and_0_where_they_are_not_valid() -> None:
    assert np.isfinite(LONG).all()
    for feature in Feature:
        column(LONG, LONG_VALID, feature)
    assert not (LONG_VALID >> np.uint64(len(Feature))).any()


@pytest.mark.parametrize("windows", [WINDOWS, SHORT], ids=["usual", "short"])
@pytest.mark.parametrize("feature", Feature, ids=FEATURE_NAMES)
def test_a_feature_is_valid_from_its_first_bar_on(
    feature: Feature, windows: dict[str, int]
) -> None:
    count = 200
    bars = np.array([(102 + n % 3, 98 - n % 5, 100 + n % 7, 5) for n in range(count)])
    flow = np.array([(1, 99, 3, 101, 2)] * count)
    known = ~np.isnan(column(*features_of(bars, windows, flow), feature))
    assert known.tolist() == [n >= first_bar(feature, windows) for n in range(1, count + 1)]


@pytest.mark.parametrize("feature", Feature, ids=FEATURE_NAMES)
def test_what_comes_later_does_not_change_a_feature(feature: Feature) -> None:
    bars, flow = BARS_AND_FLOW
    other = series(6)
    for end in (1, 47, 500):
        later = [
            np.concatenate([mine[:end], theirs])
            for mine, theirs in zip((bars, flow), other, strict=True)
        ]
        for given in ((bars[:end], flow[:end]), later):
            values, valid = features_of(given[0], WINDOWS, given[1])
            assert values[:end, feature].tobytes() == LONG[:end, feature].tobytes()
            assert valid[:end].tobytes() == LONG_VALID[:end].tobytes()


@pytest.mark.parametrize("feature", Feature, ids=FEATURE_NAMES)
def test_a_part_of_the_history_is_enough(feature: Feature) -> None:
    """As much as `memory` says; a snapshot of the state is enough for any (see below)."""
    bars, flow = BARS_AND_FLOW
    kind = memory(feature)
    if kind is Memory.WHOLE:
        values, valid = features_of(bars[700:], WINDOWS, flow[700:])
        steps = np.diff(LONG[700:, feature])
        assert np.diff(values[:, feature]).tolist() == steps.tolist()
        return
    needed = history(WINDOWS) if kind is Memory.FADING else first_bar(feature, WINDOWS) + 1
    whole = column(LONG, LONG_VALID, feature)
    seen = 0
    for begin in range(200, BARS - needed, 23):
        values, valid = features_of(
            bars[begin : begin + needed], WINDOWS, flow[begin : begin + needed]
        )
        mine, theirs = column(values, valid, feature)[-1], whole[begin + needed - 1]
        if kind is Memory.FADING:
            assert mine == pytest.approx(theirs, rel=1e-9, abs=1e-9, nan_ok=True)
        else:
            assert mine.tobytes() == theirs.tobytes()
        seen += 1
    assert seen > 5


@pytest.mark.parametrize(
    "feature", sorted(set(Feature) - FLOW_FEATURES), ids=lambda feature: feature.name.lower()
)
def test_bar_by_bar_and_from_a_snapshot_a_feature_is_what_it_is_in_a_batch(
    feature: Feature,
) -> None:
    """But for those of quotes and aggressors, which have no state."""
    bars = BARS_AND_FLOW[0][:400]
    running = _native.Indicators(WINDOWS)
    view = running.values
    for n, bar in enumerate(bars.tolist()):
        if n in (1, 90, 333):
            snapshot = running.state
            running = _native.Indicators(WINDOWS)
            running.state = snapshot
            view = running.values
        mask = running.update(*bar)
        assert view[feature].tobytes() == LONG[n, feature].tobytes()
        assert (mask ^ int(LONG_VALID[n])) >> feature & 1 == 0


@pytest.mark.parametrize("windows", [WINDOWS, SHORT], ids=["usual", "short"])
@pytest.mark.parametrize("tick", [1.0, 0.01], ids=["ticks", "decimals"])
def test_native_and_reference_agree_in_every_bit(windows: dict[str, int], tick: float) -> None:
    bars, flow = series(9, 450, tick)
    values, valid = features_of(bars, windows, flow)
    reference = Reference(windows)
    own = np.zeros(1, layouts["IndicatorState"])
    for n, bar in enumerate(bars.tolist()):
        row = reference.update(own[0], *bar) | reference_flow(
            flow[n, 0], bar[3], *flow[n, 1:].tolist()
        )
        assert sum(1 << feature for feature in row) == int(valid[n])
        expected = np.array([row.get(feature, 0.0) for feature in Feature])
        assert expected.tobytes() == values[n].tobytes(), n


@pytest.mark.parametrize("feature", MODEL_FEATURES, ids=lambda feature: feature.name.lower())
def test_the_unit_of_the_price_does_not_show_in_what_a_model_reads(feature: Feature) -> None:
    def scaled(given: tuple[Floats, Floats], factor: float) -> tuple[Floats, Any]:
        prices = np.array([factor, factor, factor, 1.0])
        quotes = np.array([1.0, factor, 1.0, factor, 1.0])
        return features_of(given[0] * prices, WINDOWS, given[1] * quotes)

    for factor in (2.0**-7, 2.0**20):
        values, valid = scaled(BARS_AND_FLOW, factor)
        assert valid.tobytes() == LONG_VALID.tobytes()
        assert values[:, feature].tobytes() == LONG[:, feature].tobytes()
    # Rounded otherwise; in a market that rests, a price's last bit is much of its range.
    moving = series(8, rests=False)
    values, valid = scaled(moving, 1.0)
    by_ten, by_ten_valid = scaled(moving, 10.0)
    assert by_ten_valid.tobytes() == valid.tobytes()
    np.testing.assert_allclose(by_ten[:, feature], values[:, feature], 1e-12, 1e-12)


@pytest.mark.parametrize("feature", Feature, ids=FEATURE_NAMES)
def test_a_history_without_quotes_has_no_features_of_them(feature: Feature) -> None:
    values, valid = features_of(BARS_AND_FLOW[0], WINDOWS)
    mine, full = column(values, valid, feature), column(LONG, LONG_VALID, feature)
    if feature in FLOW_FEATURES:
        assert np.isnan(mine).all()
    else:
        assert mine.tobytes() == full.tobytes()


@pytest.mark.parametrize("price", [12_003.0, 0.1, 1 / 3])
def test_a_market_that_stands_still_deviates_from_nothing(price: float) -> None:
    """Where `ta` leaves what pandas' running sums have gathered."""
    # What came before must leave nothing behind either: one bad tick, and then nothing moves.
    moving = [(1e9, 1.0, 1e9, 1e6), *((price + n % 5, price - n, price, 3.0) for n in range(1, 9))]
    still = [(price, price, price, 2.0)] * 2_000
    values, _ = features_of(np.array(moving + still), WINDOWS)
    row = dict(zip(Feature, values[-1].tolist(), strict=True))
    for feature in (Feature.BOLLINGER_MIDDLE, Feature.BOLLINGER_UPPER, Feature.DONCHIAN_UPPER):
        assert row[feature] == price
    for feature in (
        Feature.CCI,
        Feature.VOLATILITY,
        Feature.RETURN,
        Feature.ROC,
        Feature.BOLLINGER_POSITION,
        Feature.BOLLINGER_WIDTH,
        Feature.DONCHIAN_POSITION,
        Feature.MFI_BALANCE,
        Feature.STOCHASTIC_BALANCE,
    ):
        assert row[feature] == 0, feature
    assert row[Feature.STOCHASTIC_K] == row[Feature.MFI] == -row[Feature.WILLIAMS_R] == 50
    for feature in (Feature.SMA_SLOW, Feature.VWAP, Feature.KELTNER_MIDDLE):
        assert row[feature] == pytest.approx(price, rel=1e-15)


def test_what_is_left_of_a_range_does_not_make_a_rounding_error_a_distance() -> None:
    """The ATR fades to nothing, the exponential means stay a last bit away from the close."""
    moving = series(8, 300, rests=False)[0]
    still = np.tile([moving[-1, 2]] * 3 + [2.0], (3_000, 1))
    bars = np.concatenate((moving, still))
    values, valid = features_of(bars, WINDOWS)
    assert 0 < values[-1, Feature.ATR] < 1e-50
    assert values[-1, Feature.EMA_SLOW] != values[-1, Feature.SMA_SLOW]
    read = [feature for feature in MODEL_FEATURES if feature not in FLOW_FEATURES]
    assert all(int(mask) >> feature & 1 for mask in valid[300:] for feature in read)
    assert np.abs(values[300:, read]).max() < 40
    short, _ = features_of(bars[:600], SHORT)
    reference = Reference(SHORT)
    own = np.zeros(1, layouts["IndicatorState"])
    for n, bar in enumerate(bars[:600].tolist()):
        row = reference.update(own[0], *bar)
        assert np.array([row.get(each, 0.0) for each in Feature]).tobytes() == short[n].tobytes()


def test_one_bad_tick_leaves_a_window_without_a_trace() -> None:
    bars, _ = series(31, 120)
    bad = bars.copy()
    bad[50] = (1e18, 1.0, 1e17, 1e15)
    values, _ = features_of(bars, WINDOWS)
    after, _ = features_of(bad, WINDOWS)
    for feature in Feature:
        if memory(feature) is Memory.WINDOW:
            assert values[-1, feature] == after[-1, feature]


def test_what_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match=r"bars: row 1 was \[1.0, 1.0, nan, 1.0\], must be finite"):
        features_of([(1, 1, 1, 1), (1, 1, np.nan, 1)], WINDOWS)
    with pytest.raises(ValueError, match=r"flow had shape \(1, 4\), must be \(n, 5\)"):
        features_of([(1, 1, 1, 1)], WINDOWS, [(1, 1, 1, 1)])
    with pytest.raises(ValueError, match="not of finite numbers"):
        _native.Indicators(WINDOWS).update(1.0, 1.0, float("inf"), 1.0)
    with pytest.raises(ValueError, match="state was 3 bytes, must be"):
        _native.Indicators(WINDOWS).state = b"abc"
    with pytest.raises(ValueError, match=r"window cci was 65, must be in 1 \.\. 64"):
        kernel_hash({**WINDOWS, "cci": 65})


def test_prices_at_the_end_of_doubles_are_not_valid_rather_than_infinite() -> None:
    huge = 1.7e308
    bars = np.array([(huge, -huge, (-1) ** n * huge, huge) for n in range(200)])
    values, valid = features_of(bars, WINDOWS, np.array([(huge, huge / 2, huge, huge, huge)] * 200))
    assert np.isfinite(values).all()
    assert int(valid[-1]) != (1 << len(Feature)) - 1
