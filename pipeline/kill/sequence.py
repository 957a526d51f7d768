"""The kill sequence: the word, the latch, positions closed and verified, and what came of it.

In this order, so that nothing is sent before anything can fail: the word in the segment; the latch
on the disk, which may be full or hang; then, unless the configuration says otherwise, all positions
are closed. On paper no order rests at a venue, so there is nothing to cancel. A run that works does
it itself (`closing.py`). If its executor or its supervisor does not beat, it is ended, and its
executor started alone (`alone.py`). Behind each of these acts, whoever is to be told is told.
Repeated, it goes on where it was.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pipeline.breakers.by_hand import in_time
from pipeline.kill.alone import END_S, Alone, end_supervisor
from pipeline.kill.by_hand import attached
from pipeline.kill.closing import ended
from pipeline.kill.latch import Latch, LatchFile
from pipeline.kill.positions import held, listed
from pipeline.kill.words import HaltReason, halt, halt_reason, kill, kill_reason
from pipeline.notify.notice import Notice
from pipeline.notify.notifier import Notifier
from pipeline.supervisor.start import AlreadyRunningError, NameLock
from pipeline.supervisor.watch import Heartbeats
from pipeline.vocabulary import Mode
from shm import Segment, SegmentNotFoundError, ShmError

_BEAT_S: Final = 1.0  # of the executor, which beats each 100 ms at the latest
_DISK_S: Final = 2.0
_LOOK_S: Final = 0.005  # who is stopped or dead rings for nobody


@dataclass(slots=True)
class Killed:
    """What came of it.

    Attributes:
        run_id: Of the run; empty if there was none.
        first: Who killed it first, when there was a run.
        was_killed: Whether that was before.
        latch: What is latched; None if it could not be written in time.
        held: Positions that are still held, by ``SYMBOL@venue``.
        flatten: Whether they were to be closed.
        alone: Whether the executor was started alone.
    """

    run_id: str = ""
    first: HaltReason | None = None
    was_killed: bool = False
    latch: Latch | None = None
    held: dict[str, str] = field(default_factory=dict)
    flatten: bool = True
    alone: bool = False

    @property
    def is_done(self) -> bool:
        """Whether everything was done that was to be done."""
        return self.latch is not None and not (self.flatten and self.held)


class Kill:
    """One operator's kill of one deployment."""

    def __init__(
        self,
        name: str,
        folder: Path,
        actor: str,
        reason: str,
        report: Callable[[str], None],
        notifier: Notifier,
    ) -> None:
        """Prepare it: `name` of the deployment, `folder` its state directory.

        `notifier` is told that it begins; and that it is over, if this process has ended it.
        """
        self._notifier = notifier
        self._name = name
        self._folder = folder
        self._actor = actor
        self._reason = reason
        self._report = report
        self._done = Killed()

    def run(self) -> Killed:
        """Do it, and wait for what comes of it. To be called from the main thread."""
        with attached(self._name) as segment:
            if segment is not None:
                self._set_words(segment)
            self._latch()
            if segment is not None:
                with self._notifier.of(segment, borrows=True):
                    self._tell_begun()
                self._follow(segment)
                return self._done
        self._tell_begun()
        # Of a run that was beginning, either it sees the latch or this finds its segment.
        with attached(self._name) as segment:
            if segment is not None:
                self._set_words(segment)
                self._follow(segment)
        return self._done

    def _set_words(self, segment: Segment) -> None:
        self._done.run_id = segment.run_id
        self._done.was_killed = not kill(segment, self._reason, self._actor)
        self._done.first = kill_reason(segment)
        self._done.flatten = _config(segment)["kill"]["flatten"]
        if not self._done.flatten:
            halt(segment, self._reason, self._actor)

    def _latch(self) -> None:
        file = LatchFile(self._folder)
        found: list[Latch] = []

        def write() -> None:
            run_id = self._done.run_id
            trip = "manual"
            held = file.read()
            if not run_id and held.is_killed and held.trip != "latch":
                self._done.was_killed = True
            found.append(file.raise_to(Mode.EMERGENCY, self._actor, self._reason, trip, run_id))

        try:
            in_time(write, _DISK_S)
            self._done.latch = found[0]
        except OSError as error:
            # The file may be empty now, which means the same.
            why = f"{file.path} cannot be written ({error.strerror or error})"
            with contextlib.suppress(OSError):
                in_time(lambda: found.append(file.read()), _DISK_S)
            if found and found[0].is_killed:
                self._done.latch = found[0]
                self._report(f"{why}: it is empty, so no run begins, but it does not say why")
            else:
                self._report(f"{why}: a restart would trade again; mend that, and repeat this")

    def _tell_begun(self) -> None:
        if self._done.was_killed or not (self._done.run_id or self._done.latch):
            return  # whoever did it has told it; or nothing was done
        what = "all positions are closed" if self._done.flatten else "nothing is sent any more"
        if not self._done.run_id:
            what = "it was not running"
        said = f"killed: {self._reason} (by {self._actor}); {what}"
        self._notifier.tell(Notice("kill", "critical", said, self._reason, self._actor))

    def _follow(self, segment: Segment) -> None:
        config = _config(segment)
        if self._is_ended_by_itself(segment, config):
            with contextlib.suppress(ShmError):
                self._done.held = held(segment, config)
        else:
            self._end(segment, config)

    def _is_ended_by_itself(self, segment: Segment, config: Mapping[str, Any]) -> bool:
        """Wait for the run to close its positions; False once it turns out that it cannot."""
        begun_ns = time.monotonic_ns()
        executor, supervisor = segment.words("executor.words"), segment.words("supervisor.words")
        silent_s = config["supervisor"]["heartbeat_s"]
        longest_s = config["kill"]["flatten_s"] + silent_s
        executors, supervisors = (Heartbeats(int(limit * 1e9)) for limit in (_BEAT_S, silent_s))
        flatten = config["kill"]["flatten"]
        while True:
            now_ns = time.monotonic_ns()
            beat = executor.load("beat")
            if not flatten and beat > begun_ns:
                return True  # no step is under way that has not seen the word
            if flatten and halt_reason(segment) is not None:
                return True
            if not os.path.exists(segment.path):
                return True
            if executors.late(now_ns, {"executor": beat}):
                self._report(f"no executor has beaten for {_BEAT_S:g} s")
                return False
            if flatten and supervisors.late(now_ns, {"supervisor": supervisor.load("beat")}):
                self._report(f"no supervisor has beaten for {silent_s:g} s")
                return False
            if now_ns - begun_ns > longest_s * 1e9:
                self._report(f"positions were not closed within {longest_s:g} s")
                return False
            if not segment.owner_alive():
                return False
            time.sleep(_LOOK_S)

    def _end(self, segment: Segment, config: Mapping[str, Any]) -> None:
        """End what is left, and start the executor alone."""
        end_supervisor(segment)
        name, run_id = segment.name, segment.run_id
        lock = self._locked()
        try:
            segment.close()  # or it would be in its own way
            try:
                adopted = Segment.adopt(name, run_id=run_id, timeout=END_S)
            except SegmentNotFoundError:
                return  # it has ended in order meanwhile
            with adopted:
                self._done.held = held(adopted, config)
                if not self._done.flatten:
                    return
                if adopted.words("run").load("halted"):
                    if self._done.held:
                        self._report("the run was halted before: nothing is sent any more")
                else:
                    # Also if nothing seems to be held: a step that was not committed may yet fill.
                    self._done.alone = True
                    what = listed(self._done.held) or "what it may still hold"
                    self._report(f"the executor alone closes {what}")
                    self._done.held = Alone(adopted, config, self._report).close_all()
                    if self._done.held:
                        adopted.disown()
                        self._report(
                            f"{adopted.path} is kept: repeat bot4 kill, or give up what is held "
                            f"(bot4 shm reap --name {name})"
                        )
                    with self._notifier.of(adopted, borrows=True):
                        self._notifier.tell(ended(self._done.held, self._done.first))
        finally:
            if lock is not None:
                lock.release()

    def _locked(self) -> NameLock | None:
        """Keep another run from beginning, as soon as the supervisor's lock has gone."""
        deadline = time.monotonic() + END_S
        while True:
            try:
                return NameLock(self._folder)
            except AlreadyRunningError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_LOOK_S)
            except OSError as error:
                self._report(f"goes on without {self._folder}/run.lock ({error.strerror or error})")
                return None


def _config(segment: Segment) -> Mapping[str, Any]:
    config: Mapping[str, Any] = json.loads(segment.blob("config"))
    return config
