"""The audit trail of the breakers: who or what changed which, when, why, and on which figures.

``<state_dir>/breakers.jsonl`` has one JSON object a line. A line is appended by one write, and
synced before anything goes on, so several processes may append, and one that is killed leaves at
most a torn line, which a reader skips.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import functools
import json
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pipeline.breakers.subscribers import Event, generation_of
from shm import Breaker, Cause, EventKind, GlobalState, State
from shm.breaker_types import GENERATIONS

FILE = "breakers.jsonl"
GLOBAL = "global"
"""What the global state is called where a breaker's name stands."""

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_STATE_SHIFT = 61
_TELLING = ("transition", "done", "no-op")
"""Kinds of entries whose `after` is the state that the breaker was in."""

_AGAIN = "as before the restart: "


def state_name(word: int) -> str:
    """Return the name of the state in a state word, in lower case."""
    return State(int(word) >> _STATE_SHIFT).name.lower()


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line.

    Attributes:
        time: When it happened, UTC, ISO 8601.
        monotonic_ns: The same by CLOCK_MONOTONIC, the clock of the events.
        run_id: Of the run in whose segment.
        kind: "transition" and the other kinds of events; of a manual operation "intent" before it,
            then "done", "no-op", "refused" or "pending".
        breaker: Its name, or "global".
        before: State before; in JSON "from".
        after: State after; in JSON "to".
        cause: What made it change.
        actor: Who did it by hand; empty if nobody did.
        reason: Why, in the actor's words.
        figures: calls, failures, slow and consecutive at that moment.
        generation: Of the state after it.
    """

    time: str
    monotonic_ns: int
    run_id: str
    kind: str
    breaker: str
    before: str
    after: str
    cause: str
    actor: str
    reason: str
    figures: Mapping[str, int]
    generation: int

    def as_json(self) -> dict[str, Any]:
        """Return it as it stands in the file."""
        names = ((name, _JSON_NAMES.get(name, name)) for name in self.__slots__)
        return {key: getattr(self, name) for name, key in names}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return what a line says.

        Raises:
            KeyError, TypeError: it is not an entry.
        """
        entry = cls(**{name: data[_JSON_NAMES.get(name, name)] for name in cls.__slots__})
        for name in cls.__slots__:
            kind = _KINDS.get(name, str)
            if not isinstance(getattr(entry, name), kind):
                raise TypeError(f"{name} must be of type {kind.__name__}")
        return entry

    @classmethod
    def of(cls, event: Event, names: Sequence[str], run_id: str, wall_ns: int, now_ns: int) -> Self:
        """Return the entry of an event.

        Args:
            event: A record of `shm.BREAKER_EVENT`.
            names: Of the breakers, in their order.
            run_id: Of the run.
            wall_ns: The wall clock now, ns since 1970.
            now_ns: CLOCK_MONOTONIC now.
        """
        kind = EventKind(int(event["kind"]))
        before, after = int(event["before"]), int(event["after"])
        happened = int(event["time_ns"])
        is_global = kind is EventKind.GLOBAL
        return cls(
            time=utc(wall_ns - (now_ns - happened)),
            monotonic_ns=happened,
            run_id=run_id,
            kind=kind.name.lower(),
            breaker=GLOBAL if is_global else names[int(event["breaker"])],
            before=GlobalState(before).name.lower() if is_global else state_name(before),
            after=GlobalState(after).name.lower() if is_global else state_name(after),
            cause=Cause(int(event["cause"])).name.lower(),
            actor=bytes(event["actor"]).decode(errors="replace"),
            reason=bytes(event["reason"]).decode(errors="replace"),
            figures={
                name: int(event[name]) for name in ("calls", "failures", "slow", "consecutive")
            },
            generation=0 if is_global else generation_of(after),
        )


_JSON_NAMES = {"before": "from", "after": "to"}
_KINDS: Mapping[str, type] = {"monotonic_ns": int, "generation": int, "figures": dict}


def utc(wall_ns: int) -> str:
    """Return a time of the wall clock as text, to the microsecond."""
    moment = _EPOCH + datetime.timedelta(microseconds=wall_ns // 1000)
    return moment.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


class AuditTrail:
    """The file. It is opened anew for each line, so it may be moved away at any time."""

    def __init__(self, path: Path) -> None:
        """It is made, readable by its owner only, with the first line."""
        self.path = path

    def append(self, entry: AuditEntry) -> None:
        """Write a line, and wait until it is on the disk.

        Raises:
            OSError: it is not, or not as a whole.
        """
        line = json.dumps(entry.as_json(), separators=(",", ":")).encode() + b"\n"
        with self._opened() as (fd, size):
            # Behind a torn line, on a line of its own.
            if size and os.pread(fd, 1, size - 1) != b"\n":
                line = b"\n" + line
            if os.write(fd, line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            os.fdatasync(fd)
        if not size:
            _sync_folder(self.path.parent)

    def probe(self) -> None:
        """Find out whether a line could be written, without one.

        Raises:
            OSError: it could not.
        """
        with self._opened() as (fd, _):
            os.fdatasync(fd)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tuple[int, int]]:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        fd = os.open(self.path, flags, 0o600)
        try:
            yield fd, os.fstat(fd).st_size
        finally:
            os.close(fd)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def read(path: Path) -> tuple[list[AuditEntry], list[str]]:
    """Return the entries, oldest first, and a note for each line that is none.

    A file that does not exist has no entries.

    Raises:
        OSError: it cannot be read.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return [], []
    entries: list[AuditEntry] = []
    notes: list[str] = []
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            entries.append(AuditEntry.from_json(json.loads(line)))
        except (ValueError, KeyError, TypeError):
            what = "torn" if number == len(lines) else "no entry"
            notes.append(f"{path}:{number}: is {what}, skipped: {_shown(line)}")
    return entries, notes


def forced_open(entries: Iterable[AuditEntry]) -> dict[str, tuple[str, str]]:
    """Return which breakers an operator has left forced open: by name, the actor and the reason.

    The reason is that of a breaker that is forced open again.
    """
    last: dict[str, AuditEntry] = {}
    for entry in entries:
        if entry.kind not in _TELLING:
            continue
        known = last.get(entry.breaker)
        if known is not None and known.run_id == entry.run_id:
            # By generations: a disk that failed may have held up what the supervisor wrote.
            ahead = (entry.generation - known.generation) % GENERATIONS
            if ahead >= GENERATIONS // 2 or (ahead == 0 and known.actor):
                continue
        last[entry.breaker] = entry
    return {
        name: (entry.actor or "unknown", _AGAIN + entry.reason.removeprefix(_AGAIN))
        for name, entry in last.items()
        if entry.after == State.FORCED_OPEN.name.lower()
    }


def _shown(line: bytes) -> str:
    return repr(line[:40].decode(errors="replace")) + ("..." if len(line) > 40 else "")


class AuditWriter:
    """A subscriber that writes each event to the trail, off the path of whoever publishes.

    It asks the breaker of the storage before each write and tells it how that went. What could not
    be written waits, and is tried again with the next event and whenever it is idle; what no longer
    fits is dropped, the newest first, and counted. Manual operations are written here too, beside
    what the operator's command writes, which may not have been able to.
    """

    def __init__(
        self,
        trail: AuditTrail,
        storage: Breaker,
        names: Sequence[str],
        run_id: str,
        *,
        capacity: int = 1024,
        clock: Callable[[], int] = time.monotonic_ns,
        wall: Callable[[], int] = time.time_ns,
    ) -> None:
        """Write events of the breakers `names` of a run; at most `capacity` wait."""
        self._trail = trail
        self._storage = storage
        self._names = tuple(names)
        self._run_id = run_id
        self._capacity = capacity
        self._clock = clock
        self._wall = wall
        self._backlog: deque[AuditEntry] = deque()
        self._dropped: Counter[str] = Counter()
        self.written = 0
        self.failure: str | None = None
        """Why the last write failed; None if it did not, or has not ended."""
        self._insists = False

    @property
    def waiting(self) -> int:
        """How many entries are not on the disk yet."""
        return len(self._backlog)

    @property
    def dropped(self) -> dict[str, int]:
        """How many were dropped, by kind of event."""
        return dict(self._dropped)

    def lag_ns(self, now_ns: int) -> int:
        """Return the age of the oldest event that is not on the disk yet; 0 if there is none.

        For any thread, also while this one hangs in a write.
        """
        try:
            oldest = self._backlog[0]
        except IndexError:
            return 0
        return max(0, now_ns - oldest.monotonic_ns)

    def deliver(self, event: Event) -> None:
        """Take an event, and write what waits."""
        entry = AuditEntry.of(event, self._names, self._run_id, self._wall(), self._clock())
        if len(self._backlog) < self._capacity:
            self._backlog.append(entry)
        else:
            self._dropped[entry.kind] += 1
        self._flush()

    def insist(self) -> None:
        """From now on write whatever the breaker says: at the end there is no later.

        For any thread.
        """
        self._insists = True

    def idle(self) -> None:
        """Try again what waits; if nothing does, find out whether a sick storage has recovered."""
        if self._backlog:
            self._flush()
        elif self._storage.state in (State.OPEN, State.HALF_OPEN):
            self._call(self._trail.probe)

    def _flush(self) -> None:
        while self._backlog:
            entry = self._backlog[0]  # it stays there until it is written: see lag_ns
            if not self._call(functools.partial(self._trail.append, entry)):
                return
            self._backlog.popleft()
            self.written += 1

    def _call(self, write: Callable[[], None]) -> bool:
        """Return whether it was tried, and succeeded."""
        permit = self._storage.acquire(self._clock())
        if not permit and not self._insists:
            return False
        succeeded = False
        self.failure = None
        try:
            write()
            succeeded = True
        except OSError as error:
            self.failure = str(error)
        except BaseException as error:
            self.failure = f"{type(error).__name__}: {error}"
            raise
        finally:
            if permit:
                self._storage.complete(permit, succeeded, self._clock())
        return succeeded
