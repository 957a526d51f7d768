"""Through the rings of a real segment: the rows are those of the batch, whoever dies meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from shm import Segment
from tests.pipeline.kernels import Desk, assert_same, config, encoded, layout, replayed, walk
from workers.ta.batch import features_of

TRADES_PER_BAR = 2


@pytest.fixture
def desk(name: str) -> Iterator[Desk]:
    resolved = config(ta={"trades_per_bar": TRADES_PER_BAR})
    segment = Segment.create(name, layout(resolved), blobs={"config": encoded(resolved)})
    desk = Desk(segment, resolved)
    yield desk
    desk.end_all()
    segment.close()


def test_rows_on_the_ring_are_those_of_the_batch(desk: Desk) -> None:
    trades = walk(3, 900)
    desk.start("ta")
    for number, (instrument, price, quantity, side) in enumerate(trades):
        if number % 5 == 0:
            assert desk.quote(instrument, price - 1, price + 2)
        assert desk.trade(instrument, price, quantity, side)
        if number in (100, 450, 777):
            desk.settle()
            desk.end("ta")
            desk.start("ta")
    desk.settle()
    emitted = desk.recording["features"]
    again, _ = replayed(desk, "ta")
    assert_same(again["features"], emitted)
    windows = desk.config["ta"]
    for index in range(3):
        mine = [(price, lots, side) for which, price, lots, side in trades if which == index]
        whole = len(mine) // TRADES_PER_BAR * TRADES_PER_BAR
        groups = np.array(mine[:whole]).reshape(-1, TRADES_PER_BAR, 3)
        prices, lots = groups[:, :, 0], groups[:, :, 1]
        bars = np.stack([prices.max(1), prices.min(1), prices[:, -1], lots.sum(1)], axis=1)
        rows = emitted[emitted["instrument"] == index]
        quotes = _quotes_when_closed(trades, index)
        flow = np.column_stack([(lots * groups[:, :, 2]).sum(1), quotes[: len(bars)]])
        values, valid = features_of(bars, windows, flow)
        assert rows["value"][:, : values.shape[1]].tobytes() == values.tobytes()
        assert rows["valid"].tobytes() == valid.tobytes()
        assert len(rows) > 100


def _quotes_when_closed(
    trades: list[tuple[int, int, int, int]], index: int
) -> list[tuple[int, int, int, int]]:
    """Return bid, its quantity, ask and its quantity of an instrument when each bar closed."""
    latest, found, seen = (0, 0, 0, 0), [], 0
    for number, (instrument, price, _, _) in enumerate(trades):
        if instrument != index:
            continue
        if number % 5 == 0:
            latest = (price - 1, 500, price + 2, 400)
        seen += 1
        if seen % TRADES_PER_BAR == 0:
            found.append(latest)
    return found
