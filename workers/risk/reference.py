"""From intents to orders and from executions to money, in slow, obvious Python.

The documentation of `native/risk.hpp`, and held to the same tests. What a step does has a file for
each input: `intents.py`, `executions.py`, `control.py` and `ticks.py`; they share `ledger.py` and
`reservations.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.admission import BreakerMasks
from pipeline.instruments import Instrument
from pipeline.money import checked
from pipeline.vocabulary import Denial
from workers.risk.control import obey
from workers.risk.currency import Currencies
from workers.risk.executions import book
from workers.risk.intents import decide
from workers.risk.ledger import Emit, Ledger
from workers.risk.portfolio import convert, value_units
from workers.risk.settings import RiskLimits, RiskOpening
from workers.risk.ticks import look
from workers.ta.kept import keep

EXECUTIONS, CONTROL, INTENTS, CORRELATIONS = range(4)
"""Indices of the inputs."""


class Risk:
    """The kernel: one step an execution, an intent, or a tick of one instrument.

    An intent that passes is an order and a reservation in the same step: of lots, so that orders
    under way count towards the position that the next one would make; and of money, for a buy what
    it costs at its limit with the fee. The reservation shrinks with what is left of the order.

    The proceeds of a short are cash, and buying power; what it may owe is bounded by the size of a
    position only.
    """

    def __init__(
        self,
        opening: RiskOpening,
        currencies: Currencies,
        limits: RiskLimits,
        masks: BreakerMasks,
        instruments: Sequence[Instrument],
        cells: Mapping[str, int],
    ) -> None:
        """Take how the account begins, the limits, and how many cells each group has."""
        self.opening = opening
        self.ledger = Ledger(currencies, limits, masks, instruments, cells)

    def step(self, context: np.void, event: np.void | None, state: Any, emit: Emit) -> None:
        """Book an execution, decide about an intent, obey, or take the mark of an instrument.

        Raises:
            IndexError: an execution is of an instrument that is not configured.
            ValueError: an execution cannot be booked: its kind, side, quantity or price; or
                likewise a control.
            OverflowError: a balance does not fit int64.
            RuntimeError: money was not conserved.
        """
        account = state.edit("account", 0)
        if account["begun"] == 0:
            self._begin(context, account, state)
        if not self.ledger.has_seen_limits(account):
            self.ledger.see_limits(account, state)
        if event is None:
            look(self.ledger, context, account, state, emit)
        elif context["source"] == EXECUTIONS:
            book(self.ledger, context, event, account, state, emit)
        elif context["source"] == INTENTS:
            decide(self.ledger, context, event, account, state, emit)
        elif context["source"] == CONTROL:
            obey(self.ledger, context, event, account, state)
        else:
            self._take(event, state)

    def _begin(self, context: np.void, account: np.void, state: Any) -> None:
        account["begun"] = 1
        for field, value in self.opening._asdict().items():
            account[field] = value
        for i, opening in enumerate(self.ledger.currencies.openings):
            currency = state.edit("currencies", i)
            currency["opening_e8"] = currency["cash_e8"] = opening.balance_e8
            currency["bid_e8"], currency["ask_e8"] = opening.bid_e8, opening.ask_e8
            currency["invalid"] = 1  # until it is seen in this run
            currency["is_base"] = self.ledger.currencies.is_base[i]
            convert(account, currency)
        converted = int(account["converted_e8"])
        account["joined_e8"] = converted
        for field in ("opening_e8", "cash_e8"):
            account[field] = checked("opening_e8", self.opening.equity_e8 - converted)
        # Of its cooldown nobody knows how much has passed: it begins again.
        if account["mode_code"] == Denial.CONSEC_LOSSES:
            account["paused_until_ns"] = int(context["now_ns"]) + self.ledger.settings.losses_ns
        value_units(account)
        account["next_order_id"] = 1
        account["tick_ns"] = context["now_ns"]

    def _take(self, row: np.void, state: Any) -> None:
        """Keep a row of correlations, as far as it is of instruments that there are."""
        index, count = int(row["instrument"]), len(self.ledger.instruments)
        if index < count:
            keep(row, state.edit("correlations", index), count)
