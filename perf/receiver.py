"""The feed between two measurements: its lines, decoders, books and outbox, in any process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from pipeline import records
from pipeline.runtime import begin, collect_garbage
from pipeline.topology import STAGE_WORDS
from shm import DoorbellSpec, HistogramsSpec, Layout, RingSpec, Segment, TableSpec, WordsSpec
from workers._native import Outbox, Publisher
from workers.feed.lines import Lines
from workers.feed.venue import Venue

_BEAT_S = 0.1  # as in the feed
_IDLE_MESSAGES = 200


def layout(instruments: int, capacity: int) -> Layout:
    """Return a segment for what the feed tells, with room for so many records in each ring."""
    return Layout(
        WordsSpec("feed.words", STAGE_WORDS),
        HistogramsSpec("feed.latency", ("through",)),
        TableSpec("quotes", records.QUOTE, instruments),
        DoorbellSpec("feed"),
        DoorbellSpec("ta"),
        RingSpec("market", records.MARKET, capacity, producer_bell="feed"),
        RingSpec("ticks", records.MARKET, capacity, producer_bell="feed"),
    )


@contextlib.asynccontextmanager
async def reading(
    segment: Segment, venue: Venue
) -> AsyncIterator[tuple[Lines, asyncio.Task[None]]]:
    """Read a venue over one link, whose instruments are all that there are, as the feed does."""
    rows = [instrument.index for instrument in venue.instruments]
    bell = segment.doorbell("feed")
    publisher = Publisher(
        market=segment.producer("market").pointer,
        ta=segment.bell("ta").pointer,
        ticks=segment.producer("ticks").pointer,
        quotes=segment.table_writer("quotes").pointer,
        latency=segment.histograms_writer("feed.latency").pointer,
        words=segment.words("feed.words").pointer,
    )
    outbox = Outbox(publisher)

    def settle() -> None:
        while not outbox.flush():
            bell.wait(_BEAT_S)

    lines = Lines(venue, outbox, len(rows), settle=settle)

    async def beat() -> None:
        while not is_live(lines):
            await asyncio.sleep(_BEAT_S)
        begin(segment, "feed")
        while True:
            messages = lines.counts()["messages"]
            publisher.heard(lines.heard_ns, rows)
            await asyncio.sleep(_BEAT_S)
            collect_garbage(idle=lines.counts()["messages"] - messages < _IDLE_MESSAGES)

    running = asyncio.create_task(lines.run())
    beats = asyncio.create_task(beat())
    try:
        yield lines, running
        lines.stop()
        await running
    finally:
        beats.cancel()
        running.cancel()
        await asyncio.gather(beats, running, return_exceptions=True)


def is_live(lines: Lines) -> bool:
    """Tell whether any of the lines has all its books."""
    return any(each.is_live for each in lines.connections)
