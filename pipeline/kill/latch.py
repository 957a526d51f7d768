"""The latch: the mode of a deployment, on disk, so that no restart loosens it.

``<state_dir>/latch.json`` says the mode, and who raised it, when and why: the first one, as long as
nobody lowers it. It is written to a file beside it, synced, renamed over it, and the directory is
synced. EMERGENCY is KILLED: no run begins. In a state directory that has had a latch, which
an empty file beside it tells, one that is missing, damaged or unreadable means KILLED too. Nothing
clears it by time.

If the disk has no room for "killed", the file is emptied, which needs none and means the same.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from pipeline import sealed
from pipeline.breakers.audit import utc
from pipeline.mode import LABELS
from pipeline.vocabulary import Mode

FILE: Final = "latch.json"
MADE: Final = "latch.made"
"""Empty; where it is, there must be a latch: a state directory may be older than latches."""

BREACHES: Final = ("drawdown", "loss")
"""Trips that leave a breached limit behind: a reset has to say that it counts anew from here."""

_VERSION = 1
_PATIENCE_S = 1.0
_BYTES = 1 << 16


class KilledError(Exception):
    """The deployment is killed: no run begins until an operator resets the latch."""


class LatchError(Exception):
    """The latch does not allow what was asked for; the message says what would."""


@dataclass(frozen=True, slots=True)
class Latch:
    """What is latched.

    Attributes:
        mode: Of the deployment.
        time: UTC, ISO 8601, of the first raise to it; empty in NORMAL.
        actor: Who did that; a program's part by its name.
        reason: Why.
        trip: What kind of reason: "manual", "drawdown", "loss", "breakers", "system"; "latch" if
            the file cannot be believed.
        run_id: Of the run at that time, if there was one.
    """

    mode: Mode = Mode.NORMAL
    time: str = ""
    actor: str = ""
    reason: str = ""
    trip: str = ""
    run_id: str = ""

    @property
    def is_killed(self) -> bool:
        """Whether no run may begin."""
        return self.mode is Mode.EMERGENCY

    def __str__(self) -> str:
        when = f", {self.time}" if self.time else ""
        return f"{self.reason} (by {self.actor}{when})"

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {
            name: self.mode.label if name == "mode" else getattr(self, name)
            for name in self.__slots__
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return what `as_json` has made.

        Raises:
            KeyError, ValueError: it has not.
        """
        texts = {name: data[name] for name in cls.__slots__ if name != "mode"}
        if not all(isinstance(text, str) for text in texts.values()):
            raise ValueError("must be text")
        return cls(mode=Mode(LABELS.index(data["mode"])), **texts)


class LatchFile:
    """The latch of a state directory, for any process."""

    def __init__(self, folder: Path) -> None:
        """Nothing is read or made yet."""
        self.folder = folder
        self.path = folder / FILE

    def is_new(self) -> bool:
        """Whether the state directory has no latch, and has had none."""
        return not any(_may_exist(self.folder / name) for name in (FILE, MADE))

    def begin(self) -> bool:
        """Make a latch that is clear, and its directory, if it is new; return whether it was.

        Raises:
            OSError: it cannot be made.
        """
        if not self.is_new():
            return False
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._alone():
            if not self.is_new():
                return False
            self._write(Latch())
        return True

    def read(self) -> Latch:
        """Return what is latched; killed, with what is wrong as the reason, if that cannot be told.

        A new directory's is clear.
        """
        if self.is_new():
            return Latch()
        try:
            with self.path.open("rb") as file:
                text = file.read(_BYTES)
        except FileNotFoundError:
            return self._unbelievable("is missing from a state directory that has had one")
        except OSError as error:
            return self._unbelievable(f"cannot be read ({error.strerror or error})")
        try:
            return _decoded(text)
        except (ValueError, KeyError, TypeError, RecursionError):
            return self._unbelievable("is damaged, or was emptied by a kill on a full disk")

    def raise_to(self, mode: Mode, actor: str, reason: str, trip: str, run_id: str = "") -> Latch:
        """Raise the mode, unless it is as high; return what is latched then.

        Raises:
            OSError: it is not on the disk. If it was to be killed it is all the same, wherever the
                file can at least be emptied.
        """
        wanted = Latch(mode, utc(time.time_ns()), actor, reason, trip, run_id)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._alone():
            held = self.read()
            if held.mode >= mode and not (held.trip == "latch" and mode is Mode.EMERGENCY):
                return held
            try:
                self._write(wanted)
            except OSError:
                if not wanted.is_killed:
                    raise
                self._empty()
                self._write(wanted)  # there may be room now
        return wanted

    def lower_to(self, mode: Mode, actor: str, reason: str, *, rebase: bool = False) -> Latch:
        """Lower the mode, for an operator; return what was latched.

        Args:
            mode: The new one.
            actor: Who does it.
            reason: Why.
            rebase: Whether a limit that was breached counts anew from here.

        Raises:
            LatchError: a breach stands, and is not rebased; or the mode is as low.
            OSError: it is not on the disk; then it is as it was.
        """
        with self._alone():
            held = self.read()
            if held.mode <= mode:
                raise LatchError(f"the mode was {held.mode.label}, must be above {mode.label}")
            if held.is_killed and held.trip in BREACHES and not rebase:
                raise LatchError(
                    f"the breach stands: {held}; to have that limit count anew from the next run "
                    "on, give --rebase"
                )
            lowered = mode is not Mode.NORMAL
            time_text = utc(time.time_ns()) if lowered else ""
            self._write(
                Latch(mode, time_text, actor, reason, "manual", held.run_id) if lowered else Latch()
            )
        return held

    def _unbelievable(self, what: str) -> Latch:
        return Latch(Mode.EMERGENCY, "", "the latch", f"{self.path} {what}", "latch")

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep others from writing; not for long, whoever hangs."""
        fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            deadline = time.monotonic() + _PATIENCE_S
            while time.monotonic() < deadline:
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                time.sleep(0.01)  # flock that waits could not be given up
            yield
        finally:
            os.close(fd)

    def _write(self, latch: Latch) -> None:
        sealed.replace(self.path, sealed.encoded(latch.as_json(), _VERSION), MADE)

    def _empty(self) -> None:
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        sealed.sync_folder(self.folder)


def _may_exist(path: Path) -> bool:
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # nobody can tell
    return True


def _decoded(text: bytes) -> Latch:
    document = sealed.decoded(text, _VERSION)
    latch = Latch.from_json(document)
    sealed.check(document, latch.as_json())
    return latch
