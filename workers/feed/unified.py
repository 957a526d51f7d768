"""Any venue that ccxt.pro reads, in the place of `Lines`: slower, and the same to whoever listens.

ccxt keeps neither of the feed's promises by itself: it waits minutes for a half-open connection,
and knows nothing of what was missed. So each loss of one of its connections is taken for the loss
of all, everything is stale at once, and a new ccxt object is made on the feed's own grid. The
trades that a new connection brings first wait until those before them have been asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from pipeline.instruments import Instrument
from pipeline.markets import stream
from pipeline.vocabulary import MarketKind
from workers._native import Outbox
from workers.feed.decoding import StaleReason
from workers.feed.session import Timing
from workers.feed.tape import Tape, steps
from workers.feed.telling import Market, Telling, said
from workers.feed.trades import Trades
from workers.feed.venue import jittered

_log = logging.getLogger("bot4.feed")

TIMING = Timing(dial_every=2.5, attempt=5.0, silence=3.0, ping=1.0)
"""Of a connection; an attempt takes longer than a native one, as ccxt may ask over REST first."""

_UNANSWERED_S = 60.0  # of silence, where PINGs are not known to be answered
_LOOK_S = 0.05
_CLOSE_S = 1.0

_T = TypeVar("_T")


class LostError(Exception):
    """A connection is lost; the text says why."""


@dataclass(frozen=True, slots=True)
class CcxtVenue:
    """A venue as ccxt knows it.

    Attributes:
        name: As ccxt calls it.
        instruments: Those that are traded there.
        url: In the place of all its WebSockets; None: ccxt knows.
        rest_url: The same of REST.
        has_books: Its quotes hold only as long as the connection does.
    """

    name: str
    instruments: tuple[Instrument, ...]
    url: str | None = None
    rest_url: str | None = None
    has_books: bool = True


class Unified:
    """Reads a venue through ccxt.pro; see `Lines`, whose members it has as far as the feed asks."""

    def __init__(
        self,
        venue: CcxtVenue,
        outbox: Outbox,
        instruments: int,
        *,
        settle: Callable[[], None],
        connected: Callable[[], None] = lambda: None,
        timing: Timing = TIMING,
    ) -> None:
        """Prepare; `instruments` is how many there are in all, whatever their venue."""
        self.venue = venue
        self._telling = Telling(venue.name, outbox, instruments, settle)
        self.arbiter = self._telling.arbiter
        self._trades = Trades(self._telling)
        self._connected = connected
        self._timing = timing
        self._markets = [Market(instrument) for instrument in venue.instruments]
        self._frames = 0  # of earlier connections
        self._exchange: Any = None  # ccxt's object of the connections that there are
        self._known: tuple[Any, Any] | None = None  # its markets and currencies
        self._closing: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()
        self._is_open = False  # what ccxt says of quotes counts
        self._is_lost = False  # and that was said

    @property
    def heard_ns(self) -> int:
        """When something had come over each of the connections; 0 if there are none."""
        if self._exchange is None:
            return 0
        return min(self._exchange.heard_ns.values(), default=0)

    @property
    def is_live(self) -> bool:
        """Whether the quotes of all instruments that the venue has hold."""
        traded = [market for market in self._markets if market.symbol]
        return bool(traded) and all(market.holds for market in traded)

    def counts(self) -> dict[str, int]:
        """Return what there was so far: see `lines.COUNTS`."""
        frames = self._frames + (0 if self._exchange is None else self._exchange.frames)
        told = self.arbiter.counts()
        own = {name: told.get(name, count) for name, count in self._telling.counts.items()}
        return {**own, "messages": frames}

    def stop(self) -> None:
        """End `run` in order; nothing is told any more."""
        self._telling.is_over = True
        self._stop.set()

    async def run(self) -> None:
        """Read until `stop`.

        Raises:
            Exception: what one of the callbacks raised.
        """
        # A second or so, during which the process has to beat.
        await asyncio.to_thread(importlib.import_module, "ccxt.pro")
        reading = asyncio.create_task(self._read())
        stopped = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait((reading, stopped), return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                reading.result()
        finally:
            for task in (reading, stopped):
                task.cancel()
            await asyncio.gather(reading, stopped, return_exceptions=True)
            await asyncio.gather(*self._closing, return_exceptions=True)

    async def _read(self) -> None:
        """Connect, and again after each loss."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + jittered(self._timing.dial_every, self._timing.jitter)
            try:
                await self._connection()
            except LostError as error:
                if not self._is_lost:  # and not each attempt of a long outage
                    self._is_lost = True
                    _log.warning("%s: the venue's connection was lost: %s", self.venue.name, error)
                else:
                    self._telling.warn("the venue's connection is not to be had", str(error))
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def _connection(self) -> None:
        """Read until a connection is lost.

        Raises:
            LostError: which it is in the end.
        """
        exchange = stream.exchange(self.venue.name, self.venue.url, self.venue.rest_url)
        self._exchange = exchange
        try:
            await self._find_markets(exchange)
            self._is_open = True
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch(exchange))
                for market in self._markets:
                    if market.symbol:
                        trades = self._trades.watch(exchange, market, group, self._asked)
                        group.create_task(trades)
                        group.create_task(self._watch_quotes(exchange, market))
        except BaseExceptionGroup as errors:
            lost, others = errors.split(LostError)
            # What our own side has raised comes first: it ends everything.
            raise (others or lost or errors).exceptions[0] from None
        finally:
            self._frames += exchange.frames
            self._exchange = None
            closing = asyncio.create_task(_close(exchange))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def _find_markets(self, exchange: Any) -> None:
        """Have ccxt know the venue's markets, and say which instruments are none of them."""
        if self._known is None:
            await self._asked(exchange.load_markets())
            self._known = exchange.markets, exchange.currencies
        else:
            exchange.set_markets(*self._known)
        begun_ms = time.time_ns() // 1_000_000
        for market in self._markets:
            name = market.instrument.symbol
            found = [exchange.markets[name]] if name in exchange.markets else []
            found += exchange.markets_by_id.get(name, ())
            spot = [each for each in found if each.get("spot")] or found
            if not spot:
                self._telling.warn(
                    f"{name} is not traded",
                    f"bot4 instruments --venue {self.venue.name} lists what is",
                )
                continue
            market.symbol = spot[0]["symbol"]
            last = self.arbiter.last_trade(market.instrument.index)
            if market.tape is None:
                market.tape = Tape(last, begun_ms)
            market.held = [] if last and exchange.has["fetchTrades"] else None

    async def _asked(self, answer: Awaitable[_T]) -> _T:
        """Wait for ccxt; whatever it raises is a loss, which is told at once."""
        try:
            return await answer
        except Exception as error:
            self._lose(StaleReason.DISCONNECTED)
            raise LostError(said(error)) from error

    def _lose(self, reason: StaleReason) -> None:
        """Take back what was said of all instruments."""
        self._is_open = False
        for market in self._markets:
            market.raw = ()
            self._break(market, reason, time.monotonic_ns())

    def _break(self, market: Market, reason: StaleReason, now: int) -> None:
        if market.holds:
            market.holds, market.is_broken = False, True
            self._telling.tell(market, MarketKind.STALE, now, venue_sequence=reason)

    # --- The connections ---

    async def _watch(self, exchange: Any) -> None:
        """Ask each connection whether it is there, and give all up when one is not."""
        timing = self._timing
        begun: dict[str, float] = {}
        asked: dict[str, float] = {}
        was_connected = False
        started = time.monotonic()
        while True:
            now = time.monotonic()
            if exchange.cause:
                raise self._lost(StaleReason.DISCONNECTED, exchange.cause)
            if not exchange.clients and now - started > timing.attempt:
                raise self._lost(StaleReason.SILENCE, "there was no connection in time")
            for url, client in tuple((exchange.clients or {}).items()):
                first = begun.setdefault(url, now)
                if not client.isConnected:
                    if now - first > timing.attempt:
                        raise self._lost(StaleReason.SILENCE, f"{url} did not answer in time")
                    continue
                if not was_connected:
                    was_connected = True
                    self._connected()
                heard = exchange.heard_ns.setdefault(url, time.monotonic_ns())
                silence = timing.silence if client.lastPong else _UNANSWERED_S
                if silence is not None and now - heard / 1e9 > silence:
                    raise self._lost(StaleReason.SILENCE, f"{url} was silent")
                if timing.ping is not None and now - asked.get(url, 0.0) >= timing.ping:
                    asked[url] = now
                    if not client.closed():
                        await self._asked(client.connection.ping())
            for market in self._markets:  # what came between two looks of ccxt's
                self._look(exchange, market)
            self._is_lost = self._is_lost and not self.is_live
            await asyncio.sleep(_LOOK_S)

    def _lost(self, reason: StaleReason, cause: str) -> LostError:
        self._lose(reason)
        return LostError(cause)

    # --- Quotes ---

    async def _watch_quotes(self, exchange: Any, market: Market) -> None:
        """Tell the best prices, by the quickest of the ways that the venue has."""
        symbol = market.symbol
        if exchange.has.get("watchBidsAsks"):
            watch = functools.partial(exchange.watch_bids_asks, [symbol])
        elif exchange.has.get("watchOrderBook"):
            watch = functools.partial(exchange.watch_order_book, symbol)
        elif exchange.has.get("watchTicker"):
            watch = functools.partial(exchange.watch_ticker, symbol)
        else:
            self._telling.warn("no quotes", "ccxt.pro has no best prices of this venue")
            return
        while True:
            told = await self._asked(watch())
            # ccxt returns the first of several; the last one is what it keeps.
            if not self._look(exchange, market):
                self._quote(exchange, market, told.get(symbol, told))

    def _look(self, exchange: Any, market: Market) -> bool:
        """Tell what ccxt has kept of a market. False if that is nothing."""
        if exchange.has.get("watchBidsAsks"):
            kept = exchange.bidsasks
        elif exchange.has.get("watchOrderBook"):
            kept = exchange.orderbooks
        else:
            kept = exchange.tickers
        if not market.symbol or (found := (kept or {}).get(market.symbol)) is None:
            return False
        self._quote(exchange, market, found)
        return True

    def _quote(self, exchange: Any, market: Market, told: Any) -> None:
        """Tell best prices if they have changed."""
        instrument = market.instrument
        try:
            if "bids" in told:
                sides = (side[0][:2] if side else (0, 0) for side in (told["bids"], told["asks"]))
                raw = tuple(value for side in sides for value in side)
            else:
                raw = tuple(told[name] for name in ("bid", "bidVolume", "ask", "askVolume"))
            if raw == market.raw or not self._is_open:
                return
            market.raw = raw
            units = 2 * (instrument.tick_e8, instrument.lot_e8)
            bid, bid_quantity, ask, ask_quantity = (
                steps(value or 0, unit) for value, unit in zip(raw, units, strict=True)
            )
        except (ValueError, KeyError, TypeError, IndexError) as error:
            self._telling.refuse("a quote could not be read", error)
            return
        if not (bid or ask):  # it was not told yet
            return
        now = max(exchange.heard_ns.values(), default=time.monotonic_ns())
        if bid and ask and bid >= ask:
            self._telling.counts["crossed"] += 1
            self._break(market, StaleReason.CROSSED, now)
            return
        if market.is_broken:
            market.is_broken = False
            self._telling.tell(market, MarketKind.RESYNC, now)
        market.holds = True
        self._telling.tell(
            market,
            MarketKind.QUOTE,
            now,
            venue_ns=int(told.get("timestamp") or 0) * 1_000_000,
            bid=bid,
            bid_quantity=bid_quantity,
            ask=ask,
            ask_quantity=ask_quantity,
        )


async def _close(exchange: Any) -> None:
    """Close ccxt's connections; those that do not answer, at once."""
    with contextlib.suppress(Exception):  # it is of no interest any more
        async with asyncio.timeout(_CLOSE_S):
            await exchange.close()
    with contextlib.suppress(Exception):
        if exchange.session is not None:
            await exchange.session.close()
        await exchange.close_connector()
    exchange.session = exchange.tcp_connector = None
