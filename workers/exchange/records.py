"""What a feed must have published of the simulated market, for whoever checks it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.records import MARKET, Array
from workers.exchange.listing import listings_from
from workers.exchange.market import TRADE, SeededMarket
from workers.exchange.wire import EPOCH_US


def market_records(config: Mapping[str, Any], count: int) -> Array:
    """Return the market's first `count` events as market records, all but their local times.

    `config` is a resolved configuration of which all instruments are on the simulator.
    """
    exchange = config["exchange"]
    market = SeededMarket(
        listings_from(config["instruments"]), exchange["seed"], exchange["volatility_bp"]
    )
    events = market.events(1, count)
    is_trade = events["kind"] == TRADE
    records = np.zeros(count, MARKET)
    for name in ("instrument", "kind", "aggressor", "price", "quantity"):
        records[name] = events[name]
    for name in ("bid", "bid_quantity", "ask", "ask_quantity"):
        records[name] = events[name]
    records["sequence"] = records["cause_step"] = np.arange(count)
    records["position"] = events["index"]
    records["venue_sequence"] = np.where(is_trade, events["trade_id"], events["update_id"])
    # The venue dates its trades only, in us.
    times = EPOCH_US + events["index"].astype(np.int64) * 1_000_000 // exchange["rate"]
    records["venue_ns"] = np.where(is_trade, times * 1_000, 0)
    return records
