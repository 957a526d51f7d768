"""What is sent: Binance's combined stream, as WebSocket frames that are encoded beforehand.

A block of frames is sent again and again; only ids go on in it. So hours of a stream fit into a few
pages of memory, ids have no gap, and from a record one can tell which frame it came from.
"""

from __future__ import annotations

import json
from typing import Any, Final

import numpy as np

from pipeline.instruments import Instrument

Ints = np.ndarray[Any, np.dtype[np.int64]]

SYMBOLS: Final = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")
TRADE, QUOTE, DEPTH = 1, 2, 3
"""Kinds of frames; those of a trade and a quote are the records' own."""

# The best prices make up most of what Binance sends, the books least.
_MIX = (QUOTE, TRADE, QUOTE, QUOTE, TRADE, QUOTE, QUOTE, TRADE, QUOTE, QUOTE) * 2
_MIX = (*_MIX[:-1], DEPTH)
BLOCK: Final = 10 * len(_MIX)
LEVELS: Final = 10
"""That an update of a book changes, on each side."""

KINDS: Final = tuple(_MIX) * 10
PLACES: Final = tuple((i + i // len(_MIX)) % len(SYMBOLS) for i in range(BLOCK))
"""The instrument of each frame of a block."""

FIRST: Final = 1_100_000_000
"""Of all ids; they have ten digits for ever."""

MOST: Final = 1_000_000_000
"""Frames that can be sent."""

_DIGITS = 10
_TIME_US = 1_700_000_000_000_000
_BID = 5_000_000  # ticks of 0.01
_SNAPSHOT_LEVELS = 100


def instruments() -> tuple[Instrument, ...]:
    """Return what is traded, as the feed wants it."""
    return tuple(
        Instrument(symbol, "binance", symbol[:-4], "USDT", 1_000_000, 1_000, 0, 0, 0, index)
        for index, symbol in enumerate(SYMBOLS)
    )


def streams() -> str:
    """Return the names of all streams, as they stand in the address."""
    kinds = ("trade", "bookTicker", "depth@100ms")
    return "/".join(f"{symbol.lower()}@{kind}" for symbol in SYMBOLS for kind in kinds)


def snapshot(symbol: str) -> bytes:
    """Return the book that the first update of a symbol goes on from."""
    place = SYMBOLS.index(symbol)
    last = max(i for i in range(BLOCK) if PLACES[i] == place and KINDS[i] == DEPTH)
    sides = {
        "bids": [[_price(_BID - i), "1.00000000"] for i in range(_SNAPSHOT_LEVELS)],
        "asks": [[_price(_BID + 1 + i), "1.00000000"] for i in range(_SNAPSHOT_LEVELS)],
    }
    return json.dumps({"lastUpdateId": FIRST + last - BLOCK, **sides}).encode()


class Blocks:
    """Makes one block after the other, each in the place of the one before.

    Attributes:
        starts: Where each frame begins in a block; last, how many bytes it has.
    """

    def __init__(self) -> None:
        text = bytearray()
        self.starts: list[int] = []
        positions: list[int] = []
        self._fields: list[tuple[int, int]] = []  # an id in the first block, and its step
        for frame in range(BLOCK):
            self.starts.append(len(text))
            payload, ids = _frame(frame)
            text += _header(len(payload))
            positions += [len(text) + payload.index(mark) for mark, _, _ in ids]
            text += payload
            self._fields += [(first, step) for _, first, step in ids]
        self.starts.append(len(text))
        self._view = memoryview(text)
        self._bytes = np.frombuffer(text, np.uint8)
        self._columns = np.array(positions)[:, None] + np.arange(_DIGITS)
        self._first, self._step = np.array(self._fields, np.uint32).T
        self._powers = np.array([10**n for n in reversed(range(_DIGITS))], np.uint32)

    def at(self, block: int) -> memoryview:
        """Return a block by its number from 0. It is valid until the next call."""
        ids = self._first + np.uint32(block) * self._step
        self._bytes[self._columns] = ids[:, None] // self._powers % 10 + ord("0")
        return self._view


def frames_of(kinds: Ints, places: Ints, ids: Ints) -> Ints:
    """Return which frames some records came from, -1 of those that came from none.

    `kinds` are TRADE or QUOTE, `places` the instruments, `ids` those of trades or updates.
    """
    found = np.full(len(ids), -1)
    found[kinds == QUOTE] = ids[kinds == QUOTE] - FIRST
    for place in range(len(SYMBOLS)):
        chosen = (kinds == TRADE) & (places == place)
        frames = np.array(_trades(place))
        block, nth = np.divmod(ids[chosen] - FIRST, len(frames))
        found[chosen] = block * BLOCK + frames[nth]
    # Ids from before the first, or of a frame of another kind or instrument, are nobody's.
    known = found >= 0
    at = found[known] % BLOCK
    known[known] = (np.array(KINDS)[at] == kinds[known]) & (np.array(PLACES)[at] == places[known])
    return np.where(known, found, -1)


def records_in(frames: int) -> int:
    """Return how many of the first frames make a record: all but updates of books."""
    whole, rest = divmod(frames, BLOCK)
    return frames - whole * KINDS.count(DEPTH) - KINDS[:rest].count(DEPTH)


def _trades(place: int) -> list[int]:
    return [i for i in range(BLOCK) if KINDS[i] == TRADE and PLACES[i] == place]


def _frame(frame: int) -> tuple[bytes, list[tuple[bytes, int, int]]]:
    """Return a payload, and of each id its mark in there, its first value and its step."""
    kind, place = KINDS[frame], PLACES[frame]
    symbol = SYMBOLS[place]
    lots = f"{1 + frame % 7}.{10_000 + frame}000"  # differs from the one before
    head: dict[str, Any] = {"E": _TIME_US + frame, "s": symbol}
    mark, other = f"{_marked('u')}", f"{_marked('U')}"
    if kind == TRADE:
        ids = [(mark.encode(), FIRST + _trades(place).index(frame), len(_trades(place)))]
        price = _price(_BID + frame % 2)
        data = {"e": "trade", **head, "t": mark, "p": price, "q": lots, "T": _TIME_US + frame}
        name, data = "trade", {**data, "m": frame % 2 == 0, "M": True}
    elif kind == QUOTE:
        ids = [(mark.encode(), FIRST + frame, BLOCK)]
        best = {"b": _price(_BID), "B": lots, "a": _price(_BID + 1), "A": lots}
        name, data = "bookTicker", {"u": mark, "s": symbol, **best}
    else:
        ends = [i for i in range(BLOCK) if KINDS[i] == DEPTH and PLACES[i] == place]
        before = ends[ends.index(frame) - 1] - (BLOCK if frame == ends[0] else 0)
        ids = [(other.encode(), FIRST + before + 1, BLOCK), (mark.encode(), FIRST + frame, BLOCK)]
        sides = {
            "b": [[_price(_BID - i), lots] for i in range(LEVELS)],
            "a": [[_price(_BID + 1 + i), lots] for i in range(LEVELS)],
        }
        name, data = "depth@100ms", {"e": "depthUpdate", **head, "U": other, "u": mark, **sides}
    message = {"stream": f"{symbol.lower()}@{name}", "data": data}
    text = json.dumps(message, separators=(",", ":"))
    # An id is a number: its mark stands there in quotation marks, and as many digits as it has.
    for each in (mark, other):
        text = text.replace(f'"{each}"', each)
    return text.encode(), ids


def _marked(letter: str) -> str:
    return letter * _DIGITS


def _price(ticks: int) -> str:
    return f"{ticks // 100}.{ticks % 100:02d}000000"


def _header(length: int) -> bytes:
    """Return what precedes the payload of a whole text message from a server."""
    short = 126
    return bytes((0x81, length)) if length < short else b"\x81\x7e" + length.to_bytes(2, "big")
