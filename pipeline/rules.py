"""What each check of risk refuses, and how its numbers are told: the one owner of those words.

The table in `workers/risk/README.md` is made from it, and what `bot4 why` says; a test for each
code holds the numbers that the kernels keep to the units that are given here.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final, NamedTuple

from pipeline.vocabulary import Denial


class Unit(enum.Enum):
    """What the two numbers are that a failing check keeps."""

    NONE = "none"  # it compares none
    COUNT = "count"
    MONEY = "money"  # 1e-8 of the account's currency
    QUOTED = "quoted"  # 1e-8 of the currency of the instrument's prices
    PRICE = "price"  # ticks
    QUANTITY = "quantity"  # lots
    TIME = "time"  # ns
    SHARE = "share"  # 1e-6
    MODE = "mode"  # a Mode, and the Denial that led there; 1: halted, 0: it was not risk
    BREAKERS = "breakers"  # a GlobalState, and the bits of those that were not closed


class Rule(NamedTuple):
    """What a check refuses.

    Attributes:
        refused: When; W, ref and REDUCING are explained in `workers/risk/README.md`.
        key: Of its limit in [risk]; empty if it has none.
        reducing: Whether a REDUCING order skips it.
        said: What was compared when it failed, as `bot4 why` says it: {value} must not be beyond
            {bound}; `pipeline.why` has the other words.
        unit: Of the two numbers.
    """

    refused: str
    key: str
    reducing: str
    said: str
    unit: Unit


RULES: Final[Mapping[Denial, Rule]] = {
    Denial.BAD_FIELD: Rule(
        "id, quantity <= 0; side not 1 or -1; limit, stop or target < 0; reduce_only not 0 or 1",
        "",
        "no",
        "{wrong}",
        Unit.NONE,
    ),
    Denial.UNKNOWN_INSTRUMENT: Rule(
        "the instrument is not configured",
        "",
        "no",
        "instrument {instrument} is not one of the {instruments} that are configured",
        Unit.NONE,
    ),
    Denial.HALTED: Rule(
        "the instrument is not trading",
        "instruments.*.halted",
        "no",
        "{symbol} is not trading",
        Unit.NONE,
    ),
    Denial.RESTRICTED: Rule(
        "the strategy is unknown or off, or may not trade the instrument",
        "strategies.*",
        "no",
        "strategy {strategy} {restricted}",
        Unit.NONE,
    ),
    Denial.KILLED: Rule(
        "halted; or mode EMERGENCY or risk's own kill, unless REDUCING and reduce_only",
        "",
        "flagged",
        "the mode is {value}{bound}",
        Unit.MODE,
    ),
    Denial.NOT_RECONCILED: Rule(
        "what the venue holds is not yet reconciled",
        "",
        "yes",
        "what the venue holds is not yet reconciled",
        Unit.NONE,
    ),
    Denial.MODE_PAUSED: Rule(
        "mode is PAUSED",
        "",
        "yes",
        "the mode is {value}{bound}",
        Unit.MODE,
    ),
    Denial.MODE_REDUCE_ONLY: Rule(
        "mode is REDUCED or EMERGENCY",
        "",
        "yes",
        "the mode is {value}{bound}",
        Unit.MODE,
    ),
    Denial.REDUCE_ONLY_INCREASES: Rule(
        "reduce_only and not REDUCING",
        "",
        "yes",
        "with what is under way on its side {bound}, not within the position of {value}",
        Unit.QUANTITY,
    ),
    Denial.BREAKER_OPEN: Rule(
        "the global breaker or one of the venue, of ta or of ml is open",
        "",
        "unless the venue's is FORCED_OPEN",
        "the global breaker is {value}; not closed: {bound}",
        Unit.BREAKERS,
    ),
    Denial.STATE_STALE: Rule(
        "now - last tick of risk's clock > limit",
        "state_stale_ms",
        "no",
        "the last tick of risk's clock was {value} ago, at most {bound}",
        Unit.TIME,
    ),
    Denial.INTENT_EXPIRED: Rule(
        "now - created > ttl",
        "",
        "no",
        "it was {value} old, at most {bound}",
        Unit.TIME,
    ),
    Denial.BAD_TICK: Rule(
        "limit, stop or target mod the price step",
        "instruments.*.price_step",
        "no",
        "price {value} is no multiple of {bound}",
        Unit.PRICE,
    ),
    Denial.BAD_LOT: Rule(
        "quantity mod the quantity step",
        "instruments.*.quantity_step",
        "no",
        "quantity {value} is no multiple of {bound}",
        Unit.QUANTITY,
    ),
    Denial.QTY_MIN: Rule(
        "quantity < the venue's least",
        "instruments.min_quantity",
        "no",
        "quantity {value}, at least {bound}",
        Unit.QUANTITY,
    ),
    Denial.QTY_MAX: Rule(
        "quantity > the venue's largest",
        "instruments.max_quantity",
        "no",
        "quantity {value}, at most {bound}",
        Unit.QUANTITY,
    ),
    Denial.MD_STALE: Rule(
        "no quote, flagged stale, or now - last word from the link > limit; of new risk in another "
        "currency also if that is so of what converts it",
        "stale_ms",
        "no",
        "the last word from the link was {value} ago, at most {bound}",
        Unit.TIME,
    ),
    Denial.MD_CROSSED: Rule(
        "a side is missing, or bid >= ask",
        "",
        "no",
        "bid {value}, ask {bound}",
        Unit.PRICE,
    ),
    Denial.SPREAD_WIDE: Rule(
        "(ask - bid) / mid > limit x the median of the last 15 ticks",
        "spread_factor",
        "yes",
        "the spread was {value} of the mid price, at most {bound}",
        Unit.SHARE,
    ),
    Denial.PRICE_COLLAR: Rule(
        "side * (limit - ref) > limit of ref",
        "collar_bp",
        "twice as wide",
        "limit {value}, at worst {bound}",
        Unit.PRICE,
    ),
    Denial.PASSIVE_COLLAR: Rule(
        "abs(limit - ref) > limit of ref",
        "passive_collar_bp",
        "no",
        "limit {value}, at farthest {bound}",
        Unit.PRICE,
    ),
    Denial.NOTIONAL_MIN: Rule(
        "quantity * ref < the venue's least",
        "instruments.min_notional",
        "yes",
        "worth {value}, at least {bound}",
        Unit.QUOTED,
    ),
    Denial.NOTIONAL_MAX: Rule(
        "quantity * ref > limit",
        "order_notional",
        "no: split",
        "worth {value}, at most {bound}",
        Unit.MONEY,
    ),
    Denial.ORDER_QTY_MAX: Rule(
        "quantity > limit",
        "instruments.*.order_quantity",
        "no: split",
        "quantity {value}, at most {bound}",
        Unit.QUANTITY,
    ),
    Denial.ADV: Rule(
        "quantity > limit of the average daily volume",
        "adv_bp",
        "no: split",
        "quantity {value}, at most {bound}",
        Unit.QUANTITY,
    ),
    Denial.SLIPPAGE: Rule(
        "mean price, as much at each tick behind the top of the book: worse than limit of ref",
        "slippage_bp",
        "twice as wide",
        "the mean price would be {value} worse than the quote, at most {bound}",
        Unit.SHARE,
    ),
    Denial.DUP_ID: Rule(
        "id seen with other content, or too old to know",
        "",
        "no",
        "its id was used before",
        Unit.NONE,
    ),
    Denial.DUP_ECONOMIC: Rule(
        "limit or more equal approvals within dup_ms",
        "dup_count",
        "yes",
        "equal orders approved within {dup_ms} ms: {value}, must be below {bound}",
        Unit.COUNT,
    ),
    Denial.SELF_TRADE: Rule(
        "crosses an open order of our own",
        "",
        "yes: nothing of ours rests",
        "limit {value} crosses our open order at {bound}",
        Unit.PRICE,
    ),
    Denial.RATE_STRATEGY: Rule(
        "GCRA of the strategy",
        "strategy_rate",
        "yes",
        "one in {bound} on average; it would pass after {value}",
        Unit.TIME,
    ),
    Denial.RATE_SYMBOL: Rule(
        "GCRA of the instrument",
        "symbol_rate",
        "yes",
        "one in {bound} on average; it would pass after {value}",
        Unit.TIME,
    ),
    Denial.RATE_VENUE: Rule(
        "GCRA of the venue, without the share reserved for reducing",
        "venue_rate",
        "yes",
        "one in {bound} on average; it would pass after {value}",
        Unit.TIME,
    ),
    Denial.RATE_GLOBAL: Rule(
        "GCRA of the account",
        "global_rate",
        "yes",
        "one in {bound} on average; it would pass after {value}",
        Unit.TIME,
    ),
    Denial.REPEATED_EXEC: Rule(
        "limit orders in a row by a strategy on one side of an instrument, until `bot4 resume`",
        "repeated",
        "yes",
        "orders in a row on this side: {value}, must be below {bound}; bot4 resume counts anew",
        Unit.COUNT,
    ),
    Denial.OPEN_ORDERS: Rule(
        "open orders, of all or of the instrument, >= limit; or no cell is free",
        "open_orders",
        "only if no cell is free",
        "orders open: {value}, must be below {bound}",
        Unit.COUNT,
    ),
    Denial.POSITION_SIZE: Rule(
        "abs(W) * ref > limit of equity",
        "position_bp",
        "yes",
        "the position would be worth {value}, at most {bound}",
        Unit.MONEY,
    ),
    Denial.GROSS: Rule(
        "sum of worst cases > limit",
        "gross",
        "yes",
        "all worst cases would be {value}, at most {bound}",
        Unit.MONEY,
    ),
    Denial.DIRECTIONAL: Rule(
        "sum of worst cases on the order's side > limit",
        "directional",
        "yes",
        "worst cases on its side would be {value}, at most {bound}",
        Unit.MONEY,
    ),
    Denial.VENUE: Rule(
        "sum of worst cases at the venue > limit",
        "venue",
        "yes",
        "worst cases at {venue} would be {value}, at most {bound}",
        Unit.MONEY,
    ),
    Denial.ASSET_CLASS: Rule(
        "sum of worst cases in the class > limit",
        "asset_class",
        "yes",
        "worst cases in its class would be {value}, at most {bound}",
        Unit.MONEY,
    ),
    Denial.LEVERAGE: Rule(
        "sum of worst cases > limit of equity",
        "leverage_bp",
        "yes",
        "all worst cases would be {value}, at most {bound}",
        Unit.MONEY,
    ),
    Denial.MAX_POSITIONS: Rule(
        "another instrument, with positions held or under way >= limit",
        "positions",
        "yes",
        "instruments held or under way: {value}, must be below {bound}",
        Unit.COUNT,
    ),
    Denial.PER_SYMBOL: Rule(
        "entries since flat, those under way included, >= limit",
        "per_symbol",
        "yes",
        "entries since flat: {value}, must be below {bound}",
        Unit.COUNT,
    ),
    Denial.CONCENTRATION: Rule(
        "abs(W) * ref > limit of gross",
        "concentration_bp",
        "yes",
        "the position would be worth {value}, at most {bound}",
        Unit.MONEY,
    ),
    Denial.BUYING_POWER: Rule(
        "a buy: cash - reserved < cost at its limit + taker fee",
        "",
        "no",
        "it costs {value} at most, {bound} is free",
        Unit.QUOTED,
    ),
    Denial.MARGIN: Rule(
        "limit of the worst case of all shorts > equity, and the order adds to it",
        "margin_bp",
        "no",
        "shorts would need {value}, the equity is {bound}",
        Unit.MONEY,
    ),
    Denial.CORRELATION: Rule(
        "as many instruments held the same way, beyond correlation_bp, >= limit",
        "correlated",
        "yes",
        "instruments held that move with it: {value}, must be below {bound}",
        Unit.COUNT,
    ),
    Denial.STOP_REQUIRED: Rule(
        "it has no stop",
        "stop_required",
        "yes",
        "it has no stop",
        Unit.NONE,
    ),
    Denial.WRONG_SIDE: Rule(
        "side * (ref - stop) <= 0, or side * (target - ref) <= 0",
        "",
        "yes",
        "{level} {value} is on the wrong side of the quote, {bound}",
        Unit.PRICE,
    ),
    Denial.STOP_TOO_FAR: Rule(
        "side * (ref - stop) > limit of ref",
        "stop_distance_bp",
        "yes",
        "stop {value}, at farthest {bound}",
        Unit.PRICE,
    ),
    Denial.RISK_PER_TRADE: Rule(
        "quantity * abs(ref - stop) + fees > limit of equity",
        "risk_bp",
        "yes",
        "{value} would be lost at the stop, at most {bound}",
        Unit.MONEY,
    ),
    Denial.DAILY: Rule(
        "result since 00:00 UTC - risk under way and of this order <= -limit",
        "daily_loss",
        "yes",
        "the day's result would be {value} at the stops, must be above {bound}",
        Unit.MONEY,
    ),
    Denial.WEEKLY: Rule(
        "the same since Monday",
        "weekly_loss",
        "yes",
        "the week's result would be {value} at the stops, must be above {bound}",
        Unit.MONEY,
    ),
    Denial.MONTHLY: Rule(
        "the same since the first of the month",
        "monthly_loss",
        "yes",
        "the month's result would be {value} at the stops, must be above {bound}",
        Unit.MONEY,
    ),
    Denial.DRAWDOWN: Rule(
        "the account has been limit below its high-water mark",
        "drawdown_bp",
        "yes",
        "the account had been {bound} below its high-water mark; it was {value}",
        Unit.SHARE,
    ),
    Denial.CONSEC_LOSSES: Rule(
        "losing round trips in a row >= limit",
        "losses",
        "yes",
        "losing round trips in a row: {value}, must be below {bound}",
        Unit.COUNT,
    ),
    Denial.COOLDOWN: Rule(
        "after a stop-loss, or while the instrument earns too little",
        "stop_cooldown_s",
        "yes",
        "no new risk in {symbol} for another {value}",
        Unit.TIME,
    ),
}


def rules_table() -> str:
    """Return the checks in their order as a table in Markdown."""
    lines = [
        "| code | refused when | limit in [risk] | a REDUCING order skips it |",
        "|---|---|---|---|",
    ]
    for code, rule in RULES.items():
        key = f"`{rule.key}`" if rule.key else ""
        lines.append(f"| {code.value} {code.name} | {rule.refused} | {key} | {rule.reducing} |")
    return "\n".join(lines) + "\n"
