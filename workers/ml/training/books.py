"""What `[ml]` would have earned in the test periods by its three ways to score.

The kernel that trades keeps such books in each run (`rules.take_into` says how). Here it goes over
the bars of the histories, and the estimator of each period answers it, as the process of a model
does. Nothing is traded: a book enters and leaves at closes, and pays the costs that labels have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.records import ANSWER, CONTEXT, FEATURES, Array
from pipeline.replay import Driver
from pipeline.vocabulary import BOOKS
from shm import GlobalState
from workers.ml.asking import AskingStrategies
from workers.ml.settings import MlAsking, MlSettings
from workers.ml.training import estimators, features
from workers.ml.training.dataset import Dataset
from workers.ml.training.history import History
from workers.ml.training.splits import Rows
from workers.ta.batch import features_of
from workers.ta.features import FEATURES_VERSION, Windows

Book = dict[str, dict[str, float]]
"""Way to score -> how many trades are over, and what they and an open one have earned in bp."""

_NEVER = 1 << 62
_FINE = 1e8  # ticks in a price that is no multiple of any


class Books:
    """Rows of some histories, and the stage that takes them.

    Attributes:
        rows: Of all histories, by time.
        config: With an instrument for each history, whose round trip costs what labels pay.
    """

    def __init__(
        self, histories: Sequence[History], config: Mapping[str, Any], cost_bp: float
    ) -> None:
        """Compute the rows.

        Args:
            histories: One an instrument.
            config: Resolved; `[ta]` and `[ml]` count.
            cost_bp: Of a round trip.

        Raises:
            StrategyError: `ml.strategy` names none.
        """
        listed = [_listed(index, cost_bp) for index in range(len(histories))]
        ml = {**config["ml"], "model_kind": "skops", "instruments": {}}
        self.config = {**config, "instruments": listed, "ml": ml}
        self._stage = AskingStrategies(self.config)
        rows = [_rows(*each, config["ta"]) for each in enumerate(histories)]
        joined = np.frombuffer(b"".join(each.tobytes() for each in rows), FEATURES)
        self.rows = joined[np.argsort(joined["venue_ns"], kind="stable")]

    def keep(self, estimator: Any, data: Dataset, period: Rows) -> Book:
        """Return the books of a period of `data`, begun in it, in which `estimator` is the model.

        Raises:
            StrategyError: the strategy failed.
        """
        first, last = (int(data.begin_ms[period[at]]) * 1_000_000 for at in (0, -1))
        at = self.rows["venue_ns"]
        rows = self.rows[(at >= first) & (at <= last)]
        asked = rows["valid"] & features.MASK == features.MASK
        answers = np.zeros(int(asked.sum()), ANSWER)
        answers["question_id"] = 1 + np.arange(len(answers))
        answers["instrument"] = rows["instrument"][asked]
        if len(answers):
            values = rows["value"][asked][:, features.FEATURES]
            answers["probability"] = estimators.probability(estimator, values)
        asking = MlAsking(int(features.MASK), _NEVER, _NEVER)
        settings = MlSettings.of(self.config)
        driver = Driver(self._stage, self._stage.kernel_of(settings, asking))
        driver.run(
            self._contexts(rows["instrument"], asked), {"features": rows, "answers": answers}
        )
        # Of all instruments; each has as many as there are ways to score.
        kept = driver.state("books").reshape(-1, len(BOOKS))
        return {
            name: {
                "trades": int(kept["trades"][:, way].sum()),
                "net_bp": float((kept["result_bp"] + kept["open_bp"])[:, way].sum()),
            }
            for way, name in enumerate(BOOKS)
        }

    def _contexts(self, instruments: Array, asked: Array) -> Array:
        """Return the steps: each row, and behind those for which it asks the answer."""
        row = np.repeat(np.arange(len(asked)), 1 + asked)
        is_answer = np.concatenate(([False], row[1:] == row[:-1]))[: len(row)]
        contexts = np.zeros(len(row), CONTEXT)
        contexts["step"] = contexts["now_ns"] = 1 + np.arange(len(row))
        contexts["instrument"] = instruments[row]
        contexts["global"] = GlobalState.CLOSED
        contexts["sequence"] = np.where(is_answer, np.cumsum(is_answer) - 1, row)
        source = self._stage.inputs.index
        contexts["source"] = np.where(is_answer, source("answers"), source("features"))
        return contexts


def _listed(index: int, cost_bp: float) -> dict[str, str]:
    """Return an instrument as a configuration has it, whose round trip costs as much."""
    fee = f"{cost_bp / 2 / 10_000:.8f}"
    return {
        "symbol": f"HISTORY{index}",
        "venue": "sim",
        "base": "HISTORY",
        "quote": "USDT",
        "tick": "0.01",
        "lot": "0.01",
        "min_notional": "0",
        "maker_fee": fee,
        "taker_fee": fee,
    }


def _rows(index: int, history: History, windows: Windows) -> Array:
    """Return the records that ta would publish: of bars with a trade in them, in whole ticks."""
    prices, volumes = history.bars[:, :4], history.bars[:, 4]
    if not np.array_equal(np.rint(prices), prices):
        prices = np.rint(prices * _FINE)
    rows = np.zeros(len(history), FEATURES)
    for segment in history.segments:
        bars = np.column_stack([prices[segment, 1:], volumes[segment]])
        values, rows["valid"][segment] = features_of(bars, windows)
        rows["value"][segment, : values.shape[1]] = values
    rows["instrument"] = index
    rows["version"] = FEATURES_VERSION
    rows["venue_ns"] = history.closed_ms * 1_000_000
    rows["bar"] = 1 + np.arange(len(history))
    rows["close"] = prices[:, 3]
    return rows[volumes > 0]
