"""What an operator does to a breaker: each act between two records of the audit trail.

The intent is recorded before anything changes, and what came of it afterwards. Without the first,
nothing is changed; only what makes trading more careful is done all the same.
"""

from __future__ import annotations

import contextlib
import errno
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.breakers.audit import AuditEntry, AuditTrail, state_name, utc
from shm import Breaker

_RECORD_S = 2.0
"""How long a record may take: a disk that hangs may not hold up a trip."""


class OperationError(Exception):
    """An operation that was not carried out."""


class PendingError(Exception):
    """What was intended is not done yet, and may still be."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One way to change a breaker by hand.

    Attributes:
        name: Of the command.
        method: Of `shm.Breaker`.
        cause: As the trail names it.
        state: Where it leads.
        help: What it does, in a sentence.
        is_safe: It makes trading more careful only, so it is done without a record, too.
    """

    name: str
    method: str
    cause: str
    state: str
    help: str
    is_safe: bool = False


OPERATIONS = (
    Operation(
        "trip",
        "trip",
        "tripped",
        "open",
        "Open a breaker; it lets probes through after its cooldown.",
        is_safe=True,
    ),
    Operation(
        "force-open",
        "force_open",
        "forced_open",
        "forced_open",
        "Open a breaker until it is reset: not even probes are let through.",
        is_safe=True,
    ),
    Operation("reset", "reset", "reset", "closed", "Close a breaker, and begin its window anew."),
    Operation(
        "disable",
        "disable",
        "disabled",
        "disabled",
        "Let every call of a breaker through, and count none.",
    ),
    Operation(
        "metrics-only",
        "metrics_only",
        "metrics_only",
        "metrics_only",
        "Let every call of a breaker through, and say when it would have opened.",
    ),
)


@dataclass(frozen=True, slots=True)
class Done:
    """What came of an operation: states in lower case, and whether anything has changed."""

    before: str
    after: str
    generation: int
    changed: bool


@dataclass(frozen=True, slots=True)
class Act:
    """What one operator does now, and where it is recorded.

    Attributes:
        trail: The audit trail.
        run_id: Of the run that it is done to.
        actor: Who does it.
        reason: Why.
        warn: Given a sentence if a record is missing.
    """

    trail: AuditTrail
    run_id: str
    actor: str
    reason: str
    warn: Callable[[str], None]

    def change(self, breaker: Breaker, operation: Operation) -> Done:
        """Change a breaker.

        Raises:
            OperationError: the intent cannot be recorded, and the operation is not a safe one.
            BreakerError: it is not allowed in this state.
        """
        before = state_name(breaker.word)
        counts = breaker.counts()
        figures = {
            name: getattr(counts, name) for name in ("calls", "failures", "slow", "consecutive")
        }
        intent = Record(
            breaker.name, before, operation.state, operation.cause, breaker.generation, figures
        )
        with self.recorded(intent, is_safe=operation.is_safe) as result:
            change = getattr(breaker, operation.method)
            changed = bool(change(actor=self.actor, reason=self.reason))
            done = Done(before, state_name(breaker.word), breaker.generation, changed)
            result.kind = "done" if changed else "no-op"
            result.after, result.generation = done.after, done.generation
        return done

    @contextlib.contextmanager
    def recorded(self, intent: Record, *, is_safe: bool = False) -> Iterator[Record]:
        """Record the intent, and after the block what it has made of the record it is given.

        Left by an exception, that is a refusal, unless it may still be done.

        Raises:
            OperationError: the intent cannot be recorded, and what is intended is not safe.
        """
        try:
            self._append("intent", intent)
        except OSError as error:
            if not is_safe:
                raise OperationError(
                    f"nothing was changed: the audit trail {self.trail.path} cannot be written "
                    f"({error.strerror or error}); mend that first (trip and force-open work "
                    "without it)"
                ) from None
            self.warn(
                f"goes on without a record: the audit trail {self.trail.path} cannot be written "
                f"({error.strerror or error})"
            )
        result = Record(
            intent.breaker,
            intent.before,
            intent.after,
            intent.cause,
            intent.generation,
            intent.figures,
        )
        try:
            yield result
        except PendingError:
            result.kind = "pending"
            raise
        except BaseException:
            result.kind = "refused"
            result.after = result.before
            raise
        finally:
            try:
                self._append(result.kind, result)
            except OSError as error:
                why = error.strerror or error
                self.warn(f"{result.kind}, but {self.trail.path} does not say so ({why})")

    def note(self, record: Record) -> None:
        """Record what was done already, because it could not wait."""
        try:
            self._append(record.kind, record)
        except OSError as error:
            self.warn(f"done, but {self.trail.path} does not say so ({error.strerror or error})")

    def _append(self, kind: str, record: Record) -> None:
        entry = AuditEntry(
            time=utc(time.time_ns()),
            monotonic_ns=time.monotonic_ns(),
            run_id=self.run_id,
            kind=kind,
            breaker=record.breaker,
            before=record.before,
            after=record.after,
            cause=record.cause,
            actor=self.actor,
            reason=self.reason,
            figures=record.figures,
            generation=record.generation,
        )
        in_time(lambda: self.trail.append(entry), _RECORD_S)


@dataclass(slots=True)
class Record:
    """What a record of the trail says besides who, when and why; see `AuditEntry`."""

    breaker: str
    before: str
    after: str
    cause: str
    generation: int = 0
    figures: Mapping[str, int] = field(default_factory=dict)
    kind: str = "done"


def in_time(write: Callable[[], Any], seconds: float) -> None:
    """Write in a thread of its own, which may hang for ever, as disks do.

    Raises:
        OSError: it failed; as TimeoutError, it has not returned in time.
    """
    failures: list[OSError] = []

    def run() -> None:
        try:
            write()
        except OSError as error:
            failures.append(error)

    thread = threading.Thread(target=run, name="audit", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(errno.ETIMEDOUT, f"no answer from the disk in {seconds:g} s")
    if failures:
        raise failures[0]
