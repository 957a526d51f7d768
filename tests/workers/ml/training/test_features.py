from __future__ import annotations

import numpy as np

from tests.workers.ml.training.walks import walk
from tests.workers.ta.market import SECOND, SHORT, all_rows, drive, trade
from workers.ml.training.features import FEATURES, compute, kernel, warm_up
from workers.ml.training.history import checked
from workers.ta.features import Feature

_SILENT = {20, 21, 37, *range(80, 90)}  # seconds; [ta] flat_bars is 3


def test_rows_are_those_of_the_stage_over_the_same_trades_bit_for_bit() -> None:
    random = np.random.default_rng(4)
    seconds = [second for second in range(1, 160) if second not in _SILENT]
    prices = 5_000 + np.cumsum(random.integers(-9, 10, (len(seconds), 4)).reshape(-1))
    lots = random.integers(1, 500, len(prices))
    trades = [
        trade(int(price), int(lot), at=second * SECOND + part, number=4 * index + part + 1)
        for index, second in enumerate(seconds)
        for part, (price, lot) in enumerate(
            zip(prices[4 * index : 4 * index + 4], lots[4 * index : 4 * index + 4], strict=True)
        )
    ]
    # The first interval has no bar, nor has the last, which never ends.
    emitted = all_rows(drive("native", bar="time"), trades)
    bars = prices.reshape(-1, 4)[1:-1]
    history = checked(
        "trades",
        np.array(seconds[1:-1], np.int64) * 1000,
        np.column_stack(
            [
                bars[:, 0] / 100,
                bars.max(axis=1) / 100,
                bars.min(axis=1) / 100,
                bars[:, 3] / 100,
                lots.reshape(-1, 4)[1:-1].sum(axis=1) / 1000,
            ]
        ),
        flat_bars=3,
    )
    computed = compute(history, SHORT)
    traded = history.bars[:, 4] > 0
    assert len(history.segments) == 2
    assert (~traded).sum() == 3
    assert np.array_equal(history.closed_ms[traded] * 1_000_000, emitted["venue_ns"])
    assert np.array_equal(computed.values[traded], emitted["value"][:, FEATURES])
    assert np.array_equal(computed.atr[traded], emitted["value"][:, Feature.ATR])
    mask = sum(1 << feature for feature in FEATURES)
    assert computed.valid[traded].tolist() == [
        int(valid) & mask == mask for valid in emitted["valid"]
    ]
    assert 100 < computed.valid.sum() < len(history)


def test_all_are_there_when_the_longest_has_warmed_up() -> None:
    computed = compute(walk(100), SHORT)
    assert int(np.argmax(computed.valid)) == warm_up(SHORT) - 1
    assert computed.valid[warm_up(SHORT) - 1 :].all()


def test_what_comes_later_changes_no_row() -> None:
    history = walk(100)
    whole, part = (
        compute(checked("a", history.closed_ms[:count], history.bars[:count], 3), SHORT)
        for count in (100, 60)
    )
    assert np.array_equal(whole.values[:60], part.values)


def test_the_kernel_is_told_by_its_windows() -> None:
    assert kernel(SHORT) == kernel(dict(SHORT))
    assert kernel(SHORT) != kernel({**SHORT, "slow": SHORT["slow"] + 1})
