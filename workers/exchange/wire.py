"""Market events as the text that Binance spot sends on a combined stream.

One field is the simulator's own: ``i``, the event's index in the whole market, by which a client
that was cut off says where to go on.
"""

from __future__ import annotations

from collections.abc import Sequence

from workers.exchange.decimals import Decimals
from workers.exchange.listing import Listing
from workers.exchange.market import TRADE, Events

EPOCH_US = 1_767_225_600_000_000
"""When the market began: 2026-01-01T00:00:00Z, in us since 1970."""

STREAMS = ("trade", "bookTicker")
"""The streams of each symbol; that of an event is ``STREAMS[kind - 1]``."""

_TEXT = 0x81  # a final text frame (RFC 6455, 5.2); a server's are not masked


def stream_name(symbol: str, stream: str) -> str:
    """Return how a stream is called on the wire."""
    return f"{symbol.lower()}@{stream}"


class Encoder:
    """Makes messages of events. Event `k` happened ``k / rate`` seconds after the epoch."""

    def __init__(self, listings: Sequence[Listing], rate: int) -> None:
        self._rate = rate
        self._prices = [Decimals(listing.tick_e8).text for listing in listings]
        self._quantities = [Decimals(listing.lot_e8).text for listing in listings]
        self._trades = []
        self._quotes = []
        for symbol in (listing.symbol for listing in listings):
            trade, quote = (stream_name(symbol, stream) for stream in STREAMS)
            self._trades.append(
                (f'{{"stream":"{trade}","data":{{"e":"trade","E":', f',"s":"{symbol}","t":')
            )
            self._quotes.append((f'{{"stream":"{quote}","data":{{"u":', f',"s":"{symbol}","b":"'))

    def encode(self, events: Events, *, microseconds: bool = False, skew_us: int = 0) -> list[str]:
        """Return one message an event; times are in ms unless `microseconds` are wanted."""
        times = EPOCH_US + skew_us + events["index"].astype("<i8") * 1_000_000 // self._rate
        if not microseconds:
            times //= 1000
        rows = zip(
            events["index"].tolist(),
            events["instrument"].tolist(),
            events["kind"].tolist(),
            events["aggressor"].tolist(),
            events["price"].tolist(),
            events["quantity"].tolist(),
            events["bid"].tolist(),
            events["bid_quantity"].tolist(),
            events["ask"].tolist(),
            events["ask_quantity"].tolist(),
            events["trade_id"].tolist(),
            events["update_id"].tolist(),
            times.tolist(),
            strict=True,
        )
        messages = []
        for i, at, kind, side, price, quantity, bid, bid_size, ask, ask_size, t, u, time in rows:
            price_text, quantity_text = self._prices[at], self._quantities[at]
            if kind == TRADE:
                head, symbol = self._trades[at]
                # "m": the buyer is the maker, so the aggressor sold.
                messages.append(
                    f'{head}{time}{symbol}{t},"p":"{price_text(price)}",'
                    f'"q":"{quantity_text(quantity)}","T":{time},'
                    f'"m":{"true" if side < 0 else "false"},"M":true,"i":{i}}}}}'
                )
            else:
                head, symbol = self._quotes[at]
                messages.append(
                    f'{head}{u}{symbol}{price_text(bid)}","B":"{quantity_text(bid_size)}",'
                    f'"a":"{price_text(ask)}","A":"{quantity_text(ask_size)}","i":{i}}}}}'
                )
        return messages


def frames(messages: Sequence[str | bytes]) -> bytes:
    """Return messages as a server's WebSocket text frames, one after the other.

    They go to the socket in one call: a call for each would cost more than all the rest.
    """
    parts = []
    for message in messages:
        payload = message.encode() if isinstance(message, str) else message
        size = len(payload)
        if size < 126:
            parts.append(bytes((_TEXT, size)))
        elif size < 1 << 16:
            parts.append(bytes((_TEXT, 126, size >> 8, size & 0xFF)))
        else:
            parts.append(bytes((_TEXT, 127)) + size.to_bytes(8, "big"))
        parts.append(payload)
    return b"".join(parts)
