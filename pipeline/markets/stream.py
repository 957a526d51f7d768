"""Venues over WebSocket, by ccxt.pro: which there are, and a connection to one.

ccxt is imported where it is used; the names are read from its files, which costs a millisecond.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.util
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline.markets.venue import moved

_LIST = 'python -c "import ccxt.pro; print(*ccxt.pro.exchanges)"'

# ccxt keeps the last trades, 1,000 of each market unless told otherwise: a burst would lose some.
_TRADES = 10_000

_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    # Aggregated trades, which ccxt would ask for, have ids of their own.
    "binanceus": {"fetchTradesMethod": "publicGetTrades"},
}


@functools.cache
def names() -> frozenset[str]:
    """Return the venues that ccxt.pro reads."""
    found = importlib.util.find_spec("ccxt")
    folders = (found.submodule_search_locations if found else None) or ()
    files = (file for folder in folders for file in Path(folder, "pro").glob("[a-z]*.py"))
    return frozenset(file.stem for file in files)


def remedy(name: str, others: tuple[str, ...] = ()) -> str:
    """Return what to write in the place of a venue that is not known; `others` are known, too."""
    close = difflib.get_close_matches(name, sorted({*others, *names()}), 3)
    meant = f"did you mean {' or '.join(close)}? " if close else ""
    return f"be {', '.join(others)} or one that ccxt.pro reads; {meant}{_LIST} lists them"


class _Watched:
    """Goes before a ccxt.pro class: knows when each connection brought something, and of its end.

    Attributes:
        heard_ns: By address, of CLOCK_MONOTONIC; the PONG to a PING counts as well.
        frames: How many there were.
        cause: Why one of the connections has ended; ccxt would make another one unasked.
    """

    heard_ns: dict[str, int]
    frames: int
    cause: str

    def client(self, url: str) -> Any:
        """Return the connection to an address, made if there is none."""
        if self.cause:
            raise importlib.import_module("ccxt").NetworkError(self.cause)
        made = super().client(url)  # type: ignore[misc]
        if "handle_message" not in vars(made):
            made.handle_message = self._hearing(url, made.handle_message)
        return made

    def on_error(self, client: Any, error: Exception) -> None:
        """Note that a connection has failed."""
        self.cause = self.cause or f"{client.url}: {error}"
        super().on_error(client, error)  # type: ignore[misc]

    def on_close(self, client: Any, error: Any) -> None:
        """Note that the venue has closed a connection."""
        self.cause = self.cause or f"{client.url} was closed: {error}"
        super().on_close(client, error)  # type: ignore[misc]

    def _hearing(self, url: str, handle: Callable[[Any], None]) -> Callable[[Any], None]:
        def hear(message: Any) -> None:
            self.heard_ns[url] = time.monotonic_ns()
            self.frames += 1
            handle(message)

        return hear


def exchange(name: str, url: str | None, rest_url: str | None, *, timeout_s: float = 5.0) -> Any:
    """Return ccxt.pro's object for a venue; nothing is connected yet, and it has to be closed.

    Args:
        name: One of `names`.
        url: Another server in the place of all of the venue's WebSockets. The paths stay.
        rest_url: The same for REST.
        timeout_s: Of one request, seconds.
    """
    library = importlib.import_module("ccxt.pro")
    made = type(name, (_Watched, getattr(library, name)), {})(
        {
            "timeout": round(timeout_s * 1000),
            # A server of one's own has no limits.
            "enableRateLimit": rest_url is None,
            "newUpdates": True,
            "timeout_on_exit": 0,
            "options": {"tradesLimit": _TRADES, **_OPTIONS.get(name, {})},
        }
    )
    made.heard_ns, made.frames, made.cause = {}, 0, ""
    if url is not None:
        made.urls["api"] = moved(made.urls["api"], url.rstrip("/"), "ws")
    if rest_url is not None:
        made.urls["api"] = moved(made.urls["api"], rest_url.rstrip("/"), "http")
    return made
