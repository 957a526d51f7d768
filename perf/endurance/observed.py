"""What a feed has published, seen by an observer that nobody waits for."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from pipeline.records import MARKET
from pipeline.vocabulary import MarketKind
from shm import Segment
from workers.feed.decoding import StaleReason

_EVERY_S: Final = 0.01
_AT_ONCE: Final = 8192
_INSTRUMENT_BITS: Final = 56  # of an id; above them the instrument


class Observed:
    """Follows the ring of market records, and keeps what matters of them.

    Attributes:
        trades, quotes: How many there were.
        crossed: Quotes whose bid is not below their ask.
        unseen: Records that were overwritten before they could be looked at.
        stales: STALE by its reason.
        resyncs: RESYNC.
    """

    def __init__(self) -> None:
        self.trades = self.quotes = self.crossed = self.resyncs = self.unseen = 0
        self.stales = dict.fromkeys((reason.name.lower() for reason in StaleReason), 0)
        self._ids: list[Any] = []

    @contextlib.contextmanager
    def following(self, segment: Segment) -> Iterator[None]:
        """Follow a run, from the oldest record that there is."""
        over = threading.Event()
        thread = threading.Thread(target=self._follow, args=(segment, over))
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def take(self, records: Any) -> None:
        """Look at some records, in their order."""
        kinds = records["kind"]
        traded, quoted = records[kinds == MarketKind.TRADE], records[kinds == MarketKind.QUOTE]
        self.trades += len(traded)
        self.quotes += len(quoted)
        ids = traded["instrument"].astype(np.uint64) << np.uint64(_INSTRUMENT_BITS)
        self._ids.append(ids | traded["venue_sequence"].astype(np.uint64))
        both = (quoted["bid"] != 0) & (quoted["ask"] != 0)
        self.crossed += int(np.count_nonzero(both & (quoted["bid"] >= quoted["ask"])))
        for record in records[kinds > MarketKind.QUOTE]:
            if record["kind"] == MarketKind.STALE:
                self.stales[StaleReason(int(record["venue_sequence"])).name.lower()] += 1
            else:
                self.resyncs += 1

    def repeated(self) -> int:
        """Return how many trades were published twice."""
        ids = self._all_ids()
        return len(ids) - len(np.unique(ids))

    def missing(self) -> int:
        """Return how many trades were not published though an earlier and a later one were."""
        ids = np.unique(self._all_ids())
        instruments = ids >> np.uint64(_INSTRUMENT_BITS)
        total = 0
        for instrument in np.unique(instruments):
            own = ids[instruments == instrument]
            total += int(own[-1] - own[0]) + 1 - len(own)
        return total

    def _all_ids(self) -> Any:
        self._ids = [np.concatenate([np.empty(0, np.uint64), *self._ids])]
        return self._ids[0]

    def _follow(self, segment: Segment, over: threading.Event) -> None:
        follower = segment.ring_follower("market", from_oldest=True)
        buffer = np.zeros(_AT_ONCE, MARKET)
        last = False
        while not last:
            last = over.is_set()
            copied, lost = follower.read(buffer)
            self.unseen += lost
            if copied:
                self.take(buffer[:copied])
            if copied < len(buffer):
                time.sleep(_EVERY_S)
