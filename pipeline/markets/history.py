"""The history of a market, page by page, as bars that are over.

What has been fetched is kept (``<state_dir>/history/<venue>/``), and only what is missing is asked
for. No bar is made up: where the venue has none there is a gap, and the gap is reported.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.markets.bars import Bar, Bars, Span, gaps, read, write
from pipeline.markets.exact import exact
from pipeline.markets.files import file_name, venue_name
from pipeline.markets.market import spot_entries
from pipeline.markets.venue import Venue, VenueError, ccxt_version, check, connect

FOLDER = "history"
"""In the state directory."""

_UNITS_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_SETTLE_MS = 60_000
"""Until a bar counts as over: venues still amend it then, and this host's clock may be ahead."""

_PAGE = 500
"""Bars of a request to a venue of which ccxt does not know how many it gives."""


@dataclass(frozen=True, slots=True)
class History:
    """The bars of one market over a span of time.

    Attributes:
        venue: As ccxt calls it.
        symbol: As it was asked for.
        timeframe: Length of a bar, e.g. "1m".
        span: What was asked for, but no later than the last bar that is over.
        bars: In the order of their times, each time once.
        gaps: Times of the span without a bar.
        notes: What the user should know about how it came to be, a line each.
    """

    venue: str
    symbol: str
    timeframe: str
    span: Span
    bars: tuple[Bar, ...]
    gaps: tuple[Span, ...]
    notes: tuple[str, ...] = ()


def timeframe_ms(timeframe: str) -> int:
    """Return the length of a bar, ms.

    Raises:
        VenueError: it is none, or months and years, which differ in length.
    """
    found = re.fullmatch(r"([1-9][0-9]{0,3})([smhdw])", timeframe)
    if not found:
        raise VenueError(
            f'timeframe was {timeframe!r}, must be a number and one of s m h d w, e.g. "1m"'
        )
    return int(found[1]) * _UNITS_MS[found[2]]


def history(
    venue: str,
    symbol: str,
    timeframe: str,
    since: int,
    until: int,
    *,
    state_dir: Path,
    url: str | None = None,
    refresh: bool = False,
    now_ms: int | None = None,
    timeout_s: float = 10.0,
    retries: int = 3,
) -> History:
    """Return the bars that begin at `since` or later, and before `until`, and are over.

    Args:
        venue: As ccxt calls it.
        symbol: The market, as the configuration, ccxt or the venue calls it.
        timeframe: Length of a bar: 1m, 5m, 1h, 1d ...
        since: ms since 1970.
        until: ms since 1970.
        state_dir: Of the deployment.
        url: Another server in the place of the venue's.
        refresh: Whether to ask for everything again, gaps included.
        now_ms: The time, ms since 1970. [default: the clock's]
        timeout_s: Of one request, seconds.
        retries: Of one request.

    Raises:
        VenueError: something named is not known; or the venue fails on the way. What it gave until
            then is kept, and the next call goes on from there.
    """
    check(venue, url)
    step = timeframe_ms(timeframe)
    if not 0 <= since < until:
        raise VenueError(f"since was {since}, must be in 0 .. until, {until} (ms since 1970)")
    now = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    # The last bar that is over began a step before now.
    wanted = Span(since, max(since, min(until, now - _SETTLE_MS - step + 1)))
    name = f"{file_name(symbol)}-{timeframe}.csv"
    path = state_dir / FOLDER / venue_name(venue, url) / name
    known, notes = read(path)
    if missing := [wanted] if refresh else known.missing(wanted):
        about = {"venue": venue, "url": url, "symbol": symbol, "timeframe": timeframe}
        with connect(venue, url, timeout_s=timeout_s, retries=retries) as connection:
            pages = _Pages(connection, symbol, timeframe, step)
            spans: list[Span] = []
            fetched: list[Bar] = []
            try:
                for span in missing:
                    for covered, page in pages.of(span):
                        spans.append(covered)
                        fetched += page
            finally:  # what an interrupted one has got is kept
                if spans:
                    known = known.renewed(spans, fetched)
                    notes += _keep(path, known, {**about, "ccxt": ccxt_version()})
    bars = known.within(wanted)
    return History(venue, symbol, timeframe, wanted, bars, gaps(bars, wanted, step), notes)


def _keep(path: Path, bars: Bars, about: dict[str, str | None]) -> tuple[str, ...]:
    try:
        write(path, bars, about)
    except OSError as error:
        return (f"{path} could not be written: {error.strerror}; the bars are not kept",)
    return ()


class _Pages:
    """A market's bars, as many a request as the venue gives."""

    def __init__(self, venue: Venue, symbol: str, timeframe: str, step_ms: int) -> None:
        if timeframe not in (offered := venue.exchange.timeframes or {}):
            names = ", ".join(offered) or "none"
            raise VenueError(f"timeframe was {timeframe!r}, {venue.name} has {names}")
        found = [each for each in spot_entries(venue) if symbol in (each["symbol"], each["id"])]
        if len(found) != 1:
            several = ", ".join(str(each["id"]) for each in found)
            what = f"calls several markets, {several}" if found else "does not have"
            raise VenueError(
                f"symbol was {symbol!r}, which {venue.name} {what}; "
                f"see bot4 instruments --venue {venue.name}"
            )
        unified, own = found[0]["symbol"], found[0]["id"]
        # The unified name is clear about derivatives, the id about markets of one name.
        self._symbol = unified if venue.exchange.markets[unified]["id"] == own else own
        spot = (venue.exchange.features or {}).get("spot") or {}
        self._limit = int((spot.get("fetchOHLCV") or {}).get("limit") or _PAGE)
        self._venue, self._timeframe, self._step = venue, timeframe, step_ms

    def of(self, span: Span) -> Iterator[tuple[Span, list[Bar]]]:
        """Yield what is covered now, and its bars.

        A time without a bar is covered only once a later bar is seen: an empty answer may also
        come from a venue that is behind.
        """
        at = covered = span.since
        while at < span.until:
            rows = self._ask(at)
            bars = [bar for bar in rows if at <= bar.time_ms < span.until]
            if rows and rows[-1].time_ms >= span.until:
                at = span.until
            elif bars:
                at = min(bars[-1].time_ms + self._step, span.until)
            else:  # a hole longer than a page, or the end
                at += self._limit * self._step
                continue
            yield Span(covered, at), bars
            covered = at

    def _ask(self, at: int) -> list[Bar]:
        rows = self._venue.ask("fetch_ohlcv", self._symbol, self._timeframe, at, self._limit)
        try:
            return sorted(map(_bar, rows))
        except (TypeError, ValueError) as error:
            raise VenueError(self._venue.unreadable(str(error))) from None


def _bar(row: list[Any]) -> Bar:
    return Bar(int(row[0]), *map(exact, row[1:6]))
