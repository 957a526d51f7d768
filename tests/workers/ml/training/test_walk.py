from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.workers.ml.training.walks import labelled, recipe
from workers.ml.training import walk
from workers.ml.training.error import TrainingError
from workers.ml.training.estimators import METHODS, Method, probability


def test_what_there_is_to_learn_is_found_in_each_fold() -> None:
    told: list[str] = []
    trained = walk.train(labelled(3000, skill=1.0), recipe(folds=3), told.append)
    assert len(told) == walk.steps(recipe(folds=3)) == 4
    assert len(trained.folds) == 3
    assert all(period.auc > 0.7 for period in (*trained.folds, trained.final))
    assert trained.final.z > 10


def test_where_there_is_nothing_nothing_is_found() -> None:
    trained = walk.train(labelled(3000, skill=0.0), recipe(), lambda _: None)
    assert all(abs(period.z) < 3 for period in (*trained.folds, trained.final))


def test_the_feature_that_tells_is_the_important_one() -> None:
    trained = walk.train(labelled(3000, skill=1.0), recipe(), lambda _: None)
    telling, idle = trained.importance
    assert telling > 0.05 > abs(idle)
    assert not walk.train(
        labelled(3000, skill=1.0), recipe(), lambda _: None, importance=False
    ).importance


@pytest.mark.parametrize("method", METHODS)
def test_probabilities_are_what_they_say(method: Method) -> None:
    data = labelled(6000, skill=1.0)
    made = replace(recipe(), method=method)
    trained = walk.train(data, made, lambda _: None)
    rows = trained.splits[-1].test
    said, up = probability(trained.estimator, data.values[rows]), data.up[rows]
    decided = data.decided[rows]
    for low, high in ((0.0, 0.3), (0.3, 0.7), (0.7, 1.0)):
        within = (said >= low) & (said <= high) & decided
        assert up[within].mean() == pytest.approx(said[within].mean(), abs=0.08)


def test_what_is_not_decided_is_not_learnt_from() -> None:
    data = labelled(3000, skill=1.0)
    other = replace(data, values=np.where(data.decided[:, None], data.values, 99.0))
    first, second = (walk.train(each, recipe(), lambda _: None) for each in (data, other))
    rows = data.values[:50]
    assert np.array_equal(probability(first.estimator, rows), probability(second.estimator, rows))


def test_what_comes_after_a_period_changes_nothing_of_it() -> None:
    data = labelled(3000, skill=1.0)
    trained = walk.train(data, recipe(), lambda _: None)
    later = np.arange(3000) >= trained.splits[-1].test[0]
    other = replace(data, outcome=np.where(later, -data.outcome, data.outcome).astype(np.int8))
    again = walk.train(other, recipe(), lambda _: None)
    assert again.folds == trained.folds
    assert again.final != trained.final


@pytest.mark.parametrize("field", ["threshold", "seed"])
def test_a_recipe_that_cannot_be_is_refused(field: str) -> None:
    with pytest.raises(TrainingError, match=f"{field} was -1"):
        replace(recipe(), **{field: -1})  # type: ignore[arg-type]
