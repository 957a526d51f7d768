"""What the pipeline is given to do: a configuration that trades all the time, and records."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from pipeline import affinity
from pipeline.config.model import Config
from pipeline.records import MARKET, QUOTE, Array
from pipeline.topology import PIPELINE
from workers.exchange import market
from workers.exchange.listing import listings_from

SETTINGS: dict[str, Any] = {
    "equity": "1000000000",
    "ta": {"trades_per_bar": 1, "fast": 1, "slow": 2, "rsi": 1, "atr": 1},
    # A position is held for some trades only: its stop and target, 100 ranges away,
    # are hardly ever hit.
    "ml": {
        "strategy": "moving-average",
        "model": "",
        "cost_margin_bp": 0,
        "kelly_bp": 0,
        "volatility_target_bp": 0,
        "order_notional": "1000",
        "stop_atr_bp": 1_000_000,
        "target_atr_bp": 1_000_000,
        "ttl_ms": 3_600_000,
    },
    "risk": {
        "position_bp": 10_000,
        "stale_ms": 600_000,
        "stop_distance_bp": 10_000,
        "drawdown_bp": 10_000,
        "open_orders": 1000,
        "symbol_orders": 15,
        "state_stale_ms": 600_000,
        "order_notional": "0",
        **dict.fromkeys(("gross", "directional", "venue", "asset_class"), "0"),
        **dict.fromkeys(("daily_loss", "weekly_loss", "monthly_loss"), "0"),
        **dict.fromkeys(
            (
                *("leverage_bp", "margin_bp", "positions", "per_symbol", "correlated"),
                *("slippage_bp", "spread_factor", "jump_bp", "dup_count", "repeated"),
                *("strategy_rate", "symbol_rate", "venue_rate", "global_rate"),
                *("risk_bp", "losses", "stop_cooldown_s"),
            ),
            0,
        ),
    },
}
"""A bar at each trade, an intent at each turn of a price, and limits that none of them meets."""


def configuration(name: str, wait: str = "auto", state_dir: str = "/") -> dict[str, Any]:
    """Return the resolved configuration, with the CPUs of the feed and the stages."""
    given = {**SETTINGS, "name": name, "state_dir": state_dir, "pipeline": {"wait": wait}}
    config = Config.model_validate(given).resolved()
    placed = affinity.resolve({}, PIPELINE, sorted(os.sched_getaffinity(0)))
    config["affinity"] = {process: list(cpus) for process, cpus in placed.cpus.items()}
    return config


def market_records(config: dict[str, Any], count: int) -> Array:
    """Return the first `count` records of the simulated market, without times."""
    exchange = config["exchange"]
    source = market.SeededMarket(
        listings_from(config["instruments"]), exchange["seed"], exchange["volatility_bp"]
    )
    events = source.events(1, count)
    records = np.zeros(count, MARKET)
    for name in ("instrument", "kind", "aggressor", "price", "quantity"):
        records[name] = events[name]
    for name in ("bid", "bid_quantity", "ask", "ask_quantity"):
        records[name] = events[name]
    is_trade = events["kind"] == market.TRADE
    records["venue_sequence"] = np.where(is_trade, events["trade_id"], events["update_id"])
    records["position"] = events["index"]
    records["sequence"] = records["cause_step"] = np.arange(count)
    return records


def due_times(count: int, rate: int, start_ns: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return when each of `count` records is due, in ns, as `workers.exchange.pacing` has it."""
    nanoseconds: np.ndarray[Any, np.dtype[np.int64]] = start_ns + -(
        -np.arange(count) * 1_000_000_000 // rate
    )
    return nanoseconds


def quotes_after(records: Array) -> Array:
    """Return the row of its instrument in the table of quotes after each of the records."""
    rows = np.zeros(len(records), QUOTE)
    latest = np.zeros(int(records["instrument"].max(initial=0)) + 1, QUOTE)
    fields = ["bid", "bid_quantity", "ask", "ask_quantity", "received_ns"]
    is_quote = (records["kind"] == market.QUOTE).tolist()
    for place, instrument in enumerate(records["instrument"].tolist()):
        if is_quote[place]:
            for name in fields:
                latest[name][instrument] = records[name][place]
        rows[place] = latest[instrument]
    rows["link_ns"] = records["received_ns"]
    return rows
