"""When to enter and when to leave, where stop and target are, and how much.

The slow, obvious form of `native/rules.hpp`: the same operations in the same order, the same bits.
The rules are the same for every way to score.

A score s in -1 .. 1 is twice the chance of a rise minus 1, so 0 says nothing. Of an entry with the
distances *loss* to its stop and *gain* to its target, in ticks:

```
chance of the target  loss / (loss + gain) + s / 2   the first is that of a fair game
expected move         s (loss + gain) / 2            which is that chance's expectation
cost of a round trip  close (2 taker fee + spread)   the spread that the row has, if it has one
```

Kelly's fraction of the equity for a bet that wins `won` or loses `lost` of what is put in is
`chance / lost - (1 - chance) / won`; above 0 exactly if the expected move is above the cost (Thorp,
"The Kelly criterion", 2006, section 7 with unequal payoffs).

Positions that move together are one bet, so they share a budget. The risk of a position is what one
ATR moves it by, which is what the volatility target is of; without a target, what it is worth. The
cluster of an entry is what is held, or on its way, and correlated with it beyond `correlation_bp`
in the same direction. Their risks and its own are at most `cluster_cap_bp` of what one position is
to risk. They are added up as if they were perfectly correlated, which is the most that the risk of
all of them can be (Markowitz, "Portfolio selection", 1952).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pipeline.instruments import E8, Instrument
from pipeline.money import notional_e8
from workers.ml.settings import EntryCaps, MlSettings, share
from workers.ml.strategies import Row

_MOST_TICKS = 2.0**62
_INT64_MAX = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Bracket:
    """What an entry at a row's close would be.

    Attributes:
        close: In ticks, as all of these.
        stop: Where the loss is limited.
        target: Where the profit is taken.
        loss: Distance of the stop.
        gain: Distance of the target.
        cost: Of a round trip.
        atr: Average true range.
    """

    close: int
    stop: int
    target: int
    loss: float
    gain: float
    cost: float
    atr: float


def cost_share(row: Row, instrument: Instrument) -> float:
    """Return the cost of a round trip as a share of the price."""
    fee = float(instrument.taker_fee_e8) / 1e8
    return 2.0 * fee + row.features.get("spread", 0.0)


def bracket(
    row: Row, settings: MlSettings, caps: EntryCaps, instrument: Instrument
) -> Bracket | None:
    """Return what an entry would be; None without a price or a range, or room for a stop."""
    atr = row.features.get("atr")
    if row.close < 1 or atr is None:
        return None
    close = float(row.close)
    below = max(1.0, _floor(close - share(settings.stop_atr_bp) * atr))
    above = min(_MOST_TICKS, _ceil(close + share(settings.target_atr_bp) * atr))
    stop = max(1, min(int(below), row.close - 1))
    target = max(int(above), row.close + 1)
    # Farther away, to multiples of the step.
    stop -= stop % caps.price_step
    target += -target % caps.price_step
    if stop < 1:
        return None
    return Bracket(
        row.close,
        stop,
        target,
        float(row.close - stop),
        float(target - row.close),
        close * cost_share(row, instrument),
        atr,
    )


def is_worth(score: float, entry: Bracket, settings: MlSettings) -> bool:
    """Return whether the move that a score foretells is worth its cost."""
    expected = score * (0.5 * (entry.loss + entry.gain))
    return expected >= share(settings.cost_margin_bp) * entry.cost


def measure(entry: Bracket, settings: MlSettings) -> float:
    """Return the move by which the risk of a position is measured, in ticks."""
    return max(entry.atr, 1.0) if settings.volatility_target_bp > 0 else float(entry.close)


def risk_of(lots: float, move: float, instrument: Instrument) -> float:
    """Return what so many lots gain or lose by such a move, in 1e-8."""
    return abs(lots) * move * float(instrument.tick_e8) * float(instrument.lot_e8) / 1e8


def cluster_cap(settings: MlSettings) -> float:
    """Return the most that a cluster may risk, in 1e-8: so many times what one position is to."""
    one = float(settings.order_notional_e8)
    if settings.volatility_target_bp > 0:
        one = float(settings.equity_e8) * share(settings.volatility_target_bp)
    return share(settings.cluster_cap_bp) * one


def rate_of(caps: EntryCaps, close: int, converter: Instrument) -> float:
    """Return what one of the currency of an instrument's prices is in the account's.

    Args:
        caps: Of the instrument.
        close: The last one of what converts it, in ticks; 0: none yet, and then nor a rate.
        converter: Which that is.
    """
    price = float(close) * float(converter.tick_e8) / 1e8
    return price if caps.is_base or close == 0 else 1.0 / price


def entry_quantity(
    score: float,
    entry: Bracket,
    settings: MlSettings,
    caps: EntryCaps,
    instrument: Instrument,
    *,
    is_degraded: bool,
    left: float,
    rate: float = 1.0,
) -> int:
    """Return how many lots to enter with; 0: none.

    The least of what the volatility target, the fraction of Kelly's bet and the cap of an order
    allow, less while the model has no answer, and no more than what is `left` of the cluster's
    risk, in 1e-8; rounded down to lots, and nothing if that is less than the venue takes. All of it
    is the account's money: `rate` is what one of the currency of its prices is in it.
    """
    most = float(caps.notional_e8)
    equity = float(settings.equity_e8)
    close = float(entry.close)
    notional = most
    if settings.volatility_target_bp > 0:
        target = equity * share(settings.volatility_target_bp) / (max(entry.atr, 1.0) / close)
        notional = min(notional, target)
    if settings.kelly_bp > 0:
        chance = min(1.0, entry.loss / (entry.loss + entry.gain) + 0.5 * score)
        lost = (entry.loss + entry.cost) / close
        won = (entry.gain - entry.cost) / close
        if lost <= 0.0 or won <= 0.0:
            return 0
        fraction = chance / lost - (1.0 - chance) / won
        if fraction <= 0.0:
            return 0
        notional = min(notional, equity * share(settings.kelly_bp) * fraction)
    if is_degraded:
        notional = notional * share(settings.degraded_size_bp)
    if settings.cluster_cap_bp > 0:
        notional = min(notional, max(left, 0.0) / (measure(entry, settings) / close))
    money = int(notional) if notional < most else caps.notional_e8
    if caps.converter >= 0:
        if rate <= 0.0:
            return 0
        money = int(min(float(money) / rate, _MOST_TICKS))
    lots = min(money * E8 // (entry.close * instrument.tick_e8 * instrument.lot_e8), _INT64_MAX)
    if caps.most_lots > 0:
        lots = min(lots, caps.most_lots)
    lots -= lots % caps.step_lots
    is_too_few = lots < max(1, caps.least_lots)
    if is_too_few or notional_e8(entry.close, lots, instrument) < instrument.min_notional_e8:
        return 0
    return lots


def take_into(
    book: np.void,
    close: int,
    cost: float,
    score: float | None,
    entry: Bracket | None,
    settings: MlSettings,
) -> None:
    """Take a row into the book of one way to score; without a score it keeps what it has.

    It enters and leaves at closes, by the rules above, and pays a round trip for each trade.
    """
    cost_bp = cost * 10000.0
    if book["position"] != 0:
        net = (float(close) / float(book["entered"]) - 1.0) * 10000.0 - cost_bp
        is_closed = close <= book["stop"] or close >= book["target"]
        if is_closed or (score is not None and score <= share(settings.leave_bp)):
            book["result_bp"] = float(book["result_bp"]) + net
            book["trades"] = int(book["trades"]) + 1
            book["position"] = book["entered"] = book["stop"] = book["target"] = 0
            book["open_bp"] = 0.0
            book["spent"] = is_closed
        else:
            book["open_bp"] = net
    elif (
        score is not None
        and score >= share(settings.enter_bp)
        and book["spent"] == 0
        and entry is not None
        and is_worth(score, entry, settings)
    ):
        book["position"] = 1
        book["entered"] = close
        book["stop"] = entry.stop
        book["target"] = entry.target
        book["open_bp"] = -cost_bp
    if score is not None and score < share(settings.enter_bp):
        book["spent"] = 0


def _floor(value: float) -> float:
    return float(math.floor(value)) if math.isfinite(value) else value


def _ceil(value: float) -> float:
    return float(math.ceil(value)) if math.isfinite(value) else value
