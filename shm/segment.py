"""One segment of shared memory a run: created whole, attached with checks, never left behind.

A segment is a file ``bot4.<name>.<run-id>`` in /dev/shm, readable by its owner only. It appears
under its name only when it is complete, and its creator holds a lock on it for life, so "is it in
use?" has an answer that a crash cannot falsify. `multiprocessing.shared_memory` is not used: its
resource tracker unlinks segments that others still use.
"""

from __future__ import annotations

import atexit
import mmap
import os
import re
import secrets
import shutil
import time
import weakref
from collections.abc import Sequence
from types import ModuleType, TracebackType
from typing import Any, Self

import numpy as np

from shm import _native, host, waiting
from shm.errors import (
    ArgumentError,
    ClosedError,
    LayoutError,
    NoSpaceError,
    NotASegmentError,
    OtherBootError,
    OtherLayoutError,
    OtherTimeNamespaceError,
    SegmentError,
    SegmentNotFoundError,
    TruncatedError,
)
from shm.histogram import Histogram
from shm.layout import (
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
from shm.locks import OWNER, Claim, is_claimed, role_byte
from shm.waiting import WaitStrategy

DIRECTORY = "/dev/shm"
PREFIX = "bot4"

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")

# The two ends of a region; a table has a writer per row instead.
_PRODUCER, _CONSUMER = 0, 1


class Segment:
    """A mapped segment, and the roles that this process has in it.

    Made by `create` or `attach`, to be used in a ``with`` statement or ended with `close`. Roles
    are taken with `producer`, `consumer` and so on; each belongs to one process at a time and is
    given back when it is closed, when the segment is, or when the process dies. A fork inherits
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
        """Not to be called: see `create` and `attach`."""
        self.path = path
        self.layout = layout
        self.event_fds = event_fds
        self._fd = fd
        self._owner = owner
        self._engine: Any = engine
        # Prefaulted, so that no page fault comes in the middle of trading.
        self._mapping: mmap.mmap | None = mmap.mmap(
            fd, layout.size, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE
        )
        self._roles: weakref.WeakSet[Any] = weakref.WeakSet()
        _segments.add(self)

    @classmethod
    def create(
        cls,
        name: str,
        layout: Layout,
        *,
        run_id: str | None = None,
        directory: str = DIRECTORY,
        engine: ModuleType = _native,
    ) -> Self:
        """Make a new segment for the deployment `name`, all zero but for its headers.

        `run_id` defaults to one that is new; `engine` is the native implementation or
        `shm.reference`, its slow equal.

        Raises:
            ArgumentError: a name that cannot be part of a file name.
            NoSpaceError: `directory` has no room for it.
            SegmentError: there is one of that name and run already.
        """
        _check_name("name", name)
        run_id = run_id or f"{time.time_ns() // 1_000_000:012x}-{secrets.token_hex(4)}"
        _check_name("run_id", run_id)
        path = f"{directory}/{PREFIX}.{name}.{run_id}"
        fd = _new_file(directory)
        owner = None
        event_fds: dict[str, int] = {}
        try:
            _reserve(fd, layout, path)
            owner = Claim(fd, OWNER, 1, path)
            for region in layout.regions.values():
                if isinstance(region.spec, DoorbellSpec) and region.spec.event_loop:
                    event_fds[region.spec.name] = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            segment = cls(fd, path, layout, owner, event_fds, engine)
            segment._write_headers(run_id)
            _give_name(fd, path)
        except BaseException:
            os.close(fd)
            if owner is not None:
                owner.release()
            for event_fd in event_fds.values():
                os.close(event_fd)
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
        _check_name("name", name)
        path = _find(name, run_id, directory)
        fd = open_checked(path)
        try:
            _check_clock(fd, path)
            found = read_layout(fd, path)
            if layout is not None and found != layout:
                raise OtherLayoutError(
                    f"{path} has another layout: {', '.join(layout.differences(found))} differ; "
                    "start both sides from the same configuration and version"
                )
            return cls(fd, path, found, None, dict(event_fds or {}), engine)
        except BaseException:
            os.close(fd)
            raise

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
        return self._role("Producer", region, spec.dtype, spec.capacity, claim, bell, doorbell)

    def consumer(self, ring: str, doorbell: Any = None) -> _native.Consumer:
        """Become the consumer of a ring; its `doorbell` then waits for this ring among others.

        Raises:
            RoleTakenError: it has a consumer.
        """
        region, spec = self._region(ring, RingSpec)
        self._check_bell(spec.name, "consumer_bell", spec.consumer_bell, doorbell)
        bell = self._bell_or_none(spec.producer_bell)
        claim = self._claim(region, _CONSUMER, "consumer")
        return self._role("Consumer", region, spec.dtype, spec.capacity, claim, bell, doorbell)

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
        return self._role("ObserverProducer", region, spec.dtype, spec.capacity, claim)

    def observer_reader(self, ring: str, *, from_oldest: bool = False) -> _native.ObserverReader:
        """Read an observer ring, from what comes next or from the oldest record it still has."""
        region, spec = self._region(ring, ObserverSpec)
        return self._role("ObserverReader", region, spec.dtype, spec.capacity, from_oldest)

    def table_writer(self, table: str, rows: range | None = None) -> _native.TableWriter:
        """Become the writer of some rows of a table, by default all.

        Raises:
            RoleTakenError: one of them has a writer.
        """
        region, spec = self._region(table, TableSpec)
        rows = range(spec.rows) if rows is None else rows
        if rows.step != 1 or not 0 <= rows.start < rows.stop <= spec.rows:
            raise ArgumentError(
                f"rows of {table!r} were {rows}, must be some of 0 .. {spec.rows - 1}"
            )
        claim = self._claim(region, rows.start, f"writer of a row in {rows}", len(rows))
        return self._role(
            "TableWriter", region, spec.dtype, spec.rows, rows.start, rows.stop, claim
        )

    def table_reader(self, table: str) -> _native.TableReader:
        """Read a table."""
        region, spec = self._region(table, TableSpec)
        return self._role("TableReader", region, spec.dtype, spec.rows)

    def abandoned_rows(self, table: str) -> list[int]:
        """Return the rows that a writer, now dead, began to write and did not finish."""
        region, spec = self._region(table, TableSpec)
        with_reader = self.table_reader(table)
        try:
            return [
                row
                for row in with_reader.unfinished()
                if not is_claimed(self._open_fd(), role_byte(region.index, row))
            ]
        finally:
            with_reader.close()

    def doorbell(
        self,
        name: str,
        strategy: WaitStrategy | None = None,
        *,
        signals: Sequence[int] = waiting.ENDING_SIGNALS,
    ) -> _native.Doorbell:
        """Become the one who waits at a doorbell.

        `strategy` follows from the CPUs of all doorbells by default; `signals`, if they have
        handlers, end a wait at once.

        Raises:
            RoleTakenError: somebody waits there.
            StrategyError: it would spin on a core that others need.
        """
        region, spec = self._region(name, DoorbellSpec)
        affinity = self.layout.affinity()
        how = waiting.check(strategy or waiting.choose(affinity, name), affinity, name)
        event_fd = self._event_fd(spec)
        claim = self._claim(region, _CONSUMER, "owner")
        phases = (how.spins, how.yields, int(how.finally_))
        return self._role("Doorbell", region, claim, *phases, list(signals), event_fd)

    def bell(self, doorbell: str) -> _native.Bell:
        """Return what rings a doorbell; anybody may."""
        region, spec = self._region(doorbell, DoorbellSpec)
        return self._role("Bell", region, self._event_fd(spec))

    def counters_writer(self, counters: str) -> _native.Counters:
        """Become the writer of a group of counters.

        Raises:
            RoleTakenError: it has a writer.
        """
        region, spec = self._region(counters, CountersSpec)
        claim = self._claim(region, _PRODUCER, "writer")
        return self._role("Counters", region, spec.names, claim)

    def counters(self, counters: str) -> dict[str, int]:
        """Return the values of a group of counters."""
        region, spec = self._region(counters, CountersSpec)
        reader = self._role("Counters", region, spec.names, None)
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
        return self._role("HistogramWriter", region, spec.names, claim)

    def histograms(self, histograms: str) -> dict[str, Histogram]:
        """Return copies of a group of histograms, each of one epoch."""
        region, spec = self._region(histograms, HistogramsSpec)
        reader = self._role("Histograms", region, spec.names, None)
        try:
            return {name: Histogram.from_words(*reader.read(name)) for name in spec.names}
        finally:
            reader.close()

    def reset_histograms(self, histograms: str) -> None:
        """Ask for a new epoch: the writer begins it with its next record, readers see it now."""
        region, spec = self._region(histograms, HistogramsSpec)
        reader = self._role("Histograms", region, spec.names, None)
        try:
            reader.reset()
        finally:
            reader.close()

    def words(self, words: str) -> _native.Words:
        """Return a group of atomic words, to be read and written by anyone."""
        region, spec = self._region(words, WordsSpec)
        return self._role("Words", region, spec.names)

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

    def unlink(self) -> None:
        """Remove the name; those who have it mapped keep it."""
        if os.path.exists(self.path):
            os.unlink(self.path)

    def close(self) -> None:
        """Give back all roles and, as the creator, remove the segment. May be repeated.

        Arrays that view it stay valid: the memory is unmapped when the last of them is gone.
        """
        if self._mapping is None:
            return
        for role in list(self._roles):
            role.close()
        if self._owner is not None:
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
        self.close()

    def __repr__(self) -> str:
        return f"<Segment {self.path} {self.layout.size} bytes>"

    def _let_go(self) -> None:
        # Not mmap.close(): views may be alive, and it is unmapped with the last of them anyway.
        self._mapping = None
        _segments.discard(self)
        os.close(self._fd)
        if self._owner is not None:
            self._owner.release()
            for event_fd in self.event_fds.values():
                os.close(event_fd)

    def _close_in_child(self) -> None:
        # Neither the name nor the locks are the child's to give back; see Claim.release.
        for role in list(self._roles):
            role.close()
        self._let_go()

    def _write_headers(self, run_id: str) -> None:
        assert self._mapping is not None
        header = np.frombuffer(self._mapping, structure("SegmentHeader"), 1)
        header["format"] = _native.FORMAT
        header["bytes"] = self.layout.size
        header["layout_bytes"] = len(self.layout.description)
        header["layout_hash"] = np.frombuffer(self.layout.digest, np.uint8)
        header["run_id"] = run_id.encode()
        header["boot_id"] = host.boot_id().encode()
        header["time_namespace"] = host.time_namespace()
        header["creator_pid"] = os.getpid()
        header["creator_start"] = host.process_start(os.getpid())
        header["created_ns"] = time.monotonic_ns()
        start = header.dtype.itemsize
        self._mapping[start : start + len(self.layout.description)] = self.layout.description
        for region in self.layout.regions.values():
            beginning = region.spec.header()
            if beginning is not None:
                data = beginning.tobytes()
                self._mapping[region.offset : region.offset + len(data)] = data
        _native.publish_magic(self._mapping)

    def _region(self, name: str, kind: type[Any]) -> tuple[Region, Any]:
        region = self.layout.regions.get(name)
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

    def _role(self, kind: str, region: Region, *arguments: Any) -> Any:
        self._open_fd()
        claim = next((each for each in arguments if isinstance(each, Claim)), None)
        try:
            role = getattr(self._engine, kind)(
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
        if doorbell is not None and doorbell.name != f"doorbell {declared!r}":
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


_segments: weakref.WeakSet[Segment] = weakref.WeakSet()


def _close_all_in_child() -> None:
    for segment in list(_segments):
        segment._close_in_child()


def _close_all() -> None:
    for segment in list(_segments):
        segment.close()


os.register_at_fork(after_in_child=_close_all_in_child)
atexit.register(_close_all)


def _check_name(what: str, name: str) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ArgumentError(
            f"{what} was {name!r}, must be 1 to 64 of a-z 0-9 _ - and begin with a-z or 0-9"
        )


def _new_file(directory: str) -> int:
    """Open a file that has no name yet: nobody can see it half-made, and a crash leaves nothing."""
    try:
        return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SegmentError(
            f"{directory} cannot hold a segment ({error.strerror}); it must be a tmpfs to write to"
        ) from error


def _reserve(fd: int, layout: Layout, path: str) -> None:
    """Take all of the space now: a page that is missing later would end the process by SIGBUS."""
    directory = os.path.dirname(path)
    free = shutil.disk_usage(directory).free
    try:
        if layout.size > free:
            raise OSError
        os.posix_fallocate(fd, 0, layout.size)
    except OSError as error:
        raise NoSpaceError(
            f"{path} needs {layout.size / 2**20:.1f} MiB, and {directory} has {free / 2**20:.1f} "
            "MiB free; remove stale segments (bot4 shm reap), declare smaller rings, or enlarge "
            f"it (mount -o remount,size=... {directory})"
        ) from error


def _give_name(fd: int, path: str) -> None:
    # The magic link of the descriptor is followed only if a directory descriptor is given too.
    descriptors = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.link(str(fd), path, src_dir_fd=descriptors, follow_symlinks=True)
    except FileExistsError:
        raise SegmentError(f"{path} exists already; run ids must be new") from None
    finally:
        os.close(descriptors)


def _find(name: str, run_id: str | None, directory: str) -> str:
    if run_id is not None:
        _check_name("run_id", run_id)
        return f"{directory}/{PREFIX}.{name}.{run_id}"
    paths = segment_paths(directory, name)
    if len(paths) != 1:
        runs = ", ".join(path.rpartition(".")[2] for path in paths) or "none"
        raise SegmentNotFoundError(
            f"{directory} has {len(paths)} segments of {name!r} (runs: {runs}), must be one; "
            + ("name the run, or remove stale ones" if paths else "start it first")
        )
    return paths[0]


def segment_paths(directory: str = DIRECTORY, name: str | None = None) -> list[str]:
    """Return the paths of all segments, or those of one deployment, oldest run first."""
    return sorted(
        entry.path
        for entry in os.scandir(directory)
        if entry.name.count(".") == 2
        and entry.name.startswith(f"{PREFIX}." if name is None else f"{PREFIX}.{name}.")
    )


def open_checked(path: str) -> int:
    """Open a segment's file, having checked that it is whole and this user's own.

    Raises:
        SegmentNotFoundError, NotASegmentError, TruncatedError.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise SegmentNotFoundError(f"{path} does not exist; start it first") from None
    except OSError as error:
        raise NotASegmentError(f"{path} cannot be opened: {error.strerror}") from error
    try:
        status = os.fstat(fd)
        if status.st_uid != os.geteuid():
            raise NotASegmentError(
                f"{path} belongs to user {status.st_uid}, must be {os.geteuid()}; "
                "what another user wrote is not trusted"
            )
        header = read_header(fd, path)
        if int(header["bytes"]) != status.st_size:
            raise TruncatedError(
                f"{path} is {status.st_size} bytes long, its header says {int(header['bytes'])}; "
                "remove it"
            )
    except BaseException:
        os.close(fd)
        raise
    return fd


def read_header(fd: int, path: str) -> np.void:
    """Return the segment's header; its fields are those of SegmentHeader in segment.hpp.

    Raises:
        NotASegmentError: no magic, or another format.
    """
    dtype = structure("SegmentHeader")
    data = os.pread(fd, dtype.itemsize, 0)
    if len(data) < dtype.itemsize:
        raise TruncatedError(f"{path} is {len(data)} bytes long, shorter than a header; remove it")
    header: np.void = np.frombuffer(data, dtype)[0]
    if int(header["magic"]) != _native.MAGIC or int(header["format"]) != _native.FORMAT:
        raise NotASegmentError(
            f"{path} is not a segment of this version (magic {int(header['magic']):#x}, format "
            f"{int(header['format'])}; must be {_native.MAGIC:#x} and {_native.FORMAT})"
        )
    return header


def read_layout(fd: int, path: str) -> Layout:
    """Return the layout that a segment describes.

    Raises:
        OtherLayoutError: its description does not fit its hash, or this version's structures.
    """
    header = read_header(fd, path)
    description = os.pread(fd, int(header["layout_bytes"]), structure("SegmentHeader").itemsize)
    try:
        layout = Layout.from_description(description)
    except LayoutError as error:
        raise OtherLayoutError(f"{path}: {error}") from error
    if layout.digest != header["layout_hash"].tobytes() or layout.size != int(header["bytes"]):
        raise OtherLayoutError(f"{path}: its description does not fit its hash; remove it")
    return layout


def _check_clock(fd: int, path: str) -> None:
    header = read_header(fd, path)
    boot = bytes(header["boot_id"]).decode(errors="replace")
    if boot != host.boot_id():
        raise OtherBootError(
            f"{path} is from boot {boot}, this is {host.boot_id()}; remove it (bot4 shm reap)"
        )
    if int(header["time_namespace"]) != host.time_namespace():
        raise OtherTimeNamespaceError(
            f"{path} was made in time namespace {int(header['time_namespace'])}, this process is "
            f"in {host.time_namespace()}: their clocks differ; run both in the same container"
        )
