"""What an intent is judged by, and what the judgement is, in slow, obvious Python."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pipeline.admission import BreakerMasks
from pipeline.instruments import Instrument
from pipeline.money import BASIS_POINTS
from pipeline.vocabulary import CHECKS, Denial
from workers.risk.settings import InstrumentLimits, RiskSettings, StrategyLimits


@dataclass(frozen=True, slots=True)
class Facts:
    """What an intent is judged by.

    Attributes:
        instrument: With the next five, None if it is unknown.
        strategy: With `pace` and `signal`, None if it is unknown.
        currency: Of its prices; None is the account's own.
        is_id_used: By an intent of other content, or of one that is forgotten.
        opposite: Best limit of our open orders on the other side; 0: there is none.
        correlated: Instruments held the same way, beyond the limit of correlation.
    """

    context: np.void
    settings: RiskSettings
    masks: BreakerMasks
    account: np.void
    instrument: Instrument | None = None
    limits: InstrumentLimits | None = None
    held: np.void | None = None
    venue: np.void | None = None
    asset_class: np.void | None = None
    recent: np.void | None = None
    currency: np.void | None = None
    strategy: StrategyLimits | None = None
    pace: np.void | None = None
    signal: np.void | None = None
    is_id_used: bool = False
    has_free_cell: bool = False
    opposite: int = 0
    correlated: int = 0


class Verdict:
    """What the checks found, and what the order would be.

    Attributes:
        failed: Each failing check, with the value and the limit that it compared.
        limit: Worst price of the order, in ticks.
        cost: Money that a buy needs at most, in 1e-8; 0 for a sell.
        at_risk: From the reference to the stop, in 1e-8, if it enters.
        reference: The ask for a buy, the bid for a sell; 0: there is none.
        exposure: If it enters: what the position may come to be worth, and the equity.
    """

    def __init__(self) -> None:
        self.failed: dict[Denial, tuple[int, int]] = {}
        self.reference = 0
        self.exposure = (0, 0)
        self.limit = 0
        self.cost = 0
        self.at_risk = 0
        self.reducing = False

    def check(self, code: Denial, failing: bool, value: int = 0, bound: int = 0) -> None:
        """Note a check."""
        if failing:
            self.failed[code] = (value, bound)

    def at_most(self, code: Denial, value: int, bound: int) -> None:
        """Note that a value must not be above a bound."""
        self.check(code, value > bound, value, bound)

    def at_most_of(self, code: Denial, value: int, whole: int, share_bp: int) -> None:
        """Note that a value must not be above a share of a whole."""
        self.at_most(code, value, whole * share_bp // BASIS_POINTS)

    @property
    def code(self) -> Denial:
        """The first failing check in the order of evaluation."""
        return next((check for check in CHECKS if check in self.failed), Denial.NONE)

    @property
    def mask(self) -> int:
        """A bit for each failing check."""
        return mask_of(self.failed)

    @property
    def compared(self) -> tuple[int, int]:
        """The value and the limit of the first failing check; if none fails, the exposure."""
        return self.failed.get(self.code, (0, 0)) if self.failed else self.exposure


def mask_of(codes: Iterable[int]) -> int:
    """Return the bits of codes; one that is no check has none."""
    return sum(1 << CHECKS.index(Denial(code)) for code in codes if code in CHECKS)
