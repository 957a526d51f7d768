from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.ml.training.weights import balanced, uniqueness


def test_labels_apart_from_each_other_are_unique() -> None:
    assert uniqueness(np.array([0, 5]), np.array([5, 9]), 10).tolist() == [1.0, 1.0]


def test_two_labels_over_the_same_bars_count_half_each() -> None:
    assert uniqueness(np.array([3, 3]), np.array([7, 7]), 10).tolist() == [0.5, 0.5]


def test_a_label_that_overlaps_in_part_counts_in_between() -> None:
    # Bars 1 2 3 4 and 3 4 5 6: two of four are shared.
    assert uniqueness(np.array([0, 2]), np.array([4, 6]), 10).tolist() == [0.75, 0.75]


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 10)), min_size=1, max_size=30).map(sorted)
)
def test_it_is_what_the_definition_says(spans: list[tuple[int, int]]) -> None:
    first = np.array([begin for begin, _ in spans])
    last = np.array([begin + length for begin, length in spans])
    found = uniqueness(first, last, 41)
    for label, value in enumerate(found):
        shares = [
            1 / sum(a < bar <= b for a, b in zip(first, last, strict=True))
            for bar in range(first[label] + 1, last[label] + 1)
        ]
        assert value == pytest.approx(sum(shares) / len(shares), rel=1e-12)


def test_balanced_classes_have_the_same_sum_and_the_mean_is_one() -> None:
    up = np.array([True, False, False, False])
    weights = balanced(np.array([0.5, 1.0, 0.5, 0.5]), up)
    assert weights[up].sum() == pytest.approx(weights[~up].sum())
    assert weights.mean() == pytest.approx(1.0)


@pytest.mark.parametrize("up", [True, False])
def test_one_class_alone_is_refused(up: bool) -> None:
    with pytest.raises(ValueError, match="must be of both kinds"):
        balanced(np.ones(3), np.full(3, up))
