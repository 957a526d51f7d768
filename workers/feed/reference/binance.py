"""Binance: trades, best prices, and books kept by updates from a REST snapshot on."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from pipeline.vocabulary import Side
from workers.feed.decoding import (
    BookState,
    Listing,
    Payload,
    QuoteSource,
    StaleReason,
    Verdict,
    WishKind,
)
from workers.feed.reference.book import Book, Change
from workers.feed.reference.market import Decoder, Market
from workers.feed.reference.values import (
    YEAR_2200_S,
    MalformedError,
    boolean,
    need,
    parse,
    quoted,
    string,
    whole,
)

_MOST_KEPT = 4096
_MS_NS = 1_000_000


def _pairs(value: Any) -> list[tuple[str, str]]:
    if not isinstance(value, list):
        raise MalformedError(f"levels were {value!r}, must be a list")
    pairs = []
    for each in value:
        if not isinstance(each, list) or len(each) != 2:
            raise MalformedError(f"level was {each!r}, must be a price and a quantity")
        pairs.append((quoted(each[0]), quoted(each[1])))
    return pairs


def _price_or_levels(value: Any) -> str | list[tuple[str, str]]:
    return _pairs(value) if isinstance(value, list) else quoted(value)


def _anything(value: Any) -> Any:
    return value


_CHECKS: Mapping[str, Callable[[Any], Any]] = {
    "e": string,
    "E": whole,
    "T": whole,
    "s": string,
    "t": whole,
    "p": quoted,
    "q": quoted,
    "m": boolean,
    "u": whole,
    "U": whole,
    "pu": whole,
    "B": quoted,
    "A": quoted,
    "b": _price_or_levels,
    "a": _price_or_levels,
    "i": whole,
    "X": string,
    "M": _anything,
    "f": _anything,
    "l": _anything,
    "ps": _anything,
    "st": _anything,
}
_TICKER = ("b", "B", "a", "A")
_KINDS = ("trade", "aggTrade", "bookTicker", "depthUpdate")
_REPLY = {"result", "error", "code"}


class _Kept(NamedTuple):
    """An update that came before its snapshot."""

    previous: int
    final: int
    venue_ns: int
    changes: list[Change]


class Binance(Decoder):
    """Spot, or, with `futures`, the venues that name the update before (`pu`)."""

    _whole_lots = True

    def __init__(
        self, listings: Iterable[Listing], quotes: QuoteSource, *, futures: bool, time_ns: int
    ) -> None:
        super().__init__(listings, quotes)
        self._futures = futures
        self._time_ns = time_ns
        self._kept: defaultdict[str, deque[_Kept]] = defaultdict(lambda: deque(maxlen=_MOST_KEPT))

    def snapshot(self, instrument: int, text: Payload, received_ns: int) -> Verdict:
        """Start a book, and go on with what was kept."""
        market = self._market(instrument)
        try:
            message = parse(text)
            if not isinstance(message, dict):
                raise MalformedError("snapshot must be an object")
            need(message, "lastUpdateId", "bids", "asks")
            last = whole(message["lastUpdateId"])
            listing = market.listing
            changes = self._changes(listing, "bids", _pairs(message["bids"]))
            changes += self._changes(listing, "asks", _pairs(message["asks"]))
        except MalformedError:
            return Verdict.MALFORMED
        if market.state == BookState.LIVE:
            return Verdict.OK
        self.counts["snapshots"] += 1
        self._start(market, last, changes, received_ns)
        return Verdict.OK

    def _take(self, message: Any, received_ns: int) -> Verdict:
        if not isinstance(message, dict):
            raise MalformedError("message must be an object")
        enveloped = "stream" in message
        data = message
        unknown = False
        if enveloped:
            string(message["stream"])
            need(message, "data")
            unknown = len(message) > 2
            data = message["data"]
            if not isinstance(data, dict):
                return Verdict.UNKNOWN
        verdict = self._event(data, unknown, received_ns)
        is_reply = not enveloped and not _REPLY.isdisjoint(message)
        return Verdict.CONTROL if verdict is Verdict.UNKNOWN and is_reply else verdict

    def _event(self, data: Mapping[str, Any], unknown: bool, received_ns: int) -> Verdict:
        kind = string(data["e"]) if "e" in data else None
        if kind == "serverShutdown":
            return Verdict.CONTROL
        if kind is not None and kind not in _KINDS:
            return Verdict.UNKNOWN
        fields: dict[str, Any] = {}
        for key, value in data.items():
            check = _CHECKS.get(key)
            unknown = unknown or (check is None and key not in _REPLY)
            if check is not None:
                aggregate_id = key == "a" and kind == "aggTrade"
                fields[key] = whole(value) if aggregate_id else check(value)
        if kind is None and "u" in fields and ("B" in fields or "A" in fields):
            kind = "bookTicker"
        if kind is None:
            return Verdict.UNKNOWN
        need(fields, "s")
        time = fields.get("T", fields.get("E", 0))
        # Asked for in us, but in ms: in us that would be 1970.
        unit_ns = _MS_NS if time <= YEAR_2200_S * 1000 else self._time_ns
        latest = YEAR_2200_S * 10**9 // unit_ns
        if max(fields.get("T", 0), fields.get("E", 0)) > latest:
            raise MalformedError("time must be before the year 2200")
        market = self._markets.get(fields["s"])
        if market is None:
            return Verdict.UNKNOWN
        venue_ns = time * unit_ns
        if kind == "bookTicker":
            verdict = self._ticker(market, fields, venue_ns, received_ns)
        elif kind == "depthUpdate":
            verdict = self._depth(market, fields, venue_ns, received_ns)
        else:
            id_name = "t" if kind == "trade" else "a"
            verdict = self._trade(market, fields, id_name, venue_ns, received_ns)
        if verdict is Verdict.OK and unknown:
            self.counts["unknown_fields"] += 1
        return verdict

    def _trade(
        self, market: Market, fields: dict[str, Any], id_name: str, venue_ns: int, received_ns: int
    ) -> Verdict:
        need(fields, "p", "q", "T", "m", id_name)
        if fields.get("X", "MARKET") != "MARKET":
            return Verdict.UNKNOWN  # a liquidation or the insurance fund, not the market
        price, quantity = self._trade_units(market.listing, fields["p"], fields["q"])
        before, gaps = market.last_trade, self.counts["trade_gaps"]
        self._tell_trade(
            market,
            fields[id_name],
            price,
            quantity,
            Side.SELL if fields["m"] else Side.BUY,  # "m": the buyer is the maker
            venue_ns,
            received_ns,
            fields.get("i", 0),
            contiguous=True,
        )
        if self.counts["trade_gaps"] != gaps:
            self._wish(WishKind.TRADES, market, before + 1, fields[id_name] - 1)
        return Verdict.OK

    def _ticker(
        self, market: Market, fields: dict[str, Any], venue_ns: int, received_ns: int
    ) -> Verdict:
        need(fields, "u", *_TICKER)
        if isinstance(fields["b"], list) or isinstance(fields["a"], list):
            raise MalformedError("best prices must not be lists")
        top = self._top_units(market.listing, fields, _TICKER)
        if fields["u"] <= market.last_ticker:
            self.counts["repeated"] += 1
            return Verdict.OK
        market.last_ticker = fields["u"]
        position = fields.get("i", 0)
        self._tell_ticker(market, top, venue_ns, fields["u"], received_ns, position)
        return Verdict.OK

    def _depth(
        self, market: Market, fields: dict[str, Any], venue_ns: int, received_ns: int
    ) -> Verdict:
        need(fields, "U", "u", "b", "a", *(("pu",) if self._futures else ()))
        first, final, bids, asks = (fields[name] for name in ("U", "u", "b", "a"))
        if not isinstance(bids, list) or not isinstance(asks, list) or not 0 < first <= final:
            raise MalformedError("update must have levels, and a first id up to its final one")
        changes = self._changes(market.listing, "bids", bids)
        changes += self._changes(market.listing, "asks", asks)
        previous = fields["pu"] if self._futures else first - 1
        self._update(market, _Kept(previous, final, venue_ns, changes), received_ns)
        return Verdict.OK

    def _update(self, market: Market, update: _Kept, received_ns: int) -> None:
        self.counts["book_updates"] += 1
        if market.last_update and update.final <= market.last_update:
            self.counts["repeated"] += 1
            return
        gap = market.last_update != 0 and update.previous > market.last_update
        market.last_update = update.final
        if market.state == BookState.LIVE and not gap:
            market.book.apply(update.changes)
            if not self._tell_book(market, update.venue_ns, update.final, received_ns):
                self._wish(WishKind.SNAPSHOT, market)
            return
        kept = self._kept[market.listing.symbol]
        if gap:
            self.counts["gaps"] += 1
            self._break_book(market, StaleReason.GAP, received_ns)
            kept.clear()
        if market.state == BookState.NEW:
            market.state = BookState.WAITING
        if not kept:
            self._wish(WishKind.SNAPSHOT, market)
        kept.append(update)

    def _start(self, market: Market, last: int, changes: list[Change], received_ns: int) -> None:
        kept = self._kept[market.listing.symbol]
        while kept and kept[0].final <= last:
            kept.popleft()
        # Without anything kept, of a crossed book, it may be older than what was applied to that.
        if (kept[0].previous > last) if kept else (last < market.last_update):
            if market.state == BookState.NEW:
                market.state = BookState.WAITING
            self._wish(WishKind.SNAPSHOT, market)
            return
        market.book = Book()
        market.book.apply(changes)
        venue_ns = 0
        for update in kept:
            market.book.apply(update.changes)
            venue_ns = update.venue_ns
        kept.clear()
        market.last_update = max(market.last_update, last)
        if not self._tell_book(market, venue_ns, market.last_update, received_ns):
            self._wish(WishKind.SNAPSHOT, market)

    def _forget(self) -> None:
        for market in self._markets.values():
            market.last_update = 0
        self._kept.clear()
