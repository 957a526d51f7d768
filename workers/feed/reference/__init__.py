"""The decoders in slow, obvious Python: the documentation of `native/`, held to the same tests."""

from collections.abc import Iterable

from workers.feed.decoding import UNLIMITED, VENUES, Listing, QuoteSource
from workers.feed.reference.binance import Binance
from workers.feed.reference.coinbase import Coinbase
from workers.feed.reference.kraken import Kraken
from workers.feed.reference.kraken_v1 import KrakenV1
from workers.feed.reference.market import Decoder, Event
from workers.feed.reference.okx import Okx

__all__ = ["Decoder", "Event", "decoder"]


def decoder(
    venue: str,
    listings: Iterable[Listing],
    *,
    quotes: QuoteSource = QuoteSource.BOOK,
    depth: int = UNLIMITED,
    microseconds: bool = False,
) -> Decoder:
    """Return what `workers.feed.decoding.decoder` returns, in Python.

    Raises:
        ValueError: no such venue, or a symbol is listed twice.
    """
    match venue:
        case "binance" | "binance_usdm":
            return Binance(
                listings,
                quotes,
                futures=venue == "binance_usdm",
                time_ns=1_000 if microseconds else 1_000_000,
            )
        case "kraken":
            return Kraken(listings, quotes, depth)
        case "kraken_v1":
            return KrakenV1(listings, QuoteSource.BOOK, depth)
        case "okx":
            return Okx(listings, QuoteSource.BOOK, depth)
        case "coinbase":
            return Coinbase(listings, quotes)
    raise ValueError(f"venue was {venue!r}, must be one of {', '.join(VENUES)}")
