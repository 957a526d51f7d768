"""The tables `[ta]` and `[ml]`: from bars to features, and from these to what is asked of risk."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from pipeline.config.table import Table
from pipeline.config.values import (
    WHOLE_BP,
    Amount,
    BasisPoints,
    Period,
    PositiveBasisPoints,
    pattern,
)

PACKAGED = "packaged"
"""For `ml.model`: the one in workers/ml/default, of the simulated market."""


# As long as the state of ta keeps what they look at: workers/ta/native/windows.hpp.
LongWindow = Annotated[int, Field(ge=1, le=256)]
Window = Annotated[int, Field(ge=1, le=64)]


class TechnicalAnalysis(Table):
    """Bars and indicators; all from `fast` on are windows, in bars."""

    bar: str = Field(default="tick", description='"tick", "time" or "volume"')
    trades_per_bar: int = Field(default=20, ge=1, le=1_000_000, description="trades in a tick bar")
    interval_ms: int = Field(
        default=60_000, ge=1, le=7 * 86_400_000, description="length of a time bar, ms"
    )
    lots_per_bar: int = Field(
        default=100_000, ge=1, le=1 << 53, description="least volume of a volume bar, lots"
    )
    flat_bars: int = Field(
        default=10, ge=0, le=1000, description="most intervals without trades that are bridged"
    )
    correlation_ms: int = Field(
        default=60_000, ge=1, le=86_400_000, description="between two samples of correlations, ms"
    )
    fast: LongWindow = Field(default=5, description="fast moving average")
    slow: LongWindow = Field(default=20, description="slow moving average")
    macd_fast: Period = Field(default=12, description="fast average of the MACD")
    macd_slow: Period = Field(default=26, description="slow average of the MACD")
    macd_signal: Period = Field(default=9, description="signal line of the MACD")
    rsi: Period = Field(default=14, description="RSI; 14 is Wilder's")
    bollinger: Window = Field(default=20, description="Bollinger bands, 2 deviations wide")
    atr: Period = Field(default=14, description="ATR; 14 is Wilder's")
    adx: Period = Field(default=14, description="ADX and DI; 14 is Wilder's")
    stochastic: Window = Field(default=14, description="stochastic oscillator, %K")
    stochastic_signal: Window = Field(default=3, description="its signal, %D")
    vwap: Window = Field(default=14, description="mean price and volume, weighted by volume")
    cci: Window = Field(default=20, description="CCI")
    mfi: Window = Field(default=14, description="MFI")
    keltner: Window = Field(default=10, description="Keltner channel")
    donchian: Window = Field(default=20, description="Donchian channel")
    roc: Window = Field(default=12, description="rate of change")
    williams: Window = Field(default=14, description="Williams %R")
    volatility: Window = Field(default=20, description="realised volatility")

    @field_validator("bar")
    @classmethod
    def _is_a_kind(cls, bar: str) -> str:
        if bar not in ("tick", "time", "volume"):
            raise ValueError("must be one of tick, time, volume")
        return bar

    @field_validator("macd_slow")
    @classmethod
    def _is_slower_than_the_fast(cls, slow: int, info: ValidationInfo) -> int:
        if (fast := info.data.get("macd_fast")) is not None and slow <= fast:
            raise ValueError(f"must be greater than ta.macd_fast, {fast}")
        return slow

    @field_validator("slow")
    @classmethod
    def _is_slower(cls, slow: int, info: ValidationInfo) -> int:
        if (fast := info.data.get("fast")) is not None and slow <= fast:
            raise ValueError(f"must be greater than ta.fast, {fast}")
        return slow


class InstrumentEntries(Table):
    """What is different for the entries in one instrument."""

    order_notional: Amount = Field(description="most that an entry is worth")


TypeName = Annotated[str, pattern(r"[A-Za-z_][\w.<>]*", "the full name of a Python type")]


class MachineLearning(Table):
    """The strategy and what it may ask for."""

    strategy: Annotated[
        str,
        pattern(
            r"[a-z][a-z0-9_-]*|[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*|[^\0]+\.py:[A-Za-z_]\w*",
            'a name such as "blend", "path/to/file.py:Class" or "package.module:Class"',
        ),
    ] = Field(default="blend", description="which; a path is relative to the file that names it")
    model: Annotated[str, pattern(r"[^\0]*", "a directory")] = Field(
        default=PACKAGED,
        description='directory of the model, relative likewise; "packaged": of the simulator',
    )
    model_max_age_days: int = Field(
        default=0, ge=0, le=36_500, description="most from the end of its data to a row; 0: any"
    )
    trusted: tuple[TypeName, ...] = Field(
        default=(),
        strict=False,
        description="types that a model of skops may be made of beyond those known to be safe",
    )
    answer_timeout_ms: int = Field(
        default=750, ge=1, le=60_000, description="longest wait for an answer of such a model, ms"
    )
    weight_bp: BasisPoints = Field(
        default=5000, description="weight of technical analysis against the model, bp"
    )
    enter_bp: PositiveBasisPoints = Field(default=2500, description="least score that enters, bp")
    leave_bp: int = Field(
        default=0, ge=-WHOLE_BP, lt=WHOLE_BP, description="largest score that leaves, bp"
    )
    cost_margin_bp: int = Field(
        default=12_000,
        ge=0,
        le=1_000_000,
        description="least expected move, bp of its costs; 0: whatever these are, as in tests",
    )
    order_notional: Amount = Field(
        default=Decimal(1500), description="most that an entry is worth, in the account's currency"
    )
    stop_atr_bp: int = Field(
        default=40_000, gt=0, le=1_000_000, description="distance of the stop, bp of one ATR"
    )
    target_atr_bp: int = Field(
        default=80_000, gt=0, le=1_000_000, description="distance of the target, bp of one ATR"
    )
    volatility_target_bp: BasisPoints = Field(
        default=3, description="of equity, what one ATR may move it by; 0: no matter"
    )
    kelly_bp: BasisPoints = Field(default=2500, description="of Kelly's fraction; 0: no matter")
    degraded_size_bp: BasisPoints = Field(
        default=5000, description="of an entry's size while the model has no answer, bp"
    )
    cluster_cap_bp: int = Field(
        default=20_000,
        ge=0,
        le=1_000_000,
        description="risk of positions that move together, bp of one's; 0: no matter",
    )
    correlation_bp: BasisPoints = Field(default=7000, description="beyond which they do, bp")
    correlation_samples: int = Field(
        default=20, ge=1, le=65_535, description="fewer returns say nothing"
    )
    ttl_ms: int = Field(default=1000, gt=0, le=3_600_000, description="life of an intent, ms")
    instruments: dict[str, InstrumentEntries] = Field(default={}, description="by symbol")

    @field_validator("cost_margin_bp")
    @classmethod
    def _covers_the_costs(cls, margin: int) -> int:
        if 0 < margin < WHOLE_BP:
            raise ValueError(f"must be 0 or >= {WHOLE_BP}: less would enter what loses its costs")
        return margin

    @field_validator("leave_bp")
    @classmethod
    def _is_below_the_entry(cls, leave: int, info: ValidationInfo) -> int:
        if (enter := info.data.get("enter_bp")) is not None and leave >= enter:
            raise ValueError(f"must be less than ml.enter_bp, {enter}")
        return leave
