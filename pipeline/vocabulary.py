"""The words that all stages share: kinds, sides and the codes of refusals.

The numbers are those of `native/records.hpp` and `native/vocabulary.hpp`; tests hold them equal.
"""

from __future__ import annotations

import enum


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


class Refusal(enum.IntEnum):
    """Why the process that evaluates the model has no answer."""

    NONE = 0
    LOADING = 1  # it has just been started
    LATE = 2  # nobody waits for the answer any more
    FAILED = 3  # the estimator raised an error


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

    FLOW = 1  # a deposit, or below 0 a withdrawal, of `amount` in currency `index`
    RESUME = 2  # ends PAUSED once its cooldown is over; orders in a row count anew
    RESET = 3  # that and NORMAL, unless what led here stands; `amount` 1: from today's value on
    RECONCILED = 4  # what the venue holds is known (`amount` 1), or not any more (0)
    SET = 5  # limit `index` is to be `amount`: nothing yet
    APPLY = 6  # the limits that this request has set are in force from here on, all at once


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
    WRONG_SIDE = 802
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
