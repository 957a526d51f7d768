from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from workers.ml.training.labels import Labels, TripleBarrier, triple_barrier

_RULE = TripleBarrier(horizon=3, atr=2.0, cost_bp=0.0)


def _bars(*rows: tuple[float, ...]) -> npt.NDArray[np.float64]:
    """Return bars of high, low, close, and perhaps open, which else is between high and low."""
    return np.array(
        [
            (min(max(row[3] if len(row) > 3 else 100.0, row[1]), row[0]), *row[:3], 1.0)
            for row in rows
        ]
    )


def _flat(count: int) -> list[tuple[float, ...]]:
    return [(100.0, 100.0, 100.0)] * count


def _labels(
    bars: npt.NDArray[np.float64],
    rule: TripleBarrier = _RULE,
    *,
    only: int | None = 0,
    segment: npt.NDArray[np.int64] | None = None,
) -> Labels:
    count = len(bars)
    usable = np.ones(count, dtype=np.bool_) if only is None else np.arange(count) == only
    where = np.zeros(count, dtype=np.int64) if segment is None else segment
    return triple_barrier(bars, np.ones(count), usable, where, rule)


@pytest.mark.parametrize(("high", "low", "way"), [(102.0, 99.0, 1), (101.0, 98.0, -1)])
def test_the_barrier_that_is_touched_first_decides(high: float, low: float, way: int) -> None:
    labels = _labels(_bars(*_flat(1), (101.9, 98.1, 100.0), (high, low, 100.0), *_flat(3)))
    assert labels.outcome.tolist() == [way]
    assert labels.first.tolist() == [0]
    assert labels.last.tolist() == [2]
    assert labels.long.tolist() == pytest.approx([way * 0.02])
    assert labels.short.tolist() == pytest.approx([way * -0.02])


def test_a_touch_in_the_bar_of_the_decision_itself_does_not_count() -> None:
    labels = _labels(_bars((150.0, 50.0, 100.0), *_flat(4)))
    assert labels.outcome.tolist() == [0]
    assert labels.last.tolist() == [3]


def test_a_bar_that_touches_both_barriers_decides_nothing_and_costs_both_ways() -> None:
    labels = _labels(_bars(*_flat(1), (103.0, 97.0, 100.0), (103.0, 100.0, 100.0), *_flat(3)))
    assert labels.outcome.tolist() == [0]
    assert labels.ambiguous.tolist() == [True]
    assert labels.last.tolist() == [1]
    assert labels.long.tolist() == labels.short.tolist() == pytest.approx([-0.02])


@pytest.mark.parametrize(
    ("opened", "way", "long", "short"), [(104.0, 1, 0.02, -0.04), (95.0, -1, -0.05, 0.02)]
)
def test_a_bar_that_opens_beyond_a_barrier_has_touched_it_first(
    opened: float, way: int, long: float, short: float
) -> None:
    labels = _labels(_bars(*_flat(1), (104.0, 95.0, 100.0, opened), *_flat(3)))
    assert labels.outcome.tolist() == [way]
    # A stop is filled where the market is; a target no better than it says.
    assert labels.long.tolist() == pytest.approx([long])
    assert labels.short.tolist() == pytest.approx([short])


@pytest.mark.parametrize(("close", "way"), [(101.0, 1), (99.0, -1)])
def test_at_the_end_of_the_horizon_the_way_so_far_counts(close: float, way: int) -> None:
    labels = _labels(_bars(*_flat(3), (101.0, 99.0, close), *_flat(1)))
    assert labels.outcome.tolist() == [way]
    assert labels.last.tolist() == [3]
    assert labels.long.tolist() == pytest.approx([way * 0.01])


def test_costs_move_the_barriers_away_and_make_small_moves_neutral() -> None:
    dear = TripleBarrier(horizon=3, atr=2.0, cost_bp=100.0)
    bars = _bars(*_flat(1), (102.9, 100.0, 100.0), (100.0, 100.0, 100.0), (101.0, 100.0, 101.0))
    bars = np.concatenate([bars, _bars(*_flat(1))])
    assert _labels(bars).outcome.tolist() == [1]
    labels = _labels(bars, dear)
    assert labels.outcome.tolist() == [0]
    assert labels.ambiguous.tolist() == [False]
    # Who had traded all the same has paid.
    assert labels.long.tolist() == pytest.approx([0.0])
    assert labels.short.tolist() == pytest.approx([-0.02])


def test_a_label_needs_its_whole_horizon() -> None:
    rising = _bars(*((100.0 + i, 100.0 + i, 100.0 + i) for i in range(6)))
    assert _labels(rising, only=None).first.tolist() == [0, 1, 2]


def test_no_label_goes_beyond_its_segment() -> None:
    rising = _bars(*((100.0 + i, 100.0 + i, 100.0 + i) for i in range(10)))
    segment = np.array([0] * 5 + [1] * 5)
    assert _labels(rising, only=None, segment=segment).first.tolist() == [0, 1, 5, 6]


def test_what_follows_the_horizon_changes_no_label() -> None:
    random = np.random.default_rng(7)
    close = 100.0 * np.exp(np.cumsum(random.normal(0, 0.01, 200)))
    bars = np.column_stack([close, close * 1.005, close * 0.995, close, np.ones(200)])
    whole = _labels(bars, only=None)
    for cut in (50, 120, 199):
        part = _labels(bars[:cut], only=None)
        there = whole.first < cut - _RULE.horizon
        assert part.first.tolist() == whole.first[there].tolist()
        assert part.outcome.tolist() == whole.outcome[there].tolist()
        assert part.long.tolist() == whole.long[there].tolist()


def test_too_few_bars_have_no_labels() -> None:
    assert len(_labels(_bars(*_flat(3)), only=None)) == 0


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"horizon": 0}, "horizon was 0, must be from 1"),
        ({"atr": 0.0}, "atr was 0, must be more than 0"),
        ({"atr": float("nan")}, "atr was nan"),
        ({"cost_bp": -1.0}, "cost_bp was -1, must be from 0"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(values: dict[str, float], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        TripleBarrier(**values)  # type: ignore[arg-type]
