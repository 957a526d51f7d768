from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config import Config
from tests.workers.ml.training.walks import recipe, walk, write
from tests.workers.ta.market import BARS, SHORT
from workers.ml.models import load, read_manifest
from workers.ml.training import features
from workers.ml.training.canary import LeakError
from workers.ml.training.dataset import Computed
from workers.ml.training.error import TrainingError
from workers.ml.training.estimators import KINDS, Kind
from workers.ml.training.history import History
from workers.ml.training.job import Job, run, steps
from workers.ml.training.labels import TripleBarrier

_CONFIG: dict[str, Any] = {**Config().resolved(), "ta": {**BARS, **SHORT}}
_RULE = TripleBarrier(horizon=12, atr=2.0, cost_bp=2.0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(walk(1500), tmp_path / "walk.csv")


def _job(file: Path, out: str = "model", kind: Kind = "lr") -> Job:
    folder = file.parent / out
    return Job(_CONFIG, (file,), 0, folder, _RULE, recipe(kind, folds=1), _RULE.horizon)


def _quiet(text: str) -> None:
    pass


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_job_makes_the_same_model(file: Path, kind: Kind) -> None:
    first, second = (run(_job(file, out, kind), _quiet) for out in ("one", "two"))
    assert first == second
    written = [(file.parent / out / "model.npz").read_bytes() for out in ("one", "two")]
    assert written[0] == written[1]
    assert first.kind == kind
    assert first.check.rows >= 20_000
    assert first.check.max_abs_diff <= first.check.tolerance


def test_what_is_written_is_loaded_for_the_kernel_that_it_was_made_with(file: Path) -> None:
    told: list[str] = []
    job = _job(file)
    run(job, told.append)
    assert len(told) == steps(job)
    model = load(job.out, features.kernel(SHORT))
    rows = np.random.default_rng(1).uniform(-1, 1, (5, len(features.kernel(SHORT).features)))
    probabilities, neutral = model.evaluate(rows, np.full(5, np.uint64(2**64 - 1)))
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    assert probabilities.min() < probabilities.max()
    assert not neutral.any()


def test_the_card_says_what_was_done(file: Path) -> None:
    job = _job(file)
    card = run(job, _quiet).card
    assert card == read_manifest(job.out).card
    assert card.features == features.NAMES
    assert card.data["histories"][0]["name"] == "walk.csv"
    assert (card.data["bar"], card.data["interval_ms"]) == ("time", 60_000)
    assert card.data["windows"] == SHORT
    assert card.data["rows"] == sum(card.data[key] for key in ("labels", "neutral", "ambiguous"))
    assert card.labels == {"kind": "triple-barrier", "horizon": 12, "atr": 2.0, "cost_bp": 2.0}
    assert card.splits["embargo_ms"] == 12 * 60_000
    fold, final = card.splits["periods"]
    assert fold["fit"]["to"] < fold["calibrate"]["from"] < fold["calibrate"]["to"]
    assert fold["calibrate"]["to"] < fold["test"]["from"] < final["test"]["from"]
    assert card.calibration["to"] == final["calibrate"]["to"]
    assert set(card.metrics["importance"]) == set(features.NAMES)
    assert card.metrics["canary"]["z"] < card.metrics["canary"]["limit"]


def test_a_second_trial_on_the_same_data_makes_the_final_figure_worth_less(file: Path) -> None:
    job = _job(file)
    first = run(job, _quiet).card.metrics
    again = run(job, _quiet).card.metrics
    other = run(replace(job, recipe=replace(job.recipe, threshold=0.2)), _quiet).card.metrics
    assert [each["trials"] for each in (first, again, other)] == [1, 1, 2]
    assert first["final"]["z"] == other["final"]["z"]
    once = first["final"]["p_value"]
    assert other["final"]["p_value"] == pytest.approx(1 - (1 - once) ** 2)


def test_with_a_leak_nothing_is_written_and_the_final_test_not_looked_at(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = features.compute

    def leaky(history: History, windows: Any) -> Computed:
        found = honest(history, windows)
        return replace(found, values=np.roll(found.values, -3, axis=0))

    monkeypatch.setattr(features, "compute", leaky)
    with pytest.raises(LeakError, match="no model was written"):
        run(_job(write(walk(6000), file)), _quiet)
    assert not (file.parent / "model").exists()


def test_histories_of_several_intervals_are_refused(file: Path) -> None:
    slow = walk(200)
    other = write(
        replace(slow, closed_ms=slow.closed_ms * 5, interval_ms=300_000), file.parent / "b.csv"
    )
    job = replace(_job(file), files=(file, other))
    with pytest.raises(TrainingError, match=r"b\.csv: interval was 300000 ms, must be 60000 ms"):
        run(job, _quiet)


def test_too_little_data_is_refused(file: Path) -> None:
    short = functools.partial(run, progress=_quiet)
    with pytest.raises(TrainingError, match="use more data"):
        short(_job(write(walk(60), file)))
    with pytest.raises(TrainingError, match=r"labels of walk\.csv were none"):
        short(_job(write(walk(12), file)))


def test_several_instruments_are_learnt_from_together(file: Path) -> None:
    other = write(walk(1500, seed=2), file.parent / "b.csv")
    one = run(_job(file, "one"), _quiet).card.data
    both = run(replace(_job(file, "both"), files=(file, other)), _quiet).card.data
    assert both["rows"] > 1.8 * one["rows"]
    # They may tell the same story.
    assert both["effective"] < 1.2 * one["effective"]
