"""Becoming the owner of a segment whose creator was killed."""

from __future__ import annotations

import os
import time

from shm.errors import RoleTakenError, SegmentNotFoundError
from shm.layout import DoorbellSpec, Layout, RingSpec, TableSpec
from shm.locks import OWNER, Claim, held_role

_POLL_S = 0.001  # a killed process's locks are gone when the kernel has taken it apart


def take_over(fd: int, path: str, layout: Layout, timeout: float) -> Claim:
    """Take the owner's lock, and wait until nobody has a role any more; return the lock.

    `timeout` is in seconds. Nothing is held if this fails.

    Raises:
        RoleTakenError: the owner lives, another one takes over, or a role is still held.
        SegmentNotFoundError: it was removed meanwhile.
    """
    deadline = time.monotonic() + timeout
    owner = Claim(fd, OWNER, 1, f"ownership of {path}")
    try:
        # Whoever removes a segment holds this lock, too: from here on it is there or it is not.
        if not _is_there(fd, path):
            raise SegmentNotFoundError(f"{path} was removed; start it anew")
        while (held := held_role(fd)) is not None:
            if time.monotonic() >= deadline:
                raise RoleTakenError(
                    f"{_name(layout, *held)} in {path} is held by a live process after {timeout} s;"
                    " end the processes of the last run first"
                )
            time.sleep(_POLL_S)
    except BaseException:
        owner.release()
        raise
    return owner


def _is_there(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(fd))
    except FileNotFoundError:
        return False


def _name(layout: Layout, index: int, role: int) -> str:
    spec = next(region.spec for region in layout.regions.values() if region.index == index)
    if isinstance(spec, TableSpec):
        what = f"writer of row {role}"
    elif isinstance(spec, DoorbellSpec):
        what = "owner"
    elif isinstance(spec, RingSpec):
        what = ("producer", "consumer")[role]
    else:
        what = "writer"
    return f"the {what} of {spec.kind} {spec.name!r}"
