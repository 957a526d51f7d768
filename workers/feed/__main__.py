"""``python -m workers.feed NAME RUN_ID PARENT_PID``; started by the supervisor."""

from __future__ import annotations

import asyncio
import json
import logging
import sys

from pipeline.process import become_worker
from pipeline.runtime import StopSignal, begin
from shm import Segment
from workers.feed.stage import Feed


def main(name: str, run_id: str, parent: str) -> None:
    """Feed the segment's rings from the configured venue."""
    logging.basicConfig(format="%(name)s: %(message)s")
    StopSignal()  # until the event loop has its own handler
    with Segment.attach(name, run_id=run_id) as segment:
        become_worker("feed", segment.layout.affinity()["feed"] or (), int(parent))
        feed = Feed(segment, json.loads(segment.blob("config")))
        begin(segment, "feed")
        asyncio.run(feed.run())


if __name__ == "__main__":
    main(*sys.argv[1:])
