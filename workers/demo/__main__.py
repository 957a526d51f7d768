"""``python -m workers.demo source|echo NAME RUN_ID RATE PARENT_PID``; started by `bot4 demo`."""

from __future__ import annotations

import gc
import signal
import sys
from types import FrameType

from pipeline.process import become_worker
from shm import Segment
from workers.demo.echo import echo
from workers.demo.source import source


class Stop:
    """Set by SIGTERM."""

    def __init__(self) -> None:
        """Install the handler."""
        self.wanted = False
        signal.signal(signal.SIGTERM, self._handle)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def __call__(self) -> bool:
        """Return whether it was asked for."""
        return self.wanted

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.wanted = True


def main(process: str, name: str, run_id: str, rate: str, parent: str) -> None:
    """Run one of the two until SIGTERM."""
    stop = Stop()
    with Segment.attach(name, run_id=run_id) as segment:
        cpus = segment.layout.affinity()[process]
        become_worker(process, cpus or (), int(parent))
        gc.freeze()
        gc.disable()
        if process == "source":
            source(segment, int(rate), stop)
        else:
            echo(segment, stop)


if __name__ == "__main__":
    main(*sys.argv[1:])
