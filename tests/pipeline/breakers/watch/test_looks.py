"""What each look counts, and when nobody is judged by one."""

from __future__ import annotations

import contextlib

import pytest

from pipeline import topology
from pipeline.vocabulary import Mode
from shm import EventKind, GlobalState, State
from tests.pipeline.breakers.cast import MS, SECOND, Cast
from tests.pipeline.breakers.watch.stand import LOOK, NewStand, Stand


def test_at_the_beginning_all_are_closed_and_nothing_is_said(cast: Cast) -> None:
    stand = Stand(cast)
    assert set(stand.states().values()) == {State.CLOSED}
    assert stand.group.state(cast.now) == GlobalState.CLOSED
    assert stand.said == []
    kinds = [EventKind(int(event["kind"])) for event in stand.events]
    assert kinds.count(EventKind.TRANSITION) == len(stand.group.names)


def test_who_has_not_begun_is_neither_well_nor_sick(cast: Cast) -> None:
    stand = Stand(cast)
    for _ in range(100):
        cast.now += LOOK
        stand.watch.tick(cast.now)
    assert set(stand.states().values()) == {State.CLOSED}
    assert all(not any(stand.breaker(name).totals().values()) for name in stand.group.names)


def test_each_look_is_a_call_to_all_but_the_storage(new_stand: NewStand) -> None:
    stand = new_stand()
    stand.run(SECOND)
    calls = {name: stand.breaker(name).counts(stand.cast.now).calls for name in stand.group.names}
    assert calls == dict.fromkeys(stand.group.names, 21) | {"storage": 0}


def test_a_late_look_counts_for_nobody_and_is_told_once_with_its_figure(
    new_stand: NewStand,
) -> None:
    stand = new_stand()
    calls = stand.breaker("ta").counts(stand.cast.now).calls
    for slept in (1250 * MS, 700 * MS):  # the second is of the same occurrence
        stand.cast.now += slept
        stand.watch.tick(stand.cast.now)
    assert stand.breaker("ta").counts(stand.cast.now).calls == calls
    late = "the supervisor looked 1250 ms after its last look, later than 500 ms: no component is"
    assert stand.said == [f"{late} judged by that"]
    stand.run(SECOND)
    assert stand.breaker("ta").counts(stand.cast.now).calls == calls + 20
    stand.cast.now += 5 * SECOND
    stand.watch.tick(stand.cast.now)
    late = late.replace("1250", "5000")
    assert stand.said[1:] == [f"{late} judged by that; new risk was refused meanwhile"]


@pytest.mark.parametrize("judge", [True, False])
def test_without_looks_the_global_one_is_open_and_that_alone_closes_no_position(
    new_stand: NewStand, judge: bool
) -> None:
    stand = new_stand(on_open="flatten")
    stand.run(5 * SECOND, judge=judge)
    with contextlib.closing(stand.cast.segment.breakers("breakers")) as other:
        assert other.derive(stand.cast.now + 2 * SECOND) == GlobalState.CLOSED
        stand.cast.now += 2 * SECOND + LOOK
        assert other.derive(stand.cast.now) == GlobalState.OPEN
        stand.cast.now += LOOK
        stand.watch.tick(stand.cast.now, judge=judge)
        assert other.derive(stand.cast.now) == GlobalState.CLOSED
    assert (stand.word("mode"), stand.halts) == (Mode.NORMAL, [])
    assert not any(said.startswith("global breaker") for said in stand.said)


def test_a_run_that_is_gone_on_with_is_not_open_because_nobody_has_looked_for_long(
    new_stand: NewStand,
) -> None:
    stand = new_stand(on_open="halt")
    stand.group.close()
    stand.cast.now += 60 * SECOND
    with contextlib.closing(stand.cast.segment.breakers("breakers")) as other:
        assert other.derive(stand.cast.now) == GlobalState.OPEN  # a stage, before it was killed
    stand.cast.now += LOOK
    stand.resume(killed=True)
    assert (stand.said, stand.halts) == ([], [])
    stand.run(SECOND)
    assert stand.halts == []


def test_while_a_run_is_drained_silence_is_no_illness_but_the_rest_goes_on(
    new_stand: NewStand,
) -> None:
    stand = new_stand()
    stand.breaker("ta").trip(stand.cast.now, actor="ann", reason="to see")
    stand.run(10 * SECOND, silent=topology.PIPELINE, judge=False)
    assert stand.said == ["breaker ta: closed -> open: to see (by ann)"]
    assert stand.group.state(stand.cast.now) == GlobalState.DEGRADED
