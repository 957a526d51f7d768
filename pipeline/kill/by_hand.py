"""What an operator does to the mode: up at once, down only with a record of who and why."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.breakers.audit import FILE, AuditTrail
from pipeline.breakers.by_hand import Act, Record, in_time
from pipeline.kill.latch import LatchError, LatchFile
from pipeline.kill.positions import held, listed
from pipeline.kill.words import is_killed, lower_mode, mode, raise_mode
from pipeline.vocabulary import Mode
from shm import Segment, SegmentNotFoundError, list_segments

_DISK_S = 2.0


@dataclass(frozen=True, slots=True)
class Changed:
    """What came of it; `run_id` is empty if there is no run."""

    run_id: str
    before: Mode
    after: Mode


class Operator:
    """Somebody who changes the mode of a deployment, and why."""

    def __init__(
        self, name: str, folder: Path, actor: str, reason: str, warn: Callable[[str], None]
    ) -> None:
        """`folder` is the state directory of the deployment `name`."""
        self._name = name
        self._latch = LatchFile(folder)
        self._trail = AuditTrail(folder / FILE)
        self._actor = actor
        self._reason = reason
        self._warn = warn

    def raise_to(self, wanted: Mode) -> Changed:
        """Raise the mode to PAUSED or REDUCED, unless it is as high."""
        with attached(self._name) as segment:
            run_id, before = "", self._latch.read().mode
            if segment is not None:
                run_id, before = segment.run_id, raise_mode(segment, wanted)
            try:
                in_time(
                    lambda: self._latch.raise_to(
                        wanted, self._actor, self._reason, "manual", run_id
                    ),
                    _DISK_S,
                )
            except OSError as error:
                self._warn(
                    f"{self._latch.path} cannot be written ({error.strerror or error}): "
                    "the next run does not know of it"
                )
            after = max(before, wanted)
            self._act(run_id).note(Record("mode", before.label, after.label, "manual"))
            return Changed(run_id, before, after)

    def lower_to(self, wanted: Mode, *, rebase: bool = False) -> Changed:
        """Lower the mode, of the run and of the latch.

        Args:
            wanted: The new mode.
            rebase: Whether a breached limit counts anew from here.

        Raises:
            LatchError: a run that was killed has not ended; or see `LatchFile.lower_to`.
            OperationError: it cannot be recorded; nothing was changed.
            OSError: the latch cannot be written; it is as it was.
        """
        with attached(self._name) as segment:
            run_id = "" if segment is None else segment.run_id
            if segment is not None and is_killed(segment):
                raise LatchError(_still_there(segment))
            latch = self._latch.read()
            before = latch.mode if segment is None else max(latch.mode, mode(segment))
            if before <= wanted:
                return Changed(run_id, before, before)
            cause = "rebased" if rebase else "resumed"
            intent = Record("mode", before.label, wanted.label, cause)
            with self._act(run_id).recorded(intent):
                if latch.mode > wanted:
                    self._latch.lower_to(wanted, self._actor, self._reason, rebase=rebase)
                if segment is not None:
                    lower_mode(segment, wanted)
            return Changed(run_id, before, wanted)

    def _act(self, run_id: str) -> Act:
        return Act(self._trail, run_id, self._actor, self._reason, self._warn)


def _still_there(segment: Segment) -> str:
    left = held(segment, json.loads(segment.blob("config")))
    return (
        f"run {segment.run_id} was killed and has not ended"
        + (f", still held: {listed(left)}" if left else "")
        + "; wait for its end, or bot4 kill --reason TEXT brings it about"
    )


@contextlib.contextmanager
def attached(name: str) -> Iterator[Segment | None]:
    """Attach the segment of the run of that name, or of one whose supervisor was killed."""
    states = ("running", "orphaned", "stale")
    found = [info for info in list_segments(name) if info.state in states]
    for info in sorted(found, key=lambda info: states.index(info.state)):
        try:
            segment = Segment.attach(name, run_id=info.run_id)
        except SegmentNotFoundError:  # it has just ended
            continue
        with segment:
            yield segment
        return
    yield None
