"""The limits of risk: the account's, and what is different for instruments and strategies."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from pipeline.config.table import Problem, Table, refuse
from pipeline.config.values import BasisPoints, PositiveBasisPoints, decimal_from, pattern

Money = Annotated[Decimal, BeforeValidator(decimal_from), Field(ge=0)]
Signed = Annotated[Decimal, BeforeValidator(decimal_from)]
Milliseconds = Annotated[int, Field(gt=0, le=600_000)]
LongSeconds = Annotated[int, Field(ge=0, le=86_400)]
PerSecond = Annotated[int, Field(ge=0, le=1_000_000)]
Burst = Annotated[int, Field(ge=1, le=1_000_000)]
Number = Annotated[int, Field(ge=0, le=1_000_000)]
Step = Annotated[int, Field(ge=1, le=1_000_000_000)]
Multiple = Annotated[int, Field(ge=0, le=1_000_000)]
Symbol = Annotated[str, Field(min_length=1)]

REMEMBERED = 32
"""Approvals of an instrument that risk can look back at: RiskRecent::kMost."""


class InstrumentRisk(Table):
    """What is different for one instrument; what is left out is as for all."""

    halted: bool = Field(default=False, description="not traded")
    asset_class: Annotated[str, pattern(r"[a-z][a-z0-9_-]{0,31}", "1 to 32 of a-z 0-9 _ -")] = (
        Field(default="crypto", description="for the limit of the class")
    )
    price_step: Step = Field(default=1, description="prices are multiples of it, ticks")
    quantity_step: Step = Field(default=1, description="quantities are multiples of it, lots")
    order_quantity: Money = Field(default=Decimal(0), description="largest order, base currency")
    adv: Money = Field(default=Decimal(0), description="average daily volume; 0: unknown")
    position_bp: PositiveBasisPoints | None = None
    stop_distance_bp: PositiveBasisPoints | None = None
    order_notional: Money | None = None


class StrategyRisk(Table):
    """What is different for one strategy."""

    halted: bool = Field(default=False, description="may not trade")
    instruments: tuple[Symbol, ...] = Field(
        default=(), strict=False, description="symbols it may trade; none: all"
    )
    order_notional: Money | None = None
    risk_bp: PositiveBasisPoints | None = None
    strategy_rate: PerSecond | None = None
    strategy_burst: Burst | None = None


class Risk(Table):
    """The limits; bp of equity unless said otherwise, 0 is off where it is allowed."""

    preset: Literal["conservative", "standard", "aggressive"] = Field(
        default="standard", description="scales limits of size and loss: 50, 100 or 150 %"
    )
    position_bp: PositiveBasisPoints = Field(default=200, description="largest position, bp")
    gross: Money = Field(default=Decimal(100_000), description="all worst cases")
    directional: Money = Field(default=Decimal(40_000), description="those of one side")
    venue: Money = Field(default=Decimal(30_000), description="those at one venue")
    asset_class: Money = Field(default=Decimal(50_000), description="those of one class")
    leverage_bp: Multiple = Field(default=30_000, description="worst cases of equity, bp")
    margin_bp: BasisPoints = Field(default=5000, description="equity that shorts need, bp of them")
    concentration_bp: BasisPoints = Field(default=2500, description="of gross in one, bp")
    positions: Number = Field(default=20, description="instruments held at once")
    per_symbol: Number = Field(default=3, description="entries in one instrument")
    open_orders: int = Field(default=100, gt=0, le=10_000, description="most orders open at once")
    symbol_orders: int = Field(default=10, gt=0, le=15, description="of them in one instrument")
    order_notional: Money = Field(default=Decimal(10_000), description="largest order")
    adv_bp: PositiveBasisPoints = Field(default=100, description="of the daily volume, bp")
    collar_bp: PositiveBasisPoints = Field(
        default=500, description="worst price, bp from the quote"
    )
    passive_collar_bp: PositiveBasisPoints = Field(
        default=5000, description="farthest price on either side, bp"
    )
    slippage_bp: BasisPoints = Field(default=50, description="beyond the top of the book, bp")
    spread_factor: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=3, description="widest spread, of the median"
    )
    stale_ms: Milliseconds = Field(default=3000, description="oldest usable quote, ms")
    state_stale_ms: Milliseconds = Field(default=250, description="oldest tick of risk, ms")
    jump_bp: BasisPoints = Field(default=100, description="a mark farther off is confirmed, bp")
    dup_count: Annotated[int, Field(ge=0, le=REMEMBERED)] = Field(
        default=1, description="equal orders within dup_ms"
    )
    dup_ms: Annotated[int, Field(gt=0, le=60_000)] = Field(default=1000, description="window, ms")
    strategy_rate: PerSecond = Field(default=20, description="orders a second")
    strategy_burst: Burst = Field(default=20, description="at once")
    symbol_rate: PerSecond = Field(default=10, description="orders a second")
    symbol_burst: Burst = Field(default=10, description="at once")
    venue_rate: PerSecond = Field(default=50, description="orders a second")
    venue_burst: Burst = Field(default=50, description="at once; a fifth is for reducing ones")
    global_rate: PerSecond = Field(default=100, description="orders a second")
    global_burst: Burst = Field(default=100, description="at once")
    repeated: Number = Field(default=20, description="orders in a row of one signal")
    correlated: Number = Field(default=3, description="instruments that move together")
    correlation_bp: BasisPoints = Field(default=7000, description="beyond which they do, bp")
    correlation_samples: Annotated[int, Field(ge=1, le=65_535)] = Field(
        default=20, description="fewer say nothing"
    )
    stop_required: bool = Field(default=True, description="of each order that adds risk")
    stop_distance_bp: PositiveBasisPoints = Field(
        default=400, description="largest distance of a stop, bp of the price"
    )
    risk_bp: BasisPoints = Field(default=100, description="loss at the stop, bp")
    daily_loss: Money = Field(default=Decimal(2000), description="since 00:00 UTC")
    weekly_loss: Money = Field(default=Decimal(5000), description="since Monday")
    monthly_loss: Money = Field(default=Decimal(10_000), description="since the first")
    drawdown_bp: PositiveBasisPoints = Field(
        default=1500, description="loss since the high-water mark that halts, bp"
    )
    reduce_bp: BasisPoints = Field(default=1000, description="and that allows reducing only, bp")
    reduced_bp: BasisPoints = Field(default=0, description="what REDUCED leaves of a position, bp")
    losses: Number = Field(default=5, description="losing round trips in a row that pause")
    losses_cooldown_s: LongSeconds = Field(default=10, description="for so long, s")
    losses_resume: bool = Field(default=True, description="then without an operator")
    stop_cooldown_s: LongSeconds = Field(default=10, description="after a stop-loss, s")
    low_profit_trips: Number = Field(default=0, description="round trips that must earn")
    low_profit: Signed = Field(default=Decimal(0), description="so much, all together")
    low_profit_cooldown_s: LongSeconds = Field(default=300, description="or pause so long, s")
    instruments: dict[str, InstrumentRisk] = Field(default={}, description="by symbol")
    strategies: dict[
        Annotated[str, pattern(r"[0-7]", "the number of a strategy, 0 to 7")], StrategyRisk
    ] = Field(default={}, description="by number")

    @field_validator("reduce_bp")
    @classmethod
    def _comes_before_the_kill(cls, reduce: int, info: ValidationInfo) -> int:
        if (kill := info.data.get("drawdown_bp")) is not None and reduce > kill:
            raise ValueError(f"must be at most risk.drawdown_bp, {kill}")
        return reduce

    @model_validator(mode="after")
    def _agrees(self) -> Risk:
        problems: list[Problem] = []
        # An approval must not be forgotten while it counts.
        let_through = self.symbol_burst + ceil_s(self.symbol_rate * self.dup_ms)
        if self.dup_count and (self.symbol_rate == 0 or let_through > REMEMBERED):
            remedy = (
                f"let through at most {REMEMBERED} orders within risk.dup_ms, "
                "by risk.symbol_rate and symbol_burst; or risk.dup_count be 0"
            )
            problems.append(Problem(("risk", "symbol_rate"), self.symbol_rate, remedy))
        refuse(problems)
        return self


def ceil_s(milli: int) -> int:
    """Return thousandths as wholes, rounded up."""
    return -(-milli // 1000)
