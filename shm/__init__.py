"""Shared memory that several processes can trust: rings, tables, cells, doorbells, metrics.

A segment is declared as a `Layout` of named regions, created once and attached by others::

    layout = Layout(DoorbellSpec("ta"), RingSpec("market", TRADE, 4096, consumer_bell="ta"))
    with Segment.create("paper", layout) as segment:
        producer = segment.producer("market")
        producer.push(trade)

README.md in this folder shows each kind of region at work and says what survives which crash.
"""

from typing import TYPE_CHECKING, Any

from shm._native import Wake
from shm.errors import (
    ArgumentError,
    ClosedError,
    CorruptRegionError,
    LayoutError,
    NoSpaceError,
    NotASegmentError,
    OtherBootError,
    OtherLayoutError,
    OtherTimeNamespaceError,
    OvertakenError,
    RecordError,
    RoleTakenError,
    SegmentError,
    SegmentNotFoundError,
    ShmError,
    StrategyError,
    TruncatedError,
)
from shm.histogram import Histogram
from shm.layout import (
    BlobSpec,
    CellsSpec,
    CountersSpec,
    DoorbellSpec,
    HistogramsSpec,
    Layout,
    ObserverSpec,
    RingSpec,
    TableSpec,
    WordsSpec,
)
from shm.reap import SegmentInfo, list_segments, reap
from shm.segment import Segment
from shm.waiting import STRATEGIES, Finally, WaitStrategy, choose

if TYPE_CHECKING:
    from shm.aio import wait_async

__all__ = [
    "STRATEGIES",
    "ArgumentError",
    "BlobSpec",
    "CellsSpec",
    "ClosedError",
    "CorruptRegionError",
    "CountersSpec",
    "DoorbellSpec",
    "Finally",
    "Histogram",
    "HistogramsSpec",
    "Layout",
    "LayoutError",
    "NoSpaceError",
    "NotASegmentError",
    "ObserverSpec",
    "OtherBootError",
    "OtherLayoutError",
    "OtherTimeNamespaceError",
    "OvertakenError",
    "RecordError",
    "RingSpec",
    "RoleTakenError",
    "Segment",
    "SegmentError",
    "SegmentInfo",
    "SegmentNotFoundError",
    "ShmError",
    "StrategyError",
    "TableSpec",
    "TruncatedError",
    "WaitStrategy",
    "Wake",
    "WordsSpec",
    "choose",
    "list_segments",
    "reap",
    "wait_async",
]


def __getattr__(name: str) -> Any:
    # asyncio is a third of what importing this package costs, and most processes never use it.
    if name == "wait_async":
        from shm.aio import wait_async

        return wait_async
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
