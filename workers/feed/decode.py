"""Messages of Binance's combined spot streams, decoded to integer ticks and lots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn, Protocol, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

Payload: TypeAlias = bytes | bytearray | memoryview


class DecodeError(ValueError):
    """A message that is not what the venue documents; the text says in what."""


class Tradable(Protocol):
    """What has to be known of an instrument; `pipeline.instruments.Instrument` is one."""

    @property
    def symbol(self) -> str:
        """The venue's name of it."""

    @property
    def tick_e8(self) -> int:
        """A tick, in 1e-8 of the quote currency."""

    @property
    def lot_e8(self) -> int:
        """A lot, in 1e-8 of the base currency."""

    @property
    def index(self) -> int:
        """Its number in records."""


class Trade(Struct, gc=False):
    """A trade that took place."""

    instrument: int
    trade_id: int
    price: int  # ticks
    quantity: int  # lots
    aggressor: int  # +1 bought, -1 sold
    venue_ns: int
    position: int  # in the simulator's market; 0 from Binance


class Quote(Struct, gc=False):
    """The best prices. The venue does not say when; 0 on a side where there is none."""

    instrument: int
    update_id: int
    bid: int  # ticks, as `ask`
    bid_quantity: int  # lots, as `ask_quantity`
    ask: int
    ask_quantity: int
    position: int


@dataclass(slots=True)
class Decoded:
    """How many messages there were of each kind."""

    trades: int = 0
    quotes: int = 0
    replies: int = 0  # to requests, results and errors alike
    unknown_types: int = 0
    unknown_fields: int = 0  # messages with such; they count as trades or quotes as well
    errors: int = 0


_Id: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]
# Microseconds of the year 2200 at most: in ns it fits 64 bits.
_Time: TypeAlias = Annotated[int, Meta(ge=0, le=7_258_118_400_000_000)]


class _Trade(Struct, gc=False):
    E: _Time
    s: str
    t: _Id
    p: str
    q: str
    T: _Time
    m: bool
    e: str = ""
    M: bool = True
    i: _Id = 0


class _Quote(Struct, gc=False):
    u: _Id
    s: str
    b: str
    B: str
    a: str
    A: str
    i: _Id = 0


class _Data(Struct, gc=False, forbid_unknown_fields=True):
    """Trade or quote: read in one pass, whichever it is. Nearly every message is one of them."""

    s: str
    e: str | UnsetType = UNSET
    E: _Time | UnsetType = UNSET
    t: _Id | UnsetType = UNSET
    p: str | UnsetType = UNSET
    q: str | UnsetType = UNSET
    T: _Time | UnsetType = UNSET
    m: bool | UnsetType = UNSET
    M: bool | UnsetType = UNSET
    u: _Id | UnsetType = UNSET
    b: str | UnsetType = UNSET
    B: str | UnsetType = UNSET
    a: str | UnsetType = UNSET
    A: str | UnsetType = UNSET
    i: _Id = 0


class _Message(Struct, gc=False, forbid_unknown_fields=True):
    stream: str
    data: _Data


class _Envelope(Struct, gc=False):
    stream: str | UnsetType = UNSET
    data: msgspec.Raw | UnsetType = UNSET
    id: Any = UNSET
    result: Any = UNSET
    code: Any = UNSET


class _Kind(Struct, gc=False):
    e: str | UnsetType = UNSET


class _Known:
    """An instrument and how its decimals become integers."""

    __slots__ = ("index", "lots", "ticks")

    def __init__(self, instrument: Tradable) -> None:
        self.index = instrument.index
        self.ticks = _converter(instrument.tick_e8, f"price of {instrument.symbol}", "tick")
        self.lots = _converter(instrument.lot_e8, f"quantity of {instrument.symbol}", "lot")


class Decoder:
    """Decodes messages about some instruments. `counts` may be read at any time.

    `microseconds` says whether the stream was asked for times in us instead of ms.
    """

    def __init__(self, instruments: Sequence[Tradable], *, microseconds: bool = False) -> None:
        self.counts = Decoded()
        self._known = {instrument.symbol: _Known(instrument) for instrument in instruments}
        self._time_ns = 1_000 if microseconds else 1_000_000
        self._message = msgspec.json.Decoder(_Message)
        self._envelope = msgspec.json.Decoder(_Envelope)
        self._kind = msgspec.json.Decoder(_Kind)
        self._trade = msgspec.json.Decoder(_Trade)
        self._quote = msgspec.json.Decoder(_Quote)

    def decode(self, payload: Payload) -> Trade | Quote | None:
        """Return what a message says; None for those of a type that is of no interest.

        Raises:
            DecodeError: it is no such message, or a value cannot be.
        """
        try:
            try:
                data = self._message.decode(payload).data
            except msgspec.ValidationError:
                return self._decode_other(payload)
            if data.e == "trade":
                return self._as_trade(data)
            if data.e is UNSET and data.u is not UNSET:
                return self._as_quote(data)
            return self._decode_other(payload)
        except DecodeError:
            self.counts.errors += 1
            raise
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self.counts.errors += 1
            raise DecodeError(f"message was {_shown(payload)}: {error}") from None

    def _decode_other(self, payload: Payload) -> Trade | Quote | None:
        """Do the same in two passes, for what the fast one does not know."""
        envelope = self._envelope.decode(payload)
        if envelope.data is UNSET or envelope.stream is UNSET:
            if envelope.code is UNSET and (envelope.id is UNSET or envelope.result is UNSET):
                raise DecodeError(
                    f"message was {_shown(payload)}, must have stream and data, or be a reply"
                )
            self.counts.replies += 1
            return None
        kind = self._kind.decode(envelope.data).e
        if kind == "trade":
            trade = self._as_trade(self._trade.decode(envelope.data))
            self.counts.unknown_fields += 1
            return trade
        if kind is UNSET and envelope.stream.endswith("@bookTicker"):
            quote = self._as_quote(self._quote.decode(envelope.data))
            self.counts.unknown_fields += 1
            return quote
        self.counts.unknown_types += 1
        return None

    def _as_trade(self, data: _Data | _Trade) -> Trade:
        trade_id, price, quantity, time, sold = data.t, data.p, data.q, data.T, data.m
        if (
            trade_id is UNSET
            or price is UNSET
            or quantity is UNSET
            or time is UNSET
            or sold is UNSET
            or data.E is UNSET
        ):
            _missing(data, "tpqTmE")
        known = self._instrument(data.s)
        ticks, lots = known.ticks(price), known.lots(quantity)
        if ticks == 0 or lots == 0:
            raise DecodeError(f"trade of {data.s} was {quantity} at {price}, must both be > 0")
        self.counts.trades += 1
        return Trade(
            known.index,
            trade_id,
            ticks,
            lots,
            # "m": the buyer is the maker, so the aggressor sold.
            -1 if sold else 1,
            time * self._time_ns,
            data.i,
        )

    def _as_quote(self, data: _Data | _Quote) -> Quote:
        update_id, bid, bid_quantity, ask, ask_quantity = data.u, data.b, data.B, data.a, data.A
        if (
            update_id is UNSET
            or bid is UNSET
            or bid_quantity is UNSET
            or ask is UNSET
            or ask_quantity is UNSET
        ):
            _missing(data, "ubBaA")
        known = self._instrument(data.s)
        quote = Quote(
            known.index,
            update_id,
            known.ticks(bid),
            known.lots(bid_quantity),
            known.ticks(ask),
            known.lots(ask_quantity),
            data.i,
        )
        self.counts.quotes += 1
        return quote

    def _instrument(self, symbol: str) -> _Known:
        known = self._known.get(symbol)
        if known is None:
            raise DecodeError(f"symbol was {symbol!r}, must be one of {', '.join(self._known)}")
        return known


_MOST_DIGITS = 40  # of a decimal, more than any that fits
_MOST_DECIMALS = 20


def _converter(unit_e8: int, what: str, unit: str) -> Callable[[str], int]:
    """Return what makes a number of units, each of `unit_e8` 1e-8, from a decimal, exactly."""
    # By decimals: a number with so many, seen without its point, counts units of times / by.
    ratios: list[tuple[int, int]] = []
    for decimals in range(_MOST_DECIMALS + 1):
        times, by = 10**8, 10**decimals * unit_e8
        while times % 10 == 0 and by % 10 == 0:
            times, by = times // 10, by // 10
        ratios.append((times, by))

    def convert(text: str) -> int:
        whole, point, fraction = text.partition(".")
        digits = whole + fraction
        # int() would also take signs, blanks, underscores and the digits of other scripts.
        if (
            not digits.isdigit()
            or not digits.isascii()
            or len(digits) > _MOST_DIGITS
            or len(fraction) > _MOST_DECIMALS
            or not whole
            or (point and not fraction)
        ):
            raise DecodeError(f"{what} was {text[:64]!r}, must be a plain decimal")
        times, by = ratios[len(fraction)]
        units, rest = divmod(int(digits) * times, by)
        if rest:
            raise DecodeError(f"{what} was {text}, must be a multiple of its {unit} ({unit_e8}e-8)")
        if units >= 1 << 63:
            raise DecodeError(f"{what} was {text}, must be less than 2**63 {unit}s")
        return units

    return convert


def _missing(data: _Data | _Trade | _Quote, names: str) -> NoReturn:
    absent = ", ".join(name for name in names if getattr(data, name) is UNSET)
    raise DecodeError(f"message about {data.s!r} was without {absent}")


def _shown(payload: Payload) -> str:
    return repr(bytes(payload[:80]))
