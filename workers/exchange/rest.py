"""What the REST endpoints of all venues have in common: routes, and the values of a query."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from workers.exchange.exchange import Exchange
from workers.exchange.http import Request, Response

Handler = Callable[[Exchange, Request], Response]
Routes = Mapping[str, Handler]
"""By path; one that ends with a slash is for all paths that go on after it."""


class QueryError(ValueError):
    """A value in a request that cannot be; the text is for the client."""


def handler(routes: Routes, path: str) -> Handler | None:
    """Return what answers requests for a path, None if nothing does."""
    found = routes.get(path)
    if found is not None:
        return found
    for prefix, candidate in routes.items():
        if prefix.endswith("/") and path.startswith(prefix) and path != prefix:
            return candidate
    return None


def integer(request: Request, name: str, default: int, most: int) -> int:
    """Return a number in a query, from 1 to `most`; more is cut down, as venues do.

    Raises:
        QueryError: it is no number.
    """
    text = request.query.get(name, "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 19 or int(text) < 1:
        raise QueryError(f"{name} was {text!r}, must be an integer from 1")
    return min(int(text), most)


def seconds(request: Request, name: str) -> int | None:
    """Return a time in a query, in seconds since 1970; None if it is not there.

    Raises:
        QueryError: it is no whole number.
    """
    text = request.query.get(name, "")
    if text and (not text.isascii() or not text.isdigit() or len(text) > 12):
        raise QueryError(f"{name} was {text!r}, must be whole seconds since 1970")
    return int(text) if text else None


def between(begins: range, least: int | None, most: int | None) -> range:
    """Return those of some rising times that are not before `least` nor after `most`."""
    first = 0 if least is None else -(-(max(least, begins.start) - begins.start) // begins.step)
    last = len(begins) if most is None else (most - begins.start) // begins.step + 1
    return begins[first : max(first, last)]


def position(exchange: Exchange, request: Request) -> int:
    """Return the event as of which to answer: ``after``, the simulator's own, or the latest."""
    text = request.query.get("after", "")
    if not text:
        return exchange.position()
    if not text.isascii() or not text.isdigit() or len(text) > 13:
        raise QueryError(f"after was {text!r}, must be an integer from 0")
    return int(text)
