"""Trades that did not come over a connection, fetched over REST."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeAlias

from pipeline.instruments import InstrumentError
from workers._native import Arbiter, Decoder, Line, Outbox, Recorder
from workers.feed.rest import RestError
from workers.feed.venue import Trade, Venue, jittered

_ATTEMPTS = 3  # to have a page that can be read: some venues refuse with status 200
_AGAIN_S = 2.0
_NEAR = 2000  # ids between trades that are missing: two pages cost less than to look for them anew
_AT_ONCE = 50  # trades that are told before messages are read again
_GATHER_S = 0.2  # for more trades that are missing, to be asked for at once
_SHOWN = 200  # characters of an answer
_Range: TypeAlias = tuple[int, int]  # the first and the last id

ANY = 2**64 - 1
"""There is no higher id."""


class Get(Protocol):
    """Returns an answer, however long that takes; see `Connection`."""

    def __call__(
        self, url: str, wait: Callable[[], float], *, insists: bool = True
    ) -> Coroutine[Any, Any, bytes]:
        """Raise RestError if the venue refuses to give it, and one does not insist."""


class MissingTrades:
    """Keeps what is missing of each instrument, and has it told over a line.

    `settle` is called whenever the outbox has something left; `warn` with what is wrong, and how.
    """

    def __init__(
        self,
        venue: Venue,
        line: Line,
        outbox: Outbox,
        get: Get,
        *,
        settle: Callable[[], None],
        warn: Callable[[str, object], None],
    ) -> None:
        self._venue = venue
        self._line = line
        self._outbox = outbox
        self._get = get
        self._settle = settle
        self._warn = warn
        self._scratch = Recorder()
        self._ranges: dict[int, list[_Range]] = {}

    @property
    def rows(self) -> tuple[int, ...]:
        """The instruments of which trades are missing, or were."""
        return tuple(self._ranges)

    def add(self, other: MissingTrades) -> None:
        """Take over what is missing on another line."""
        for row, ranges in other._ranges.items():
            for first, last in ranges:
                self.note(row, first, last)

    def note(self, row: int, first: int, last: int) -> None:
        """Remember that trades with these ids are missing; what is near is one range."""
        others = []
        for begin, end in self._ranges.get(row, ()):
            if begin <= last + _NEAR and first <= end + _NEAR:
                first, last = min(first, begin), max(last, end)
            else:
                others.append((begin, end))
        self._ranges[row] = [*others, (first, last)]

    async def fetch(self, row: int) -> None:
        """Have the venue's trades that are missing told; more may be found missing meanwhile."""
        while self._ranges.get(row):
            await asyncio.sleep(_GATHER_S)
            missing = max(self._ranges[row])
            self._ranges[row].remove(missing)
            await self._replay(row, *missing)

    async def find_last(self, arbiter: Arbiter) -> None:
        """Have the arbiter know the last trade of each market in which none was told yet.

        Else nobody would know after an outage which trades are missing. What REST tells may have
        been traded on this connection: then it comes over that as well, and that has to be first.
        """
        await asyncio.sleep(self._venue.settling)
        for row in [each.index for each in self._venue.instruments]:
            if arbiter.last_trade(row):
                continue
            url = next(self._venue.replay(row, 1, ANY))
            latest = await self._page(row, url, insists=False)
            await asyncio.sleep(self._venue.settling)
            if latest and not arbiter.last_trade(row):
                arbiter.resume(row, latest[-1].trade_id, arbiter.is_stale(row))

    async def _replay(self, row: int, first: int, last: int) -> None:
        # The decoder of the messages takes all before its first connection as known, which is not
        # so if another line was to fetch it. The arbiter knows what was told.
        decoder = self._venue.decoder()
        decoder.trade(row, first - 1, 1, 1, 1, 0, 0, self._scratch)
        self._scratch.take()
        pages = self._venue.replay(row, first, last)
        url = next(pages)
        insists = True
        while True:
            try:
                trades = await self._page(row, url, insists=insists)
                if trades is None:
                    return
                missing = [each for each in trades if first <= each.trade_id <= last]
                await self._tell(decoder, row, missing)
            except asyncio.CancelledError:
                if first <= last:
                    self.note(row, first, last)  # for the next connection
                raise
            if trades:
                newest = trades[-1].trade_id
                if insists:  # these were the latest; what is later comes by itself
                    last = min(last, newest)
                if trades[0].trade_id <= first:
                    first = max(first, newest + 1)
                elif newest >= last:
                    last = trades[0].trade_id - 1
            try:
                url = pages.send(trades)
            except StopIteration:
                return
            insists = False  # the latest are everywhere to be had, older ones perhaps not

    async def _page(self, row: int, url: str, *, insists: bool) -> list[Trade] | None:
        """Return the trades that are to be had somewhere, None if that is not possible."""
        for _ in range(_ATTEMPTS):
            try:
                answer = await self._get(url, self._venue.trades_requests.wait, insists=insists)
            except RestError:
                break
            try:
                return list(self._venue.trades(row, answer))
            except (ValueError, KeyError, TypeError, IndexError, StopIteration) as error:
                self._warn("trades could not be read", f"{error!r}: {answer[:_SHOWN]!r}")
            await asyncio.sleep(jittered(_AGAIN_S))
        return None

    async def _tell(self, decoder: Decoder, row: int, trades: Sequence[Trade]) -> None:
        instrument = self._venue.instrument(row)
        for number, trade in enumerate(trades, 1):
            try:
                price = instrument.price_to_ticks(trade.price)
                quantity = instrument.quantity_to_lots(trade.quantity)
            except InstrumentError as error:
                self._warn("a trade could not be read", str(error))
                continue
            now = time.monotonic_ns()
            decoder.trade(
                row, trade.trade_id, price, quantity, trade.aggressor, trade.venue_ns, now,
                self._line,
            )  # fmt: skip
            if self._outbox.kept:
                self._settle()
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
