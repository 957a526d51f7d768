"""The trades of one market as ccxt tells them: each once, in order, numbered.

A record needs a number that grows from trade to trade, and after a restart the number of the last
one is all that is known. Where the venue's ids are such numbers, they are it. Where they are not,
or there are none, a trade is numbered by its time: its millisecond times 2**20, plus its place
within that. Trades that ids (or, without them, time, price, quantity and side) show to be known are
left out.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from pipeline.instruments import E8, Instrument
from pipeline.markets.exact import exact

_PLACES = 20  # bits of a trade's place within its millisecond
_KEPT = 20_000  # trades that are known by name
_MOST_STEPS = 10**15  # a float tells apart what has 15 digits, and no more
_NEAR = Decimal("1e-6")
_MOST = 1 << 63


class Trade(NamedTuple):
    """A trade in ticks and lots; `name` is its id, if it has one, else all that is known of it."""

    name: str
    ms: int
    price: int
    quantity: int
    aggressor: int
    has_id: bool


def steps(value: object, step_e8: int) -> int:
    """Return a number of ccxt's as a multiple of a tick or a lot (in 1e-8), exactly.

    A float is taken as the shortest decimal that it stands for, which is what the venue wrote if
    that had up to 15 digits. Otherwise it is within 1e-6 of a multiple, or is refused.

    Raises:
        ValueError: it is no number, none of this step, or has too many digits to be told.
    """
    number = exact(value)
    if not 0 <= number * E8 < _MOST_STEPS * step_e8:
        raise ValueError(f"number was {number}, must be in 0 .. 1e15 steps")
    units = number * E8 / step_e8
    whole = int(units.to_integral_value())
    if abs(units - whole) > _NEAR:
        raise ValueError(f"number was {number}, must be a multiple of {Decimal(step_e8) / E8}")
    return whole


def trade_of(told: dict[str, Any], instrument: Instrument) -> Trade:
    """Return one of ccxt's trades.

    Raises:
        ValueError, KeyError, TypeError: it is incomplete, or has no exact price or quantity.
    """
    ms, side = int(told["timestamp"]), told["side"]
    if side not in ("buy", "sell"):
        raise ValueError(f"side was {side!r}, must be buy or sell")
    price = steps(told["price"], instrument.tick_e8)
    quantity = steps(told["amount"], instrument.lot_e8)
    if not (ms > 0 and price and quantity):
        raise ValueError(f"trade was {quantity} lots at {price} ticks at {ms} ms, must be > 0")
    name = str(told.get("id") or "")
    return Trade(
        name or f"{ms} {price} {quantity} {side}",
        ms,
        price,
        quantity,
        1 if side == "buy" else -1,
        bool(name),
    )


class Tape:
    """Which trades of a market were told, and under which numbers."""

    def __init__(self, last: int, now_ms: int) -> None:
        """Begin after number `last`, which a predecessor has told (0: nobody), at the time."""
        self.last = last
        self._ms = now_ms  # of the last one; a predecessor's was before now
        self._by_id: bool | None = None  # None: no trade was seen yet
        self._is_resumed = last != 0
        self._names: deque[str] = deque()
        self._known: Counter[str] = Counter()

    @property
    def since_ms(self) -> int | None:
        """When the last trade was; None if none was told here."""
        return self._ms if self._known else None

    def tell(self, trades: Iterable[Trade]) -> list[tuple[int, Trade]]:
        """Number those of the venue's trades that were not told yet."""
        told = []
        for trade in trades:
            if trade.has_id and self._known[trade.name]:
                continue
            told.append((self._number(trade), trade))
            self._remember(trade)
        return told

    def missed(self, replayed: Sequence[Trade], held: Sequence[Trade]) -> list[Trade] | None:
        """Return which trades were not told before those that the connection brought first.

        Args:
            replayed: What the venue told on request, later than `held`.
            held: The first ones of the connection, of which none was told.

        Returns:
            Them in order; None if the venue's two ways of telling have no trade in common.
        """
        first = {(trade.name, trade.price, trade.quantity) for trade in held}
        ordered = sorted(replayed, key=_place)
        places = (
            at
            for at, trade in enumerate(ordered)
            if (trade.name, trade.price, trade.quantity) in first
        )
        end = next(places, None)
        if end is None:
            return None
        return self._untold(ordered[:end])

    def reaches(self, replayed: Sequence[Trade]) -> bool:
        """Whether a venue's answer goes back to what was told."""
        return any(self._is_old(trade) for trade in replayed)

    def _untold(self, ordered: Sequence[Trade]) -> list[Trade]:
        if self._is_resumed and not self._known and not self._is_numbered(ordered):
            # Only the number of the last one is known: when it was, and which of that millisecond.
            ms, place = self.last >> _PLACES, self.last & ((1 << _PLACES) - 1)
            same = [trade for trade in ordered if trade.ms == ms]
            return same[place + 1 :] + [trade for trade in ordered if trade.ms > ms]
        if self._is_numbered(ordered):
            return [each for each in ordered if _is_number(each) and int(each.name) > self.last]
        found = []
        seen: Counter[str] = Counter()  # without ids, some may look alike
        for trade in ordered:
            seen[trade.name] += 1
            if trade.ms >= self._ms and seen[trade.name] > self._known[trade.name]:
                found.append(trade)
        return found

    def _is_old(self, trade: Trade) -> bool:
        if self._is_numbered((trade,)):
            return _is_number(trade) and int(trade.name) <= self.last
        if self._known:
            return self._known[trade.name] > 0 or trade.ms < self._ms
        return trade.ms <= self.last >> _PLACES

    def _is_numbered(self, trades: Sequence[Trade]) -> bool:
        if self._by_id is not None:
            return self._by_id
        return all(map(_is_number, trades))

    def _number(self, trade: Trade) -> int:
        if self._by_id is None:
            self._by_id = _is_number(trade)
        if self._by_id:
            is_number = _is_number(trade)
            if is_number and (int(trade.name) > self.last or trade.ms <= self._ms):
                # One that is late the arbiter knows by its number, or not.
                self.last = max(self.last, int(trade.name))
                self._ms = max(self._ms if self._known else 0, trade.ms)
                return int(trade.name)
            self._by_id = False  # ids do not grow with time
        self._ms = max(self._ms if self._known else 0, trade.ms)
        self.last = max(self.last + 1, trade.ms << _PLACES)
        return self.last

    def _remember(self, trade: Trade) -> None:
        self._names.append(trade.name)
        self._known[trade.name] += 1
        if len(self._names) > _KEPT:
            oldest = self._names.popleft()
            self._known[oldest] -= 1
            if not self._known[oldest]:
                del self._known[oldest]


def _place(trade: Trade) -> tuple[int, int]:
    return trade.ms, int(trade.name) if _is_number(trade) else 0


def _is_number(trade: Trade) -> bool:
    if not (trade.has_id and trade.name.isascii() and trade.name.isdecimal()):
        return False
    return len(trade.name) < 20 and 0 < int(trade.name) < _MOST
