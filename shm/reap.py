"""The segments of this machine: which are in use, and the removal of those that are not."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from shm import host
from shm.errors import RoleTakenError, SegmentError, SegmentNotFoundError
from shm.locks import OWNER, Claim, is_claimed
from shm.segment_file import DIRECTORY, open_checked, read_header, segment_paths


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    """What can be said of a segment without attaching to it.

    `state` is "running" (its creator lives), "orphaned" (its creator is gone, others still use it),
    "stale" (nobody does), "invalid" (nobody does, and `problem` says what is wrong with it) or
    "foreign" (another user's, or no file at all; `problem` says).
    """

    path: str
    name: str
    run_id: str
    bytes: int
    creator_pid: int | None
    state: str
    problem: str | None = None

    @property
    def removable(self) -> bool:
        """Whether nobody uses it."""
        return self.state in ("stale", "invalid")


def list_segments(name: str | None = None, directory: str = DIRECTORY) -> list[SegmentInfo]:
    """Return all segments, or those of the deployment `name`, oldest run first."""
    found = (_inspect(path) for path in segment_paths(directory, name))
    return [info for info in found if info is not None]


def reap(name: str | None = None, directory: str = DIRECTORY) -> list[SegmentInfo]:
    """Remove the segments that nobody uses any more; return what was removed."""
    return [info for info in list_segments(name, directory) if info.removable and _remove(info)]


def _inspect(path: str) -> SegmentInfo | None:
    _, name, run_id = os.path.basename(path).split(".")
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None  # removed since the directory was read
    except OSError as error:
        return SegmentInfo(path, name, run_id, 0, None, "foreign", error.strerror)
    try:
        status = os.fstat(fd)
        size = status.st_size
        if not stat.S_ISREG(status.st_mode):
            return SegmentInfo(path, name, run_id, size, None, "foreign", "not a regular file")
        if status.st_uid != os.geteuid():
            return SegmentInfo(
                path, name, run_id, size, None, "foreign", f"of user {status.st_uid}"
            )
        state = "running" if is_claimed(fd, OWNER) else "stale"
        if state == "stale" and is_claimed(fd, 0, 0):
            state = "orphaned"
        try:
            os.close(open_checked(path))
            header = read_header(fd, path)
        except SegmentNotFoundError:
            return None
        except SegmentError as error:
            problem_state = "invalid" if state == "stale" else state
            return SegmentInfo(path, name, run_id, size, None, problem_state, str(error))
        problem = None
        if bytes(header["boot_id"]).decode(errors="replace") != host.boot_id():
            problem = "from before the last boot"
        return SegmentInfo(path, name, run_id, size, int(header["creator_pid"]), state, problem)
    finally:
        os.close(fd)


def _remove(info: SegmentInfo) -> bool:
    try:
        fd = os.open(info.path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:  # gone, or replaced by something that is not ours
        return False
    try:
        # The whole file, so that it fails if anybody has any role. Nobody can take one meanwhile.
        everything = Claim(fd, 0, 0, info.path)
    except RoleTakenError:
        return False
    finally:
        os.close(fd)
    try:
        os.unlink(info.path)
    finally:
        everything.release()
    return True
