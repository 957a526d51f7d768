"""Shared memory that several processes can trust: rings, tables, cells, doorbells, metrics.

A segment is declared as a `Layout` of named regions, created once and attached by others::

    layout = Layout(DoorbellSpec("ta"), RingSpec("market", TRADE, 4096, consumer_bell="ta"))
    with Segment.create("paper", layout) as segment:
        producer = segment.producer("market")
        producer.push(trade)

README.md in this folder shows each kind of region at work and says what survives which crash.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from shm._native import Breaker, Breakers, Permit, Wake
from shm.breaker_settings import BreakerSettings
from shm.breaker_types import (
    BREAKER_EVENT,
    BreakerError,
    BreakerOpenError,
    BreakerSettingsError,
    Cause,
    Completion,
    Counts,
    EventKind,
    GlobalState,
    Rejection,
    State,
    Verdict,
)
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
    BreakersSpec,
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
    from shm.breaker import Guard, guarded

__all__ = [
    "BREAKER_EVENT",
    "STRATEGIES",
    "ArgumentError",
    "BlobSpec",
    "Breaker",
    "BreakerError",
    "BreakerOpenError",
    "BreakerSettings",
    "BreakerSettingsError",
    "Breakers",
    "BreakersSpec",
    "Cause",
    "CellsSpec",
    "ClosedError",
    "Completion",
    "CorruptRegionError",
    "CountersSpec",
    "Counts",
    "DoorbellSpec",
    "EventKind",
    "Finally",
    "GlobalState",
    "Guard",
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
    "Permit",
    "RecordError",
    "Rejection",
    "RingSpec",
    "RoleTakenError",
    "Segment",
    "SegmentError",
    "SegmentInfo",
    "SegmentNotFoundError",
    "ShmError",
    "State",
    "StrategyError",
    "TableSpec",
    "TruncatedError",
    "Verdict",
    "WaitStrategy",
    "Wake",
    "WordsSpec",
    "choose",
    "guarded",
    "list_segments",
    "reap",
    "wait_async",
]


_LATE = {"wait_async": "shm.aio", "Guard": "shm.breaker", "guarded": "shm.breaker"}


def __getattr__(name: str) -> Any:
    # asyncio and inspect are a third of what importing this package costs, and most processes never
    # use them.
    if name in _LATE:
        return getattr(import_module(_LATE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
