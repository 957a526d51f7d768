"""What an operator does beside a run, or without one, is told by his own command."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from pipeline.kill.by_hand import Changed, attached
from pipeline.notify.notice import Notice, Severity
from pipeline.notify.notifier import Notifier


def tell_changed(
    config: Mapping[str, Any],
    done: Changed,
    actor: str,
    reason: str,
    report: Callable[[str], None],
) -> None:
    """Tell that an operator has changed the mode, if he has, and wait until that is told.

    Args:
        config: The resolved configuration.
        done: What came of it.
        actor: Who did it.
        reason: Why.
        report: Given a sentence if it could not be told.
    """
    if done.before is done.after:
        return
    said = f"mode: {done.before.label} -> {done.after.label}: {reason} (by {actor})"
    severity: Severity = "warning" if done.after > done.before else "info"
    with (
        Notifier(config, report) as notifier,
        attached(config["name"]) as segment,
        contextlib.nullcontext() if segment is None else notifier.of(segment, borrows=True),
    ):
        notifier.tell(Notice("mode", severity, said, reason, actor))
