"""Histories from the seeded market of the simulated exchange, with the bars that are traded there.

So the model of `make run` can be made again by anybody, from nothing but a seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.exchange.listing import Listing, listings_from
from workers.exchange.market import TRADE, Events, SeededMarket
from workers.ml.training.error import TrainingError
from workers.ml.training.history import History

MOST_BARS = 1_000_000

_CHUNK = 1 << 18  # events


def simulated(config: Mapping[str, Any], seed: int, bars: int) -> list[History]:
    """Return so many bars of each instrument of venue "sim", in its order.

    The market has no clock of its own: a history's milliseconds are the numbers of its events.

    Args:
        config: The resolved configuration, of which `instruments`, `exchange` and `ta` count.
        seed: Of the market, in the place of `exchange.seed`.
        bars: Of each instrument.

    Raises:
        TrainingError: bars are not those of ticks, or their number cannot be.
        ListingError: the exchange cannot list an instrument.
    """
    settings = config["ta"]
    if settings["bar"] != "tick":
        raise TrainingError(
            f"ta.bar was {settings['bar']}, must be tick: the simulated market has no clock, so it "
            "has no other bars to learn from"
        )
    if not 2 <= bars <= MOST_BARS:
        raise TrainingError(f"bars were {bars}, must be from 2 to {MOST_BARS}")
    listings = listings_from(config["instruments"])
    market = SeededMarket(listings, seed, config["exchange"]["volatility_bp"])
    wanted = bars * settings["trades_per_bar"]
    trades = _trades(market, len(listings), wanted)
    return [
        _history(listing, found, settings["trades_per_bar"])
        for listing, found in zip(listings, trades, strict=True)
    ]


def _trades(market: SeededMarket, instruments: int, wanted: int) -> list[Events]:
    """Return the first so many trades of each instrument."""
    parts: list[list[Events]] = [[] for _ in range(instruments)]
    counts = np.zeros(instruments, np.int64)
    first = 1
    while counts.min() < wanted:
        events = market.events(first, _CHUNK)
        events = events[events["kind"] == TRADE]
        for index, kept in enumerate(parts):
            own = events[events["instrument"] == index]
            kept.append(own)
            counts[index] += len(own)
        first += _CHUNK
    return [np.concatenate(kept)[:wanted] for kept in parts]


def _history(listing: Listing, trades: Events, in_a_bar: int) -> History:
    """Return the tick bars of an instrument; prices in ticks, volumes in lots."""
    prices: npt.NDArray[np.float64] = trades["price"].reshape(-1, in_a_bar).astype(np.float64)
    volumes = trades["quantity"].reshape(-1, in_a_bar).sum(axis=1)
    closed = trades["index"].reshape(-1, in_a_bar)[:, -1].astype(np.int64)
    columns: Sequence[npt.NDArray[np.float64]] = (
        prices[:, 0],
        prices.max(axis=1),
        prices.min(axis=1),
        prices[:, -1],
        volumes.astype(np.float64),
    )
    return History(
        name=listing.symbol,
        interval_ms=int(np.median(np.diff(closed))),
        closed_ms=closed,
        bars=np.column_stack(columns),
        segment=np.zeros(len(closed), np.int64),
        is_dated=False,
    )
