"""The way to the native decoders: their vocabulary, and what reads the messages that they do not.

A native decoder knows the shapes that venues send. What is spelt otherwise (blanks, escapes,
exponents, members in an order that leaves it guessing) it gives back as `Verdict.FALLBACK`;
`decode` then has the library parser read it, writes it down plainly and hands it over once more. So
there is one path for what a message means, and the library decides what is JSON.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple, TypeAlias

import msgspec

from pipeline.instruments import Instrument
from workers import _native

Payload: TypeAlias = bytes | bytearray | memoryview

WISHES = 16
"""In what a decoder returns, beside the verdict: `take_wishes` would not be empty."""


class Verdict(enum.IntEnum):
    """What became of a message."""

    OK = 0
    CONTROL = 1  # a reply, a heartbeat, a notice: the connection may want to look at it
    UNKNOWN = 2  # of a type or a symbol that is of no interest
    FALLBACK = 3  # the library parser has to read it; never seen from `decode`
    MALFORMED = 4  # it says what cannot be


class BookState(enum.IntEnum):
    """Whether a book holds."""

    NEW = 0
    WAITING = 1  # for a snapshot
    LIVE = 2
    STALE = 3  # was live, and waits for a snapshot


class QuoteSource(enum.IntEnum):
    """Where best prices come from."""

    BOOK = 0
    TICKER = 1  # the venue's own message about them


class StaleReason(enum.IntEnum):
    """Why what was said of an instrument does not hold any more."""

    GAP = 1
    CHECKSUM = 2
    CROSSED = 3
    SILENCE = 4
    DISCONNECTED = 5


class WishKind(enum.IntEnum):
    """What a connection has to do so that its decoder can go on."""

    SNAPSHOT = 1  # fetch one of the book, over REST
    RESUBSCRIBE = 2  # to the book, for a new snapshot
    TRADES = 3  # fetch those with ids from `first` to `last`


class Wish(NamedTuple):
    """See `WishKind`."""

    kind: int
    instrument: int
    first: int
    last: int


class Step(NamedTuple):
    """A tick or a lot: `unit` / 10**`places`."""

    unit: int
    places: int


@dataclass(frozen=True, slots=True)
class Listing:
    """An instrument as a venue's messages name it.

    Attributes:
        symbol: Its name there.
        instrument: Its number in records.
        tick: The step of prices; what is no multiple of it is malformed.
        lot: The step of quantities. A trade of no multiple of it is malformed; of what rests in
            Binance's and Coinbase's books only whole lots count, as the rest cannot be traded.
    """

    symbol: str
    instrument: int
    tick: Step
    lot: Step

    @classmethod
    def of(cls, instrument: Instrument, symbol: str | None = None) -> Listing:
        """Return the listing of an instrument; `symbol` if messages name it otherwise."""
        return cls(
            instrument.symbol if symbol is None else symbol,
            instrument.index,
            Step(instrument.tick_e8, 8),
            Step(instrument.lot_e8, 8),
        )


VENUES = ("binance", "binance_usdm", "kraken", "kraken_v1", "okx", "coinbase")
UNLIMITED = 2**64 - 1
"""Depth of a book that is sent whole."""


def decoder(
    venue: str,
    listings: Iterable[Listing],
    *,
    quotes: QuoteSource = QuoteSource.BOOK,
    depth: int = UNLIMITED,
    microseconds: bool = False,
) -> _native.Decoder:
    """Return a decoder for one connection.

    Args:
        venue: One of VENUES; of kraken_v1 and okx books alone are decoded.
        listings: The instruments; messages about others are of no interest.
        quotes: Where best prices come from.
        depth: Levels a side of a book as subscribed (Kraken, OKX), for which no deletions are sent.
        microseconds: Binance was asked for times in us instead of ms.

    Raises:
        ValueError: no such venue, or a symbol is listed twice.
    """
    listed = [(each.symbol, each.instrument, each.tick, each.lot) for each in listings]
    match venue:
        case "binance" | "binance_usdm":
            return _native.binance(
                listed,
                quotes,
                futures=venue == "binance_usdm",
                time_ns=1_000 if microseconds else 1_000_000,
            )
        case "kraken":
            return _native.kraken(listed, quotes, depth=depth)
        case "kraken_v1":
            return _native.kraken_v1(listed, depth=depth)
        case "okx":
            return _native.okx(listed, depth=depth)
        case "coinbase":
            return _native.coinbase(listed, quotes)
    raise ValueError(f"venue was {venue!r}, must be one of {', '.join(VENUES)}")


def decode(
    native: _native.Decoder, text: Payload, received_ns: int, sink: _native.Sink
) -> tuple[Verdict, bool]:
    """Return the verdict, and whether the decoder has wishes. `text` may be any bytes."""
    code = native.decode(text, received_ns, sink)
    if code & ~WISHES == Verdict.FALLBACK:
        try:
            plainly = plain(text)
        except PlainError:
            native.refuse()
            return Verdict.MALFORMED, bool(code & WISHES)
        code = native.decode_again(plainly, received_ns, sink)
    return Verdict(code & ~WISHES), bool(code & WISHES)


def snapshot(
    native: _native.Decoder, instrument: int, text: Payload, received_ns: int, sink: _native.Sink
) -> tuple[Verdict, bool]:
    """Do the same with the answer to a wish for a snapshot."""
    code = native.snapshot(instrument, text, received_ns, sink)
    if code & ~WISHES == Verdict.FALLBACK:
        try:
            plainly = plain(text)
        except PlainError:
            return Verdict.MALFORMED, bool(code & WISHES)
        code = native.snapshot(instrument, plainly, received_ns, sink)
        if code & ~WISHES == Verdict.FALLBACK:
            return Verdict.MALFORMED, bool(code & WISHES)
    return Verdict(code & ~WISHES), bool(code & WISHES)


def wishes(native: _native.Decoder) -> list[Wish]:
    """Take a decoder's wishes."""
    return [Wish(*each) for each in native.take_wishes()]


class PlainError(ValueError):
    """A text that is not JSON, or has a number beyond all measure."""


MOST_CHARACTERS = 64
"""Of a number, exponent carried out."""


def number(text: str) -> Decimal | int:
    """Return a JSON number that is not written as an integer, its decimals as they are written.

    Raises:
        PlainError: it takes more than MOST_CHARACTERS to write it down.
    """
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise PlainError(f"number was {text[:40]}, must be a decimal") from None
    exponent = value.as_tuple().exponent
    is_short = isinstance(exponent, int) and max(abs(exponent), len(text)) <= MOST_CHARACTERS
    written = format(value, "f") if is_short else ""
    if not written or len(written) > MOST_CHARACTERS:
        raise PlainError(f"number was {text[:40]}, must have at most {MOST_CHARACTERS} characters")
    return Decimal(written) if "." in written else int(written)


_parser = msgspec.json.Decoder(float_hook=number)

_FIRST = ("stream", "channel", "method", "error", "arg", "e", "type", "symbol", "product_id")
"""What has to be known before the rest of an object can be read."""


def plain(text: Payload) -> bytes:
    """Return a JSON text in the spelling that the native decoders read.

    Raises:
        PlainError: it is none.
    """
    try:
        written: list[str] = []
        _write(_parser.decode(text), written)
        return "".join(written).encode("ascii")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise PlainError(f"message was {bytes(text[:80])!r}: {error}") from None


def _write(value: Any, out: list[str]) -> None:
    match value:
        case str():
            out.append(f'"{_ascii(value)}"')
        case None:
            out.append("null")
        case bool():
            out.append("true" if value else "false")
        case int():
            out.append(str(value))
        case Decimal():
            out.append(format(value, "f"))
        case list():
            _write_all(value, out)
        case dict():
            keys = [key for key in _FIRST if key in value]
            keys += [key for key in value if key not in _FIRST]
            for i, key in enumerate(keys):
                out.append(f'{"," if i else "{"}"{_ascii(key)}":')
                _write(value[key], out)
            out.append("}" if keys else "{}")


def _write_all(values: Sequence[Any], out: list[str]) -> None:
    out.append("[")
    for i, each in enumerate(values):
        if i:
            out.append(",")
        _write(each, out)
    out.append("]")


def _ascii(text: str) -> str:
    """Return a text without what needs an escape: no name that matters has any such character."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return "".join(c if " " <= c <= "~" and c not in '"\\' else "?" for c in text)
