"""What the three ways to score would have earned in a test period."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config import Config
from pipeline.replay import Driver
from pipeline.vocabulary import BOOKS
from tests.workers.ml.training.walks import recipe, walk, write
from workers.ml.models import load
from workers.ml.settings import MlSettings
from workers.ml.stage import NATIVE, Strategies
from workers.ml.training import features, history, job
from workers.ml.training.books import Books
from workers.ml.training.dataset import dataset
from workers.ml.training.labels import TripleBarrier

RULE = TripleBarrier(12, 2.0, 22.0)


class Sure:
    """An estimator that always says the same."""

    def __init__(self, rise: float) -> None:
        self.rise = rise

    def predict_proba(self, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.tile([1.0 - self.rise, self.rise], (len(rows), 1))


def test_they_are_those_of_the_model_that_is_written(tmp_path: Path) -> None:
    path = write(walk(3000), tmp_path / "walk.csv")
    config = Config().resolved()
    config["ml"] |= {"enter_bp": 300, "cost_margin_bp": 0}
    work = job.Job(config, (path,), 0, tmp_path / "out", RULE, recipe(), 12)
    metrics = job.run(work, lambda text: None).card.metrics
    # Again, but natively and from the file, as in a run.
    read = history.load(path, config["ta"]["flat_bars"])
    data = dataset([read], lambda each: features.compute(each, config["ta"]), RULE)
    books = Books([read], config, RULE.cost_bp)
    begun = work.recipe.walk.last(data.begin_ms, data.end_ms).test[0]
    rows = books.rows[books.rows["venue_ns"] >= data.begin_ms[begun] * 1_000_000]
    rows = rows[: metrics["final"]["rows"]]
    stage = Driver(
        _stage(books),
        NATIVE["blend"](
            MlSettings.of(books.config),
            _stage(books)._caps(),
            load(tmp_path / "out", features.kernel(config["ta"])).native,
            _stage(books).instruments,
        ),
    )
    for row in range(len(rows)):
        stage.step("features", rows[row : row + 1], now_ns=1 + row)
    kept = stage.state("books")
    told = metrics["final"]["books"]
    assert [told[name]["trades"] for name in BOOKS] == kept["trades"].tolist()
    assert [told[name]["net_bp"] for name in BOOKS] == pytest.approx(
        (kept["result_bp"] + kept["open_bp"]).tolist()
    )
    assert sum(kept["trades"]) > 3
    assert [fold["books"].keys() for fold in metrics["folds"]] == [set(BOOKS)] * 2


def _stage(books: Books) -> Any:
    ml = {**books.config["ml"], "model_kind": "", "model": ""}
    return Strategies({**books.config, "ml": ml})


@pytest.mark.parametrize("scale", [1.0, 1 / 3])
def test_a_model_that_is_sure_trades_and_pays_its_costs(scale: float) -> None:
    like = walk(900)
    steady = np.linspace(100.0, 160.0, 900)[:, None] * np.array([1.0, 1.001, 0.999, 1.0])
    bars = np.column_stack([steady * scale, like.bars[:, 4]])
    rising = history.checked("rising", like.closed_ms, bars, 5)
    config = Config().resolved()
    data = dataset([rising], lambda each: features.compute(each, config["ta"]), RULE)
    period = np.arange(100, len(data))
    results = {}
    for cost_bp in (0.0, 20.0):
        books = Books([rising], config, cost_bp)
        assert books.keep(Sure(0.0), data, period)["ml"] == {"trades": 0, "net_bp": 0.0}
        results[cost_bp] = books.keep(Sure(1.0), data, period)["ml"]
    trades = results[0.0]["trades"]
    assert results[20.0]["trades"] == trades
    # The one that is open pays, too.
    paid = results[0.0]["net_bp"] - results[20.0]["net_bp"]
    assert paid == pytest.approx(20.0 * (trades + 1)) or paid == pytest.approx(20.0 * trades)
    assert results[0.0]["net_bp"] > 0


def test_a_strategy_of_ones_own_is_the_ta_of_its_books(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n\n\nclass Mine:\n    STATE = np.dtype([])\n\n"
        "    def on_features(self, row, state):\n        return 1.0\n"
    )
    config = Config().resolved()
    config["ml"] |= {"strategy": f"{tmp_path / 'mine.py'}:Mine"}
    like = walk(700)
    data = dataset([like], lambda each: features.compute(each, config["ta"]), RULE)
    kept = Books([like], config, 0.0).keep(Sure(1.0), data, np.arange(len(data)))
    assert kept["ta"] == kept["ml"] == kept["blend"]
