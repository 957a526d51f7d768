"""Events: what is told of a change, what is dropped, and how a gap can be seen."""

from __future__ import annotations

import numpy as np
import pytest

from shm import BREAKER_EVENT, BreakersSpec, Layout, RoleTakenError, Segment, WordsSpec
from shm.breaker_types import Cause, EventKind, State
from shm.layout import structure
from shm.reference.breaker_memory import EVENTS
from shm.reference.breaker_word import Control
from tests.shm.breaker.desk import ALIVE, MS, NAMES, WHO, Desk, settings


def test_the_record_is_the_native_one() -> None:
    native = structure("BreakerEvent")
    assert BREAKER_EVENT.itemsize == native.itemsize == 256
    assert BREAKER_EVENT.fields is not None
    assert native.fields is not None
    places = {name: (field[0], field[1]) for name, field in BREAKER_EVENT.fields.items()}
    for name, field in native.fields.items():
        assert places[name][1] == field[1], name
        assert places[name][0].itemsize == field[0].itemsize, name
    assert set(places) == set(native.fields)


def test_a_transition_is_told_with_its_figures(desk: Desk) -> None:
    breaker = desk.closed("orders", consecutive=0, failure_bp=5_000, slow_bp=10_000, slow_ns=MS)
    before = breaker.word
    desk.now += MS
    desk.calls(breaker, 2, duration_ns=2 * MS)
    desk.fail(breaker, 2)
    (event,) = desk.events()
    assert event["time_ns"] == desk.now
    assert (event["before"], event["after"]) == (before, breaker.word)
    assert (event["breaker"], event["pid"]) == (NAMES.index("orders"), ALIVE[0])
    assert (event["kind"], event["cause"]) == (EventKind.TRANSITION, Cause.FAILURE_RATE)
    assert event[["calls", "failures", "slow", "consecutive"]].tolist() == (4, 2, 2, 2)
    assert event["settings_version"] == 1
    assert (event["actor"], event["reason"]) == (b"", b"")


def test_an_act_by_hand_is_told_with_who_and_why(desk: Desk) -> None:
    breaker = desk.closed()
    breaker.disable(desk.now, actor="an operator", reason="maintenance")
    (event,) = desk.events()
    assert (event["actor"], event["reason"]) == (b"an operator", b"maintenance")


def test_the_last_transition_can_be_looked_up(desk: Desk) -> None:
    breaker = desk.closed()
    for participant in (1, 2, 0):
        desk.now += MS
        desk.breaker(participant=participant).reset(desk.now, **WHO)
        last = breaker.last()
        assert last.dtype == BREAKER_EVENT
        assert (last["time_ns"], last["after"]) == (desk.now, breaker.word)
    # It is not taken away by who reads the events.
    assert len(desk.events()) == 3
    assert breaker.last()["cause"] == Cause.RESET
    assert desk.breaker("ta").last() is None


def test_an_event_is_read_once(desk: Desk) -> None:
    desk.closed().reset(desk.now, **WHO)
    assert len(desk.events()) == 1
    events = desk.events()
    assert len(events) == 0
    assert events.dtype == BREAKER_EVENT


def test_events_of_all_participants_come_in_order_of_time(desk: Desk) -> None:
    desk.closed()
    for participant in (2, 0, 1, 2, 1):
        desk.now += MS
        desk.breaker(participant=participant).reset(desk.now, **WHO)
    events = desk.events()
    assert len(events) == 5
    assert (np.diff(events["time_ns"]) == MS).all()
    generations = [Control.of(int(event["after"])).generation for event in events]
    assert generations == [2, 3, 4, 5, 6]


def test_at_most_so_many_are_taken(desk: Desk) -> None:
    breaker = desk.closed()
    for _ in range(5):
        breaker.reset(desk.now, **WHO)
    sequences = [desk.group().events(2)["sequence"].tolist() for _ in range(4)]
    assert [len(each) for each in sequences] == [2, 2, 1, 0]
    assert desk.group().events(0).tolist() == []


def test_a_full_ring_drops_the_newest_and_counts_them_by_kind(desk: Desk) -> None:
    breaker = desk.closed()
    assert desk.group().drops() == dict.fromkeys(EventKind, 0)
    for _ in range(EVENTS + 5):
        breaker.reset(desk.now, **WHO)
    breaker.configure(settings(), desk.now)
    desk.breaker(participant=1).reset(desk.now, **WHO)
    drops = desk.group().drops()
    assert drops == dict.fromkeys(EventKind, 0) | {
        EventKind.TRANSITION: 5,
        EventKind.RELOADED: 1,
    }
    assert len(desk.events()) == EVENTS + 1
    breaker.reset(desk.now, **WHO)
    assert len(desk.events()) == 1
    assert desk.group().drops() == drops


def test_what_was_dropped_can_be_seen_in_sequences_and_generations(desk: Desk) -> None:
    breaker = desk.closed()
    for _ in range(EVENTS + 3):
        breaker.reset(desk.now, **WHO)
    last = desk.events()[-1]
    breaker.reset(desk.now, **WHO)
    (event,) = desk.events()
    assert event["sequence"] == last["sequence"] + 4
    known, began_from = Control.of(int(last["after"])), Control.of(int(event["before"]))
    assert began_from.generation == known.generation + 3
    # The state word itself is never missed.
    assert breaker.word == event["after"]


def test_who_is_killed_before_telling_leaves_a_gap_of_generations(desk: Desk) -> None:
    breaker = desk.closed()
    told = breaker.last()["after"]
    desk.put_word(breaker.word + (1 << 37))
    breaker.reset(desk.now, **WHO)
    (event,) = desk.events()
    before = Control.of(int(event["before"]))
    assert before.generation == Control.of(int(told)).generation + 1
    assert before.state == State.CLOSED


def test_the_global_state_is_told_when_it_changes(desk: Desk) -> None:
    group = desk.group()
    group.derive(desk.now)
    group.derive(desk.now)
    (event,) = desk.events()
    assert (event["kind"], event["cause"]) == (EventKind.GLOBAL, Cause.COMPONENTS)
    assert event["breaker"] == 0xFFFF_FFFF
    assert (event["before"], event["after"]) == (0, 3)


def test_one_process_at_a_time_reads_events(name: str) -> None:
    with Segment.create(name, Layout(BreakersSpec("b", NAMES), WordsSpec("w", ("x",)))) as segment:
        one, other = segment.breakers("b"), segment.breakers("b")
        one.events()
        with pytest.raises(RoleTakenError):
            other.events()
        one.close()
        assert len(other.events()) == 0
