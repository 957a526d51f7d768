"""A venue's public REST interface, by ccxt; what goes wrong becomes one line with a remedy."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import importlib.metadata
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from pipeline.markets.exact import ExactNumbers

SIMULATOR = "sim"

_LONGEST = 160  # characters of a venue's own words that a message shows

_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    # Without these ccxt also asks for derivatives and wallets, which nothing here is about.
    "binance": {"options": {"fetchMarkets": {"types": ["spot"]}}},
    "coinbase": {"has": {"fetchCurrencies": False}},
}

_TOO_OFTEN = ("refuses, because it was asked too often", "wait a minute, then try again")
_FAILURES = (
    ("OnMaintenance", "is under maintenance", "try again later"),
    ("RequestTimeout", "did not answer in time", "check the network, then try again"),
    ("RateLimitExceeded", *_TOO_OFTEN),
    ("DDoSProtection", *_TOO_OFTEN),
    ("ExchangeNotAvailable", "does not serve this", "try again later, or from where it may"),
    ("AuthenticationError", "refuses access", "see whether it serves your country and network"),
    ("NetworkError", "cannot be reached", "check the network and the address"),
    ("NotSupported", "does not offer this", "choose another venue"),
    ("BadSymbol", "does not know the symbol", "bot4 instruments lists those that it knows"),
    ("ExchangeError", "answers with an error", "try again later, or update ccxt if it stays"),
)
"""ccxt's exceptions, the special before the general; what that means; what to do."""


class VenueError(Exception):
    """A venue is not known, not reachable, or does not answer what it was asked."""


def ccxt_version() -> str:
    """Return the version of ccxt that is installed, without importing it."""
    return importlib.metadata.version("ccxt")


def check(venue: str, url: str | None = None) -> None:
    """See whether this can be a venue that ccxt knows, and an address.

    Raises:
        VenueError: it cannot.
    """
    if venue == SIMULATOR:
        raise VenueError(
            f"venue was {SIMULATOR!r}, which is simulated; its instruments stand in the "
            "configuration: bot4 config show"
        )
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", venue):
        raise VenueError(f"venue was {venue!r}, must be 1 to 32 of a-z 0-9 _ -")
    if url is None:
        return
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1) > 0
    except ValueError:  # brackets, or a port that is none
        valid = None
    if not valid or parts.query or parts.fragment or parts.username is not None:
        raise VenueError(f"url was {url!r}, must be http://HOST[:PORT][/PATH] or https://...")


class Venue:
    """A connection to one venue; see `connect`.

    Attributes:
        name: As ccxt calls it.
        exchange: ccxt's object. Ask it through `ask`.
    """

    def __init__(
        self, name: str, url: str | None = None, timeout_s: float = 10.0, retries: int = 0
    ) -> None:
        check(name, url)
        self._ccxt = importlib.import_module("ccxt")
        if name not in self._ccxt.exchanges:
            meant = difflib.get_close_matches(name, self._ccxt.exchanges, 1)
            hint = f"did you mean {meant[0]}?" if meant else "its documentation lists them"
            version = self._ccxt.__version__
            raise VenueError(f"venue was {name!r}, which ccxt {version} does not know; {hint}")
        kind = type(name, (ExactNumbers, getattr(self._ccxt, name)), {})
        self.name = name
        self.exchange: Any = kind(
            {
                "timeout": round(timeout_s * 1000),
                # A server of one's own has no limits.
                "enableRateLimit": url is None,
                "options": {"maxRetriesOnFailure": retries, "maxRetriesOnFailureDelay": 500},
            }
        )
        for key, value in _SETTINGS.get(name, {}).items():
            getattr(self.exchange, key).update(value)
        if url is not None:
            self.exchange.urls["api"] = moved(self.exchange.urls["api"], url.rstrip("/"), "http")

    def ask(self, method: str, *arguments: Any) -> Any:
        """Call a method of ccxt's object.

        Raises:
            VenueError: it failed; one line with the venue, the address and a remedy.
        """
        try:
            return getattr(self.exchange, method)(*arguments)
        except self._ccxt.BaseError as error:
            raise VenueError(self._explained(error)) from error
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            # Half an answer, or one of another shape, fails wherever ccxt first misses something.
            detail = f"{type(error).__name__}: {_flat(error)}"
            raise VenueError(self.unreadable(detail)) from error

    @property
    def precision(self) -> str:
        """What ccxt's precisions are for this venue: "tick" sizes, decimal "places", "digits"."""
        kinds = {
            self._ccxt.TICK_SIZE: "tick",
            self._ccxt.DECIMAL_PLACES: "places",
            self._ccxt.SIGNIFICANT_DIGITS: "digits",
        }
        return kinds[self.exchange.precisionMode]

    def unreadable(self, detail: str) -> str:
        """Return the message about an answer that makes no sense."""
        version = self._ccxt.__version__
        return (
            f"{self.name} gave an answer that ccxt {version} cannot read ({self._at()}: {detail}); "
            "check the address, or update ccxt"
        )

    def close(self) -> None:
        """Close the connection."""
        self.exchange.close()

    def _explained(self, error: Exception) -> str:
        what, remedy = next(
            (what, remedy)
            for kind, what, remedy in (*_FAILURES, ("BaseError", "fails", "try again later"))
            if isinstance(error, getattr(self._ccxt, kind))
        )
        url = self._at()
        said = _flat(error)
        for known in (self.name, "GET", url):
            said = said.removeprefix(known).strip()
        return f"{self.name} {what} ({url}{f': {said}' if said else ''}); {remedy}"

    def _at(self) -> str:
        return self.exchange.last_request_url or "not asked"


@contextlib.contextmanager
def connect(
    name: str, url: str | None = None, *, timeout_s: float = 10.0, retries: int = 0
) -> Iterator[Venue]:
    """Give a connection to a venue; nothing is asked yet.

    Args:
        name: As ccxt calls it.
        url: Another server in the place of all of the venue's, e.g. the simulator's address. The
            paths stay the venue's.
        timeout_s: Of one request, seconds.
        retries: Of a request that failed for a reason that may pass, half a second apart.

    Raises:
        VenueError: there is no such venue, or the address is none.
    """
    venue = Venue(name, url, timeout_s, retries)
    try:
        yield venue
    finally:
        venue.close()


def moved(addresses: Any, url: str, scheme: str) -> Any:
    """Return ccxt's tree of addresses with another server in each of a scheme, "http" or "ws"."""
    if isinstance(addresses, dict):
        return {key: moved(value, url, scheme) for key, value in addresses.items()}
    if isinstance(addresses, str) and addresses.startswith(scheme):
        return url + urlsplit(addresses).path
    return addresses


def _flat(error: Exception) -> str:
    """Return what an exception says on one line, without control characters."""
    text = " ".join("".join(c if c.isprintable() else " " for c in str(error)).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
