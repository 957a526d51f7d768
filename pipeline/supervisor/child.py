"""One process of the pipeline, as its parent sees it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

_everywhere = os.sched_getaffinity(0)  # before anything is pinned

# numpy's linear algebra would start a thread for each core, on whatever core.
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class Child:
    """A running worker: started with ``python -m workers.<name>``, watched through its pidfd."""

    def __init__(self, name: str, deployment: str, run_id: str) -> None:
        """Start it. To be called from the main thread: the death signal follows the thread."""
        self.name = name
        self.is_condemned = False
        """Whether it has been killed; on a busy machine it takes a while to be gone."""
        self.started_ns = time.monotonic_ns()
        own = os.sched_getaffinity(0)
        # It pins itself once it knows where; until then it is to begin wherever there is room, not
        # on the CPU that this process, whose map it inherits, was given.
        os.sched_setaffinity(0, _everywhere)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", f"workers.{name}", deployment, run_id, str(os.getpid())],
                # Ctrl-C in a terminal goes to the whole group; only the supervisor is to act on it.
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **_ENVIRONMENT},
            )
        finally:
            os.sched_setaffinity(0, own)
        self.pidfd = os.pidfd_open(self._process.pid)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def exit_status(self) -> int | None:
        """Return how it ended, negative for a signal; None while it runs.

        When it has ended, its locks are free: the kernel closes files before it tells the parent.
        """
        return self._process.poll()

    def signal(self, number: int) -> None:
        """Send it a signal, if it is still there."""
        self.is_condemned |= number == signal.SIGKILL
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, number)

    def end(self, patience_s: float) -> int:
        """Ask it to stop; after so long, kill it. Return how it ended."""
        self.signal(signal.SIGTERM)
        try:
            return self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            return self._process.wait()

    def close(self) -> None:
        """Let go of the pidfd, once it has ended."""
        os.close(self.pidfd)


def describe_exit(status: int) -> str:
    """Say how a process ended."""
    if status >= 0:
        return f"exit status {status}"
    with contextlib.suppress(ValueError):
        return f"signal {signal.Signals(-status).name}"
    return f"signal {-status}"
