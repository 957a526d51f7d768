"""A circuit breaker: see breaker.hpp for how many processes can do the same at once.

It lets calls through while they succeed, none after too many have failed, and after a cooldown a
few probes, which decide. Whoever asks gets a permit, and says later what became of the call; that
counts only if the breaker has not changed its state in between.

The table of transitions is in breaker_word.py, the windows are in breaker_window.py, and what the
participants share is in breaker_memory.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from shm.breaker_settings import BreakerSettings
from shm.breaker_types import (
    ACTOR_BYTES,
    LARGEST_LEASE_NS,
    ORPHAN_NS,
    PROBES,
    REASON_BYTES,
    BreakerError,
    Cause,
    Completion,
    Counts,
    EventKind,
    Rejection,
    State,
    Verdict,
)
from shm.reference.breaker_memory import Event, Owner, Permit, Shard, is_alive, new_event, now_or
from shm.reference.breaker_reader import BreakerReader
from shm.reference.breaker_window import Outcome, WindowTag, bucket_number
from shm.reference.breaker_word import TRANSITIONS, Control, Probes, Refusal, Trigger, tick_of

Alive = Callable[[int, int], bool]

_REJECTIONS: Final = {
    State.OPEN: Rejection.OPEN,
    State.HALF_OPEN: Rejection.EXHAUSTED,
    State.FORCED_OPEN: Rejection.FORCED_OPEN,
    State.UNINIT: Rejection.UNINIT,
    State.INVALID: Rejection.UNINIT,
}
_RATE_CAUSES: Final = {
    Verdict.FAILURE_RATE: Cause.FAILURE_RATE,
    Verdict.SLOW_RATE: Cause.SLOW_RATE,
}
_CAUSES: Final = {
    Trigger.TRIP: Cause.TRIPPED,
    Trigger.FORCE_OPEN: Cause.FORCED_OPEN,
    Trigger.RESET: Cause.RESET,
    Trigger.DISABLE: Cause.DISABLED,
    Trigger.METRICS_ONLY: Cause.METRICS_ONLY,
    Trigger.INITIALISE: Cause.INITIALISED,
}


class Breaker(BreakerReader):
    """One breaker of a group, as one participant sees it."""

    # --- calls ------------------------------------------------------------------------------

    def acquire(self, now_ns: int | None = None, owner: tuple[int, int] | None = None) -> Permit:
        """Ask for a permit; `owner` is the (pid, start time) of a process that this is for."""
        now = now_or(now_ns)
        shard = self._shard()
        control, settings = self._memory.control, self._memory.settings
        if control.state == State.OPEN and tick_of(now) >= control.payload:
            # The first permit is given by the same change of the word.
            first = Probes(issued=1, done=0, succeeded=0, failed=0)
            after = control.changed(State.HALF_OPEN, control.attempt, first.payload)
            self._change(after, Cause.COOLDOWN_OVER, now)
            return self._admit_probe(0, now, owner)
        if control.state == State.HALF_OPEN and settings is not None:
            if self._is_exhausted(settings) and now - self._memory.reaped_ns >= ORPHAN_NS:
                # Somebody may hold permits that will never come back. Not at each call, though.
                self._memory.reaped_ns = now
                self.reap(now)
                control = self._memory.control
            if control.state == State.HALF_OPEN and not self._is_exhausted(settings):
                probes = control.probes
                more = replace(probes, issued=probes.issued + 1)
                self._memory.control = control.with_probes(more)
                return self._admit_probe(probes.issued, now, owner)
        if control.state in _REJECTIONS:
            shard.totals["rejected"] += 1
            return Permit(control.generation, -1, now, _REJECTIONS[control.state], counted=False)
        shard.totals["admitted"] += 1
        return Permit(control.generation, -1, now, counted=control.counts)

    def _is_exhausted(self, settings: BreakerSettings) -> bool:
        probes = self._memory.control.probes
        return probes.issued >= PROBES or probes.in_flight >= settings.probes

    def _admit_probe(self, index: int, now: int, owner: tuple[int, int] | None) -> Permit:
        assert self._memory.settings is not None
        pid, started = owner or (self._participant.pid, self._participant.started)
        generation = self._memory.control.generation
        self._memory.owners[index] = Owner(
            generation, pid, started, now + self._memory.settings.lease_ns
        )
        self._shard().totals["admitted"] += 1
        return Permit(generation, index, now)

    def complete(
        self, permit: Permit, ok: bool, now_ns: int | None = None, duration_ns: int | None = None
    ) -> Completion:
        """Say how an admitted call ended, and how long it took if not from the permit until now."""
        now = now_or(now_ns)
        shard = self._shard()
        duration = now - permit.issued_ns if duration_ns is None else duration_ns
        control, settings = self._memory.control, self._memory.settings
        if (
            permit
            and settings is not None
            and permit.generation == control.generation
            and now - permit.issued_ns <= LARGEST_LEASE_NS
        ):
            slow = settings.slow_bp > 0 and duration > settings.slow_ns
            outcome = Outcome(failed=not ok, slow=slow)
            if control.counts and permit.index < 0:
                self._count(outcome, settings, now)
                return Completion.COUNTED
            if control.state == State.HALF_OPEN and control.probes.is_out(permit.index):
                # A probe that is slow has not shown that things are well again.
                self._finish(permit.index, ok and not slow, settings, now)
                self._add_to_totals(outcome)
                return Completion.COUNTED
            if control.state == State.DISABLED:
                shard.totals["uncounted"] += 1
                return Completion.UNCOUNTED
        shard.totals["stale"] += 1
        return Completion.STALE

    def fail_once(self, now_ns: int | None = None) -> Completion:
        """Count one failure without a call: a process died."""
        now = now_or(now_ns)
        shard = self._shard()
        settings = self._memory.settings
        if settings is None or not self._memory.control.counts:
            shard.totals["uncounted"] += 1
            return Completion.UNCOUNTED
        self._count(Outcome(failed=True, slow=False), settings, now)
        return Completion.COUNTED

    # --- CLOSED and METRICS_ONLY ------------------------------------------------------------

    def _count(self, outcome: Outcome, settings: BreakerSettings, now: int) -> None:
        memory = self._memory
        generation = memory.control.generation
        so_far = memory.consecutive[1] if memory.consecutive[0] == generation else 0
        memory.consecutive = (generation, so_far + 1 if outcome.failed else 0)
        tag = WindowTag(generation, memory.window_version)
        if settings.window == "count":
            memory.calls.count(tag, outcome)
        else:
            self._shard().window.count(tag, bucket_number(settings, now), outcome)
        self._add_to_totals(outcome)
        self._evaluate(settings, now)

    def _evaluate(self, settings: BreakerSettings, now: int) -> None:
        control = self._memory.control
        counts = self.counts(now)
        if 0 < settings.consecutive <= counts.consecutive:
            cause = Cause.CONSECUTIVE
        else:
            cause = _RATE_CAUSES.get(counts.verdict, Cause.NONE)
        if cause == Cause.NONE:
            return
        if Trigger.RULE_MET in TRANSITIONS[control.state]:
            self._change(control.opened(0, settings, now), cause, now, counts)
        elif self._memory.told != control.generation:
            self._memory.told = control.generation
            self._participant.tell(
                self._event(now, EventKind.WOULD_TRIP, cause, control, control, counts)
            )

    # --- HALF_OPEN --------------------------------------------------------------------------

    def _finish(self, index: int, ok: bool | None, settings: BreakerSettings, now: int) -> None:
        """Take a permit back, None being neutral, and do what that decides, in one change."""
        control = self._memory.control
        probes = control.probes
        probes = replace(
            probes,
            done=probes.done | 1 << index,
            succeeded=probes.succeeded + (ok is True),
            failed=probes.failed + (ok is False),
        )
        if probes.succeeded >= settings.successes:
            state, cause = TRANSITIONS[control.state][Trigger.SUCCEEDED], Cause.PROBES_SUCCEEDED
        elif probes.failed > settings.failures:
            state, cause = TRANSITIONS[control.state][Trigger.FAILED], Cause.PROBES_FAILED
        elif probes.used_up:
            state, cause = TRANSITIONS[control.state][Trigger.FAILED], Cause.NO_PROBES_LEFT
        else:
            self._memory.control = control.with_probes(probes)
            return
        if state == State.CLOSED:
            after = control.changed(State.CLOSED, 0, tick_of(now))
        else:
            after = control.opened(control.attempt + 1, settings, now)
        decided = probes.succeeded + probes.failed
        figures = Counts(decided, probes.failed, 0, 0, Verdict.MIN_CALLS_NOT_MET)
        self._change(after, cause, now, figures)

    def reap(self, now_ns: int | None = None, alive: Alive | None = None) -> int:
        """Take back what will not come back by itself; return how many permits that were.

        It also opens a breaker that was in HALF_OPEN for too long, and one whose tripping outcome
        was counted by a process that was killed before it looked.
        """
        now = now_or(now_ns)
        self._shard()
        memory, control, settings = self._memory, self._memory.control, self._memory.settings
        if settings is None:
            return 0
        if memory.since[0] != control.generation:
            # Whoever changed the state was killed before it said when: it is now, at the latest.
            memory.since = (control.generation, tick_of(now))
        if control.counts:
            self._evaluate(settings, now)
        if control.state != State.HALF_OPEN:
            return 0
        released = 0
        for index in range(control.probes.issued):
            if memory.control.generation != control.generation:
                return released  # one of them was decisive
            if control.probes.is_out(index):
                released += self._reap_permit(index, control, settings, now, alive or is_alive)
        if memory.control.generation == control.generation:
            stayed = tick_of(now) - memory.since[1]
            if stayed > tick_of(settings.max_stay_ns):
                after = memory.control.opened(control.attempt + 1, settings, now)
                self._change(after, Cause.MAX_STAY, now)
        return released

    def _reap_permit(
        self, index: int, control: Control, settings: BreakerSettings, now: int, alive: Alive
    ) -> bool:
        """Take one permit back if its owner will not; return whether it did.

        Its event has the word that the reaper began with, `control`.
        """
        memory, owner = self._memory, self._memory.owners[index]
        if owner is None or owner.generation != control.generation:
            # It was killed before it could say who it is, or is just about to.
            missed_in, missed_at = memory.missing[index]
            if missed_in != control.generation:
                memory.missing[index] = (control.generation, tick_of(now))
                return False
            if tick_of(now) <= missed_at + tick_of(ORPHAN_NS):
                return False
            self._finish(index, None, settings, now)
            return True
        if not alive(owner.pid, owner.started):
            kind, ok = EventKind.OWNER_DIED, None
        elif now > owner.lease_ns:
            kind, ok = EventKind.LEASE_EXPIRED, False
        else:
            return False
        self._participant.tell(self._event(now, kind, Cause.NONE, control, control))
        self._finish(index, ok, settings, now)
        return True

    # --- by hand ----------------------------------------------------------------------------

    def initialise(self, now_ns: int | None = None) -> bool:
        """Close a breaker that was never in use; False if it was."""
        return self._by_hand(Trigger.INITIALISE, now_or(now_ns))

    def reset(self, now_ns: int | None = None, *, actor: str, reason: str) -> bool:
        """Close it, whatever it is, with empty windows."""
        return self._by_hand(Trigger.RESET, now_or(now_ns), _texts(actor, reason))

    def trip(self, now_ns: int | None = None, *, actor: str, reason: str) -> bool:
        """Open it, or put off its deadline; False if that would be earlier."""
        return self._by_hand(Trigger.TRIP, now_or(now_ns), _texts(actor, reason))

    def force_open(self, now_ns: int | None = None, *, actor: str, reason: str) -> bool:
        """Open it until it is reset; False if it is."""
        return self._by_hand(Trigger.FORCE_OPEN, now_or(now_ns), _texts(actor, reason))

    def disable(self, now_ns: int | None = None, *, actor: str, reason: str) -> bool:
        """Let all through and count nothing; False if it does."""
        return self._by_hand(Trigger.DISABLE, now_or(now_ns), _texts(actor, reason))

    def metrics_only(self, now_ns: int | None = None, *, actor: str, reason: str) -> bool:
        """Let all through and count; False if it does."""
        return self._by_hand(Trigger.METRICS_ONLY, now_or(now_ns), _texts(actor, reason))

    def _by_hand(self, trigger: Trigger, now: int, texts: tuple[bytes, bytes] = (b"", b"")) -> bool:
        self._shard()
        control, settings = self._memory.control, self._memory.settings
        if settings is None and trigger != Trigger.FORCE_OPEN:
            raise BreakerError(f"breaker {self.name!r} has no settings yet; configure it first")
        what = trigger.name.lower().replace("_", "-")
        lessens = trigger in (Trigger.DISABLE, Trigger.METRICS_ONLY)
        is_live = self._participant.memory.limits.live
        if lessens and is_live and settings is not None and settings.critical:
            raise BreakerError(
                f"breaker {self.name!r} is critical, so {what} is refused in live mode; halt the "
                "run instead"
            )
        after = control.by_hand(trigger, settings, now)
        if after == Refusal.NOTHING_TO_DO:
            return False
        if not isinstance(after, Control):
            raise BreakerError(
                f"breaker {self.name!r} was {control.state.name}, in which {what} is not possible; "
                "reset it first"
            )
        self._change(after, _CAUSES[trigger], now, self.counts(now), texts)
        return True

    def configure(self, settings: BreakerSettings, now_ns: int | None = None) -> None:
        """Replace the settings. The state stays; windows begin anew if they are others now."""
        now = now_or(now_ns)
        self._shard()
        memory = self._memory
        old = memory.settings
        if old is None or (old.window, old.window_ns, old.window_calls) != (
            settings.window,
            settings.window_ns,
            settings.window_calls,
        ):
            memory.window_version += 1
        memory.settings = settings
        memory.settings_version += 1
        control = memory.control
        self._participant.tell(
            self._event(now, EventKind.RELOADED, Cause.RELOADED, control, control)
        )
        self._participant.memory.changes += 1

    # --- what all of them need --------------------------------------------------------------

    def _shard(self) -> Shard:
        if self._participant.shard is None:
            raise BreakerError(
                f"breaker {self.name!r} belongs to one who only looks, and cannot be changed; "
                "attach the group without observe=True"
            )
        return self._memory.shards[self._participant.shard]

    def _add_to_totals(self, outcome: Outcome) -> None:
        totals = self._shard().totals
        totals["failed" if outcome.failed else "succeeded"] += 1
        totals["slow"] += outcome.slow

    def _change(
        self,
        after: Control,
        cause: Cause,
        now: int,
        figures: Counts | None = None,
        texts: tuple[bytes, bytes] = (b"", b""),
    ) -> None:
        """Change the state, and tell of it afterwards."""
        before = self._memory.control
        self._memory.control = after
        self._memory.since = (after.generation, tick_of(now))
        event = self._event(now, EventKind.TRANSITION, cause, before, after, figures)
        event["actor"], event["reason"] = texts
        self._participant.tell(event)
        self._shard().last = event
        self._participant.memory.changes += 1

    def _event(
        self,
        now: int,
        kind: EventKind,
        cause: Cause,
        before: Control,
        after: Control,
        figures: Counts | None = None,
    ) -> Event:
        event = new_event(
            now,
            kind,
            cause=cause,
            before=before.word,
            after=after.word,
            breaker=self.index,
            settings_version=self._memory.settings_version,
        )
        if figures is not None:
            for field in ("calls", "failures", "slow", "consecutive"):
                event[field] = getattr(figures, field)
        return event


def _texts(actor: str, reason: str) -> tuple[bytes, bytes]:
    for what, text in (("actor", actor), ("reason", reason)):
        if not text:
            raise BreakerError(f"{what} was empty, must say who changes a breaker by hand, and why")
    return actor.encode()[:ACTOR_BYTES], reason.encode()[:REASON_BYTES]
