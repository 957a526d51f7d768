"""The limits that risk decides by, in integers, from what the configuration says.

The fields are those of `native/limits.hpp`. 0 switches a limit off, except those that say otherwise
in the configuration's own ranges.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pipeline.account import opening_e8
from pipeline.instruments import Instrument, instruments_from, money_to_text, to_e8
from pipeline.money import BASIS_POINTS, INT64_MAX, ceil_div

STRATEGIES = 8
"""Numbers of strategies that there may be: 0 to 7."""

_NS_PER_MS = 1_000_000
_NS_PER_S = 1_000_000_000

_SCALE_BP = {"conservative": 5000, "standard": 10_000, "aggressive": 15_000}
"""What a preset makes of each limit of size and loss."""

VENUE_SHARE_BP = 8000
"""Of a venue's burst, what orders that add risk may use: the rest is for those that reduce it."""


class RiskSettings(NamedTuple):
    """The limits of the account.

    Attributes:
        losses_resume: Whether PAUSED after losses in a row ends with its cooldown, without an
            operator.
        symbol_ns, venue_ns, global_ns: One order in so long, on average; 0: no limit.
        symbol_burst, venue_burst, global_burst: That many at once.
        daily_e8, weekly_e8, monthly_e8: Losses; that much is refused, inclusive.
        drawdown_bp, reduce_bp: Fall from the high-water mark; that much is refused, inclusive.
        reduced_bp: Of equity, what may stay of a position in REDUCED; 0: nothing.
        jump_bp: A mark farther from the last one needs another to confirm it.
    """

    open_orders: int
    symbol_orders: int
    stale_ns: int
    state_stale_ns: int
    spread_factor: int
    collar_bp: int
    passive_collar_bp: int
    slippage_bp: int
    adv_bp: int
    dup_count: int
    dup_ns: int
    symbol_ns: int
    symbol_burst: int
    venue_ns: int
    venue_burst: int
    global_ns: int
    global_burst: int
    repeated: int
    gross_e8: int
    directional_e8: int
    venue_e8: int
    asset_class_e8: int
    leverage_bp: int
    positions: int
    per_symbol: int
    concentration_bp: int
    margin_bp: int
    correlated: int
    correlation_bp: int
    correlation_samples: int
    stop_required: int
    daily_e8: int
    weekly_e8: int
    monthly_e8: int
    drawdown_bp: int
    reduce_bp: int
    reduced_bp: int
    losses: int
    losses_ns: int
    losses_resume: int
    stop_cooldown_ns: int
    low_profit_trips: int
    low_profit_e8: int
    low_profit_ns: int
    jump_bp: int


class RiskOpening(NamedTuple):
    """What the account begins a run with: with the equity of the configuration, or as it was.

    Attributes:
        day, week, month: As in the account's cell; 0: a record has yet to say.
        mode, mode_code, killed, drawdown, losses: Likewise.
    """

    equity_e8: int
    units: int
    high_water_e12: int
    day: int
    week: int
    month: int
    day_open_e8: int
    week_open_e8: int
    month_open_e8: int
    losses: int
    mode: int
    mode_code: int
    killed: int
    drawdown: int

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> RiskOpening:
        """Return that of a resolved configuration."""
        kept = config.get("run", {}).get("account")
        if kept is not None:
            return cls(**{field: kept[field] for field in cls._fields})
        equity = opening_e8(config)
        opening = dict.fromkeys(cls._fields, 0)
        for field in ("equity_e8", "units", "day_open_e8", "week_open_e8", "month_open_e8"):
            opening[field] = equity
        return cls(**opening | {"high_water_e12": 10**12})


class InstrumentLimits(NamedTuple):
    """What is different for an instrument.

    Attributes:
        venue: Place of its venue among those that are traded at.
        asset_class: Place of its class among those that there are.
        halted: 1: it is not traded.
        price_step, quantity_step: In ticks and lots; prices and quantities are multiples.
        min_lots, max_lots: The venue's; a max of 0 is none.
        order_notional_e8, order_lots: Of one order.
        adv_lots: Average daily volume; 0: unknown, and not checked.
    """

    venue: int
    asset_class: int
    halted: int
    price_step: int
    quantity_step: int
    min_lots: int
    max_lots: int
    position_bp: int
    stop_distance_bp: int
    order_notional_e8: int
    order_lots: int
    adv_lots: int


class StrategyLimits(NamedTuple):
    """What is different for a strategy.

    Attributes:
        halted: 1: it may not trade.
        risk_bp: Loss at the stop, with fees, of equity.
        trades: Per instrument 1 if it may be traded, else 0.
    """

    halted: int
    order_notional_e8: int
    risk_bp: int
    rate_ns: int
    rate_burst: int
    trades: list[int]


class RiskLimits(NamedTuple):
    """All of them.

    Attributes:
        instruments: In the order of the configuration.
        strategies: By their number.
        venues: How many there are.
        asset_classes: How many there are.
    """

    settings: RiskSettings
    instruments: tuple[InstrumentLimits, ...]
    strategies: tuple[StrategyLimits, ...]
    venues: int
    asset_classes: int

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> RiskLimits:
        """Return those of a resolved configuration."""
        risk = config["risk"]
        instruments = instruments_from(config)
        venues = sorted({each.venue for each in instruments})
        overrides = [risk["instruments"].get(each.symbol, {}) for each in instruments]
        classes = sorted({own.get("asset_class", "crypto") for own in overrides})
        return cls(
            settings=_settings(config),
            instruments=tuple(
                _instrument(risk, each, own, venues, classes)
                for each, own in zip(instruments, overrides, strict=True)
            ),
            strategies=tuple(
                _strategy(risk, risk["strategies"].get(str(number), {}), instruments)
                for number in range(STRATEGIES)
            ),
            venues=len(venues),
            asset_classes=len(classes),
        )

    def flat(self) -> list[int]:
        """Return them by their numbers: the account's, each instrument's, then each strategy's."""
        flat: list[int] = []
        for each in (self.settings, *self.instruments, *self.strategies):
            flat += [getattr(each, name) for name in numbered(each)]
        return flat

    def changed(self, changes: Mapping[int, int]) -> RiskLimits:
        """Return them with other values, by their numbers."""
        flat = iter([changes.get(index, value) for index, value in enumerate(self.flat())])

        def taken(each: Any) -> Any:
            return each._replace(**{name: next(flat) for name in numbered(each)})

        return self._replace(
            settings=taken(self.settings),
            instruments=tuple(map(taken, self.instruments)),
            strategies=tuple(map(taken, self.strategies)),
        )


def numbered(limits: Any) -> list[str]:
    """Return the fields that have numbers, in their order: all but the list of what is traded."""
    return [name for name in limits._fields if name != "trades"]


_SCALED = (
    *("gross", "directional", "venue", "asset_class", "order_notional", "leverage_bp"),
    *("daily_loss", "weekly_loss", "monthly_loss", "position_bp", "risk_bp"),
)
_TIGHTENED = ("drawdown_bp", "reduce_bp")


def in_force(key: str, value: Any, risk: Mapping[str, Any]) -> Any:
    """Return what the preset makes of a value of a key, dotted, in a resolved table [risk]."""
    name = key.rpartition(".")[2]
    if name in _TIGHTENED:
        return _tightened(value, risk)
    # A class of assets is a name where it stands for an instrument.
    if name not in _SCALED or key.endswith(".asset_class"):
        return value
    if isinstance(value, str):
        return money_to_text(_scaled(to_e8(value), risk))
    return _scaled(value, risk)


def _scaled(value: int, risk: Mapping[str, Any]) -> int:
    """Return a limit as the preset has it; one that is not off stays so.

    No money is more than fits int64, so neither need a limit of it be.
    """
    return min(INT64_MAX, ceil_div(value * _SCALE_BP[risk["preset"]], BASIS_POINTS))


def _tightened(value: int, risk: Mapping[str, Any]) -> int:
    """Return a limit that a preset may make tighter and never looser."""
    return min(value, _scaled(value, risk))


def _interval(rate: int) -> int:
    return ceil_div(_NS_PER_S, rate) if rate else 0


def _settings(config: Mapping[str, Any]) -> RiskSettings:
    risk = config["risk"]

    def money(key: str) -> int:
        return _scaled(to_e8(risk[key]), risk)

    return RiskSettings(
        open_orders=risk["open_orders"],
        symbol_orders=risk["symbol_orders"],
        stale_ns=risk["stale_ms"] * _NS_PER_MS,
        state_stale_ns=risk["state_stale_ms"] * _NS_PER_MS,
        spread_factor=risk["spread_factor"],
        collar_bp=risk["collar_bp"],
        passive_collar_bp=risk["passive_collar_bp"],
        slippage_bp=risk["slippage_bp"],
        adv_bp=risk["adv_bp"],
        dup_count=risk["dup_count"],
        dup_ns=risk["dup_ms"] * _NS_PER_MS,
        symbol_ns=_interval(risk["symbol_rate"]),
        symbol_burst=risk["symbol_burst"],
        venue_ns=_interval(risk["venue_rate"]),
        venue_burst=max(1, risk["venue_burst"] * VENUE_SHARE_BP // BASIS_POINTS),
        global_ns=_interval(risk["global_rate"]),
        global_burst=risk["global_burst"],
        repeated=risk["repeated"],
        gross_e8=money("gross"),
        directional_e8=money("directional"),
        venue_e8=money("venue"),
        asset_class_e8=money("asset_class"),
        leverage_bp=_scaled(risk["leverage_bp"], risk),
        positions=risk["positions"],
        per_symbol=risk["per_symbol"],
        concentration_bp=risk["concentration_bp"],
        margin_bp=risk["margin_bp"],
        correlated=risk["correlated"],
        correlation_bp=risk["correlation_bp"],
        correlation_samples=risk["correlation_samples"],
        stop_required=int(risk["stop_required"]),
        daily_e8=money("daily_loss"),
        weekly_e8=money("weekly_loss"),
        monthly_e8=money("monthly_loss"),
        drawdown_bp=_tightened(risk["drawdown_bp"], risk),
        reduce_bp=_tightened(risk["reduce_bp"], risk),
        reduced_bp=risk["reduced_bp"],
        losses=risk["losses"],
        losses_ns=risk["losses_cooldown_s"] * _NS_PER_S,
        losses_resume=int(risk["losses_resume"]),
        stop_cooldown_ns=risk["stop_cooldown_s"] * _NS_PER_S,
        low_profit_trips=risk["low_profit_trips"],
        low_profit_e8=to_e8(risk["low_profit"]),
        low_profit_ns=risk["low_profit_cooldown_s"] * _NS_PER_S,
        jump_bp=risk["jump_bp"],
    )


def _own(own: Mapping[str, Any], risk: Mapping[str, Any], key: str) -> Any:
    value = own.get(key)
    return risk[key] if value is None else value


def _instrument(
    risk: Mapping[str, Any],
    instrument: Instrument,
    own: Mapping[str, Any],
    venues: list[str],
    classes: list[str],
) -> InstrumentLimits:
    lot = instrument.lot_e8
    return InstrumentLimits(
        venue=venues.index(instrument.venue),
        asset_class=classes.index(own.get("asset_class", "crypto")),
        halted=int(own.get("halted", False)),
        price_step=own.get("price_step", 1),
        quantity_step=own.get("quantity_step", 1),
        min_lots=instrument.min_quantity_e8 // lot,
        max_lots=instrument.max_quantity_e8 // lot,
        position_bp=_scaled(_own(own, risk, "position_bp"), risk),
        stop_distance_bp=_own(own, risk, "stop_distance_bp"),
        order_notional_e8=_scaled(to_e8(_own(own, risk, "order_notional")), risk),
        order_lots=to_e8(own.get("order_quantity", "0")) // lot,
        adv_lots=to_e8(own.get("adv", "0")) // lot,
    )


def _strategy(
    risk: Mapping[str, Any], own: Mapping[str, Any], instruments: tuple[Instrument, ...]
) -> StrategyLimits:
    allowed = own.get("instruments", [])
    return StrategyLimits(
        halted=int(own.get("halted", False)),
        order_notional_e8=_scaled(to_e8(_own(own, risk, "order_notional")), risk),
        risk_bp=_scaled(_own(own, risk, "risk_bp"), risk),
        rate_ns=_interval(_own(own, risk, "strategy_rate")),
        rate_burst=_own(own, risk, "strategy_burst"),
        trades=[int(not allowed or each.symbol in allowed) for each in instruments],
    )
