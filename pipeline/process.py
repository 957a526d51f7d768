"""What a worker process does before anything else."""

from __future__ import annotations

import ctypes
import os
import platform
import signal
from collections.abc import Collection

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_TIMERSLACK = 29

_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}  # the C library has no function for it
_SLICE_NS = 100_000  # the shortest that the kernel grants


def become_worker(name: str, cpus: Collection[int], parent: int) -> None:
    """Name and pin this process, and have the kernel end it when `parent` (a pid) ends.

    Raises:
        SystemExit: the parent is gone already.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it may have died before the call
        raise SystemExit(f"{name}: parent {parent} is gone")
    libc.prctl(_PR_SET_NAME, f"bot4:{name}".encode())
    # Timed sleeps end within a microsecond of their time instead of 50.
    libc.prctl(_PR_SET_TIMERSLACK, 1_000)
    ask_for_short_slices()
    pin(cpus)


class _SchedAttr(ctypes.Structure):
    """Struct sched_attr of linux/sched/types.h, as of its first version."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("sched_policy", ctypes.c_uint32),
        ("sched_flags", ctypes.c_uint64),
        ("sched_nice", ctypes.c_int32),
        ("sched_priority", ctypes.c_uint32),
        ("sched_runtime", ctypes.c_uint64),
        ("sched_deadline", ctypes.c_uint64),
        ("sched_period", ctypes.c_uint64),
    )


def ask_for_short_slices() -> None:
    """Ask the scheduler for slices of 0.1 ms instead of some 3 ms.

    A stage works for microseconds at a time. With a short slice it is let in before whoever else
    is computing on its core, and a yield costs it no more than that. Linux 6.12 and later heed it;
    older ones ignore it, and no privilege is needed.
    """
    number = _SCHED_SETATTR.get(platform.machine())
    if number is not None:
        attributes = _SchedAttr(size=ctypes.sizeof(_SchedAttr), sched_runtime=_SLICE_NS)
        attributes.sched_nice = os.getpriority(os.PRIO_PROCESS, 0)
        ctypes.CDLL(None).syscall(number, 0, ctypes.byref(attributes), 0)


def pin(cpus: Collection[int]) -> None:
    """Let this process run on these CPUs only; on any, if there are none."""
    if cpus:
        os.sched_setaffinity(0, cpus)
