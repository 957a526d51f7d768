"""The markets of a venue, kept on disk so that its silence stops nobody.

``<state_dir>/markets/<venue>.json`` holds what the venue said last, with the date and ccxt's
version. It is used for a day; after that, with another ccxt, or on demand the venue is asked again,
and if that fails the file serves, whatever its age, and the listing says so.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.markets.files import replace, venue_name
from pipeline.markets.market import Market, spot_markets
from pipeline.markets.venue import VenueError, ccxt_version, check, connect

FOLDER = "markets"
"""In the state directory."""

FRESH = datetime.timedelta(days=1)
"""A tick or a fee is changed less than once in months, and announced."""

_FORMAT = 2


@dataclass(frozen=True, slots=True)
class Listing:
    """The spot markets of a venue.

    Attributes:
        venue: As ccxt calls it.
        url: Of another server in the place of the venue's, if one was asked.
        date: When the venue was asked, UTC.
        ccxt: Version that understood the answer.
        cached: Whether it comes from the file.
        markets: In the order of their unified symbols.
        notes: What the user should know about how it came to be, a line each.
    """

    venue: str
    url: str | None
    date: datetime.datetime
    ccxt: str
    cached: bool
    markets: tuple[Market, ...]
    notes: tuple[str, ...] = ()

    def find(self, name: str) -> tuple[Market, ...]:
        """Return the markets that the venue, ccxt or the configuration calls so."""
        return tuple(
            market for market in self.markets if name in (market.symbol, market.unified, market.id)
        )


def listing(
    venue: str,
    state_dir: Path,
    *,
    now: datetime.datetime,
    url: str | None = None,
    refresh: bool = False,
    timeout_s: float = 10.0,
) -> Listing:
    """Return the markets of a venue, from the file if it is fresh.

    Args:
        venue: As ccxt calls it.
        state_dir: Of the deployment.
        now: The time, with its zone.
        url: Another server in the place of the venue's.
        refresh: Whether to ask the venue in any case.
        timeout_s: Of one request, seconds.

    Raises:
        VenueError: there is no such venue; or it does not answer, and there is no file.
    """
    check(venue, url)
    path = state_dir / FOLDER / f"{venue_name(venue, url)}.json"
    kept, notes = _kept(path)
    if kept is not None and not refresh and _is_fresh(kept, now):
        return dataclasses.replace(kept, notes=notes)
    with connect(venue, url, timeout_s=timeout_s) as connection:
        try:
            markets = spot_markets(connection)
        except VenueError as error:
            if kept is None:
                nothing = f"nothing is kept in {path}"
                raise VenueError("; ".join([str(error), *notes, nothing])) from None
            used = f"the markets are those of {as_text(kept.date)}, kept in {path}"
            return dataclasses.replace(kept, notes=(*notes, str(error), used))
    fresh = Listing(venue, url, now.astimezone(datetime.UTC), ccxt_version(), False, markets)
    try:
        replace(path, _encoded(fresh))
    except OSError as error:
        notes = (*notes, f"{path} could not be written: {error.strerror}; the markets are not kept")
    return dataclasses.replace(fresh, notes=notes)


def as_text(date: datetime.datetime) -> str:
    """Return a time as ISO 8601, UTC, to the second."""
    return f"{date.astimezone(datetime.UTC).replace(tzinfo=None).isoformat(timespec='seconds')}Z"


def _is_fresh(kept: Listing, now: datetime.datetime) -> bool:
    # A date in the future says nothing about the age.
    return kept.ccxt == ccxt_version() and datetime.timedelta(0) <= now - kept.date < FRESH


def _kept(path: Path) -> tuple[Listing | None, tuple[str, ...]]:
    """Return what is in the file, and a note if that cannot be used."""
    try:
        data = json.loads(path.read_bytes())
        if data["format"] != _FORMAT:
            raise ValueError(f"format was {data['format']!r}, must be {_FORMAT}")
        return _decoded(data), ()
    except FileNotFoundError:
        return None, ()
    except OSError as error:
        return None, (f"{path} could not be read: {error.strerror}",)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        what = " ".join(f"{type(error).__name__}: {error}".split())
        return None, (f"{path} was ignored, it is damaged ({what})",)


def _encoded(kept: Listing) -> str:
    return json.dumps(
        {
            "format": _FORMAT,
            "venue": kept.venue,
            "url": kept.url,
            "date": as_text(kept.date),
            "ccxt": kept.ccxt,
            "markets": [market.as_json() for market in kept.markets],
        },
        indent=1,
    )


def _decoded(data: Mapping[str, Any]) -> Listing:
    date = datetime.datetime.fromisoformat(data["date"])
    if date.tzinfo is None:
        raise ValueError("date must have a time zone")
    markets = tuple(Market.from_json(entry) for entry in data["markets"])
    if not markets:
        raise ValueError("markets was empty")
    return Listing(data["venue"], data["url"], date, str(data["ccxt"]), True, markets)
