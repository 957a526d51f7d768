"""Triple-barrier labels: what became of a position that was opened when a bar had closed.

Lopez de Prado, Advances in Financial Machine Learning, chapter 3. Both barriers are at the same
distance, a multiple of the ATR, with the costs of a round trip added, so a label says which way it
was worth to trade. Where the price reaches neither in time, its way at the end counts, if that is
more than the costs.

What is not known is taken for the worse: where one bar touches both barriers and has opened between
them, nobody knows which came first, so nothing is learnt from it, and whoever had traded there,
either way, has lost. A loss is taken where the bar has opened if that is beyond the barrier; a
profit never beyond it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workers.ml.training.error import TrainingError

_BP = 10_000.0


@dataclass(frozen=True, slots=True)
class TripleBarrier:
    """Where the barriers are.

    Attributes:
        horizon: Bars until the vertical one.
        atr: Distance of the horizontal ones, in average true ranges.
        cost_bp: Of a round trip (fees, half a spread twice), basis points of the price.
    """

    horizon: int = 24
    atr: float = 2.0
    cost_bp: float = 22.0

    def __post_init__(self) -> None:
        if not 1 <= self.horizon <= 10_000:
            raise TrainingError(f"horizon was {self.horizon}, must be from 1 to 10000 bars")
        if not 0 < self.atr <= 100:
            raise TrainingError(f"atr was {self.atr:g}, must be more than 0 and at most 100")
        if not 0 <= self.cost_bp <= 1000:
            raise TrainingError(f"cost_bp was {self.cost_bp:g}, must be from 0 to 1000")


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """What became of each bar at which one could have traded, in order; all of shape (labels,).

    Attributes:
        first: The bar at whose close it begins; int64.
        last: The bar in which it was decided; what a label knows lies in first + 1 .. last.
        outcome: 1: it paid to be long, -1: to be short, 0: neither, or nobody knows; int8.
        ambiguous: Nobody knows, because one bar touched both barriers.
        long: Return of having been long, net of costs; float64.
        short: The same of having been short.
    """

    first: npt.NDArray[np.int64]
    last: npt.NDArray[np.int64]
    outcome: npt.NDArray[np.int8]
    ambiguous: npt.NDArray[np.bool_]
    long: npt.NDArray[np.float64]
    short: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.first)


def triple_barrier(
    bars: npt.NDArray[np.float64],
    atr: npt.NDArray[np.float64],
    usable: npt.NDArray[np.bool_],
    segment: npt.NDArray[np.int64],
    rule: TripleBarrier,
) -> Labels:
    """Label the bars of one instrument.

    Args:
        bars: Open, high, low, close, volume; float64, shape (bars, 5).
        atr: The average true range at each bar's close, in the unit of prices; shape (bars,).
        usable: Which bars may have a label: those with features.
        segment: As in `History`; no label goes beyond its segment, nor beyond the last bar.
        rule: Where the barriers are.
    """
    opened, high, low, close, _ = bars.T
    count = len(bars)
    cost = close * (rule.cost_bp / _BP)
    upper, lower = close + rule.atr * atr + cost, close - rule.atr * atr - cost
    # A label needs its whole horizon to be there, or those that are decided early, which are the
    # larger moves, would be too many at the end.
    there = np.zeros(count, dtype=np.bool_)
    within = np.arange(count - rule.horizon) if count > rule.horizon else np.arange(0)
    there[within] = segment[within] == segment[within + rule.horizon]
    first = np.flatnonzero(usable & there & (atr > 0) & (lower > 0))

    last = np.zeros(count, dtype=np.int64)
    outcome = np.zeros(count, dtype=np.int8)
    ambiguous = np.zeros(count, dtype=np.bool_)
    sold, bought = np.zeros(count), np.zeros(count)  # at which a long, a short position was closed
    waiting = first
    for ahead in range(1, rule.horizon + 1):
        bar = waiting + ahead
        begins = opened[bar]
        above, below = high[bar] >= upper[waiting], low[bar] <= lower[waiting]
        both = above & below & (begins > lower[waiting]) & (begins < upper[waiting])
        up = above & ~both & (begins > lower[waiting])
        down = below & ~both & (begins < upper[waiting])
        outcome[waiting[up]], outcome[waiting[down]] = 1, -1
        ambiguous[waiting[both]] = True
        sold[waiting[up]] = upper[waiting[up]]
        bought[waiting[up | both]] = np.maximum(begins, upper[waiting])[up | both]
        bought[waiting[down]] = lower[waiting[down]]
        sold[waiting[down | both]] = np.minimum(begins, lower[waiting])[down | both]
        decided = up | down | both
        last[waiting[decided]] = bar[decided]
        waiting = waiting[~decided]
    end = waiting + rule.horizon
    difference = close[end] - close[waiting]
    worth = np.abs(difference) > cost[waiting]
    outcome[waiting[worth]] = np.sign(difference[worth]).astype(np.int8)
    last[waiting] = end
    sold[waiting] = bought[waiting] = close[end]

    paid = rule.cost_bp / _BP
    return Labels(
        first=first.astype(np.int64),
        last=last[first],
        outcome=outcome[first],
        ambiguous=ambiguous[first],
        long=sold[first] / close[first] - 1.0 - paid,
        short=1.0 - bought[first] / close[first] - paid,
    )
