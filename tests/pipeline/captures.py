"""Small captured markets, one a venue, in the formats of real ones."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.records import MARKET
from pipeline.vocabulary import MarketKind
from tests.pipeline.supervisor.started import PATIENCE_S, Started
from tests.workers.feed import frames as f
from workers.feed.capture import merged
from workers.feed.check import check, learn
from workers.feed.decoding import QuoteSource
from workers.feed.survey import Steps

SYMBOLS = {"binance": "BTCUSDT", "kraken": "BTC/USD", "coinbase": "BTC-USD"}
EVERY_NS = 1_000_000
FIELDS = [
    *("kind", "instrument", "venue_ns", "aggressor", "price", "quantity"),
    *("bid", "bid_quantity", "ask", "ask_quantity", "venue_sequence"),
]


def _price(step: int) -> str:
    """A price that goes up and down, so that averages cross."""
    return f"{100 + abs(step % 60 - 30) / 10:.1f}"


def _binance(steps: int, *, snapshot: bool) -> list[str]:
    texts = [f.binance_depth(2, 3, [("90.00", "1.5")])]
    if snapshot:
        texts.append(f.binance_snapshot(1, [("99.90", "1")], [("200.10", "1")]))
    for step in range(1, steps + 1):
        bid, ask = float(_price(step)) - 0.01, float(_price(step)) + 0.01
        texts.append(f.binance_ticker(10 * step, f"{bid:.2f}", f"{ask:.2f}"))
        texts.append(f.binance_trade(step, f"{_price(step)}0"))
    return texts


def _kraken(steps: int, *, snapshot: bool) -> list[str]:
    bids, asks = (("101.4", "1.00000000"),), (("101.6", "1.00000000"),)
    texts = ['{"channel":"heartbeat"}']
    if snapshot:
        texts.append(f.kraken_book("snapshot", bids, asks, f.kraken_crc(bids, asks)))
    for step in range(1, steps + 1):
        bids = (("101.4", f"{step}.00000000"),)
        texts.append(f.kraken_book("update", bids, (), f.kraken_crc(bids, asks)))
        # Three in a message, so that it can be cut in two.
        ids = range(3 * step, 3 * step + 3)
        texts.append(f.kraken_trade(*ids).replace('"price":100.1', f'"price":{_price(step)}'))
    return texts


def _coinbase(steps: int, *, snapshot: bool) -> list[str]:
    first = (("bid", "101.4", "1"), ("offer", "101.6", "1"))
    texts = [f.coinbase_book(0, "snapshot", *first)] if snapshot else [f.coinbase_heartbeat(0)]
    for step in range(1, steps + 1):
        texts.append(f.coinbase_book(2 * step - 1, "update", ("bid", "101.4", str(step))))
        trades = f.coinbase_trades(2 * step, 2 * step, 2 * step + 1)
        texts.append(trades.replace("100.01", _price(step)))
    return texts


_TEXTS = {"binance": _binance, "kraken": _kraken, "coinbase": _coinbase}


def written(folder: Path, venue: str, steps: int, *, snapshot: bool = True) -> Path:
    """Write a capture: Binance's with times, the others of bare frames."""
    texts = _TEXTS[venue](steps, snapshot=snapshot)
    if venue != "binance":
        path = folder / f"{venue}.jsonl"
        path.write_text("".join(f"{text}\n" for text in texts))
        return path
    path = folder / "binance.jsonl.gz"
    lines = (f"{10**18 + at * EVERY_NS} {text}\n" for at, text in enumerate(texts))
    path.write_bytes(gzip.compress("".join(lines).encode()))
    return path


def expected(venue: str, *paths: Path) -> Any:
    """Return the trades and quotes that the check makes of a capture."""
    learnt = learn(venue, merged(paths), Steps())
    quotes = QuoteSource.TICKER if venue == "binance" else QuoteSource.BOOK
    events = check(venue, paths, quotes=quotes, keep_events=True, learnt=learnt).events
    kinds = (MarketKind.TRADE, MarketKind.QUOTE)
    return [tuple(getattr(each, name) for name in FIELDS) for each in events if each.kind in kinds]


def told(records: Any) -> Any:
    """Return the trades and quotes among market records, as `expected`."""
    of_the_market = np.isin(records["kind"], [MarketKind.TRADE, MarketKind.QUOTE])
    return records[of_the_market][FIELDS].tolist()


def ended(run: Started, code: int = 0) -> tuple[Any, str, str]:
    """Wait for the end of a run; return its market records, and what it printed."""
    segment = run.segment  # which is here for as long as it is attached
    out, errors = run.process.communicate(timeout=PATIENCE_S)
    assert run.process.returncode == code, errors
    follower = segment.ring_follower("market")
    try:
        records = np.zeros(follower.published, MARKET)
        follower.seek(0)
        assert follower.read(records) == (len(records), 0)
    finally:
        follower.close()
    return records, out, errors
