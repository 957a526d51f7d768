"""The file of a segment: nameless until it is complete, checked whenever it is opened."""

from __future__ import annotations

import hashlib
import mmap
import os
import re
import shutil
import stat
import struct
import time
from collections.abc import Mapping

import numpy as np

from shm import _native, host
from shm.errors import (
    ArgumentError,
    CorruptRegionError,
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
from shm.layout import BlobSpec, Layout, Region, structure

DIRECTORY = "/dev/shm"
PREFIX = "bot4"

_BLOB_LENGTH = struct.Struct("<Q")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def check_name(what: str, name: object) -> None:
    """Raise ArgumentError if it cannot be part of a segment's file name."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ArgumentError(
            f"{what} was {name!r}, must be 1 to 64 of a-z 0-9 _ - and begin with a-z or 0-9"
        )


def new_file(directory: str) -> int:
    """Open a file that has no name yet: nobody can see it half-made, and a crash leaves nothing."""
    try:
        return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SegmentError(
            f"{directory} cannot hold a segment ({error.strerror}); it must be a tmpfs to write to"
        ) from error


def reserve(fd: int, layout: Layout, path: str) -> None:
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


def give_name(fd: int, path: str) -> None:
    """Let the file appear as `path`.

    Raises:
        SegmentError: there is one already.
    """
    # The magic link of the descriptor is followed only if a directory descriptor is given too.
    descriptors = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.link(str(fd), path, src_dir_fd=descriptors, follow_symlinks=True)
    except FileExistsError:
        raise SegmentError(f"{path} exists already; run ids must be new") from None
    finally:
        os.close(descriptors)


def check_blobs(layout: Layout, blobs: Mapping[str, bytes]) -> None:
    """Check that there is a region for each blob, with room for it.

    Raises:
        ArgumentError: there is none, or it is too small.
    """
    sizes = {
        spec.name: spec.size
        for spec in (region.spec for region in layout.regions.values())
        if isinstance(spec, BlobSpec)
    }
    for name, blob in blobs.items():
        if name not in sizes:
            raise ArgumentError(
                f"the layout has no blob named {name!r}, only {', '.join(sizes) or 'none'}"
            )
        if not isinstance(blob, bytes):
            raise ArgumentError(f"blob {name!r} was of type {type(blob).__name__}, must be bytes")
        if len(blob) > sizes[name]:
            raise ArgumentError(
                f"blob {name!r} was {len(blob)} bytes long, must be at most {sizes[name]}; declare "
                "a larger one in the layout"
            )


def write_headers(
    mapping: mmap.mmap, layout: Layout, run_id: str, blobs: Mapping[str, bytes]
) -> None:
    """Write everything that a new segment begins with; the word that makes it valid comes last."""
    header = np.frombuffer(mapping, structure("SegmentHeader"), 1)
    header["format"] = _native.FORMAT
    header["bytes"] = layout.size
    header["layout_bytes"] = len(layout.description)
    header["layout_hash"] = np.frombuffer(layout.digest, np.uint8)
    header["run_id"] = run_id.encode()
    header["boot_id"] = host.boot_id().encode()
    header["time_namespace"] = host.time_namespace()
    write_creator(mapping)
    header["created_ns"] = time.monotonic_ns()
    start = header.dtype.itemsize
    mapping[start : start + len(layout.description)] = layout.description
    for region in layout.regions.values():
        beginning = region.spec.header()
        if beginning is not None:
            data = beginning.tobytes()
            mapping[region.offset : region.offset + len(data)] = data
    for name, blob in blobs.items():
        data = _BLOB_LENGTH.pack(len(blob)) + blob
        offset = layout.regions[name].offset
        mapping[offset : offset + len(data)] = data
    _native.publish_magic(mapping)


def write_creator(mapping: mmap.mmap) -> None:
    """Write that this process owns the segment."""
    header = np.frombuffer(mapping, structure("SegmentHeader"), 1)
    header["creator_pid"] = os.getpid()
    header["creator_start"] = host.process_start(os.getpid())


def read_blob(mapping: mmap.mmap, region: Region) -> bytes:
    """Return a blob's bytes.

    Raises:
        CorruptRegionError: it says that it is longer than its region.
    """
    (length,) = _BLOB_LENGTH.unpack_from(mapping, region.offset)
    start = region.offset + _BLOB_LENGTH.size
    if start + length > region.offset + region.spec.region_bytes:
        raise CorruptRegionError(
            f"blob {region.spec.name!r}: its length is said to be {length} bytes, must be at most "
            f"{region.spec.region_bytes - _BLOB_LENGTH.size}; remove the segment"
        )
    return mapping[start : start + length]


def find(name: str, run_id: str | None, directory: str) -> str:
    """Return the path of a deployment's segment; without a run id there must be one only.

    Raises:
        SegmentNotFoundError: there is none, or there are several.
    """
    if run_id is not None:
        check_name("run_id", run_id)
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
    try:
        entries = list(os.scandir(directory))
    except OSError as error:
        raise SegmentError(f"{directory} cannot be read ({error.strerror})") from error
    return sorted(
        entry.path
        for entry in entries
        if entry.name.count(".") == 2
        and entry.name.startswith(f"{PREFIX}." if name is None else f"{PREFIX}.{name}.")
    )


def open_segment(
    name: str, layout: Layout | None, run_id: str | None, directory: str
) -> tuple[int, str, Layout]:
    """Open a deployment's segment; return its descriptor, its path and its layout.

    Raises:
        SegmentNotFoundError: there is none, or several.
        NotASegmentError, TruncatedError, OtherLayoutError, OtherBootError,
        OtherTimeNamespaceError: it is not one that this process can share.
    """
    check_name("name", name)
    path = find(name, run_id, directory)
    fd = open_checked(path)
    try:
        check_clock(fd, path)
        found = read_layout(fd, path)
        if layout is not None and found != layout:
            raise OtherLayoutError(
                f"{path} has another layout: {', '.join(layout.differences(found))} differ; "
                "start both sides from the same configuration and version"
            )
    except BaseException:
        os.close(fd)
        raise
    # The caller's own, if there is one: its dtypes are the very objects that the caller's arrays
    # have.
    return fd, path, layout or found


def open_checked(path: str) -> int:
    """Open a segment's file, having checked that it is whole and this user's own.

    Raises:
        SegmentNotFoundError, NotASegmentError, TruncatedError.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise SegmentNotFoundError(f"{path} does not exist; start it first") from None
    except OSError as error:
        raise NotASegmentError(f"{path} cannot be opened: {error.strerror}") from error
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise NotASegmentError(f"{path} is not a regular file; remove it")
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
    start = structure("SegmentHeader").itemsize
    length = min(int(header["layout_bytes"]), int(header["bytes"]) - start)
    description = os.pread(fd, length, start)
    # Before it is read: what has the right hash was written by this program.
    if hashlib.sha256(description).digest() != header["layout_hash"].tobytes():
        raise OtherLayoutError(f"{path}: its description does not fit its hash; remove it")
    try:
        layout = Layout.from_description(description)
    except LayoutError as error:
        raise OtherLayoutError(f"{path}: {error}") from error
    if layout.size != int(header["bytes"]):
        raise OtherLayoutError(f"{path}: its description does not fit its size; remove it")
    return layout


def check_clock(fd: int, path: str) -> None:
    """Check that the segment's times mean the same to this process.

    Raises:
        OtherBootError, OtherTimeNamespaceError.
    """
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
