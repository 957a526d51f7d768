"""The channel: what is to be told waits in a queue, and a thread has the command told it."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Final, Self

from pipeline.breakers.audit import utc
from pipeline.breakers.subscribers import Subscriber
from pipeline.notify.command import told
from pipeline.notify.notice import Notice
from shm import Segment

WAITING: Final = 64
"""Notices that may wait; a command that takes its 5 s is 5 minutes behind by then."""

COUNTS: Final = ("delivered", "failed", "dropped")

_REAPED_S: Final = 1.0  # for a command that was killed to go

Document = Mapping[str, Any]
"""What the command is given."""


class Notifier:
    """Has the command of `[notify]` told. All calls come from one thread, and none waits.

    But as a context manager, it waits at its end for what is still to be told: `timeout_s` in all.
    """

    def __init__(self, config: Mapping[str, Any], report: Callable[[str], None]) -> None:
        """Nothing is started before there is something to tell.

        Args:
            config: A resolved configuration.
            report: Given a sentence, in another thread, if something could not be told.
        """
        self._name = config["name"]
        self._settings = config["notify"]
        self._report = report
        self._run_id: str | None = None
        self._figures: Callable[[], dict[str, Any]] = dict
        self._subscriber: Subscriber[Document] | None = None
        self._end = math.inf
        self._delivered = self._failed = self._late = 0

    def tell(self, notice: Notice) -> None:
        """Have the command told, if it is configured and wants to hear of that kind.

        Never raises: whoever tells has a run to end.
        """
        settings = self._settings
        if not settings["command"] or notice.kind not in settings["on"]:
            return
        try:
            if self._subscriber is None:
                self._subscriber = Subscriber(
                    "notify", self._deliver, WAITING, _kind_of, self._report
                )
            self._subscriber.put(self.document(notice))
        except Exception as error:
            self._report(f"notify: not told ({type(error).__name__}: {error}): {notice.text}")

    def document(self, notice: Notice) -> Document:
        """Return what the command is given."""
        figures: dict[str, Any] = {}
        try:
            figures = self._figures()
        except Exception as error:  # what they are read from may be damaged, or just going
            self._report(f"notify: told without figures ({type(error).__name__}: {error})")
        return {
            "deployment": self._name,
            "run": self._run_id,
            "kind": notice.kind,
            "severity": notice.severity,
            "text": notice.text,
            "time": utc(time.time_ns()),
            "reason": notice.reason or None,
            "operator": notice.operator or None,
            "figures": figures,
        }

    @contextlib.contextmanager
    def of(self, segment: Segment, *, borrows: bool = False) -> Iterator[None]:
        """Tell of a run, with its figures; if it `borrows`, by its command if there is no own."""
        # Here, as the supervisor, which some of that belongs to, imports this module.
        from pipeline.notify.figures import figures_of

        config = json.loads(segment.blob("config"))
        if borrows and not self._settings["command"]:
            # A run that an older version has begun has no such table.
            self._settings = config.get("notify", self._settings)
        self._run_id = segment.run_id
        self._figures = lambda: figures_of(segment, config)
        try:
            yield
        finally:
            self._figures = dict

    def counts(self) -> dict[str, int]:
        """Return how many were delivered, failed and dropped."""
        dropped = 0
        if self._subscriber is not None:
            dropped = sum(self._subscriber.figures().dropped.values()) + self._late
        return dict(zip(COUNTS, (self._delivered, self._failed, dropped), strict=True))

    def close(self, timeout_s: float | None = None) -> None:
        """Have told what waits, for so long at most, else `timeout_s` of the configuration."""
        if self._subscriber is None:
            return
        timeout_s = self._settings["timeout_s"] if timeout_s is None else timeout_s
        self._end = time.monotonic() + timeout_s
        self._subscriber.end()
        self._subscriber.join(timeout_s + _REAPED_S)
        if lost := self.counts()["dropped"] + self._subscriber.figures().waiting:
            self._report(
                f"notify: {lost} notices were dropped: {self._settings['command'][0]} was too slow"
            )

    def _deliver(self, document: Document) -> None:
        settings = self._settings
        if time.monotonic() >= self._end:
            self._late += 1
            return
        answer = told(settings["command"], document, settings["timeout_s"], lambda: self._end)
        if not answer.failure:
            self._delivered += 1
            return
        self._failed += 1
        said = f": {answer.lines[0]}" if answer.lines else ""
        self._report(
            f"notify: {settings['command'][0]}: {answer.failure}{said}; not told: "
            f"{document['text']}"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _kind_of(document: Document) -> str:
    kind: str = document["kind"]
    return kind
