"""Claims: locks that the kernel lets go of when their holder dies, whatever it died of.

They are open-file-description locks on bytes far behind the segment's contents, one byte per role.
Each claim opens the file anew: a lock on a description that is shared or inherited excludes nobody.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct

from shm.errors import RoleTakenError

# struct flock on 64-bit Linux: type, whence, padding, start, length, pid, padding.
_FLOCK = struct.Struct("@hhqqi4x")

OWNER = 0
"""The byte that the segment's creator holds for life."""

ATTACHED = 1
"""The byte of which all who attach share a lock, so that nobody removes what they use."""

_ROLES = 1 << 40
_REGION = 1 << 24


def role_byte(region: int, role: int) -> int:
    """Return the byte that stands for one role (or table row) of one region, both by index."""
    return _ROLES + region * _REGION + role


def role_of(byte: int) -> tuple[int, int]:
    """Return which region and which role of it, both by index, a byte stands for."""
    return divmod(byte - _ROLES, _REGION)


class Claim:
    """A lock on some bytes, held until `release` or the end of the process."""

    def __init__(self, fd: int, first: int, count: int, what: str, *, shared: bool = False) -> None:
        """Take the bytes `first .. first + count` (count 0: to infinity) of the file open as `fd`.

        A shared lock only keeps others from taking one that is not.

        Raises:
            RoleTakenError: somebody holds one of them; `what` says what that is.
        """
        self._fd: int | None = None
        # Through /proc, so that it is this very file even if its name has been removed.
        kind = fcntl.F_RDLCK if shared else fcntl.F_WRLCK
        own = os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.fcntl(own, fcntl.F_OFD_SETLK, _flock(kind, first, count))
        except OSError as error:
            os.close(own)
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            raise RoleTakenError(
                f"{what} is held by a live process, this one or another; close that one first, "
                "a second would corrupt it"
            ) from None
        self._fd = own

    def release(self) -> None:
        """Give it back.

        Only closes: after a fork both processes share the description, and an explicit unlock in
        the child would free what the parent holds.
        """
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __del__(self) -> None:
        # A role that is dropped without being closed is given back too.
        self.release()


def is_claimed(fd: int, first: int, count: int = 1) -> bool:
    """Return whether anybody, through another open of the file, holds one of these bytes."""
    answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _flock(fcntl.F_WRLCK, first, count))
    held: int = _FLOCK.unpack(answer)[0]
    return held != fcntl.F_UNLCK


def held_role(fd: int) -> tuple[int, int] | None:
    """Return a role (see `role_of`) that somebody holds, through another open of the file."""
    answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _flock(fcntl.F_WRLCK, _ROLES, 0))
    held, _, start, _, _ = _FLOCK.unpack(answer)
    return None if held == fcntl.F_UNLCK else role_of(max(start, _ROLES))


def _flock(kind: int, first: int, count: int) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_SET, first, count, 0)
