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


class Denial(enum.IntEnum):
    """Why an intent is refused, in the order in which the checks are made."""

    NONE = 0
    BAD_FIELD = 101
    UNKNOWN_INSTRUMENT = 102
    KILLED = 201
    MODE_PAUSED = 202
    MODE_REDUCE_ONLY = 203
    REDUCE_ONLY_INCREASES = 207
    BREAKER_OPEN = 204
    INTENT_EXPIRED = 109
    MD_STALE = 301
    MD_CROSSED = 302
    NOTIONAL_MIN = 108
    OPEN_ORDERS = 709
    POSITION_SIZE = 701
    BUYING_POWER = 711
    STOP_REQUIRED = 801
    STOP_WRONG_SIDE = 802
    STOP_TOO_FAR = 803
    DRAWDOWN = 808


BOOKS = ("ta", "ml", "blend")
"""The ways to score whose results are kept side by side, in the order of their cells."""

CHECKS = tuple(code for code in Denial if code)
"""The bit of a check in a mask of failures is its place in here."""
