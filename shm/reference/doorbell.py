"""The doorbell: see doorbell.hpp for the order that keeps wake-ups from being lost.

The owner here never sleeps for longer than a millisecond, whatever its strategy, so it needs none
of that. The ringer does what a native owner relies on, but for the memory order and for the atomic
exchange: of two that ring at once, both may wake.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

from shm._native import Wake
from shm.errors import ArgumentError
from shm.layout import structure
from shm.locks import Claim
from shm.reference.common import Role, check_timeout

AWAKE, ON_FUTEX, ON_EVENT_FD = range(3)

_FUTEX_WAKE = 1
_SYS_FUTEX = {"x86_64": 202, "aarch64": 98}[os.uname().machine]


class _DoorbellRole(Role):
    def __init__(self, name: str, mapping: mmap.mmap, offset: int, claim: Claim | None) -> None:
        super().__init__(name, mapping, claim)
        self._offset = offset

    @property
    def _words(self) -> Any:
        return self.array(structure("DoorbellWords"), 1, self._offset)[0]


class Bell(_DoorbellRole):
    """The ringer's end."""

    def __init__(self, name: str, mapping: mmap.mmap, offset: int, event_fd: int) -> None:
        super().__init__(name, mapping, offset, None)
        self.event_fd = event_fd

    def ring_if_sleeping(self) -> None:
        """Wake the owner if it has said that it sleeps; called after publishing."""
        words = self.array(structure("DoorbellWords"), 1, self._offset)
        sleeping = int(words["sleeping"][0])
        if sleeping == AWAKE:
            return
        words["sleeping"] = AWAKE
        if sleeping == ON_FUTEX:
            ctypes.CDLL(None).syscall(
                ctypes.c_long(_SYS_FUTEX),
                ctypes.c_void_p(words["sleeping"].ctypes.data),
                ctypes.c_int(_FUTEX_WAKE),
                ctypes.c_int(2**31 - 1),
            )
        elif sleeping == ON_EVENT_FD:
            os.eventfd_write(self.event_fd, 1)

    def ring(self) -> None:
        """Wake the owner, or keep it from falling asleep."""
        self._words["bell"] += 1
        self.ring_if_sleeping()


class Doorbell(_DoorbellRole):
    """The owner's end: looks every millisecond."""

    def __init__(
        self,
        name: str,
        mapping: mmap.mmap,
        offset: int,
        claim: Claim | None,
        spins: int,
        yields: int,
        finally_: int,
        signals: list[int],
        event_fd: int,
    ) -> None:
        super().__init__(name, mapping, offset, claim)
        self.event_fd = event_fd
        self.strategy = (spins, yields, finally_)
        self._sources: dict[object, Callable[[], bool]] = {}
        self._heard = int(self._words["bell"])
        self._words["sleeping"] = AWAKE

    def add(self, key: object, ready: Callable[[], bool]) -> None:
        """Let `wait` end when `ready()`."""
        self._sources[key] = ready

    def remove(self, key: object) -> None:
        """Forget a source."""
        self._sources.pop(key, None)

    @property
    def sleeps(self) -> int:
        """How often a native owner has slept here."""
        return int(self._words["sleeps"])

    def wait(self, timeout: float | None = None) -> Wake:
        """Wait until a source is ready, a ring, a signal or the time-out in seconds."""
        return self.wait_until(self._any_ready, check_timeout(timeout))

    def wait_until(self, ready: Callable[[], bool], timeout: float) -> Wake:
        """Wait for another condition than the sources."""
        deadline = time.monotonic() + timeout
        with _signal_noticed() as noticed:
            while True:
                if ready():
                    return Wake.READY
                if self._rung():
                    return Wake.RUNG
                if noticed():
                    return Wake.SIGNAL
                left = deadline - time.monotonic()
                if left <= 0:
                    return Wake.TIMEOUT
                time.sleep(min(left, 0.001))

    def arm(self) -> bool:
        """Say "asleep, ring the eventfd"; False if there is something to do already."""
        if self.event_fd < 0:
            raise ArgumentError(
                f"{self.name} was declared without an eventfd (event_loop=True), so it cannot "
                "wake an event loop"
            )
        self._words["sleeping"] = ON_EVENT_FD
        if not self._any_ready() and not self._rung():
            return True
        self._words["sleeping"] = AWAKE
        return False

    def disarm(self) -> None:
        """Say "awake", and empty the eventfd. A ring is not heard by this; `arm` or `wait` tell."""
        self._words["sleeping"] = AWAKE
        if self.event_fd >= 0:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self.event_fd)

    def _any_ready(self) -> bool:
        return any(ready() for ready in self._sources.values())

    def _rung(self) -> bool:
        bell = int(self._words["bell"])
        changed = bell != self._heard
        self._heard = bell
        return changed


@contextlib.contextmanager
def _signal_noticed() -> Iterator[Callable[[], bool]]:
    """Give a function that tells whether Python has handled a signal since."""
    reader, writer = socket.socketpair()
    with reader, writer:
        reader.setblocking(False)
        writer.setblocking(False)
        try:
            before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        except ValueError:  # not in the main thread, which is the one that handles signals
            yield lambda: False
            return

        def noticed() -> bool:
            with contextlib.suppress(BlockingIOError):
                return bool(reader.recv(1))
            return False

        try:
            yield noticed
        finally:
            signal.set_wakeup_fd(before)
