"""What can go wrong with shared memory, one type per cause, so that a caller can tell them apart.

Each message names the thing, its value and what to do about it.
"""

from __future__ import annotations


class ShmError(Exception):
    """Base of everything that this package raises on purpose."""


class ArgumentError(ShmError, ValueError):
    """A value passed to a call is out of its range."""


class LayoutError(ShmError, ValueError):
    """A region is declared in a way that cannot be laid out."""


class RecordError(ShmError, TypeError):
    """An array is not one that this region's records can be copied from or to."""


class ClosedError(ShmError, ValueError):
    """A role or segment was used after its end, or ended while it was used."""


class RoleTakenError(ShmError):
    """Another live process, or this one, holds a role that only one may have."""


class OvertakenError(ShmError):
    """A writer has gone on beyond the step that was asked for, and overwritten it."""


class StrategyError(ShmError, ValueError):
    """A wait strategy that the affinity map makes harmful."""


class SegmentError(ShmError):
    """Base of what can be wrong with a segment as a whole."""


class SegmentNotFoundError(SegmentError, FileNotFoundError):
    """No segment of that name and run."""


class NoSpaceError(SegmentError):
    """The segment does not fit into the file system; found at creation, not by SIGBUS later."""


class NotASegmentError(SegmentError):
    """The file is not a finished segment, or not one that this user may trust."""


class TruncatedError(SegmentError):
    """The file is shorter, or longer, than its header says."""


class OtherLayoutError(SegmentError):
    """The segment's regions, or the structures in them, are not those that were declared."""


class OtherBootError(SegmentError):
    """Left from before the machine's last start: its clocks and processes mean nothing now."""


class OtherTimeNamespaceError(SegmentError):
    """Made in another time namespace, whose monotonic clock differs from this process's."""


class CorruptRegionError(SegmentError):
    """A region's header has contents that no correct use can have left behind."""
