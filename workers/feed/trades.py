"""Trades of a venue that ccxt reads: as they come, and those that an outage has missed."""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from pipeline.vocabulary import MarketKind
from workers.feed.tape import Trade, trade_of
from workers.feed.telling import Market, Telling, said

_REPLAYS = (0.0, 0.25, 0.5, 1.0)  # seconds before each attempt to have trades told again
_PAGES = 10
_PAGE = 1000  # trades
_PAST_MS = 1000  # by which the venue's clock may be behind

_Asked = Callable[[Awaitable[Any]], Awaitable[Any]]


class Trades:
    """Tells the trades of a venue's instruments, each once and in order."""

    def __init__(self, telling: Telling) -> None:
        """Prepare to tell."""
        self._telling = telling
        self._limit: int | None = _PAGE

    async def watch(
        self, exchange: Any, market: Market, group: asyncio.TaskGroup, asked: _Asked
    ) -> None:
        """Tell the trades; the first ones after what was missed.

        `group` is of the connection's tasks; what `asked` raises ends it.
        """
        if not exchange.has.get("watchTrades"):
            self._telling.warn("no trades", "ccxt.pro has none of this venue")
            return
        begun_ms = time.time_ns() // 1_000_000
        is_first = True
        while True:
            told = await asked(exchange.watch_trades(market.symbol))
            now = max(exchange.heard_ns.values(), default=time.monotonic_ns())
            trades = self._trades_of(market, told)
            assert market.tape is not None
            if is_first and not market.tape.last:
                # Some venues begin with the past.
                trades = [trade for trade in trades if trade.ms >= begun_ms - _PAST_MS]
            is_first = is_first and not told
            if market.held is None:
                self._tell_trades(market, trades, now)
                continue
            begins = not market.held
            market.held += trades
            if begins and market.held:
                group.create_task(self._replay(exchange, market, now))

    async def _replay(self, exchange: Any, market: Market, now: int) -> None:
        """Have the trades told again that were missed, then go on with those that were held."""
        assert market.tape is not None
        assert market.held is not None
        missed = None
        for pause in _REPLAYS:
            await asyncio.sleep(pause)
            try:
                missed = await self._missed(exchange, market)
            except Exception as error:  # ccxt's, whatever they are: the trades that came count
                self._telling.warn("a request for trades failed", said(error))
            if missed is not None:
                break
        else:
            self._telling.counts["gaps"] += 1
            self._telling.warn("trades that were missed are not to be had", market.symbol)
        held, market.held = market.held or [], None
        self._tell_trades(market, [*(missed or ()), *held], now)

    async def _missed(self, exchange: Any, market: Market) -> list[Trade] | None:
        """Return the trades before those that are held; None if the venue does not say."""
        tape, held = market.tape, market.held
        assert tape is not None
        assert held is not None
        found = await self._fetch(exchange, market, None)
        since = tape.since_ms
        for _ in range(_PAGES):
            if tape.reaches(found) or since is None:
                break
            page = await self._fetch(exchange, market, since)
            known = {trade.name for trade in found}
            fresh = [trade for trade in page if trade.name not in known]
            if not fresh:
                break
            found = [*fresh, *found]
            latest = max(trade.ms for trade in page)
            if latest == since:
                break
            since = latest
        missed = tape.missed(found, held)
        if missed is not None and found and not tape.reaches(found):
            self._telling.counts["gaps"] += 1
            self._telling.warn("more trades were missed than are to be had", market.symbol)
        return missed

    async def _fetch(self, exchange: Any, market: Market, since: int | None) -> list[Trade]:
        try:
            told = await exchange.fetch_trades(market.symbol, since, self._limit)
        except importlib.import_module("ccxt").BadRequest:
            if self._limit is None:
                raise
            self._limit = None  # so many are not to be had of this venue at once
            told = await exchange.fetch_trades(market.symbol, since, None)
        return self._trades_of(market, told)

    def _trades_of(self, market: Market, told: Sequence[Any]) -> list[Trade]:
        trades = []
        for each in told:
            try:
                trades.append(trade_of(each, market.instrument))
            except (ValueError, KeyError, TypeError) as error:
                self._telling.refuse("a trade could not be read", error)
        return trades

    def _tell_trades(self, market: Market, trades: Sequence[Trade], now: int) -> None:
        assert market.tape is not None
        for number, trade in market.tape.tell(trades):
            self._telling.tell(
                market,
                MarketKind.TRADE,
                now,
                venue_ns=trade.ms * 1_000_000,
                price=trade.price,
                quantity=trade.quantity,
                aggressor=trade.aggressor,
                venue_sequence=number,
            )
