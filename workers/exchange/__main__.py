"""``python -m workers.exchange NAME RUN_ID PARENT_PID``; started by the supervisor."""

from __future__ import annotations

import asyncio
import json
import os
import sys

from pipeline.process import become_worker
from shm import Segment
from workers.exchange.run import run
from workers.feed.capture import CaptureError


def main(name: str, run_id: str, parent: str) -> None:
    """Serve with the configuration in the segment, and store the port there."""
    with Segment.attach(name, run_id=run_id) as segment:
        config = json.loads(segment.blob("config"))
        # It has no doorbell that would say which CPUs are its own.
        cpus = config.get("affinity", {}).get("exchange") or os.sched_getaffinity(0)
        become_worker("exchange", cpus, int(parent))
        words = segment.words("exchange.words")
        try:
            asyncio.run(
                run(
                    config,
                    lambda port: words.store("port", port),
                    lambda now: words.store("beat", now),
                    lambda: words.load("leash"),
                )
            )
        except CaptureError as error:  # the file was another when the run was begun
            sys.exit(f"bot4: exchange: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
