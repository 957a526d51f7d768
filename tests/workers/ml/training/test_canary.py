from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np
import pytest

from tests.workers.ml.training.walks import recipe, walk
from tests.workers.ta.market import SHORT
from workers.ml.training import features
from workers.ml.training.canary import LeakError, listen, random_walk
from workers.ml.training.dataset import Computed
from workers.ml.training.history import History
from workers.ml.training.labels import TripleBarrier
from workers.ml.training.splits import Rows, Split, WalkForward

_RULE = TripleBarrier(horizon=12, atr=2.0, cost_bp=2.0)
_HONEST = functools.partial(features.compute, windows=SHORT)


def _quiet(text: str) -> None:
    pass


def _late_by(bars: int, history: History) -> Computed:
    """Return features that are those of later bars, as a wrong join makes them."""
    honest = _HONEST(history)
    values = np.roll(honest.values, -bars, axis=0)
    valid = honest.valid & np.roll(honest.valid, -bars)
    valid[-bars:] = False
    return replace(honest, values=values, valid=valid)


@dataclass(frozen=True, slots=True)
class _Shuffled(WalkForward):
    """Splits as for rows that are independent, which labels that overlap are not."""

    def _split(self, begin_ms: Rows, end_ms: Rows, begin: int, end: int | None) -> Split:
        rows = np.random.default_rng(begin % 1000).permutation(len(begin_ms))
        fit, calibrate, test = np.split(rows, [len(rows) * 6 // 10, len(rows) * 8 // 10])
        return Split(np.sort(fit), np.sort(calibrate), np.sort(test), 0)


def test_the_features_of_the_pipeline_foretell_no_random_walk() -> None:
    song = listen([walk(3000)], _HONEST, _RULE, recipe(), _quiet)
    assert abs(song.z) < song.limit
    assert abs(song.auc - 0.5) < 0.1
    assert song.clock_auc == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("bars", [1, 3])
def test_a_feature_that_sees_the_future_is_heard(bars: int) -> None:
    leaky = functools.partial(_late_by, bars)
    with pytest.raises(LeakError, match=r"AUC on random walks was 0\.\d+, .* no model was written"):
        listen([walk(6000)], leaky, _RULE, recipe(), _quiet)


def test_splits_that_let_labels_overlap_are_heard() -> None:
    shuffled = replace(recipe(), walk=_Shuffled(folds=1))
    with pytest.raises(LeakError):
        listen([walk(3000)], _HONEST, _RULE, shuffled, _quiet)


def test_several_walks_do_not_know_of_each_other_and_are_bounded_together() -> None:
    like = [walk(3000), walk(3000)]
    assert len(random_walk(like[0], [1, 0], 500)) == 500
    first, second = (random_walk(like[0], [1, i]) for i in range(2))
    assert abs(np.corrcoef(np.diff(first.bars[:, 3]), np.diff(second.bars[:, 3]))[0, 1]) < 0.1
    assert np.std(np.diff(np.log(first.bars[:, 3]))) == pytest.approx(0.002, rel=0.1)


def test_a_seed_has_its_walk() -> None:
    bars = [random_walk(walk(200), seed).bars for seed in (1, 1, 2)]
    assert np.array_equal(bars[0], bars[1])
    assert not np.array_equal(bars[0], bars[2])
