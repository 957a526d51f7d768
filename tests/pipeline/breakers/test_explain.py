"""What the breakers' events say to an operator."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.breakers.explain import dropped, sentence
from pipeline.breakers.subscribers import Event
from shm import BREAKER_EVENT, Cause, EventKind, State


def event(kind: EventKind, cause: Cause = Cause.NONE, **fields: int) -> Event:
    made = np.zeros(1, BREAKER_EVENT)
    made["kind"], made["cause"] = kind, cause
    made["before"], made["after"] = State.CLOSED << 61, State.OPEN << 61
    for name, value in fields.items():
        made[name] = value
    first: Event = made[0]
    return first


@pytest.mark.parametrize(
    ("told", "wrong", "said"),
    [
        (
            event(EventKind.TRANSITION, Cause.FAILURE_RATE, calls=12, failures=7),
            "it is ill",
            "breaker a: closed -> open: it is ill (7 of 12 calls failed)",
        ),
        (
            event(EventKind.TRANSITION, Cause.MAX_STAY),
            "",
            "breaker a: closed -> open: its probes decided nothing for too long",
        ),
        (
            event(EventKind.TRANSITION, Cause.NO_PROBES_LEFT),
            "",
            "breaker a: closed -> open: all of its probes were used without a decision",
        ),
        (
            event(EventKind.WOULD_TRIP, Cause.CONSECUTIVE, consecutive=5),
            "it is ill",
            (
                "breaker a would open, if it were not for metrics only: it is ill (5 consecutive "
                "failures)"
            ),
        ),
        (event(EventKind.RELOADED, Cause.RELOADED), "", "breaker a has new settings"),
        (event(EventKind.TRANSITION, Cause.INITIALISED), "", None),
        (event(EventKind.GLOBAL, Cause.COMPONENTS, breaker=0xFFFF_FFFF), "", None),
    ],
)
def test_an_event_is_told_in_a_sentence(told: Event, wrong: str, said: str | None) -> None:
    assert sentence(told, ("a", "b"), wrong) == said


def test_what_was_dropped_is_told_by_whom_and_of_which_kinds() -> None:
    assert dropped({}) is None
    assert dropped({"full rings": {"transition": 0}, "the queue of 'audit'": {}}) is None
    counts = {"full rings": {"GLOBAL": 2, "TRANSITION": 0}, "the queue": {"a": 1, "b": 3}}
    assert dropped(counts) == (
        "events of the breakers are missing: full rings dropped 2 of kind global; the queue "
        "dropped 1 of kind a, 3 of kind b"
    )
