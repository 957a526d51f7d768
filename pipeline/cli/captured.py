"""`bot4 run --capture`: what is traded of a captured market, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.config import ConfigError
from pipeline.instruments import to_e8
from pipeline.stage import load_object

FEE = "0.001"
"""Rate of makers and takers where the configuration does not say: what most venues ask at most."""

MIN_NOTIONAL = "0"
"""Smallest value of an order where the configuration does not say: a capture does not either."""


def errors() -> tuple[type[Exception], ...]:
    """Return what `choose` raises of captured files that cannot be traded."""
    names = ("feed.check:CheckError", "feed.capture:CaptureError")
    return tuple(load_object(f"workers.{name}") for name in names)


def choose(
    config: dict[str, Any], paths: Sequence[Path], venue: str | None, speed: str
) -> list[str]:
    """Have a resolved configuration trade captured files; return what there is to say.

    Raises:
        ConfigError: an instrument of it cannot be that of the capture.
        CheckError, CaptureError: the files cannot be traded.
        OSError: a file cannot be read.
    """
    load_object("workers.exchange.playback:Speed").parse(speed)
    pairs: dict[str, dict[str, tuple[str, str]]] = {}
    for each in config["instruments"]:
        pairs.setdefault(each["venue"], {})[each["symbol"]] = (each["base"], each["quote"])
    found = load_object("workers.feed.survey:survey")(
        paths, venue=venue, currency=config["currency"], pairs=pairs
    )
    configured = {(each["venue"], each["symbol"]): each for each in config["instruments"]}
    config["instruments"] = [
        _instrument(found.venue, market, configured.get((found.venue, market.symbol)))
        for market in found.markets
    ]
    config["currency"] = found.markets[0].quote
    config["run"]["capture"] = {
        "files": [str(path) for path in paths],
        # A run that was killed is gone on with only if they are what they were.
        "sha256": load_object("workers.feed.survey:fingerprint")(paths),
        "speed": speed,
        "microseconds": found.microseconds,
        "depth": found.depth,
    }
    return [f"capture: {line}" for line in _lines(found, config, speed)]


def _instrument(venue: str, market: Any, configured: dict[str, Any] | None) -> dict[str, Any]:
    if configured is None:
        return {
            "symbol": market.symbol,
            "venue": venue,
            "base": market.base,
            "quote": market.quote,
            "tick": market.tick,
            "lot": market.lot,
            "min_notional": MIN_NOTIONAL,
            "maker_fee": FEE,
            "taker_fee": FEE,
            "price": None,
        }
    for step in ("tick", "lot"):
        occurs = getattr(market, step)
        if to_e8(occurs) % to_e8(configured[step]):
            raise ConfigError(
                f"{step} of {market.symbol} of venue {venue} was {configured[step]}, must divide "
                f"{occurs}, which occurs in the capture; or leave that instrument out"
            )
    return configured


def _lines(found: Any, config: dict[str, Any], speed: str) -> Iterator[str]:
    counts = found.counts
    symbols = [market.symbol for market in found.markets]
    span = "" if found.seconds is None else f" over {_duration(found.seconds)}"
    has = {
        "trades": counts["trades"],
        "best prices": counts["tickers"],
        "updates of books": counts["book_updates"],
    }
    what = ", ".join(f"{count:,} {name}" for name, count in has.items() if count)
    yield (
        f"{found.venue}, {counts['messages']:,} messages{span} "
        f"({what or 'nothing of the market'}), {_pace(found, speed)}"
    )
    for each in config["instruments"]:
        yield (
            f"{each['symbol']} in {each['quote']}, tick {each['tick']}, lot {each['lot']}, "
            f"taker fee {each['taker_fee']}"
        )
    for quote, others in sorted(found.left_out.items()):
        why = f"are in {quote}" if quote else "have currencies that are not known"
        yield f"left out: {', '.join(others)}, which {why}"
    if counts["gaps"]:
        yield f"gaps in it: {counts['gaps']}; what was missed is not to be had"
    if counts["stales"] > counts["resyncs"]:
        yield "stale at its end, as no snapshot mends a book: no new risk is taken from there on"
    elif found.unverified:
        names = ", ".join(found.unverified)
        prices = (
            "best prices come without it, and are traded"
            if found.venue == "binance"
            else "there are no best prices, so nothing is traded"
        )
        yield f"no snapshot of the book of {names}, which is never verified: {prices}"
    elif found.venue == "binance" and not counts["tickers"]:
        yield f"no best prices (bookTicker) of {', '.join(symbols)}, so nothing is traded"
    if not counts["trades"]:
        yield "no trades, so there are no bars, and no strategy that waits for them does anything"


def _pace(found: Any, speed: str) -> str:
    if speed == "max" or (found.seconds is None and not speed.startswith("fixed")):
        why = "" if speed == "max" else ", as it has no times"
        return f"as fast as they are taken{why}"
    if speed == "recorded":
        return "as they were received"
    if speed.startswith("fixed:"):
        return f"{speed.removeprefix('fixed:')} a second"
    return f"{speed.removesuffix('x')} times as fast as they were received"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{rest:.1f} s" if not minutes else f"{minutes:.0f} min {rest:.0f} s"
