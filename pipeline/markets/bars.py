"""Bars on disk: one CSV file a market and timeframe, decimals as the venue wrote them.

The first line is a comment with what the file is about and which times it covers: a time that is
covered and has no bar is a hole in the venue's own history, and is not asked for again.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from pipeline.markets.exact import exact, plain
from pipeline.markets.files import replace

COLUMNS = ("time_ms", "open", "high", "low", "close", "volume")
_FORMAT = 1


class Span(NamedTuple):
    """Times from `since` up to, not including, `until`; ms since 1970."""

    since: int
    until: int


class Bar(NamedTuple):
    """One bar.

    Attributes:
        time_ms: When it began, ms since 1970.
        open: First price, in the quote currency.
        high: Highest price.
        low: Lowest price.
        close: Last price.
        volume: In the base currency.
    """

    time_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


@dataclass(frozen=True, slots=True)
class Bars:
    """What is known of a history.

    Attributes:
        covered: The times that have been asked for, apart from each other and in order.
        bars: In the order of their times, each time once.
    """

    covered: tuple[Span, ...] = ()
    bars: tuple[Bar, ...] = ()

    def missing(self, wanted: Span) -> list[Span]:
        """Return the parts of a span that are not covered."""
        found, at = [], wanted.since
        for span in self.covered:
            if span.until <= at or span.since >= wanted.until:
                continue
            if span.since > at:
                found.append(Span(at, span.since))
            at = span.until
        if at < wanted.until:
            found.append(Span(at, wanted.until))
        return found

    def renewed(self, spans: Iterable[Span], bars: Iterable[Bar]) -> Bars:
        """Return it with what was fetched of some spans in the place of what it had there."""
        fetched = _joined(spans)  # thousands of pages, but one or two spans
        stay = (bar for bar in self.bars if not any(_has(span, bar) for span in fetched))
        by_time = {bar.time_ms: bar for bar in itertools.chain(stay, bars)}
        covered = tuple(_joined((*self.covered, *fetched)))
        return Bars(covered, tuple(by_time[time] for time in sorted(by_time)))

    def within(self, wanted: Span) -> tuple[Bar, ...]:
        """Return the bars that begin in a span."""
        return tuple(bar for bar in self.bars if _has(wanted, bar))


def _joined(spans: Iterable[Span]) -> list[Span]:
    """Return spans in order, those that touch each other as one."""
    joined: list[Span] = []
    for span in sorted(spans):
        if joined and span.since <= joined[-1].until:
            joined[-1] = Span(joined[-1].since, max(joined[-1].until, span.until))
        else:
            joined.append(span)
    return joined


def _has(span: Span, bar: Bar) -> bool:
    return span.since <= bar.time_ms < span.until


def gaps(bars: Sequence[Bar], wanted: Span, step_ms: int) -> tuple[Span, ...]:
    """Return the times of a span for which there should be bars, and are none."""
    found = []
    expected = wanted.since
    for bar in bars:
        # Up to the first bar nobody knows where in a step the bars begin.
        if bar.time_ms - expected >= (step_ms if expected == wanted.since else 1):
            found.append(Span(expected, bar.time_ms))
        expected = bar.time_ms + step_ms
    if expected < wanted.until:
        found.append(Span(expected, wanted.until))
    return tuple(found)


def read(path: Path) -> tuple[Bars, tuple[str, ...]]:
    """Return what a file holds, and a note if that cannot be used; a damaged file is ignored."""
    try:
        return _decoded(path.read_text(encoding="utf-8")), ()
    except FileNotFoundError:
        return Bars(), ()
    except OSError as error:
        return Bars(), (f"{path} could not be read: {error.strerror}",)
    except (KeyError, TypeError, ValueError, RecursionError, csv.Error) as error:
        what = " ".join(f"{type(error).__name__}: {error}".split())
        return Bars(), (f"{path} was ignored, it is damaged ({what})",)


def write(path: Path, bars: Bars, about: dict[str, str | None]) -> None:
    """Replace a file.

    Raises:
        OSError: it cannot be written; the old one is still there.
    """
    text = io.StringIO()
    head = {"format": _FORMAT, **about, "covered": bars.covered, "bars": len(bars.bars)}
    text.write(f"# {json.dumps(head)}\n")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    rows.writerows([bar.time_ms, *map(plain, bar[1:])] for bar in bars.bars)
    replace(path, text.getvalue())


def _decoded(text: str) -> Bars:
    head, _, rest = text.partition("\n")
    about = json.loads(head.removeprefix("#"))
    if about["format"] != _FORMAT:
        raise ValueError(f"format was {about['format']!r}, must be {_FORMAT}")
    if not rest.endswith("\n"):
        raise ValueError("its last line is not complete")
    rows = csv.reader(io.StringIO(rest))
    if tuple(next(rows)) != COLUMNS:
        raise ValueError(f"columns must be {','.join(COLUMNS)}")
    bars = tuple(Bar(int(row[0]), *map(exact, row[1:6])) for row in rows if _is_row(row))
    if len(bars) != about["bars"]:
        raise ValueError(f"it had {len(bars)} bars, must have {about['bars']}")
    covered = tuple(Span(int(since), int(until)) for since, until in about["covered"])
    ends = [time for span in covered for time in span]
    if ends != sorted(set(ends)):
        raise ValueError("covered must be in order")
    times = [bar.time_ms for bar in bars]
    if any(later <= earlier for earlier, later in itertools.pairwise(times)):
        raise ValueError("bars must be in order")
    return Bars(covered, bars)


def _is_row(row: Sequence[str]) -> bool:
    if len(row) != len(COLUMNS):
        raise ValueError(f"a line had {len(row)} columns, must have {len(COLUMNS)}")
    return True
