"""What the breakers' events say, in sentences for an operator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.breakers.audit import state_name
from pipeline.breakers.subscribers import Event
from shm import Cause, EventKind

_CAUSES = {
    Cause.COOLDOWN_OVER: "the cooldown is over, probes are let through",
    Cause.PROBES_SUCCEEDED: "its probes succeeded",
    Cause.PROBES_FAILED: "its probes failed",
    Cause.MAX_STAY: "its probes decided nothing for too long",
    Cause.NO_PROBES_LEFT: "all of its probes were used without a decision",
}


def readable(state: str) -> str:
    """Return the name of a state as people read it."""
    return state.replace("_", "-")


def state_of(word: int) -> str:
    """Return the state in a state word as people read it."""
    return readable(state_name(word))


def dropped(counts: Mapping[str, Mapping[str, int]]) -> str | None:
    """Return which events were dropped; None if none was.

    Args:
        counts: By who dropped them, then by kind.
    """
    said = [
        f"{who} dropped "
        + ", ".join(f"{count} of kind {kind.lower()}" for kind, count in kinds.items() if count)
        for who, kinds in counts.items()
        if any(kinds.values())
    ]
    return f"events of the breakers are missing: {'; '.join(said)}" if said else None


def sentence(event: Event, names: Sequence[str], wrong: str) -> str | None:
    """Return what an event says; None if that is of no interest.

    Args:
        event: A record of `shm.BREAKER_EVENT`; those of the global state say nothing here.
        names: Of the breakers, in their order.
        wrong: What was wrong with the component in the generation that the event ended, if known.
    """
    kind, cause = EventKind(int(event["kind"])), Cause(int(event["cause"]))
    if kind is EventKind.GLOBAL or cause is Cause.INITIALISED:
        return None
    subject = f"breaker {names[int(event['breaker'])]}"
    if kind is EventKind.RELOADED:
        return f"{subject} has new settings"
    if kind is EventKind.LEASE_EXPIRED:
        return f"{subject}: a probe has outlived its lease, and counts as failed"
    if kind is EventKind.OWNER_DIED:
        return f"{subject}: the process that had a probe died, and the probe does not count"
    why = _why(event, cause)
    if wrong and cause not in (Cause.COOLDOWN_OVER, Cause.PROBES_SUCCEEDED) and not event["actor"]:
        why = f"{wrong} ({why})"
    if kind is EventKind.WOULD_TRIP:
        return f"{subject} would open, if it were not for metrics only: {why}"
    return f"{subject}: {state_of(event['before'])} -> {state_of(event['after'])}: {why}"


def _why(event: Event, cause: Cause) -> str:
    calls, failures, slow = (int(event[name]) for name in ("calls", "failures", "slow"))
    if cause is Cause.CONSECUTIVE:
        return f"{int(event['consecutive'])} consecutive failures"
    if cause is Cause.FAILURE_RATE:
        return f"{failures} of {calls} calls failed"
    if cause is Cause.SLOW_RATE:
        return f"{slow} of {calls} calls were slow"
    reason = bytes(event["reason"]).decode(errors="replace")
    if event["actor"]:
        return f"{reason} (by {bytes(event['actor']).decode(errors='replace')})"
    return _CAUSES.get(cause, reason)
