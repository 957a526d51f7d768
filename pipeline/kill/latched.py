"""The supervisor's hand on the latch: words first, the disk behind them in a thread of its own."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline.breakers.audit import FILE, AuditTrail
from pipeline.breakers.by_hand import Act, Record
from pipeline.kill import words
from pipeline.kill.latch import KilledError, Latch, LatchFile
from pipeline.kill.words import ACTOR
from pipeline.notify.notice import Notice, to_nobody
from pipeline.vocabulary import Mode
from shm import Segment

_END_S = 2.0  # for what is still to be written at the end


class Latched:
    """The mode of one run, in its segment and on disk. All calls come from one thread."""

    def __init__(
        self,
        folder: Path,
        report: Callable[[str], None],
        tell: Callable[[Notice], object] = to_nobody,
    ) -> None:
        """Nothing is read or made yet; `folder` is the state directory.

        `tell` is given what this does, not what others have done to the words.
        """
        self._tell = tell
        self._file = LatchFile(folder)
        self._trail = AuditTrail(folder / FILE)
        self._report = report
        self._segment: Segment | None = None
        self._threads: list[threading.Thread] = []
        self._is_kept = False  # that it is killed, and the first trip

    def begin(self) -> None:
        """Make the latch of a new state directory: on paper, nobody has to do it by hand.

        Raises:
            OSError: it cannot be made.
        """
        self._file.begin()

    def check(self) -> Latch:
        """Return what is latched.

        Raises:
            KilledError: that no run may begin.
        """
        held = self._file.read()
        if held.is_killed:
            raise KilledError(f"killed: {held}; bot4 resume --reason TEXT lets runs begin again")
        return held

    @contextlib.contextmanager
    def of(self, segment: Segment) -> Iterator[None]:
        """Keep the words of a run, and wait a little in the end for the disk.

        Raises:
            KilledError: somebody has killed the deployment since `check`.
        """
        # Again: whoever kills now either finds the segment, or has set the latch before.
        try:
            held = self.check()
        except KilledError:
            if words.is_killed(segment):
                segment.disown()  # whoever kills has found it, and ends it
            raise
        words.raise_mode(segment, held.mode)
        if held.mode is not Mode.NORMAL:
            self._report(f"mode {held.mode.label}, as before the restart: {held}")
        self._segment = segment
        try:
            yield
        finally:
            self._segment = None
            deadline = time.monotonic() + _END_S
            for thread in self._threads:
                thread.join(max(0.0, deadline - time.monotonic()))

    def raise_mode(self, mode: Mode, reason: str, trip: str = "breakers") -> None:
        """Raise the mode of the run."""
        assert self._segment is not None
        before = words.raise_mode(self._segment, mode)
        if before < mode:
            said = f"mode: {before.label} -> {mode.label}: {reason}"
            self._report(said)
            self._keep(before, Latch(mode, "", ACTOR, reason, trip))
            self._tell(Notice("mode", "warning", said, reason))

    def kill(self, reason: str = "", trip: str = "manual") -> None:
        """Kill the run; or, without a reason, keep on disk that somebody else has."""
        assert self._segment is not None
        before = words.mode(self._segment)
        is_first = bool(reason) and words.kill(self._segment, reason, ACTOR)
        self._keep_killed(before, trip)
        if is_first:
            said = f"killed: {reason}; all positions are closed"
            self._tell(Notice("kill", "critical", said, reason))

    def halt(self, reason: str, trip: str) -> None:
        """Have nothing sent any more: what is wrong may be wrong with closing positions too."""
        assert self._segment is not None
        before = words.mode(self._segment)
        is_first = words.halt(self._segment, reason, ACTOR)
        self._keep_killed(before, trip)
        if is_first:
            self._tell(Notice("kill", "critical", f"halted: {reason}", reason))

    def _keep_killed(self, before: Mode, trip: str) -> None:
        assert self._segment is not None
        first = words.kill_reason(self._segment)
        if first is not None and not self._is_kept:
            self._is_kept = True
            self._keep(before, Latch(Mode.EMERGENCY, "", first.actor, first.reason, trip))

    def _keep(self, before: Mode, latch: Latch) -> None:
        """Write it behind the back of this thread, which has a run to watch."""
        assert self._segment is not None
        run_id = self._segment.run_id

        def write() -> None:
            try:
                self._file.raise_to(latch.mode, latch.actor, latch.reason, latch.trip, run_id)
            except OSError as error:
                self._report(
                    f"{self._file.path} does not say that the mode is {latch.mode.label} "
                    f"({error.strerror or error})"
                )
            if latch.actor == ACTOR:  # else its own command records it
                act = Act(self._trail, run_id, latch.actor, latch.reason, self._report)
                act.note(Record("mode", before.label, latch.mode.label, latch.trip))

        thread = threading.Thread(target=write, name="latch", daemon=True)
        thread.start()
        self._threads.append(thread)
