"""What the feed tells of a venue that ccxt reads: records, counts, and what was wrong."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline.instruments import Instrument
from pipeline.records import MARKET
from pipeline.vocabulary import MarketKind
from workers._native import Arbiter, Line, Outbox
from workers.feed.lines import COUNTS
from workers.feed.tape import Tape, Trade

_log = logging.getLogger("bot4.feed")

_LOG_EVERY_NS = 60_000_000_000
_SHOWN = 200  # characters of what a venue said


class Market:
    """What is known of one instrument.

    Attributes:
        symbol: As ccxt calls it; empty if the venue does not trade it.
        tape: Of its trades; None until it has begun.
        held: Trades that wait until those before them are told; None: told at once.
        raw: Best prices as ccxt gave them last.
        holds: Whether the quote that was told last does.
        is_broken: That it does not, was told.
    """

    def __init__(self, instrument: Instrument) -> None:
        """Begin with nothing known."""
        self.instrument = instrument
        self.symbol = ""
        self.tape: Tape | None = None
        self.held: list[Trade] | None = None
        self.raw: tuple[Any, ...] = ()
        self.holds = False
        self.is_broken = False


class Telling:
    """Publishes the records of one venue, counts, and warns of each kind of trouble in turn."""

    def __init__(
        self, venue: str, outbox: Outbox, instruments: int, settle: Callable[[], None]
    ) -> None:
        """Prepare; `instruments` is how many there are in all, whatever their venue."""
        self.arbiter = Arbiter(outbox, instruments, comparable=False)
        self.counts = dict.fromkeys(COUNTS, 0)
        self.is_over = False  # nothing is told any more
        self._venue = venue
        self._line = Line(self.arbiter)
        self._outbox = outbox
        self._settle = settle
        self._record = np.zeros(1, MARKET)
        self._warned_ns: dict[str, int] = {}

    def tell(self, market: Market, kind: MarketKind, received_ns: int, **values: int) -> None:
        """Publish a record of an instrument; `values` are its fields beyond these."""
        if self.is_over:
            return
        record = self._record
        record[0] = np.zeros((), MARKET)
        record["instrument"] = market.instrument.index
        record["kind"] = kind
        record["received_ns"] = received_ns
        for name, value in values.items():
            record[name] = value
        self._line.tell(record)
        if self._outbox.kept:
            self._settle()

    def refuse(self, what: str, error: Exception) -> None:
        """Count something that could not be read, and warn of it."""
        self.counts["malformed"] += 1
        self.warn(what, said(error))

    def warn(self, what: str, detail: str) -> None:
        """Say that something is wrong, of each kind at most once a minute."""
        now = time.monotonic_ns()
        if now - self._warned_ns.get(what, -_LOG_EVERY_NS) >= _LOG_EVERY_NS:
            self._warned_ns[what] = now
            _log.warning("%s: %s: %s", self._venue, what, detail)


def said(error: Exception) -> str:
    """Return an error on one line that is fit for a log, whatever a venue has put into it."""
    text = " ".join("".join(c if c.isprintable() else " " for c in str(error)).split())
    return f"{type(error).__name__}: {text[:_SHOWN]}"
