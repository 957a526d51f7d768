"""One segment of shared memory a run: created whole, attached with checks, never left behind.

A segment is a file ``bot4.<name>.<run-id>`` in /dev/shm, readable by its owner only. It appears
under its name only when it is complete, and its creator holds a lock on it for life, so "is it in
use?" has an answer that a crash cannot falsify. `multiprocessing.shared_memory` is not used: its
resource tracker unlinks segments that others still use.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import mmap
import operator
import os
import secrets
import time
import weakref
from collections.abc import Mapping, Sequence
from types import ModuleType, TracebackType
from typing import Any, NoReturn, Self, TypeVar

import numpy as np

from shm import _native, waiting
from shm.adoption import take_over
from shm.breaker_types import PARTICIPANTS
from shm.errors import ArgumentError, ClosedError, OvertakenError, RoleTakenError
from shm.histogram import Histogram
from shm.host import process_start
from shm.layout import (
    BlobSpec,
    BreakersSpec,
    CellsSpec,
    CountersSpec,
    DoorbellSpec,
    HistogramsSpec,
    Layout,
    ObserverSpec,
    Region,
    RingSpec,
    TableSpec,
    WordsSpec,
    structure,
)
from shm.locks import ATTACHED, OWNER, Claim, is_claimed, role_byte
from shm.segment_file import (
    DIRECTORY,
    PREFIX,
    check_blobs,
    check_name,
    give_name,
    new_file,
    open_segment,
    read_blob,
    reserve,
    write_creator,
    write_headers,
)
from shm.waiting import WaitStrategy

_RoleT = TypeVar("_RoleT")

# The two ends of a region; a table has a writer per row instead.
_PRODUCER, _CONSUMER = 0, 1


class Segment:
    """A mapped segment, and the roles that this process has in it.

    Made by `create`, `attach` or `adopt`, to be used in a ``with`` statement or ended with `close`.
    Roles are taken with `producer`, `consumer` and so on; each belongs to one process at a time and
    is given back when it is closed, when the segment is, or when the process dies. A fork inherits
    none of them: in the child the segment and its roles are closed.
    """

    def __init__(
        self,
        fd: int,
        path: str,
        layout: Layout,
        owner: Claim | None,
        event_fds: dict[str, int],
        engine: ModuleType,
    ) -> None:
        """Not to be called: see `create`, `attach` and `adopt`."""
        self.path = path
        self.layout = layout
        self.event_fds = event_fds
        self._fd = fd
        self._owner = owner
        self._disowned = False
        self._engine: Any = engine
        # Prefaulted, so that no page fault comes in the middle of trading.
        self._mapping: mmap.mmap | None = mmap.mmap(
            fd, layout.size, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE
        )
        self._roles: weakref.WeakSet[Any] = weakref.WeakSet()
        self._attached: Claim | None = None

    @classmethod
    def create(
        cls,
        name: str,
        layout: Layout,
        *,
        run_id: str | None = None,
        blobs: Mapping[str, bytes] | None = None,
        directory: str = DIRECTORY,
        engine: ModuleType = _native,
    ) -> Self:
        """Make a new segment for the deployment `name`, all zero but for its headers and blobs.

        `run_id` defaults to one that is new; `blobs` are the contents of the layout's blobs, empty
        where none are given; `engine` is the native implementation or `shm.reference`, its slow
        equal.

        Raises:
            ArgumentError: a name that cannot be part of a file name, or a blob that has no place.
            NoSpaceError: `directory` has no room for it.
            SegmentError: there is one of that name and run already.
        """
        check_name("name", name)
        if not isinstance(layout, Layout):
            raise ArgumentError(f"layout was {layout!r}, must be a Layout")
        if run_id is None:
            run_id = f"{time.time_ns() // 1_000_000:012x}-{secrets.token_hex(4)}"
        check_name("run_id", run_id)
        blobs = blobs or {}
        check_blobs(layout, blobs)
        path = f"{directory}/{PREFIX}.{name}.{run_id}"
        fd = new_file(directory)
        owner = None
        event_fds: dict[str, int] = {}
        try:
            reserve(fd, layout, path)
            owner = Claim(fd, OWNER, 1, path)
            _open_event_fds(layout, event_fds)
            segment = cls(fd, path, layout, owner, event_fds, engine)
            assert segment._mapping is not None
            write_headers(segment._mapping, layout, run_id, blobs)
            give_name(fd, path)
            _segments.add(segment)
        except BaseException:
            _abandon(fd, owner, event_fds)
            raise
        return segment

    @classmethod
    def attach(
        cls,
        name: str,
        layout: Layout | None = None,
        *,
        run_id: str | None = None,
        directory: str = DIRECTORY,
        event_fds: dict[str, int] | None = None,
        engine: ModuleType = _native,
    ) -> Self:
        """Map the segment of deployment `name`; `run_id` says which, if there are several.

        With `layout`, it must be exactly that; without, the segment's own description is used.
        `event_fds` are the creator's (see `Segment.event_fds`), inherited by this process.

        Raises:
            SegmentNotFoundError: there is none, or several.
            NotASegmentError, TruncatedError, OtherLayoutError, OtherBootError,
            OtherTimeNamespaceError: it is not one that this process can share.
        """
        fd, path, layout = open_segment(name, layout, run_id, directory)
        try:
            segment = cls(fd, path, layout, None, dict(event_fds or {}), engine)
            segment._attached = Claim(fd, ATTACHED, 1, path, shared=True)
            _segments.add(segment)
        except BaseException:
            os.close(fd)
            raise
        return segment

    @classmethod
    def adopt(
        cls,
        name: str,
        layout: Layout | None = None,
        *,
        run_id: str | None = None,
        timeout: float = 5.0,
        directory: str = DIRECTORY,
        engine: ModuleType = _native,
    ) -> Self:
        """Take over the segment of a creator that was killed, with all that is in it.

        This process is its owner then, as if it had created it: it removes it when it ends, and has
        new `event_fds` to hand on. `layout` and `run_id` are as for `attach`. Others may still be
        attached, but nobody may have a role: those of processes that are dying are waited for, up
        to `timeout` seconds.

        Raises:
            RoleTakenError: its owner lives, another process adopts it, or a role is still held.
            SegmentNotFoundError, ...: as for `attach`.
        """
        if not timeout >= 0:
            raise ArgumentError(f"timeout was {timeout} s, must be >= 0")
        fd, path, layout = open_segment(name, layout, run_id, directory)
        owner = None
        event_fds: dict[str, int] = {}
        try:
            owner = take_over(fd, path, layout, timeout)
            _open_event_fds(layout, event_fds)
            segment = cls(fd, path, layout, owner, event_fds, engine)
            assert segment._mapping is not None
            write_creator(segment._mapping)
            _segments.add(segment)
        except BaseException:
            _abandon(fd, owner, event_fds)
            raise
        return segment

    # Roles, in the order of the package's table of contents.

    def producer(self, ring: str, doorbell: Any = None) -> _native.Producer:
        """Become the producer of a ring.

        With a `doorbell` (this process's own, which must be the ring's `producer_bell`) a push
        with a time-out sleeps there while the ring is full; without one it polls.

        Raises:
            RoleTakenError: it has a producer.
        """
        region, spec = self._region(ring, RingSpec)
        self._check_bell(spec.name, "producer_bell", spec.producer_bell, doorbell)
        bell = self._bell_or_none(spec.consumer_bell)
        claim = self._claim(region, _PRODUCER, "producer")
        return self._role(
            _native.Producer, region, spec.dtype, spec.capacity, claim, bell, doorbell
        )

    def consumer(self, ring: str, doorbell: Any = None) -> _native.Consumer:
        """Become the consumer of a ring; its `doorbell` then waits for this ring among others.

        Raises:
            RoleTakenError: it has a consumer.
        """
        region, spec = self._region(ring, RingSpec)
        self._check_bell(spec.name, "consumer_bell", spec.consumer_bell, doorbell)
        bell = self._bell_or_none(spec.producer_bell)
        claim = self._claim(region, _CONSUMER, "consumer")
        return self._role(
            _native.Consumer, region, spec.dtype, spec.capacity, claim, bell, doorbell
        )

    def ring_follower(self, ring: str, *, from_oldest: bool = False) -> _native.RingFollower:
        """Read a ring without consuming it, from what comes next or from the oldest it still has.

        Anybody may, and nobody waits for them.
        """
        region, spec = self._region(ring, RingSpec)
        return self._role(_native.RingFollower, region, spec.dtype, spec.capacity, from_oldest)

    def depth(self, ring: str) -> int:
        """Return how many records a ring holds that were not committed."""
        header = self._ring_header(ring)
        # Head first: see RingHeader::depth.
        head = int(header["head"])
        return min(int(header["tail"]) - head, int(header["capacity"]))

    def high_water(self, ring: str) -> int:
        """Return the largest depth that a push to a ring has led to."""
        return int(self._ring_header(ring)["high_water"])

    def observer_producer(self, ring: str) -> _native.ObserverProducer:
        """Become the producer of an observer ring.

        Raises:
            RoleTakenError: it has a producer.
        """
        region, spec = self._region(ring, ObserverSpec)
        claim = self._claim(region, _PRODUCER, "producer")
        return self._role(_native.ObserverProducer, region, spec.dtype, spec.capacity, claim)

    def observer_reader(self, ring: str, *, from_oldest: bool = False) -> _native.ObserverReader:
        """Read an observer ring, from what comes next or from the oldest record it still has."""
        region, spec = self._region(ring, ObserverSpec)
        return self._role(_native.ObserverReader, region, spec.dtype, spec.capacity, from_oldest)

    def table_writer(self, table: str, rows: range | None = None) -> _native.TableWriter:
        """Become the writer of some rows of a table, by default all.

        Raises:
            RoleTakenError: one of them has a writer.
        """
        region, spec = self._region(table, TableSpec)
        rows = range(spec.rows) if rows is None else rows
        if (
            not isinstance(rows, range)
            or rows.step != 1
            or not 0 <= rows.start < rows.stop <= spec.rows
        ):
            raise ArgumentError(
                f"rows of {table!r} were {rows}, must be some of 0 .. {spec.rows - 1}"
            )
        claim = self._claim(region, rows.start, f"writer of a row in {rows}", len(rows))
        return self._role(
            _native.TableWriter, region, spec.dtype, spec.rows, rows.start, rows.stop, claim
        )

    def table_reader(self, table: str) -> _native.TableReader:
        """Read a table."""
        region, spec = self._region(table, TableSpec)
        return self._role(_native.TableReader, region, spec.dtype, spec.rows)

    def abandoned_rows(self, table: str) -> list[int]:
        """Return the rows that a writer, now dead, began to write and did not finish."""
        region, _ = self._region(table, TableSpec)
        reader = self.table_reader(table)
        try:
            return [
                row
                for row in reader.unfinished()
                if not is_claimed(self._open_fd(), role_byte(region.index, row))
            ]
        finally:
            reader.close()

    def cells_writer(self, cells: str, committed: int) -> _native.CellsWriter:
        """Become the writer of a group of cells, as of the last step that was committed.

        Raises:
            RoleTakenError: it has a writer.
        """
        region, spec = self._region(cells, CellsSpec)
        step = _check_step(committed)
        claim = self._claim(region, _PRODUCER, "writer")
        return self._role(_native.CellsWriter, region, spec.dtype, spec.count, step, claim)

    def cells(self, cells: str, committed: int) -> np.ndarray[Any, np.dtype[np.void]]:
        """Return a copy of a group of cells, as of the last step that was committed.

        Raises:
            OvertakenError: more was committed since; read the commit word anew.
        """
        region, spec = self._region(cells, CellsSpec)
        reader = self._role(_native.CellsReader, region, spec.dtype, spec.count)
        try:
            records = np.zeros(spec.count, spec.dtype)
            if not reader.read(committed, records):
                raise OvertakenError(
                    f"cells {cells!r} were copied as of step {committed}, and their writer is "
                    "beyond it; read the commit word anew, and repeat"
                )
            return records
        finally:
            reader.close()

    def blob(self, blob: str) -> bytes:
        """Return the bytes that a blob was given when the segment was created."""
        region, _ = self._region(blob, BlobSpec)
        self._open_fd()
        assert self._mapping is not None
        return read_blob(self._mapping, region)

    def doorbell(
        self,
        name: str,
        strategy: WaitStrategy | str | None = None,
        *,
        signals: Sequence[int] = waiting.ENDING_SIGNALS,
    ) -> _native.Doorbell:
        """Become the one who waits at a doorbell.

        `strategy` (or its name) follows from the CPUs of all doorbells by default; `signals`, if
        they have handlers, end a wait at once.

        Raises:
            RoleTakenError: somebody waits there.
            StrategyError: it would spin on a core that others need.
        """
        region, spec = self._region(name, DoorbellSpec)
        affinity = self.layout.affinity()
        chosen = waiting.choose(affinity, name) if strategy is None else waiting.named(strategy)
        how = waiting.check(chosen, affinity, name)
        event_fd = self._event_fd(spec)
        claim = self._claim(region, _CONSUMER, "owner")
        phases = (how.spins, how.yields, int(how.finally_))
        return self._role(_native.Doorbell, region, claim, *phases, list(signals), event_fd)

    def bell(self, doorbell: str) -> _native.Bell:
        """Return what rings a doorbell; anybody may."""
        region, spec = self._region(doorbell, DoorbellSpec)
        return self._role(_native.Bell, region, self._event_fd(spec))

    def counters_writer(self, counters: str) -> _native.Counters:
        """Become the writer of a group of counters.

        Raises:
            RoleTakenError: it has a writer.
        """
        region, spec = self._region(counters, CountersSpec)
        claim = self._claim(region, _PRODUCER, "writer")
        return self._role(_native.Counters, region, spec.names, claim)

    def counters(self, counters: str) -> dict[str, int]:
        """Return the values of a group of counters."""
        region, spec = self._region(counters, CountersSpec)
        reader = self._role(_native.Counters, region, spec.names, None)
        try:
            return dict(zip(spec.names, reader.values(), strict=True))
        finally:
            reader.close()

    def histograms_writer(self, histograms: str) -> _native.HistogramWriter:
        """Become the writer of a group of histograms.

        Raises:
            RoleTakenError: it has a writer.
        """
        region, spec = self._region(histograms, HistogramsSpec)
        claim = self._claim(region, _PRODUCER, "writer")
        return self._role(_native.HistogramWriter, region, spec.names, claim)

    def histograms(self, histograms: str) -> dict[str, Histogram]:
        """Return copies of a group of histograms, each of one epoch."""
        region, spec = self._region(histograms, HistogramsSpec)
        reader = self._role(_native.Histograms, region, spec.names, None)
        try:
            return {name: Histogram.from_words(*reader.read(name)) for name in spec.names}
        finally:
            reader.close()

    def reset_histograms(self, histograms: str) -> None:
        """Ask for a new epoch: the writer begins it with its next record, readers see it now."""
        region, spec = self._region(histograms, HistogramsSpec)
        reader = self._role(_native.Histograms, region, spec.names, None)
        try:
            reader.reset()
        finally:
            reader.close()

    def words(self, words: str) -> _native.Words:
        """Return a group of atomic words, to be read and written by anyone."""
        region, spec = self._region(words, WordsSpec)
        return self._role(_native.Words, region, spec.names)

    def breakers(self, breakers: str, *, observe: bool = False) -> _native.Breakers:
        """Take part in a group of circuit breakers, or only look at them.

        A participant has a shard of its own: what it counts and tells of, it alone writes.

        Raises:
            RoleTakenError: as many processes take part as there are shards.
        """
        region, spec = self._region(breakers, BreakersSpec)
        if observe:
            return self._role(_native.Breakers, region, spec.names, -1, 0, _no_lock, _no_lock, None)
        fd = self._open_fd()
        what = f"of breakers {breakers!r} in {self.path}"
        of_settings, of_events = (
            functools.partial(Claim, fd, role_byte(region.index, role), 1, f"the {name} {what}")
            for role, name in ((PARTICIPANTS, "reload"), (PARTICIPANTS + 1, "reader of events"))
        )
        for shard in range(PARTICIPANTS):
            try:
                claim = self._claim(region, shard, f"shard {shard}")
            except RoleTakenError:
                continue
            started = process_start(os.getpid())
            return self._role(
                _native.Breakers, region, spec.names, shard, started, of_settings, of_events, claim
            )
        raise RoleTakenError(
            f"all {PARTICIPANTS} shards {what} are held by live processes; end one, or attach with "
            "observe=True"
        )

    # The segment as a whole.

    @property
    def run_id(self) -> str:
        """The run that it was created for."""
        return self.path.rpartition(".")[2]

    @property
    def name(self) -> str:
        """The deployment that it was created for."""
        return self.path.rpartition("/")[2].split(".")[1]

    def owner_alive(self) -> bool:
        """Return whether its creator still has it, in this process or another."""
        return self._owner is not None or is_claimed(self._open_fd(), OWNER)

    def disown(self) -> None:
        """Leave the segment in place when it is closed, for somebody to adopt."""
        self._disowned = True

    def unlink(self) -> None:
        """Remove the name, if it is still this segment's; those who have it mapped keep it."""
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.stat(self.path), os.fstat(self._open_fd())):
                os.unlink(self.path)

    def close_roles(self) -> None:
        """Give back all roles that this process has.

        Raises:
            ClosedError: another thread waits in one; it keeps that one, and the memory.
        """
        busy: ClosedError | None = None
        for role in list(self._roles):
            try:
                role.close()
            except ClosedError as error:
                busy = error
        if busy is not None:
            raise busy

    def close(self) -> None:
        """Give back all roles and, as the creator, remove the segment. May be repeated.

        Arrays that view it stay valid: the memory is unmapped when the last of them is gone.

        Raises:
            ClosedError: another thread waits in one of the roles; all the rest is done.
        """
        if self._mapping is None:
            return
        try:
            self.close_roles()
        finally:
            if self._owner is not None and not self._disowned:
                # Before the lock is given back, or a reaper could get in between.
                self.unlink()
            self._let_go()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # What went wrong inside is what the caller must hear of.
        with contextlib.suppress(ClosedError) if error else contextlib.nullcontext():
            self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a Segment cannot be copied or sent to another process; attach there by name and run_id"
        )

    def __repr__(self) -> str:
        return f"<Segment {self.path} {self.layout.size} bytes>"

    def _let_go(self) -> None:
        # Not mmap.close(): views may be alive, and it is unmapped with the last of them anyway.
        self._mapping = None
        _segments.discard(self)
        os.close(self._fd)
        if self._attached is not None:
            self._attached.release()
        if self._owner is not None:
            self._owner.release()
            for event_fd in self.event_fds.values():
                os.close(event_fd)

    def _close_in_child(self) -> None:
        # Neither the name nor the locks are the child's to give back; see Claim.release.
        for role in list(self._roles):
            role.close_after_fork()
        self._let_go()

    def _region(self, name: str, kind: type[Any]) -> tuple[Region, Any]:
        region = self.layout.regions.get(name) if isinstance(name, str) else None
        if region is None or not isinstance(region.spec, kind):
            known = [
                entry.spec.name
                for entry in self.layout.regions.values()
                if isinstance(entry.spec, kind)
            ]
            raise ArgumentError(
                f"{self.path} has no {kind.kind} named {name!r}, only {', '.join(known) or 'none'}"
            )
        return region, region.spec

    def _ring_header(self, ring: str) -> Any:
        region, _ = self._region(ring, RingSpec)
        self._open_fd()
        assert self._mapping is not None
        return np.frombuffer(self._mapping, structure("RingHeader"), 1, region.offset)[0]

    def _role(self, kind: type[_RoleT], region: Region, *arguments: Any) -> _RoleT:
        self._open_fd()
        claim = next((each for each in arguments if isinstance(each, Claim)), None)
        try:
            role: _RoleT = getattr(self._engine, kind.__name__)(
                f"{region.spec.kind} {region.spec.name!r}", self._mapping, region.offset, *arguments
            )
        except BaseException:
            if claim is not None:
                claim.release()
            raise
        self._roles.add(role)
        return role

    def _claim(self, region: Region, role: int, what: str, count: int = 1) -> Claim:
        first = role_byte(region.index, role)
        what = f"the {what} of {region.spec.kind} {region.spec.name!r} in {self.path}"
        return Claim(self._open_fd(), first, count, what)

    def _bell_or_none(self, doorbell: str | None) -> _native.Bell | None:
        return None if doorbell is None else self.bell(doorbell)

    def _check_bell(self, ring: str, end: str, declared: str | None, doorbell: Any) -> None:
        if doorbell is None:
            return
        if doorbell not in self._roles:
            raise ArgumentError(
                f"ring {ring!r} was to wake {doorbell!r}, must be a doorbell of this segment object"
            )
        if doorbell.name != f"doorbell {declared!r}":
            raise ArgumentError(
                f"ring {ring!r} was to wake {doorbell.name}, but its {end} is {declared!r}; "
                "declare it in the layout"
            )

    def _event_fd(self, spec: DoorbellSpec) -> int:
        if not spec.event_loop:
            return -1
        try:
            return self.event_fds[spec.name]
        except KeyError:
            raise ArgumentError(
                f"doorbell {spec.name!r} wakes an event loop, and its eventfd was not passed; "
                "hand the creator's event_fds on (subprocess: pass_fds) and attach with them"
            ) from None

    def _open_fd(self) -> int:
        if self._mapping is None:
            raise ClosedError(f"{self.path} was used after it was closed")
        return self._fd


def _open_event_fds(layout: Layout, event_fds: dict[str, int]) -> None:
    for region in layout.regions.values():
        if isinstance(region.spec, DoorbellSpec) and region.spec.event_loop:
            event_fds[region.spec.name] = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)


def _abandon(fd: int, owner: Claim | None, event_fds: dict[str, int]) -> None:
    os.close(fd)
    if owner is not None:
        owner.release()
    for event_fd in event_fds.values():
        os.close(event_fd)


def _no_lock() -> NoReturn:
    raise AssertionError("who only looks takes no lock")


def _check_step(committed: object) -> int:
    try:
        step = operator.index(committed)  # type: ignore[arg-type]  # that is the check
    except TypeError:
        step = -1
    if not 0 <= step < (1 << 64) - 1:
        raise ArgumentError(
            f"committed was {committed!r}, must be a step, an integer in 0 .. 2**64 - 2"
        )
    return step


# Until they are closed: a segment that is dropped, as in `Segment.create(...).producer(...)`, lives
# on with its roles.
_segments: set[Segment] = set()


def _close_all_in_child() -> None:
    _native.forget_other_threads()
    for segment in list(_segments):
        segment._close_in_child()


def _close_all() -> None:
    for segment in list(_segments):
        with contextlib.suppress(ClosedError):
            segment.close()


os.register_at_fork(after_in_child=_close_all_in_child)
atexit.register(_close_all)
