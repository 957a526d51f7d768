"""Where a venue's combined stream is to be had."""

from __future__ import annotations

from collections.abc import Sequence

STREAMS = ("trade", "bookTicker")
"""What the feed subscribes to, for each symbol."""


def stream_url(
    base: str,
    symbols: Sequence[str],
    *,
    microseconds: bool = False,
    after: int | None = None,
    count: int | None = None,
) -> str:
    """Return the address of the combined stream of some symbols.

    `base` is for example ``wss://stream.binance.com:9443``. `after` and `count` are for the
    built-in simulator only: events with after < index <= count.
    """
    names = "/".join(f"{symbol.lower()}@{stream}" for symbol in symbols for stream in STREAMS)
    url = f"{base}/stream?streams={names}"
    if microseconds:
        url += "&timeUnit=MICROSECOND"
    if after is not None:
        url += f"&after={after}"
    if count is not None:
        url += f"&count={count}"
    return url
