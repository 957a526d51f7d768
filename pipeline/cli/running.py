"""Finding the run that a command is about."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from pipeline.cli.config import flags
from pipeline.cli.failure import FAILURE, NOT_RUNNING, warn
from pipeline.config import load
from shm import Segment, SegmentInfo, SegmentNotFoundError, list_segments


def foreign(found: Sequence[SegmentInfo]) -> str:
    """Say of segments that one is not ours to use; nothing if all are."""
    for info in found:
        if info.state == "foreign":
            return f"{info.path} is not ours ({info.problem}); do this as whoever started that run"
    return ""


@contextlib.contextmanager
def running_segment(
    config_file: Path | None, name: str | None, settings: dict[str, str]
) -> Iterator[tuple[Segment, dict[str, Any]]]:
    """Attach the segment of the deployment that runs; give it and the run's configuration.

    Ends the command with exit code 3 if there is none, with 1 if it is another user's.
    """
    wanted = load(config_file, flags=flags(name, settings)).config.name
    found = list_segments(wanted)
    for info in found:
        if info.state != "running":
            continue
        try:
            segment = Segment.attach(wanted, run_id=info.run_id)
        except SegmentNotFoundError:  # it has just ended
            continue
        with segment:
            yield segment, json.loads(segment.blob("config"))
        return
    if text := foreign(found):
        warn(text)
        raise click.exceptions.Exit(FAILURE)
    warn(f"{wanted} is not running; start it (bot4 run), or give its --name")
    raise click.exceptions.Exit(NOT_RUNNING)
