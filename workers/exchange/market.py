"""An endless market made from a seed: the same events on every machine, from any index on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from workers.exchange.listing import Listing, ListingError

TRADE, QUOTE = 1, 2
"""Values of `kind`, those of MarketKind in pipeline/native/records.hpp."""

EVENT = np.dtype(
    [
        ("index", "<u8"),  # of the event in the whole market, from 1
        ("instrument", "<u4"),
        ("kind", "u1"),
        ("aggressor", "i1"),  # of a trade: +1 bought, -1 sold
        ("price", "<i8"),  # of a trade, as its quantity; 0 otherwise
        ("quantity", "<i8"),
        ("bid", "<i8"),  # of a quote, as the three that follow; 0 otherwise
        ("bid_quantity", "<i8"),
        ("ask", "<i8"),
        ("ask_quantity", "<i8"),
        ("trade_id", "<u8"),  # contiguous for each instrument, from 1
        ("update_id", "<u8"),  # the quote's index, so increasing for each instrument
    ],
    align=True,
)
"""One event. Prices are in ticks, quantities in lots."""

BLOCK = 4096
"""Events that are made at once."""

Events: TypeAlias = npt.NDArray[Any]
"""A structured array of `EVENT`."""

_Ints: TypeAlias = npt.NDArray[np.int64]

# What goes from one block to the next: a row each of this for every instrument.
_WALK, _BID, _BID_QUANTITY, _ASK, _ASK_QUANTITY, _TRADES = range(6)

_CHECKPOINT = 64  # blocks between states that are kept for ever
_KEPT = 16  # latest states and blocks that are kept

# The walk is in 2**-40 of the price's natural logarithm and is reflected at +-ln 2.
_ONE = 1 << 40
_LIMIT = 762_123_384_786

# Standard deviation of a sum of four uniform 16-bit numbers: sqrt(4 * (2**32 - 1) / 12).
_SUM_DEVIATION = 37_837.227
_SUM_MEAN = 2 * 65_535

_TYPICAL_NOTIONAL_E8 = 2_000 * 10**8


class SeededMarket:
    """The events of some instruments, a pure function of listings, seed and volatility.

    Quotes move a mid price by a random walk of its logarithm between half and twice the price at
    which it began; trades take place at the bid or the ask of the latest quote. All randomness is
    the raw stream of PCG64 seeded by (seed, number of the block), all else integer arithmetic or
    single IEEE operations, so no two machines differ. `volatility_bp` is the standard deviation of
    one quote's step in basis points.
    """

    def __init__(self, listings: Sequence[Listing], seed: int, volatility_bp: float) -> None:
        if not listings:
            raise ListingError("listings were none, must be at least one")
        if not 0 <= seed < 2**63:
            raise ListingError(f"exchange.seed was {seed}, must be from 0 to 2**63 - 1")
        if not 0 <= volatility_bp <= 1000:
            raise ListingError(
                f"exchange.volatility_bp was {volatility_bp}, must be from 0 to 1000"
            )
        for listing in listings:
            if not 1 <= listing.price < 2**50:
                raise ListingError(
                    f"price of {listing.symbol} was {listing.price} ticks, must be from 1 to 2**50"
                )
        self._seed = seed
        self._start = np.array([listing.price for listing in listings], np.int64)
        self._size = np.array([typical_lots(listing) for listing in listings], np.int64)
        self._step = round(volatility_bp * 1e-4 * _ONE / _SUM_DEVIATION)
        first = np.zeros((6, len(listings)), np.int64)
        first[_BID], first[_ASK] = self._start, self._start + 1
        first[_BID_QUANTITY] = first[_ASK_QUANTITY] = self._size
        self._checkpoints = [first]  # the states before block 0, _CHECKPOINT, 2 * _CHECKPOINT ...
        self._states: dict[int, _Ints] = {}  # the latest, each before the block of that number
        self._blocks: dict[int, Events] = {}

    def events(self, first: int, count: int) -> Events:
        """Return `count` events from index `first` on; to be read only.

        Raises:
            ValueError: `first` is less than 1 or `count` less than 0.
        """
        if first < 1 or count < 0:
            raise ValueError(
                f"events({first}, {count}) were wanted, must begin at 1 or later, 0 or more"
            )
        begin, end = first - 1, first - 1 + count
        parts = [
            self._block(number)[max(begin - number * BLOCK, 0) : end - number * BLOCK]
            for number in range(begin // BLOCK, -(-end // BLOCK))
        ]
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else np.zeros(0, EVENT)

    def approach(self, index: int, most: int) -> bool:
        """Make at most `most` of the blocks on the way to event `index`; return whether it is near.

        For who must not be busy for long: the way to a far event leads through all before it.
        """
        target = (index - 1) // BLOCK
        number, _ = self._known(target)
        for block in range(number, min(number + most, target)):
            self._make(block)
        return number + most >= target

    def _block(self, number: int) -> Events:
        block = self._blocks.get(number)
        if block is None:
            for missing in range(self._known(number)[0], number + 1):
                block = self._make(missing)
            assert block is not None
        return block

    def _known(self, number: int) -> tuple[int, _Ints]:
        """Return the latest state that is known at or before block `number`, and its number."""
        checkpoint = min(number // _CHECKPOINT, len(self._checkpoints) - 1)
        best, state = checkpoint * _CHECKPOINT, self._checkpoints[checkpoint]
        for each, candidate in self._states.items():
            if best < each <= number:
                best, state = each, candidate
        return best, state

    def _make(self, number: int) -> Events:
        known, state = self._known(number)
        assert known == number
        block, after = self._generate(number, state)
        _keep(self._blocks, number, block)
        _keep(self._states, number + 1, after)
        if number + 1 == len(self._checkpoints) * _CHECKPOINT:
            self._checkpoints.append(after)
        return block

    def _generate(self, number: int, state: _Ints) -> tuple[Events, _Ints]:
        """Return a block and the state after it.

        Rows are sorted by instrument, each instrument's preceded by one that stands for its state,
        so that running sums and "the latest quote" are single passes over all.
        """
        count = state.shape[1]
        raw = np.random.PCG64([self._seed, number]).random_raw(3 * BLOCK).reshape(3, BLOCK)
        choice = raw[1]
        instrument = ((choice >> 32) * np.uint64(count) >> 32).astype(np.int64)
        order = np.argsort(np.concatenate([np.arange(count), instrument]), kind="stable")
        heads = np.flatnonzero(order < count)
        at = np.concatenate([np.arange(count), instrument])[order]

        def with_heads(values: npt.NDArray[Any], head: Any) -> _Ints:
            rows = np.empty(count + BLOCK, np.int64)
            rows[:count] = head
            rows[count:] = values
            return rows[order]

        is_trade = with_heads(choice & 1, 0)
        deviation = raw[0].view("<u2").reshape(BLOCK, 4).sum(axis=1, dtype=np.int64) - _SUM_MEAN
        steps = with_heads(deviation * self._step, 0) * (1 - is_trade)
        walk = _running(steps, heads, at) + state[_WALK][at]
        trade_id = _running(is_trade, heads, at) + state[_TRADES][at]

        mid = (self._start[at] * _growth(walk)).astype(np.int64)
        ticks = 1 + ((choice >> 8 & 0xFF) * 3 >> 8)
        spread_bp = with_heads((choice >> 16 & 0xFF) * 3 >> 8, 0)
        spread = np.maximum(with_heads(ticks, 1), mid // 10_000 * spread_bp)
        size = self._size[at]
        quote = np.empty((4, count + BLOCK), np.int64)
        quote[0] = np.maximum(1, mid - spread // 2)
        quote[1] = 1 + (10 * size * _square(with_heads(raw[2], 0)) >> 20)
        quote[2] = quote[0] + spread
        quote[3] = 1 + (10 * size * _square(with_heads(raw[2] >> 10, 0)) >> 20)
        quote[:, heads] = state[_BID : _ASK_QUANTITY + 1]
        rows = np.arange(count + BLOCK)
        quote = quote[:, np.maximum.accumulate(np.where(is_trade, 0, rows))]

        buys = with_heads(choice >> 1 & 1, 0)
        quantity = 1 + (size * _square(with_heads(raw[2] >> 20, 0)) >> 20)
        ends = np.append(heads[1:], count + BLOCK) - 1
        after = np.vstack([walk[ends] % (4 * _LIMIT), quote[:, ends], trade_id[ends]])

        places = order - count
        body = places >= 0
        places = places[body]
        events = np.zeros(BLOCK, EVENT)
        events["index"] = np.arange(1, BLOCK + 1) + number * BLOCK
        events["instrument"] = instrument
        traded = is_trade[body]
        events["kind"][places] = np.where(traded, TRADE, QUOTE)
        events["aggressor"][places] = traded * (2 * buys[body] - 1)
        events["price"][places] = traded * np.where(buys, quote[2], quote[0])[body]
        events["quantity"][places] = traded * quantity[body]
        for name, values in zip(("bid", "bid_quantity", "ask", "ask_quantity"), quote, strict=True):
            events[name][places] = (1 - traded) * values[body]
        events["trade_id"][places] = traded * trade_id[body]
        events["update_id"] = np.where(events["kind"] == QUOTE, events["index"], 0)
        events.flags.writeable = False
        return events, after


def _running(values: _Ints, heads: _Ints, at: _Ints) -> _Ints:
    """Return sums that begin anew at each head, whose own value is 0."""
    total = np.cumsum(values)
    result: _Ints = total - total[heads][at]
    return result


def _growth(walk: _Ints) -> npt.NDArray[np.float64]:
    """Return by which factor the price has moved, 0.5 to 2, for a walk that knows no limits."""
    folded = _LIMIT - np.abs((walk + _LIMIT) % (4 * _LIMIT) - 2 * _LIMIT)
    # (1 + x / 1024) ** 1024 by ten squarings, less than 0.03 % from exp(x); exp itself may differ
    # in its last bit from one library or CPU to the next.
    factor: npt.NDArray[np.float64] = folded / float(_ONE) / 1024.0 + 1.0
    for _ in range(10):
        factor = factor * factor
    return factor


def _square(words: _Ints) -> _Ints:
    """Return the squares of ten random bits: more small quantities than large ones."""
    bits = words & 1023
    result: _Ints = bits * bits
    return result


def typical_lots(listing: Listing) -> int:
    """Return a usual quantity at the top of the book: worth about 2,000 of the quote currency."""
    lot_notional_e16 = listing.price * listing.tick_e8 * listing.lot_e8
    return min(max(1, _TYPICAL_NOTIONAL_E8 * 10**8 // lot_notional_e16), 2**38)


def _keep(latest: dict[int, Any], number: int, value: Any) -> None:
    latest.pop(number, None)
    latest[number] = value
    if len(latest) > _KEPT:
        del latest[next(iter(latest))]
