"""What one connection makes of its messages, whenever they come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from pipeline.instruments import Instrument
from pipeline.records import MARKET, Array
from pipeline.vocabulary import MarketKind
from tests.workers.feed import frames as f
from tests.workers.feed.venues import Kept
from workers._native import Arbiter
from workers.feed.coinbase import Coinbase
from workers.feed.connection import Connection
from workers.feed.rest import Rest

PAST = f.coinbase_trades(3, 12, 11).replace(
    '"type":"update","trades"', '"type":"snapshot","trades"'
)


class Wire:
    """A connection to Coinbase whose messages are those of a test."""

    def __init__(self) -> None:
        self.out = Kept()
        instrument = Instrument("BTC-USD", "coinbase", "BTC", "USD", 1_000_000, 1, 0, 0, 0, 0)
        self.connection = Connection(
            Coinbase([instrument], "ws://127.0.0.1:1", "http://127.0.0.1:1"),
            Arbiter(self.out, 1, comparable=False),
            self.out,  # type: ignore[arg-type]
            Rest(),
            settle=lambda: None,
        )

    def connected(self) -> None:
        self.connection._on_connected()

    def lost(self) -> None:
        self.connection._on_lost(False)

    def tell(self, text: str) -> Array:
        self.connection._on_message(memoryview(text.encode()), 1)
        found: Array = np.frombuffer(self.out.take(), MARKET)
        return found


def on_a_wire(test: Callable[[Wire], None]) -> None:
    async def run() -> None:
        test(Wire())

    asyncio.run(run())


def test_what_came_while_a_quiet_market_was_not_heard_is_told() -> None:
    def test(wire: Wire) -> None:
        wire.connected()
        assert not len(wire.tell(PAST.replace('"sequence_num":3', '"sequence_num":0')))
        wire.lost()
        wire.connected()
        assert not len(wire.tell(f.coinbase_heartbeat(2)))
        again = PAST.replace("12", "13", 1)
        assert '"trade_id":"13"' in again
        assert wire.tell(again)["venue_sequence"].tolist() == [13]

    on_a_wire(test)


@pytest.mark.parametrize("text", [PAST, PAST.replace('":', '": ')])
def test_trades_of_the_past_are_not_told_but_that_a_book_is_stale_is(text: str) -> None:
    def test(wire: Wire) -> None:
        wire.connected()
        book = f.coinbase_book(1, "snapshot", ("bid", "100.00", "1"), ("offer", "100.02", "1"))
        assert wire.tell(book)["kind"].tolist() == [MarketKind.QUOTE]
        assert wire.tell(text)["kind"].tolist() == [MarketKind.STALE]
        assert wire.tell(f.coinbase_trades(4, 13))["venue_sequence"].tolist() == [13]

    on_a_wire(test)
