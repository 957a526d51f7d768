from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.workers.ml.training.walks import labelled
from workers.ml.training.error import TrainingError
from workers.ml.training.metrics import auc_error, judge, p_value

_ROWS = np.arange(400)


def test_what_always_knows_has_an_auc_of_one_and_what_guesses_of_a_half() -> None:
    data = labelled(400, skill=1.0)
    knows = np.where(data.up, 0.9, 0.1)
    assert judge(knows, data, _ROWS, 0.1).auc == 1.0
    guesses = judge(np.full(400, 0.5), data, _ROWS, 0.1)
    assert guesses.auc == 0.5
    assert guesses.z == 0.0
    assert guesses.trades == 0
    assert guesses.net_bp == 0.0


def test_returns_count_what_was_not_decided_and_other_figures_do_not() -> None:
    data = labelled(400, skill=1.0)
    metrics = judge(np.where(data.up, 0.9, 0.1), data, _ROWS, 0.1)
    decided = int(data.decided.sum())
    assert (metrics.rows, metrics.labels, metrics.trades) == (400, decided, 400)
    # Each decided one earns 100 bp, and each of all costs 10.
    assert metrics.net_bp == pytest.approx(100.0 * decided / 400 - 10.0)
    assert metrics.accuracy == 1.0
    assert metrics.brier == pytest.approx(0.01)
    assert metrics.log_loss == pytest.approx(-np.log(0.9))


def test_a_signal_below_the_threshold_is_no_trade() -> None:
    data = labelled(400, skill=1.0)
    probability = np.where(np.arange(400) < 100, 0.6, 0.54)
    assert judge(probability, data, _ROWS, 0.1).trades == 100


def test_the_error_of_an_auc_is_that_of_shuffled_outcomes() -> None:
    from sklearn.metrics import roc_auc_score

    random = np.random.default_rng(5)
    up = np.arange(150) < 60
    found = [roc_auc_score(random.permutation(up), np.arange(150)) for _ in range(400)]
    assert auc_error(60, 90) == pytest.approx(np.std(found), rel=0.15)


def test_instruments_that_move_together_tell_less() -> None:
    data = labelled(400, skill=0.5)
    probability = 0.5 + 0.01 * data.values[:, 0]
    alone = judge(probability, data, _ROWS, 0.1)
    both = judge(probability, replace(data, together=2), _ROWS, 0.1)
    assert both.auc == alone.auc
    assert both.effective == alone.effective / 2
    assert both.z == pytest.approx(alone.z / np.sqrt(2), rel=0.01)


def test_one_class_alone_cannot_be_judged() -> None:
    data = labelled(400, skill=0.5)
    with pytest.raises(TrainingError, match="were of one kind; use more data"):
        judge(np.full(400, 0.5), replace(data, outcome=np.ones(400, np.int8)), _ROWS, 0.1)


def test_the_best_of_many_trials_is_worth_less() -> None:
    assert p_value(1.6449) == pytest.approx(0.05, rel=1e-3)
    assert p_value(1.6449, trials=10) == pytest.approx(1 - 0.95**10, rel=1e-3)
    assert p_value(-40.0, trials=3) == 1.0
