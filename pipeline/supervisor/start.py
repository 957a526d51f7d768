"""The beginning of a run: one at a time, in a new segment or in the one that a killed run left."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline.kill.words import kill_reason
from pipeline.topology import CONFIG_BYTES
from shm import (
    Layout,
    RoleTakenError,
    Segment,
    SegmentError,
    SegmentInfo,
    ShmError,
    list_segments,
    reap,
)

ADOPTION_S = 20.0
"""How long the locks of a killed run's processes may take to go: a busy disk keeps them."""


class AlreadyRunningError(Exception):
    """There is a run of that name."""


class NameLock:
    """Held while a deployment runs, so that it is started once. The kernel frees it."""

    def __init__(self, state_dir: Path) -> None:
        """Take it.

        Raises:
            AlreadyRunningError: another process has it.
        """
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = state_dir / "run.lock"
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._fd)
            raise AlreadyRunningError(
                f"{path} is held by a running supervisor; stop it (bot4 stop), or run under "
                "another --name"
            ) from None

    def release(self) -> None:
        """Give it back."""
        os.close(self._fd)


def encoded(config: Mapping[str, Any]) -> bytes:
    """Return a resolved configuration as the bytes that lie in the segment."""
    data = json.dumps(config, sort_keys=True, separators=(",", ":")).encode()
    if len(data) > CONFIG_BYTES - 64:
        raise SegmentError(
            f"the configuration was {len(data)} bytes, must be at most {CONFIG_BYTES - 64}; "
            "configure fewer instruments"
        )
    return data


def open_segment(
    name: str, layout: Layout, config: bytes, report: Callable[[str], None]
) -> tuple[Segment, bool]:
    """Return the segment to run in, and whether it is a killed run's that is to be gone on with.

    What cannot be gone on with (another configuration, layout, boot) is reported and removed. That
    of the breakers may be another.

    Raises:
        AlreadyRunningError: a run of this name is alive.
    """
    resumed = None
    for info in list_segments(name):
        if info.state == "running":
            raise AlreadyRunningError(
                f"{info.path} is in use by pid {info.creator_pid}; stop that run (bot4 stop), or "
                "run under another --name"
            )
        if info.state == "foreign":
            continue
        found = None if resumed is not None else _adopt(info, layout, config, report)
        if found is not None:
            resumed = found
    if resumed is not None:
        report(f"going on with run {resumed.run_id}, which was killed: {resumed.path}")
        return resumed, True
    for removed in reap(name):
        report(f"removed {removed.path}: {removed.problem or 'nobody uses it'}")
    return Segment.create(name, layout, blobs={"config": config}), False


def _kept(config: bytes) -> dict[str, Any]:
    """Return what may not be another in a run that is gone on with."""
    made: dict[str, Any] = json.loads(config)
    # The account of that run is in its segment; who is told makes no other run of it.
    made.get("run", {}).pop("account", None)
    made.pop("notify", None)
    return made


def _without_breakers(config: bytes) -> dict[str, Any]:
    # What is edited for a reload must not end the run that it was meant for.
    made = _kept(config)
    made.pop("breakers", None)
    return made


def _adopt(
    info: SegmentInfo, layout: Layout, config: bytes, report: Callable[[str], None]
) -> Segment | None:
    try:
        segment = Segment.adopt(info.name, layout, run_id=info.run_id, timeout=ADOPTION_S)
    except RoleTakenError:
        raise
    except ShmError as error:
        report(f"run {info.run_id} cannot be gone on with: {error}")
        return None
    killed = kill_reason(segment)
    before = segment.blob("config")
    if killed is None and _kept(before) == _kept(config):
        return segment
    if killed is None and _without_breakers(before) == _without_breakers(config):
        report(
            "the table breakers of the configuration has changed: the supervisor judges health by "
            "the new one, and does what its on_open says; the breakers keep the settings that they "
            "have (bot4 breaker reload gives them the new ones)"
        )
        return segment
    segment.close()  # as its owner, which removes it
    why = f"it was halted: {killed}" if killed is not None else "its configuration was another"
    report(f"run {info.run_id} cannot be gone on with: {why}; removed {info.path}")
    return None
