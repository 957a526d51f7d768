"""What identifies this machine's boot, this process, and the clock that both use."""

from __future__ import annotations

import os
from pathlib import Path


def boot_id() -> str:
    """Return the kernel's random identifier of this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def time_namespace() -> int:
    """Return the inode of this process's time namespace; 0 on kernels without them."""
    try:
        return os.stat("/proc/self/ns/time").st_ino
    except FileNotFoundError:
        return 0


def process_start(pid: int) -> int:
    """Return when a process started, in clock ticks since boot; 0 if there is no such process.

    Together with the pid it names one process: pids are used again.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    # The second field is the program's name in parentheses, which may itself hold blanks and
    # parentheses; start time is the 22nd field, so the 20th after it.
    return int(stat.rpartition(")")[2].split()[19])
