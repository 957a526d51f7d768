from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.workers.ta.market import BARS, SHORT
from workers.exchange.listing import ListingError, listings_from
from workers.exchange.market import TRADE, SeededMarket
from workers.ml.training.error import TrainingError
from workers.ml.training.simulated import simulated
from workers.native import layouts
from workers.ta.reference.bars import BarBuilder


def _config(**ta: Any) -> dict[str, Any]:
    return {
        "instruments": [
            {"symbol": symbol, "venue": "sim", "tick": "0.01", "lot": "0.001", "price": "100"}
            for symbol in ("AUSDT", "BUSDT")
        ],
        "exchange": {"volatility_bp": 2},
        "ta": {**BARS, **SHORT, "trades_per_bar": 5, **ta},
    }


def test_bars_are_those_that_the_stage_builds() -> None:
    config = _config()
    histories = simulated(config, seed=3, bars=200)
    assert [history.name for history in histories] == ["AUSDT", "BUSDT"]
    market = SeededMarket(listings_from(config["instruments"]), 3, 2)
    builder = BarBuilder(config["ta"])
    states = np.zeros(2, layouts["BarState"])
    built: list[list[list[int]]] = [[], []]
    record = np.zeros(1, [(name, "<i8") for name in _FIELDS])
    for event in market.events(1, 6000):
        if event["kind"] == TRADE:
            record[0] = (event["trade_id"], 0, event["price"], event["quantity"], 1)
            index = int(event["instrument"])
            if (bar := builder.take_trade(record[0], states[index]).bar) is not None:
                built[index].append([bar.high, bar.low, bar.close, bar.volume])
    for history, bars in zip(histories, built, strict=True):
        assert history.bars[:, 1:].tolist() == bars[:200]
        assert (np.diff(history.closed_ms) > 0).all()


_FIELDS = ("venue_sequence", "venue_ns", "price", "quantity", "aggressor")


def test_a_seed_has_its_market() -> None:
    first, again, other = (simulated(_config(), seed, 50)[0].bars for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_more_bars_begin_with_the_same_ones() -> None:
    few, many = (simulated(_config(), 1, bars)[1] for bars in (50, 80))
    assert np.array_equal(few.bars, many.bars[:50])


def test_what_cannot_be_simulated_is_named() -> None:
    with pytest.raises(TrainingError, match=r"ta\.bar was time, must be tick"):
        simulated(_config(bar="time"), 1, 50)
    with pytest.raises(TrainingError, match="bars were 1, must be from 2"):
        simulated(_config(), 1, 1)
    with pytest.raises(ListingError, match="must be at least one"):
        simulated({**_config(), "instruments": []}, 1, 50)
