"""What a worker process does before anything else."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Collection

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_TIMERSLACK = 29


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
    pin(cpus)


def pin(cpus: Collection[int]) -> None:
    """Let this process run on these CPUs only; on any, if there are none."""
    if cpus:
        os.sched_setaffinity(0, cpus)
