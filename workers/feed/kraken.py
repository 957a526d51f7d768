"""Kraken, WebSocket v2: books whose snapshots come with them, verified by CRC-32, and trades."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from workers._native import Decoder
from workers.feed import decoding
from workers.feed.decoding import Listing, QuoteSource
from workers.feed.venue import Limits, Notice, Replay, Trade, Venue

_DEPTH = 10  # what the checksum is of
_TRADES = 1000  # the most that one request returns
_MARGIN_NS = 500_000_000  # by which a guessed time is earlier
_FARTHEST_NS = 24 * 3600 * 1_000_000_000  # before the latest trades; what is older stays missing

_parser = msgspec.json.Decoder(float_hook=str)


class Kraken(Venue):
    """Quotes are the top of the book."""

    name = "kraken"
    # The venue does not say how many messages it takes. Its REST has a counter up to 15, of
    # which one comes back in 3 s.
    limits = Limits(connects=(150, 600.0), messages=(10, 1.0), requests=(10, 30.0))
    ping_text = '{"method":"ping"}'

    def decoder(self) -> Decoder:
        """Return a decoder for one connection."""
        return decoding.decoder(
            "kraken",
            map(Listing.of, self.instruments),
            quotes=QuoteSource.BOOK,
            depth=_DEPTH if self.capture is None else self.capture.depth,
        )

    def subscriptions(self, known: Collection[int]) -> Iterable[str]:
        """Return the requests for books and trades.

        With the last 50 trades where they may fill a gap; elsewhere they are the past.
        """
        for snapshot in (True, False):
            symbols = [
                each.symbol for each in self.instruments if (each.index in known) == snapshot
            ]
            if symbols:
                yield _request("subscribe", "trade", symbols, snapshot=snapshot)
        symbols = [instrument.symbol for instrument in self.instruments]
        yield _request("subscribe", "book", symbols, depth=_DEPTH)

    def resubscriptions(self, instruments: Sequence[int]) -> Iterable[str]:
        """Return what to send to have new snapshots of some books."""
        symbols = [self.instrument(index).symbol for index in instruments]
        yield _request("unsubscribe", "book", symbols, depth=_DEPTH)
        yield _request("subscribe", "book", symbols, depth=_DEPTH)

    def replay(self, instrument: int, first: int, last: int) -> Replay:
        """Yield the latest trades, and if that is not enough pages by time, the oldest first.

        When the first one was is guessed from how fast ids went on later, and guessed again if
        that was too late.
        """
        pair = quote(self.instrument(instrument).symbol, safe="/")
        address = f"{self._rest_url}/0/public/Trades?pair={pair}&count={_TRADES}"
        page = yield address
        if not page or page[0].trade_id <= first:
            return
        oldest, newest = page[0], page[-1]
        last = min(last, oldest.trade_id - 1)
        between = (newest.venue_ns - oldest.venue_ns) // max(1, newest.trade_id - oldest.trade_id)
        back = _MARGIN_NS + between * (oldest.trade_id - first) * 5 // 4
        while True:
            page = yield f"{address}&since={max(1, oldest.venue_ns - back)}"
            if not page or page[0].trade_id <= first or back >= _FARTHEST_NS:
                break
            back *= 4
        while page and page[-1].trade_id < last:
            # It tells what is later: of trades of one ns some may be on the next page.
            reached = page[-1]
            page = yield f"{address}&since={reached.venue_ns - 1}"
            if page and page[-1].trade_id <= reached.trade_id:
                return

    def trades(self, instrument: int, answer: bytes) -> Iterable[Trade]:
        """Return the trades: price, volume, time in s, b or s, m or l, more, id."""
        found = _parser.decode(answer)
        if found["error"]:
            raise ValueError(", ".join(map(str, found["error"])))
        result = found["result"]
        for trade in next(rows for key, rows in result.items() if key != "last"):
            seconds, _, fraction = str(trade[2]).partition(".")
            yield Trade(
                int(trade[6]),
                trade[0],
                trade[1],
                1 if trade[3] == "b" else -1,
                int(seconds) * 1_000_000_000 + int(fraction[:9].ljust(9, "0")),
            )

    def notice(self, message: bytes) -> Notice:
        """Look for refused requests."""
        found = msgspec.json.decode(message)
        refused = "error" in found or found.get("success") is False
        return Notice.REFUSAL if refused else Notice.NOTHING


def _request(method: str, channel: str, symbols: Sequence[str], **more: Any) -> str:
    params = {"channel": channel, "symbol": symbols, **more}
    return msgspec.json.encode({"method": method, "params": params}).decode()
