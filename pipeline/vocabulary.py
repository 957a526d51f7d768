"""The words that all stages share: kinds, sides and the codes of refusals.

The numbers are those of `native/records.hpp` and `native/vocabulary.hpp`; tests hold them equal.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final, NamedTuple


class MarketKind(enum.IntEnum):
    """What a market record tells."""

    TRADE = 1
    QUOTE = 2
    STALE = 3  # what was said of the instrument does not hold any more, until RESYNC
    RESYNC = 4


class Side(enum.IntEnum):
    """The sign that a fill on this side gives to a position."""

    NONE = 0
    BUY = 1
    SELL = -1


class ExecutionKind(enum.IntEnum):
    """What became of an order at the venue."""

    FILL = 1
    STOP = 2
    REJECTED = 3
    EXPIRED = 4


class OutcomeKind(enum.IntEnum):
    """What ml hears of an intent."""

    DENIED = 1
    APPROVED = 2
    FILL = 3
    STOP = 4
    REJECTED = 5
    EXPIRED = 6


class Mode(enum.IntEnum):
    """How much may still be done. What is automatic only goes up; down needs an operator."""

    NORMAL = 0
    PAUSED = 1
    REDUCED = 2
    EMERGENCY = 3

    @property
    def label(self) -> str:
        """Its name in lower case."""
        return self.name.lower()


class ControlKind(enum.IntEnum):
    """What an operator, or the supervisor for one, tells risk."""

    FLOW = 1  # a deposit, or below 0 a withdrawal, of `amount`
    RESUME = 2  # ends PAUSED once its cooldown is over
    RESET = 3  # back to NORMAL, unless what led here stands; `amount` 1: from today's value on
    RECONCILED = 4  # what the venue holds is known (`amount` 1), or not any more (0)


class Denial(enum.IntEnum):
    """Why an intent is refused, in the order in which the checks are made."""

    NONE = 0
    BAD_FIELD = 101
    UNKNOWN_INSTRUMENT = 102
    HALTED = 103
    RESTRICTED = 110
    KILLED = 201
    NOT_RECONCILED = 205
    MODE_PAUSED = 202
    MODE_REDUCE_ONLY = 203
    REDUCE_ONLY_INCREASES = 207
    BREAKER_OPEN = 204
    STATE_STALE = 206
    INTENT_EXPIRED = 109
    BAD_TICK = 104
    BAD_LOT = 105
    QTY_MIN = 106
    QTY_MAX = 107
    MD_STALE = 301
    MD_CROSSED = 302
    SPREAD_WIDE = 303
    PRICE_COLLAR = 401
    PASSIVE_COLLAR = 402
    NOTIONAL_MIN = 108
    NOTIONAL_MAX = 403
    ORDER_QTY_MAX = 404
    ADV = 405
    SLIPPAGE = 406
    DUP_ID = 501
    DUP_ECONOMIC = 502
    SELF_TRADE = 503
    RATE_STRATEGY = 601
    RATE_SYMBOL = 602
    RATE_VENUE = 603
    RATE_GLOBAL = 604
    REPEATED_EXEC = 605
    OPEN_ORDERS = 709
    POSITION_SIZE = 701
    GROSS = 702
    DIRECTIONAL = 703
    VENUE = 704
    ASSET_CLASS = 705
    LEVERAGE = 706
    MAX_POSITIONS = 707
    PER_SYMBOL = 708
    CONCENTRATION = 710
    BUYING_POWER = 711
    MARGIN = 712
    CORRELATION = 713
    STOP_REQUIRED = 801
    STOP_WRONG_SIDE = 802
    STOP_TOO_FAR = 803
    RISK_PER_TRADE = 804
    DAILY = 805
    WEEKLY = 806
    MONTHLY = 807
    DRAWDOWN = 808
    CONSEC_LOSSES = 809
    COOLDOWN = 810


BOOKS = ("ta", "ml", "blend")
"""The ways to score whose results are kept side by side, in the order of their cells."""

CHECKS = tuple(code for code in Denial if code)
"""The bit of a check in a mask of failures is its place in here."""


class Rule(NamedTuple):
    """What a check refuses.

    Attributes:
        refused: When; W, ref and REDUCING are explained in `workers/risk/README.md`.
        key: Of its limit in [risk]; empty if it has none.
        reducing: Whether a REDUCING order skips it.
    """

    refused: str
    key: str
    reducing: str


RULES: Final[Mapping[Denial, Rule]] = {
    Denial.BAD_FIELD: Rule(
        "id, quantity <= 0; side not 1 or -1; limit, stop or target < 0; reduce_only not 0 or 1",
        "",
        "no",
    ),
    Denial.UNKNOWN_INSTRUMENT: Rule("the instrument is not configured", "", "no"),
    Denial.HALTED: Rule("the instrument is not trading", "instruments.*.halted", "no"),
    Denial.RESTRICTED: Rule(
        "the strategy is unknown or off, or may not trade the instrument",
        "strategies.*",
        "no",
    ),
    Denial.KILLED: Rule(
        "halted; or mode EMERGENCY or risk's own kill, unless REDUCING and reduce_only",
        "",
        "flagged",
    ),
    Denial.NOT_RECONCILED: Rule("what the venue holds is not yet reconciled", "", "yes"),
    Denial.MODE_PAUSED: Rule("mode is PAUSED", "", "yes"),
    Denial.MODE_REDUCE_ONLY: Rule("mode is REDUCED or EMERGENCY", "", "yes"),
    Denial.REDUCE_ONLY_INCREASES: Rule("reduce_only and not REDUCING", "", "yes"),
    Denial.BREAKER_OPEN: Rule(
        "the global breaker or one of the venue, of ta or of ml is open",
        "",
        "unless the venue's is FORCED_OPEN",
    ),
    Denial.STATE_STALE: Rule("now - last tick of risk's clock > limit", "state_stale_ms", "no"),
    Denial.INTENT_EXPIRED: Rule("now - created > ttl", "", "no"),
    Denial.BAD_TICK: Rule(
        "limit, stop or target mod the price step", "instruments.*.price_step", "no"
    ),
    Denial.BAD_LOT: Rule("quantity mod the quantity step", "instruments.*.quantity_step", "no"),
    Denial.QTY_MIN: Rule("quantity < the venue's least", "instruments.min_quantity", "no"),
    Denial.QTY_MAX: Rule("quantity > the venue's largest", "instruments.max_quantity", "no"),
    Denial.MD_STALE: Rule(
        "no quote, flagged stale, or now - last word from the link > limit",
        "stale_ms",
        "no",
    ),
    Denial.MD_CROSSED: Rule("a side is missing, or bid >= ask", "", "no"),
    Denial.SPREAD_WIDE: Rule(
        "(ask - bid) / mid > limit x the median of the last 15 ticks",
        "spread_factor",
        "yes",
    ),
    Denial.PRICE_COLLAR: Rule("side * (limit - ref) > limit of ref", "collar_bp", "twice as wide"),
    Denial.PASSIVE_COLLAR: Rule("abs(limit - ref) > limit of ref", "passive_collar_bp", "no"),
    Denial.NOTIONAL_MIN: Rule(
        "quantity * ref < the venue's least",
        "instruments.min_notional",
        "yes",
    ),
    Denial.NOTIONAL_MAX: Rule("quantity * ref > limit", "order_notional", "no: split"),
    Denial.ORDER_QTY_MAX: Rule("quantity > limit", "instruments.*.order_quantity", "no: split"),
    Denial.ADV: Rule("quantity > limit of the average daily volume", "adv_bp", "no: split"),
    Denial.SLIPPAGE: Rule(
        "mean price, as much at each tick behind the top of the book: worse than limit of ref",
        "slippage_bp",
        "twice as wide",
    ),
    Denial.DUP_ID: Rule("id seen with other content, or too old to know", "", "no"),
    Denial.DUP_ECONOMIC: Rule("limit or more equal approvals within dup_ms", "dup_count", "yes"),
    Denial.SELF_TRADE: Rule("crosses an open order of our own", "", "yes: nothing of ours rests"),
    Denial.RATE_STRATEGY: Rule("GCRA of the strategy", "strategy_rate", "yes"),
    Denial.RATE_SYMBOL: Rule("GCRA of the instrument", "symbol_rate", "yes"),
    Denial.RATE_VENUE: Rule(
        "GCRA of the venue, without the share reserved for reducing",
        "venue_rate",
        "yes",
    ),
    Denial.RATE_GLOBAL: Rule("GCRA of the account", "global_rate", "yes"),
    Denial.REPEATED_EXEC: Rule(
        "limit orders in a row by a strategy on one side of an instrument",
        "repeated",
        "yes",
    ),
    Denial.OPEN_ORDERS: Rule(
        "open orders, of all or of the instrument, >= limit; or no cell is free",
        "open_orders",
        "only if no cell is free",
    ),
    Denial.POSITION_SIZE: Rule("abs(W) * ref > limit of equity", "position_bp", "yes"),
    Denial.GROSS: Rule("sum of worst cases > limit", "gross", "yes"),
    Denial.DIRECTIONAL: Rule(
        "sum of worst cases on the order's side > limit",
        "directional",
        "yes",
    ),
    Denial.VENUE: Rule("sum of worst cases at the venue > limit", "venue", "yes"),
    Denial.ASSET_CLASS: Rule("sum of worst cases in the class > limit", "asset_class", "yes"),
    Denial.LEVERAGE: Rule("sum of worst cases > limit of equity", "leverage_bp", "yes"),
    Denial.MAX_POSITIONS: Rule(
        "another instrument, with positions held or under way >= limit",
        "positions",
        "yes",
    ),
    Denial.PER_SYMBOL: Rule(
        "entries since flat, those under way included, >= limit",
        "per_symbol",
        "yes",
    ),
    Denial.CONCENTRATION: Rule("abs(W) * ref > limit of gross", "concentration_bp", "yes"),
    Denial.BUYING_POWER: Rule("a buy: cash - reserved < cost at its limit + taker fee", "", "no"),
    Denial.MARGIN: Rule(
        "limit of the worst case of all shorts > equity, and the order adds to it",
        "margin_bp",
        "no",
    ),
    Denial.CORRELATION: Rule(
        "as many instruments held the same way, beyond correlation_bp, >= limit",
        "correlated",
        "yes",
    ),
    Denial.STOP_REQUIRED: Rule("it has no stop", "stop_required", "yes"),
    Denial.STOP_WRONG_SIDE: Rule("side * (ref - stop) <= 0", "", "yes"),
    Denial.STOP_TOO_FAR: Rule("side * (ref - stop) > limit of ref", "stop_distance_bp", "yes"),
    Denial.RISK_PER_TRADE: Rule(
        "quantity * abs(ref - stop) + fees > limit of equity",
        "risk_bp",
        "yes",
    ),
    Denial.DAILY: Rule(
        "result since 00:00 UTC - risk under way and of this order <= -limit",
        "daily_loss",
        "yes",
    ),
    Denial.WEEKLY: Rule("the same since Monday", "weekly_loss", "yes"),
    Denial.MONTHLY: Rule("the same since the first of the month", "monthly_loss", "yes"),
    Denial.DRAWDOWN: Rule(
        "the account has been limit below its high-water mark",
        "drawdown_bp",
        "yes",
    ),
    Denial.CONSEC_LOSSES: Rule("losing round trips in a row >= limit", "losses", "yes"),
    Denial.COOLDOWN: Rule(
        "after a stop-loss, or while the instrument earns too little",
        "stop_cooldown_s",
        "yes",
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
