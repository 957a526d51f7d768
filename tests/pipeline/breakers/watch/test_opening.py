"""What follows when the global breaker opens: once, each time that it does."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from pipeline.breakers.subscribers import Event
from pipeline.vocabulary import Mode
from shm import EventKind, GlobalState, State
from tests.pipeline.breakers.cast import MS, SECOND
from tests.pipeline.breakers.watch.stand import UNTIL_RESUMED, NewStand


def test_flatten_is_set_once_each_time_that_it_opens(new_stand: NewStand) -> None:
    stand = new_stand(on_open="flatten")
    stand.run(1750 * MS, silent=("risk",))
    assert stand.said[-1].endswith(f"; {UNTIL_RESUMED}")
    assert stand.word("mode") == Mode.REDUCED
    stand.cast.segment.words("run").store("mode", Mode.NORMAL)  # an operator goes on
    stand.run(SECOND)
    assert stand.word("mode") == Mode.NORMAL
    stand.run(31 * SECOND)
    assert "global breaker: open -> degraded: no breaker is open" in stand.said
    assert stand.states()["risk"] == State.CLOSED
    stand.run(1750 * MS, silent=("risk",))
    assert stand.word("mode") == Mode.REDUCED
    stand.run(31 * SECOND)
    assert f"global breaker: open -> degraded: no breaker is open; {UNTIL_RESUMED}" in stand.said


def test_halt_halts_with_the_reason(new_stand: NewStand) -> None:
    stand = new_stand(on_open="halt")
    stand.run(1750 * MS, silent=("risk",))
    assert stand.said[-1].endswith("; the run is halted")
    assert stand.halts == [
        "the global breaker opened: risk is open (age of the last heartbeat 1750 ms > 1500 ms)"
    ]


def test_a_halted_run_has_an_open_global_breaker(new_stand: NewStand) -> None:
    stand = new_stand(on_open="flatten")
    stand.cast.segment.words("run").store("halted", 1)
    stand.run()
    assert stand.group.latch
    assert stand.group.state(stand.cast.now) == GlobalState.OPEN
    assert stand.said == ["global breaker: closed -> open: the run is halted"]
    assert (stand.word("mode"), stand.halts) == (Mode.NORMAL, [])


def test_what_is_open_for_less_than_a_look_is_acted_on_once(new_stand: NewStand) -> None:
    stand = new_stand(on_open="flatten")
    risk = stand.breaker("risk")
    risk.trip(stand.cast.now + MS, actor="ann", reason="to see")
    risk.reset(stand.cast.now + 2 * MS, actor="ann", reason="seen")
    stand.run()
    assert stand.word("mode") == Mode.REDUCED
    assert stand.said[2:] == [
        f"global breaker: open for less than a look: risk was open; {UNTIL_RESUMED}"
    ]
    stand.cast.segment.words("run").store("mode", Mode.NORMAL)
    stand.run(SECOND)
    assert stand.word("mode") == Mode.NORMAL
    stand.breaker("orders.sim").force_open(stand.cast.now, actor="ann", reason="to see")
    stand.breaker("orders.sim").reset(stand.cast.now + MS, actor="ann", reason="seen")
    stand.run()
    assert stand.word("mode") == Mode.REDUCED
    assert "orders.sim was forced-open" in stand.said[-1]


def test_what_others_derived_in_between_is_acted_on_once(new_stand: NewStand) -> None:
    off = {"critical": False}
    stand = new_stand(on_open="halt", feed=off, orders=off, risk=off)
    names, now = ("ta", "ml", "risk"), stand.cast.now
    with contextlib.closing(stand.cast.segment.breakers("breakers")) as other:
        for name in names:
            stand.breaker(name).trip(now + MS, actor="ann", reason="to see")
        other.derive(now + 2 * MS)
        for name in names:
            stand.breaker(name).reset(now + 3 * MS, actor="ann", reason="seen")
        other.derive(now + 4 * MS)
        stand.run()
        (halted,) = stand.halts
        assert halted == "the global breaker opened: ta was open, ml was open, risk was open"
        stand.run(SECOND)
    assert len(stand.halts) == 1


def test_who_tells_late_of_an_opening_does_not_make_it_a_second_one(
    new_stand: NewStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand = new_stand(on_open="halt")
    fill, held = stand.watch._continuity.fill, list[Event]()

    def hold(events: Any) -> Any:
        held.extend(event for event in events if event["kind"] == EventKind.GLOBAL)
        return list(fill(event for event in events if event["kind"] != EventKind.GLOBAL))

    now, risk = stand.cast.now, stand.breaker("risk")
    with contextlib.closing(stand.cast.segment.breakers("breakers")) as other:
        risk.trip(now + MS, actor="ann", reason="to see")
        other.derive(now + 2 * MS)
        risk.reset(now + 3 * MS, actor="ann", reason="seen")
        other.derive(now + 4 * MS)
    monkeypatch.setattr(stand.watch._continuity, "fill", hold)
    stand.run()
    assert len(held) == 2
    monkeypatch.setattr(
        stand.watch._continuity, "fill", lambda events: list(fill([*held, *events]))
    )
    stand.run()
    assert stand.halts == ["the global breaker opened: risk was open"]


def test_what_is_open_when_the_look_ends_is_acted_on_once(
    new_stand: NewStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand = new_stand(on_open="halt")
    fill = stand.watch._continuity.fill

    def trip_late(events: Any) -> Any:
        # As if it came between the derivation and the reading of the events.
        found = list(fill(events))
        monkeypatch.undo()
        stand.breaker("risk").trip(stand.cast.now, actor="ann", reason="to see")
        return [*found, *fill(stand.group.events())]

    monkeypatch.setattr(stand.watch._continuity, "fill", trip_late)
    stand.run()
    assert stand.halts == ["the global breaker opened: risk is open"]
    stand.run(SECOND)
    assert len(stand.halts) == 1
    assert sum(said.startswith("global breaker") for said in stand.said) == 1


def test_a_component_that_is_not_critical_may_open_for_less_than_a_look(
    new_stand: NewStand,
) -> None:
    stand = new_stand(on_open="halt")
    stand.breaker("ta").trip(stand.cast.now, actor="ann", reason="to see")
    stand.breaker("ta").reset(stand.cast.now, actor="ann", reason="seen")
    stand.run()
    assert stand.halts == []
    told = [(each.kind, each.operator, each.reason) for each in stand.told]
    assert told == [("breaker", "ann", "to see"), ("breaker", "ann", "seen")]
