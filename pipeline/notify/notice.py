"""A notice: what has happened, in a sentence, for somebody who is not looking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["kill", "mode", "breaker", "stage"]
"""What it is about, as `notify.on` names it."""

Severity = Literal["info", "warning", "critical"]


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that has happened. Whoever does it, or sees it first, tells it, and nobody else.

    Attributes:
        text: In the words of the log.
        reason: Why, if somebody or something has given one.
        operator: Who did it by hand; empty if nobody did.
    """

    kind: Kind | Literal["test"]
    severity: Severity
    text: str
    reason: str = ""
    operator: str = ""


def to_nobody(notice: Notice) -> None:
    """Tell nobody."""
