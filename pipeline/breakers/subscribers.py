"""Who hears of the breakers' events: each in a thread of its own, so that none holds up another.

Whoever publishes never waits, and whatever a subscriber does (it raises, hangs, leaves) is its own
affair: its queue fills, what no longer fits is counted, and the rest goes on.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from shm import BREAKER_EVENT, Cause, EventKind
from shm.breaker_types import GENERATIONS, GLOBAL_BREAKER

QUARANTINE = 10
"""Exceptions in a row after which a subscriber is called no more."""

_GENERATION_SHIFT = 37
_LOST = b"events were lost; this is from the state words"

Event = np.void
"""One record of `shm.BREAKER_EVENT`."""


def generation_of(word: int) -> int:
    """Return the generation in a state word."""
    return (int(word) >> _GENERATION_SHIFT) % GENERATIONS


@dataclass(frozen=True, slots=True)
class Figures:
    """What became of the events for one subscriber; `dropped` is by kind."""

    delivered: int
    waiting: int
    dropped: Mapping[str, int]
    exceptions: int
    quarantined: bool


class Subscribers:
    """Hands events on to whoever asked for them. All calls come from one thread."""

    def __init__(self, report: Callable[[str], None]) -> None:
        """`report` is given a sentence, in a subscriber's thread, when one is quarantined."""
        self._report = report
        self._subscribers: dict[str, Subscriber[Event]] = {}

    def add(
        self,
        name: str,
        deliver: Callable[[Event], None],
        *,
        capacity: int = 1024,
        idle: Callable[[], None] | None = None,
        idle_s: float = 0.2,
    ) -> None:
        """Have `deliver` called with each event from now on.

        At most `capacity` events wait for it. `idle`, if given, is called in the same thread
        whenever there was nothing to deliver for `idle_s` seconds, and once at the end.

        Raises:
            ValueError: there is one of that name.
        """
        if name in self._subscribers:
            raise ValueError(f"subscriber was {name!r}, must be another name: there is one already")
        self._subscribers[name] = Subscriber(
            f"subscriber {name!r} of the breakers",
            deliver,
            capacity,
            _kind_of,
            self._report,
            idle,
            idle_s,
        )

    def publish(self, event: Event) -> None:
        """Queue an event for everybody. Never blocks: what does not fit is dropped and counted."""
        for subscriber in self._subscribers.values():
            subscriber.put(event)

    def close(self, timeout: float = 1.0) -> list[str]:
        """Have what is queued delivered, and end the threads.

        Returns:
            The names of those that have not ended within `timeout` seconds in all; their threads
            end with the process.
        """
        for subscriber in self._subscribers.values():
            subscriber.end()
        deadline = time.monotonic() + timeout
        return [
            name
            for name, subscriber in self._subscribers.items()
            if not subscriber.join(deadline - time.monotonic())
        ]

    def figures(self) -> dict[str, Figures]:
        """Return the counts of each subscriber."""
        return {name: subscriber.figures() for name, subscriber in self._subscribers.items()}


def _kind_of(event: Event) -> str:
    return EventKind(int(event["kind"])).name


_Told = TypeVar("_Told")


class Subscriber(Generic[_Told]):
    """One thread that is told things, and the queue in front of it. All calls come from one."""

    def __init__(
        self,
        name: str,
        deliver: Callable[[_Told], None],
        capacity: int,
        kind_of: Callable[[_Told], str],
        report: Callable[[str], None],
        idle: Callable[[], None] | None = None,
        idle_s: float = 0.2,
    ) -> None:
        """Have `deliver` and `idle` called as `Subscribers.add` says.

        `kind_of` returns under which name what is dropped is counted.
        """
        self._name = name
        self._deliver = deliver
        self._kind_of = kind_of
        self._idle = idle
        self._idle_s = None if idle is None else idle_s
        self._report = report
        # None wakes the thread so that it ends.
        self._queue: queue.Queue[_Told | None] = queue.Queue(capacity)
        self._ending = False
        # Each is written by one thread: the publisher's or the subscriber's.
        self._dropped: Counter[str] = Counter()
        self._delivered = 0
        self._exceptions = 0
        self._in_a_row: Counter[str] = Counter()
        self._quarantined = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, event: _Told) -> None:
        """Queue it. Never blocks: what does not fit is dropped and counted."""
        if not self._quarantined and not self._ending:
            with contextlib.suppress(queue.Full):
                self._queue.put_nowait(event)
                return
        self._drop(event)

    def end(self) -> None:
        """Have the thread end behind what is queued; from now on all else is dropped."""
        self._ending = True
        # If it is full the thread is awake, and sees the flag after the last event.
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(None)

    def join(self, timeout: float) -> bool:
        """Wait for the end of the thread, for so many seconds; return whether it has come."""
        self._thread.join(max(0.0, timeout))
        return not self._thread.is_alive()

    def figures(self) -> Figures:
        """Return its counts."""
        return Figures(
            self._delivered,
            self._queue.qsize(),
            dict(self._dropped),
            self._exceptions,
            self._quarantined,
        )

    def _drop(self, event: _Told) -> None:
        self._dropped[self._kind_of(event)] += 1

    def _run(self) -> None:
        while not (self._quarantined or (self._ending and self._queue.empty())):
            try:
                event = self._queue.get(timeout=self._idle_s)
            except queue.Empty:
                self._call("idle", self._idle)
                continue
            if event is not None and self._call("deliver", self._deliver, event):
                self._delivered += 1
        if not self._quarantined:
            self._call("idle", self._idle)

    def _call(self, what: str, function: Callable[..., None] | None, *arguments: Any) -> bool:
        if function is None:
            return True
        try:
            function(*arguments)
        except BaseException as error:  # SystemExit too: it would end this thread, unseen
            self._exceptions += 1
            self._in_a_row[what] += 1
            if self._in_a_row[what] >= QUARANTINE:
                self._quarantine(error)
            return False
        self._in_a_row[what] = 0
        return True

    def _quarantine(self, error: BaseException) -> None:
        self._quarantined = True
        with contextlib.suppress(Exception):
            self._report(
                f"{self._name} failed {QUARANTINE} times in a row, the last time with "
                f"{type(error).__name__}: {error}; it hears nothing any more until the next run"
            )


class Continuity:
    """Notices transitions whose events were lost, and puts one from the state words in their place.

    A process that is killed between changing a state word and writing its event leaves none, and a
    full ring takes none. Each change raises the generation by 1, so a gap shows. An event that
    comes after its gap was filled is handed on as it is: it tells the cause.

    The global state is derived by whoever needs it, most of whom tell nobody, so its changes are
    noticed here as well.
    """

    def __init__(self, words: Sequence[int]) -> None:
        """`words` are the state words now, in the order of the breakers; what follows is judged."""
        self._known = [int(word) for word in words]
        self._suspected: dict[int, int] = {}
        self._global: int | None = None

    def fill(self, events: Iterable[Event]) -> Iterator[Event]:
        """Yield the events, oldest first, each gap between them filled."""
        for event in events:
            if event["kind"] == EventKind.TRANSITION:
                yield from self._before(event)
            elif event["kind"] == EventKind.GLOBAL:
                self._global = int(event["after"])
            yield event

    def look(
        self,
        words: Sequence[int],
        now_ns: int,
        state: int | None = None,
        *,
        latch: bool = False,
    ) -> list[Event]:
        """Return events for changes that nothing was said of; to be called with no event waiting.

        A breaker's change is told of only if the call before has seen it too: its event may be on
        its way.

        Args:
            words: The state words.
            now_ns: CLOCK_MONOTONIC.
            state: The global state, if it is to be followed.
            latch: Whether it is what it is because of the kill latch.
        """
        found = []
        for breaker, (known, now) in enumerate(zip(self._known, words, strict=True)):
            word = int(now)
            if _steps(known, word) <= 0:
                self._suspected.pop(breaker, None)
            elif breaker in self._suspected:
                found.append(_resync(breaker, known, word, now_ns))
                self._known[breaker] = word
                del self._suspected[breaker]
            else:
                self._suspected[breaker] = word
        if state is not None:
            if self._global is not None and self._global != state:
                cause = Cause.TRIPPED if latch else Cause.COMPONENTS
                found.append(_event(EventKind.GLOBAL, cause, now_ns, self._global, state))
            self._global = int(state)
        return found

    def _before(self, event: Event) -> Iterator[Event]:
        breaker = int(event["breaker"])
        before, after = int(event["before"]), int(event["after"])
        known = self._known[breaker]
        if _steps(known, after) <= 0:
            return  # late: its gap was filled
        if _steps(known, before) > 0:
            yield _resync(breaker, known, before, int(event["time_ns"]))
        self._known[breaker] = after
        self._suspected.pop(breaker, None)


def _steps(known: int, word: int) -> int:
    """Return how many generations a word is ahead of another; below 0 if it is behind."""
    ahead = (generation_of(word) - generation_of(known)) % GENERATIONS
    return ahead if ahead < GENERATIONS // 2 else ahead - GENERATIONS


def _resync(breaker: int, before: int, after: int, time_ns: int) -> Event:
    made = _event(EventKind.TRANSITION, Cause.NONE, time_ns, before, after)
    made["breaker"] = breaker
    made["reason"] = _LOST
    return made


def _event(kind: EventKind, cause: Cause, time_ns: int, before: int, after: int) -> Event:
    event = np.zeros(1, BREAKER_EVENT)
    event["time_ns"] = time_ns
    event["before"] = before
    event["after"] = after
    event["breaker"] = GLOBAL_BREAKER
    event["kind"] = kind
    event["cause"] = cause
    made: Event = event[0]
    return made
