"""What can be traded of captured files: whose they are, which instruments, what is in them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import msgspec

from workers.feed.capture import Frame, Kind, merged
from workers.feed.check import CheckError, Learnt, check, learn
from workers.feed.decoding import UNLIMITED, QuoteSource

CONNECTORS = {
    "binance": "binance (spot)",
    "kraken": "kraken (v2)",
    "coinbase": "coinbase (Advanced Trade)",
}
"""The venues whose captures can be traded, as people know them."""

QUOTES = (
    *("USDT", "USDC", "FDUSD", "TUSD", "BUSD", "USD", "DAI"),
    *("EUR", "GBP", "TRY", "BRL", "JPY", "AUD", "PLN", "ARS", "MXN", "ZAR", "UAH"),
    *("BTC", "ETH", "BNB"),
)
"""Currencies in which Binance's symbols, which have no separator, end."""

_KRAKEN_DEPTH = 10  # of books that were asked for without one
_LOOKED_AT = 10_000  # frames, until one says whose it is


@dataclass(frozen=True, slots=True)
class Market:
    """One instrument of a capture; decimals are text."""

    symbol: str
    base: str
    quote: str
    tick: str
    lot: str


@dataclass(frozen=True, slots=True)
class Survey:
    """What there is in a capture.

    Attributes:
        venue: Whose messages they are.
        markets: The instruments that can be traded together, in the order of their names.
        left_out: The symbols of the others, by their quote currency; "": it is not known.
        counts: What the decoder made of the markets' messages; see `check`.
        seconds: From the first message to the last; None: the files do not say.
        unverified: Symbols whose books have no snapshot.
        microseconds: See `check.Learnt`.
        depth: See `check.Learnt`.
    """

    venue: str
    markets: tuple[Market, ...]
    left_out: dict[str, list[str]]
    counts: dict[str, int]
    seconds: float | None
    unverified: tuple[str, ...]
    microseconds: bool
    depth: int


@dataclass(slots=True)
class Steps(Learnt):
    """As `Learnt`, but zeros at the end are no decimals: Binance always writes eight."""

    told: Counter[str] = field(default_factory=Counter)
    first_ns: int = 0
    last_ns: int = 0

    def add(self, symbol: Any, price: Any, quantity: Any) -> None:
        """Take note of how many decimals these need."""
        if isinstance(symbol, str):
            self.told[symbol] += 1
            self.prices[symbol] = max(self.prices[symbol], _needed(price))
            self.quantities[symbol] = max(self.quantities[symbol], _needed(quantity))

    def timed(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """Pass frames on, and take note of when they came."""
        for frame in frames:
            if frame.kind is Kind.FRAME and frame.received_ns:
                self.first_ns = self.first_ns or frame.received_ns
                self.last_ns = frame.received_ns
            yield frame


def _needed(value: Any) -> int:
    try:
        exponent = Decimal(value).normalize().as_tuple().exponent
    except (InvalidOperation, TypeError, ValueError):
        return 0
    return max(0, -exponent) if isinstance(exponent, int) else 0


def survey(
    paths: Sequence[Path],
    *,
    venue: str | None,
    currency: str,
    pairs: Mapping[str, Mapping[str, tuple[str, str]]],
) -> Survey:
    """Read captured files for what can be traded of them.

    Args:
        paths: The files.
        venue: Whose they are, if that is known.
        currency: Instruments with this quote currency are preferred.
        pairs: Base and quote of symbols that are known, by venue.

    Raises:
        CheckError: they are of a venue without a connector, or nothing in them can be traded.
        CaptureError: a line is in no format.
        OSError: a file cannot be read.
    """
    chosen = _tradable(venue_of(merged(paths)), venue, paths)
    learnt = Steps()
    learn(chosen, learnt.timed(merged(paths)), learnt)
    if chosen == "kraken" and learnt.depth == UNLIMITED:
        learnt.depth = _KRAKEN_DEPTH
    known = pairs.get(chosen, {})
    split = {symbol: known.get(symbol) or pair_of(chosen, symbol) for symbol in learnt.prices}
    weights: Counter[str] = Counter()
    for symbol, pair in split.items():
        if pair is not None:
            weights[pair[1]] += learnt.told[symbol]
    if not weights:
        names = ", ".join(map(str, paths))
        unknown = ", ".join(sorted(split)) or "none"
        raise CheckError(
            f"instruments in {names} were {unknown}, must be some whose currencies are known: "
            f"add [[instruments]] of venue {chosen!r} to the configuration"
        )
    quote = currency if weights[currency] else min(weights, key=lambda each: (-weights[each], each))
    left_out: dict[str, list[str]] = {}
    markets = []
    for symbol, pair in sorted(split.items()):
        if pair is not None and pair[1] == quote:
            tick, lot = learnt.prices[symbol], learnt.quantities[symbol]
            markets.append(Market(symbol, *pair, _step(tick), _step(lot)))
            continue
        left_out.setdefault(pair[1] if pair else "", []).append(symbol)
        del learnt.prices[symbol]
    result = check(
        chosen,
        paths,
        quotes=QuoteSource.TICKER if chosen == "binance" else QuoteSource.BOOK,
        learnt=learnt,
    )
    span = (learnt.last_ns - learnt.first_ns) / 1e9 if learnt.first_ns else None
    return Survey(
        chosen,
        tuple(markets),
        left_out,
        result.counts,
        span,
        tuple(symbol for symbol in result.waiting if symbol in learnt.prices),
        learnt.microseconds,
        learnt.depth,
    )


def fingerprint(paths: Sequence[Path]) -> str:
    """Return what tells files from others: the SHA-256 of those of their contents.

    Raises:
        OSError: one of them cannot be read.
    """
    whole = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()


def _tradable(found: str | None, venue: str | None, paths: Sequence[Path]) -> str:
    names = ", ".join(map(str, paths))
    if found is None and next(merged(paths), None) is None:
        raise CheckError(f"{names} had no messages, must have some")
    if found is None and venue is None:
        raise CheckError(
            f"the venue of {names} cannot be told from its messages, must be given: "
            f"--venue {'|'.join(CONNECTORS)}"
        )
    chosen = found or venue
    assert chosen is not None
    if chosen not in CONNECTORS:
        raise CheckError(
            f"messages in {names} were of {chosen}, must be of a venue with a connector: "
            f"{', '.join(CONNECTORS.values())}"
        )
    if venue not in (None, chosen):
        raise CheckError(f"--venue was {venue!r}, must be {chosen}: {names} has its messages")
    return chosen


def _step(places: int) -> str:
    return format(Decimal(1).scaleb(-places), "f")


def pair_of(venue: str, symbol: str) -> tuple[str, str] | None:
    """Return base and quote of a venue's symbol, None if it does not tell them."""
    separator = {"kraken": "/", "coinbase": "-"}.get(venue)
    if separator is not None:
        base, found, quote = symbol.partition(separator)
        return (base, quote) if found and base and quote else None
    for quote in QUOTES:
        if symbol.endswith(quote) and symbol != quote:
            return symbol.removesuffix(quote), quote
    return None


def venue_of(frames: Iterator[Frame]) -> str | None:
    """Return whose messages frames are, None if none of the first ones tells."""
    looked_at = 0
    for frame in frames:
        if frame.kind is not Kind.FRAME:
            continue
        try:
            found = _speaker(msgspec.json.decode(frame.text))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            found = None
        if found is not None:
            return found
        looked_at += 1
        if looked_at == _LOOKED_AT:
            break
    return None


def _speaker(message: Any) -> str | None:
    """Return whose message one is, None if it might be that of several venues."""
    if isinstance(message, list):
        return "kraken_v1" if len(message) >= 4 and isinstance(message[-2], str) else None
    if not isinstance(message, dict):
        return None
    if "channelID" in message or "channelName" in message:
        return "kraken_v1"
    if isinstance(message.get("arg"), dict):
        return "okx"
    if "channel" in message and isinstance(message.get("events"), list):
        return "coinbase"
    if message.get("type") in ("l2update", "match", "last_match") and "product_id" in message:
        return "coinbase_exchange"
    if message.get("channel") in ("book", "trade", "ticker") and "type" in message:
        return "kraken" if isinstance(message.get("data"), list) else None
    data = message.get("data", message)
    return _speaker_of_binance(data) if isinstance(data, dict) else None


def _speaker_of_binance(data: Mapping[str, Any]) -> str | None:
    """Tell spot from futures: these chain updates by `pu`, and say what each message is."""
    is_coin_margined = "ps" in data or "_" in str(data.get("s", ""))
    futures = "binance_cm" if is_coin_margined else "binance_usdm"
    match data.get("e"):
        case "depthUpdate":
            return futures if "pu" in data else "binance"
        case "trade" | "aggTrade":
            return "binance" if "M" in data else futures
        case "bookTicker":
            return futures
        case None if data.keys() >= {"u", "s", "b", "B", "a", "A"}:
            return "binance"
    return None
