"""Which venues ccxt.pro reads, and where it looks for them."""

from __future__ import annotations

import asyncio
import subprocess
import sys

from pipeline.markets import stream


def test_the_venues_are_those_of_ccxt_and_it_is_not_imported_for_that() -> None:
    code = (
        "import sys; from pipeline.markets import stream; names = stream.names();"
        "assert 'ccxt' not in sys.modules; import ccxt.pro;"
        "assert names == set(ccxt.pro.exchanges), names ^ set(ccxt.pro.exchanges)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_address_of_a_venue_is_moved_and_its_path_kept() -> None:
    async def test() -> None:
        exchange = stream.exchange("binanceus", "ws://127.0.0.1:1/", "http://127.0.0.1:2")
        assert exchange.urls["api"]["ws"]["spot"] == "ws://127.0.0.1:1/ws"
        assert exchange.urls["api"]["public"] == "http://127.0.0.1:2/api/v3"
        assert not exchange.enableRateLimit
        await exchange.close()
        own = stream.exchange("binanceus", None, None)
        assert own.urls["api"]["ws"]["spot"].startswith("wss://")
        assert own.enableRateLimit
        await own.close()

    asyncio.run(test())


def test_a_venue_that_is_not_known_has_near_matches() -> None:
    said = stream.remedy("krakn", ("sim", "kraken"))
    assert said.startswith("be sim, kraken or one that ccxt.pro reads; did you mean kraken")
    assert "ccxt.pro.exchanges" in said
    assert "did you mean" not in stream.remedy("zzzzzz")
