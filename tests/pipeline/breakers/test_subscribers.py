"""Subscribers, each with its own ways to fail, and what the others notice of it: nothing."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from pipeline.breakers.subscribers import (
    QUARANTINE,
    Continuity,
    Event,
    Subscribers,
    generation_of,
)
from shm import BREAKER_EVENT, Cause, EventKind, GlobalState, State

PATIENCE_S = 30.0


def word(generation: int, state: State = State.CLOSED, payload: int = 0) -> int:
    return state << 61 | generation << 37 | payload


def event(
    before: int = 1, after: int = 2, *, kind: EventKind = EventKind.TRANSITION, breaker: int = 0
) -> Event:
    made = np.zeros(1, BREAKER_EVENT)
    made["kind"] = kind
    made["before"] = word(before)
    made["after"] = word(after, State.OPEN)
    made["breaker"] = breaker
    made["time_ns"] = after * 1000
    made["cause"] = Cause.CONSECUTIVE
    first: Event = made[0]
    return first


class Hearer:
    """Keeps what it is given, for a test that waits for it."""

    def __init__(self) -> None:
        self.heard: queue.Queue[Event] = queue.Queue()

    def __call__(self, event: Event) -> None:
        self.heard.put(event)

    def next(self) -> int:
        return generation_of(int(self.heard.get(timeout=PATIENCE_S)["after"]))


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def subscribers(said: list[str]) -> Iterator[Subscribers]:
    made = Subscribers(said.append)
    yield made
    assert made.close(PATIENCE_S) == []


def test_every_subscriber_hears_every_event_in_order(subscribers: Subscribers) -> None:
    first, second = Hearer(), Hearer()
    subscribers.add("first", first)
    subscribers.add("second", second)
    for generation in range(2, 50):
        subscribers.publish(event(generation - 1, generation))
    for hearer in (first, second):
        assert [hearer.next() for _ in range(48)] == list(range(2, 50))


def test_a_name_is_given_once(subscribers: Subscribers) -> None:
    subscribers.add("audit", Hearer())
    with pytest.raises(ValueError, match="subscriber was 'audit', must be another name"):
        subscribers.add("audit", Hearer())


def test_a_hanging_subscriber_holds_up_neither_publisher_nor_others(
    subscribers: Subscribers,
) -> None:
    released, entered = threading.Event(), threading.Event()

    def hang(event: Event) -> None:
        entered.set()
        released.wait(PATIENCE_S)

    other = Hearer()
    subscribers.add("hanging", hang, capacity=2)
    subscribers.add("other", other)
    subscribers.publish(event())
    assert entered.wait(PATIENCE_S)
    # Two wait, the newest are dropped and counted by kind.
    for _ in range(4):
        subscribers.publish(event())
    subscribers.publish(event(kind=EventKind.WOULD_TRIP))
    for _ in range(6):
        other.next()
    figures = subscribers.figures()["hanging"]
    assert (figures.delivered, figures.waiting) == (0, 2)
    assert figures.dropped == {"TRANSITION": 2, "WOULD_TRIP": 1}
    assert "hanging" in subscribers.close(0.0)
    released.set()
    assert subscribers.close(PATIENCE_S) == []
    assert subscribers.figures()["hanging"].delivered == 3


def raising() -> None:
    raise ValueError("bad [event]")


def leaving() -> None:
    sys.exit(3)


@pytest.mark.parametrize("failing", [raising, leaving])
def test_ten_exceptions_in_a_row_are_quarantine_said_once(
    failing: Callable[[], None], subscribers: Subscribers, said: list[str]
) -> None:
    other = Hearer()
    subscribers.add("failing", lambda _: failing())
    subscribers.add("other", other)
    for _ in range(QUARANTINE + 5):
        subscribers.publish(event())
        other.next()
    assert subscribers.close(PATIENCE_S) == []
    figures = subscribers.figures()["failing"]
    assert figures.quarantined
    assert (figures.exceptions, figures.delivered) == (QUARANTINE, 0)
    assert figures.waiting + sum(figures.dropped.values()) >= 5
    assert len(said) == 1
    assert said[0].startswith("subscriber 'failing' of the breakers failed 10 times in a row, ")
    assert not subscribers.figures()["other"].quarantined


def test_one_success_begins_the_count_of_exceptions_anew(subscribers: Subscribers) -> None:
    turn = 0

    def often_failing(event: Event) -> None:
        nonlocal turn
        turn += 1
        if turn % QUARANTINE:
            raising()

    subscribers.add("often failing", often_failing)
    for _ in range(4 * QUARANTINE):
        subscribers.publish(event())
    assert subscribers.close(PATIENCE_S) == []
    figures = subscribers.figures()["often failing"]
    assert not figures.quarantined
    assert (figures.delivered, figures.exceptions) == (4, 4 * (QUARANTINE - 1))


def test_whoever_cannot_even_be_reported_harms_nobody() -> None:
    def report(text: str) -> None:
        raise OSError("nobody reads")

    subscribers = Subscribers(report)
    subscribers.add("failing", lambda _: raising())
    for _ in range(QUARANTINE):
        subscribers.publish(event())
    assert subscribers.close(PATIENCE_S) == []
    assert subscribers.figures()["failing"].quarantined


def test_idle_is_called_without_events_and_at_the_end(subscribers: Subscribers) -> None:
    idle = queue.Queue[str]()
    subscribers.add("idle", Hearer(), idle=lambda: idle.put("idle"), idle_s=0.001)
    for _ in range(3):
        assert idle.get(timeout=PATIENCE_S) == "idle"
    subscribers.add("last", Hearer(), idle=lambda: idle.put("last"), idle_s=3600.0)
    assert subscribers.close(PATIENCE_S) == []
    assert "last" in list(idle.queue)


def test_what_is_queued_at_the_end_is_delivered_and_what_comes_later_is_dropped(
    subscribers: Subscribers,
) -> None:
    hearer = Hearer()
    subscribers.add("hearer", hearer)
    for _ in range(5):
        subscribers.publish(event())
    assert subscribers.close(PATIENCE_S) == []
    subscribers.publish(event())
    figures = subscribers.figures()["hearer"]
    assert (figures.delivered, figures.dropped) == (5, {"TRANSITION": 1})


def told(events: list[Event]) -> list[tuple[int, int, str]]:
    """Return the generations and the cause of each."""
    return [
        (
            generation_of(int(each["before"])),
            generation_of(int(each["after"])),
            Cause(int(each["cause"])).name,
        )
        for each in events
    ]


def test_events_without_a_gap_are_handed_on_as_they_are() -> None:
    continuity = Continuity([word(1)])
    events = [event(1, 2), event(2, 2, kind=EventKind.WOULD_TRIP), event(2, 3)]
    assert list(continuity.fill(events)) == events
    assert continuity.look([word(3)], 1) == continuity.look([word(3)], 2) == []


def test_a_gap_is_filled_from_the_state_words_before_the_next_event() -> None:
    continuity = Continuity([word(1), word(7)])
    events = list(continuity.fill([event(7, 8, breaker=1), event(4, 5)]))
    assert told(events) == [(7, 8, "CONSECUTIVE"), (1, 4, "NONE"), (4, 5, "CONSECUTIVE")]
    assert int(events[1]["breaker"]) == 0
    assert int(events[1]["after"]) == word(4)
    assert int(events[1]["time_ns"]) == int(events[2]["time_ns"])
    assert b"lost" in bytes(events[1]["reason"])


def test_an_event_that_comes_after_its_gap_was_filled_is_handed_on_alone() -> None:
    continuity = Continuity([word(1)])
    assert len(list(continuity.fill([event(2, 3)]))) == 2
    assert told(list(continuity.fill([event(1, 2)]))) == [(1, 2, "CONSECUTIVE")]
    assert told(list(continuity.fill([event(3, 4)]))) == [(3, 4, "CONSECUTIVE")]


def test_a_change_that_nobody_tells_of_is_told_at_the_second_look() -> None:
    continuity = Continuity([word(1), word(1)])
    words = [word(1), word(3, State.OPEN)]
    assert continuity.look(words, 10) == []
    found = continuity.look(words, 20)
    assert told(found) == [(1, 3, "NONE")]
    assert (int(found[0]["breaker"]), int(found[0]["time_ns"])) == (1, 20)
    assert continuity.look(words, 30) == []


def test_a_change_whose_event_comes_between_two_looks_is_not_told_twice() -> None:
    continuity = Continuity([word(1)])
    assert continuity.look([word(2)], 10) == []
    assert len(list(continuity.fill([event(1, 2)]))) == 1
    assert continuity.look([word(2)], 20) == []


def test_probes_change_the_word_but_are_no_transition() -> None:
    continuity = Continuity([word(5, State.HALF_OPEN)])
    probing = [word(5, State.HALF_OPEN, payload=1 << 32)]
    assert continuity.look(probing, 10) == continuity.look(probing, 20) == []


def test_generations_begin_again_at_zero() -> None:
    last = (1 << 20) - 1
    continuity = Continuity([word(last)])
    assert told(list(continuity.fill([event(last, 0)]))) == [(last, 0, "CONSECUTIVE")]
    assert told(list(continuity.fill([event(2, 3)]))) == [(0, 2, "NONE"), (2, 3, "CONSECUTIVE")]


def test_a_change_of_the_global_state_that_nobody_told_of_is_told_once() -> None:
    continuity = Continuity([])
    assert continuity.look([], 10, GlobalState.CLOSED) == []
    (found,) = continuity.look([], 20, GlobalState.DEGRADED)
    assert int(found["kind"]) == EventKind.GLOBAL
    assert (int(found["before"]), int(found["after"])) == (
        GlobalState.CLOSED,
        GlobalState.DEGRADED,
    )
    assert (int(found["breaker"]), int(found["cause"])) == (0xFFFF_FFFF, Cause.COMPONENTS)
    assert continuity.look([], 30, GlobalState.DEGRADED) == []
    (found,) = continuity.look([], 40, GlobalState.OPEN, latch=True)
    assert int(found["cause"]) == Cause.TRIPPED


def test_a_change_of_the_global_state_that_was_told_of_is_not_told_again() -> None:
    continuity = Continuity([])
    assert continuity.look([], 10, GlobalState.CLOSED) == []
    made = np.zeros(1, BREAKER_EVENT)
    made["kind"] = EventKind.GLOBAL
    made["before"], made["after"] = GlobalState.CLOSED, GlobalState.DEGRADED
    assert len(list(continuity.fill(made))) == 1
    assert continuity.look([], 20, GlobalState.DEGRADED) == []
