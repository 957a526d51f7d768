"""Types of the native kernels, each of which is explained in the folder of its stage."""

from collections.abc import Iterable
from typing import Any

from pipeline.instruments import Instrument

def layouts() -> dict[str, Any]: ...
def technical_analysis(
    *,
    trades_per_bar: int,
    fast: int,
    slow: int,
    rsi: int,
    atr: int,
    instruments: Iterable[Instrument],
) -> object: ...
def moving_average(
    *,
    weight_bp: int,
    threshold_bp: int,
    order_notional_e8: int,
    stop_atr_bp: int,
    ttl_ns: int,
    instruments: Iterable[Instrument],
) -> object: ...
def risk(
    *,
    equity_e8: int,
    position_bp: int,
    stale_ns: int,
    stop_distance_bp: int,
    drawdown_bp: int,
    open_orders: int,
    venue_masks: Iterable[int],
    strategy_mask: int,
    instruments: Iterable[Instrument],
) -> object: ...
def paper_executor(
    *,
    slippage_bp: int,
    venue_masks: Iterable[int],
    strategy_mask: int,
    instruments: Iterable[Instrument],
) -> object: ...

class Publisher:
    """Publishes market records exactly once; see `feed/native/publisher.hpp`."""

    def __init__(
        self,
        *,
        market: object,
        ta: object,
        ticks: object,
        quotes: object,
        latency: object,
        words: object,
    ) -> None: ...
    def trade(
        self,
        instrument: int,
        price: int,
        quantity: int,
        aggressor: int,
        venue_ns: int,
        received_ns: int,
        venue_sequence: int,
        position: int,
    ) -> bool: ...
    def quote(
        self,
        instrument: int,
        bid: int,
        bid_quantity: int,
        ask: int,
        ask_quantity: int,
        venue_ns: int,
        received_ns: int,
        venue_sequence: int,
        position: int,
    ) -> bool: ...
    def heard(self, ns: int) -> None: ...
    def has_room(self) -> bool: ...
    @property
    def published(self) -> int: ...
    @property
    def position(self) -> int: ...
