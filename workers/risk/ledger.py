"""What every step of risk works on, in slow, obvious Python.

The limits in force, and the books of each currency, in which money is conserved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.admission import BreakerMasks
from pipeline.instruments import Instrument
from workers.risk.book import revalue
from workers.risk.currency import Currencies
from workers.risk.portfolio import convert
from workers.risk.settings import RiskLimits, RiskSettings

Emit = Callable[[str, Any], None]

_HANDED_ON = ("instrument", "venue_ns", "received_ns")


class Ledger:
    """What does not change while risk runs, and the limits in force. All else is state.

    Attributes:
        limits: Those in force: they are state, and here is what those cells say.
        cells: How many each group has.
    """

    def __init__(
        self,
        currencies: Currencies,
        limits: RiskLimits,
        masks: BreakerMasks,
        instruments: Sequence[Instrument],
        cells: Mapping[str, int],
    ) -> None:
        self.currencies = currencies
        self.masks = masks
        self.instruments = instruments
        self.cells = cells
        self.configured = limits
        self.limits = limits
        self.seen = 0

    @property
    def settings(self) -> RiskSettings:
        """The account's limits in force."""
        return self.limits.settings

    def has_seen_limits(self, account: np.void) -> bool:
        """Whether nobody has changed them since."""
        return bool(account["limits"] == self.seen)

    def see_limits(self, account: np.void, state: Any) -> None:
        """Take the limits in force from the cells that hold what was changed."""
        cells = [state.read("limits", index) for index in range(self.cells["limits"])]
        changes = {i: int(cell["value"]) for i, cell in enumerate(cells) if cell["changed"]}
        self.limits = self.configured.changed(changes)
        self.seen = int(account["limits"])

    def currency(self, index: int, state: Any) -> np.void | None:
        """Return that of an instrument's prices; None if it is the account's own."""
        number = self.currencies.quoted[index]
        cell: np.void | None = state.read("currencies", number - 1) if number else None
        return cell

    def books(self, index: int, account: np.void, state: Any) -> np.void:
        """Return where an instrument's money is booked."""
        number = self.currencies.quoted[index]
        books: np.void = state.edit("currencies", number - 1) if number else account
        return books

    def revalue_in(self, index: int, account: np.void, held: np.void, state: Any) -> None:
        """Value a position, and what there is of its currency with it."""
        books = self.books(index, account, state)
        revalue(books, held, self.instruments[index])
        if self.currencies.quoted[index]:
            convert(account, books)

    def check_conservation(self, account: np.void, state: Any) -> None:
        """Refuse to go on if money was made or lost.

        Raises:
            RuntimeError: money was not conserved.
        """
        costs = [0] * (1 + len(self.currencies.names))
        for index, number in enumerate(self.currencies.quoted):
            costs[number] += int(state.read("instruments", index)["cost_e8"])
        for number, cost in enumerate(costs):
            books = account if number == 0 else state.read("currencies", number - 1)
            money = int(books["cash_e8"]) + cost
            expected = int(books["opening_e8"]) + int(books["flows_e8"])
            expected += int(books["realised_e8"]) - int(books["fees_e8"])
            if money != expected:
                where = f" in currency {number}" if number else ""
                raise RuntimeError(
                    f"risk: cash + cost of positions was {money}{where}, "
                    f"must be opening equity + flows + realised - fees, {expected}"
                )


def answer(dtype: np.dtype[np.void], event: np.void) -> np.void:
    """Return a record that hands on where its cause came from."""
    record: np.void = np.zeros(1, dtype)[0]
    for field in _HANDED_ON:
        record[field] = event[field]
    return record
