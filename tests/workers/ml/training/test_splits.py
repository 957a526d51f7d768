from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.ml.training.splits import Rows, Split, WalkForward


def _spans(count: int, horizon: int) -> tuple[Rows, Rows]:
    begin = np.arange(count, dtype=np.int64) * 1000
    return begin, begin + horizon * 1000


def _all(rule: WalkForward, count: int = 1000, horizon: int = 10) -> list[Split]:
    begin, end = _spans(count, horizon)
    return [*rule.splits(begin, end), rule.last(begin, end)]


@given(st.integers(1, 8), st.integers(1, 20), st.integers(0, 20_000))
def test_nothing_of_a_test_period_is_known_before_it(
    folds: int, horizon: int, embargo_ms: int
) -> None:
    begin, end = _spans(1000, horizon)
    for split in _all(WalkForward(folds=folds, embargo_ms=embargo_ms), horizon=horizon):
        assert end[split.fit].max() + embargo_ms < begin[split.calibrate].min()
        assert end[split.calibrate].max() + embargo_ms < begin[split.test].min()


def test_tests_follow_each_other_and_the_final_one_is_in_none() -> None:
    *folds, final = _all(WalkForward(folds=4))
    tests = [split.test for split in folds]
    for before, after in itertools.pairwise(tests):
        assert before.max() < after.min()
    assert all(rows.max() < final.test.min() for rows in tests)
    assert final.test.tolist() == list(range(800, 1000))


def test_each_fold_learns_from_all_that_is_before() -> None:
    *folds, _ = _all(WalkForward(folds=3))
    assert all(split.fit.min() == 0 for split in folds)
    sizes = [len(split.fit) for split in folds]
    assert sizes == sorted(sizes)


def test_what_was_left_out_is_counted() -> None:
    split = _all(WalkForward(folds=1), horizon=10)[0]
    used = len(split.fit) + len(split.calibrate) + len(split.test)
    assert used + split.purged == 800
    assert split.purged > 20


@pytest.mark.parametrize("count", [2, 5])
def test_too_few_labels_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="use more data"):
        _all(WalkForward(folds=5), count=count, horizon=1)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"folds": 0}, "folds was 0"),
        ({"final": 1.0}, "final was 1"),
        ({"calibrate": float("nan")}, "calibrate was nan"),
        ({"embargo_ms": -1}, "embargo_ms was -1"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(values: dict[str, float], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        WalkForward(**values)  # type: ignore[arg-type]
