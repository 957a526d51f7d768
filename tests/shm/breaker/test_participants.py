"""Who may take part, and who may only look."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from shm import BreakerError, BreakersSpec, Layout, LayoutError, RoleTakenError, Segment, ShmError
from shm.breaker_types import PARTICIPANTS, GlobalState, State
from shm.host import process_start
from tests.shm.breaker.desk import NAMES, WHO, Desk, settings


def test_a_group_knows_its_breakers(desk: Desk) -> None:
    group = desk.group()
    assert group.names == NAMES
    assert [group.breaker(name).index for name in NAMES] == [0, 1, 2]
    assert [group.breaker(name).name for name in NAMES] == list(NAMES)
    assert [desk.group(index).shard for index in range(3)] == [0, 1, 2]
    with pytest.raises(ShmError, match="'risk'"):
        group.breaker("risk")


def test_new_breakers_are_uninit(desk: Desk) -> None:
    breaker = desk.breaker()
    assert (breaker.word, breaker.state, breaker.generation, breaker.attempt) == (0, 0, 0, 0)
    assert type(breaker.state) is State
    assert (breaker.deadline_ns, breaker.in_flight) == (0, 0)
    assert breaker.probes() is None
    assert breaker.last() is None
    assert set(breaker.totals().values()) == {0}
    assert breaker.counts(desk.now)[:4] == (0, 0, 0, 0)


WRITES: dict[str, Callable[[Any, Any], object]] = {
    "acquire": lambda _, breaker: breaker.acquire(1),
    "fail_once": lambda _, breaker: breaker.fail_once(1),
    "reap": lambda _, breaker: breaker.reap(1),
    "configure": lambda _, breaker: breaker.configure(settings(), 1),
    "initialise": lambda _, breaker: breaker.initialise(1),
    "reset": lambda _, breaker: breaker.reset(1, **WHO),
    "trip": lambda _, breaker: breaker.trip(1, **WHO),
    "force_open": lambda _, breaker: breaker.force_open(1, **WHO),
    "disable": lambda _, breaker: breaker.disable(1, **WHO),
    "metrics_only": lambda _, breaker: breaker.metrics_only(1, **WHO),
    "limits": lambda group, _: group.limits(1, 5_000, 3_500),
    "set_latch": lambda group, _: group.set_latch(True),
    "events": lambda group, _: group.events(),
}


@pytest.mark.parametrize("call", [*WRITES, "complete"])
def test_who_only_looks_changes_nothing(desk: Desk, call: str) -> None:
    breaker = desk.closed()
    permit = breaker.acquire(desk.now)
    word, totals = breaker.word, breaker.totals()
    observer = desk.observer()
    assert observer.shard == -1
    seen = observer.breaker("feed")
    with pytest.raises(BreakerError, match="observe"):
        if call == "complete":
            seen.complete(permit, True, 1)
        else:
            WRITES[call](observer, seen)
    assert (breaker.word, breaker.totals()) == (word, totals)
    assert desk.group().latch is False


def test_who_only_looks_sees_everything(desk: Desk) -> None:
    breaker = desk.closed()
    desk.fail(breaker)
    observer = desk.observer()
    seen = observer.breaker("feed")
    assert (seen.word, seen.state, seen.since_ns) == (breaker.word, State.CLOSED, desk.now)
    assert seen.counts(desk.now) == breaker.counts(desk.now)
    assert seen.totals() == breaker.totals()
    assert seen.last() == breaker.last()
    assert observer.drops() == desk.group().drops()
    assert observer.view(desk.now) == (GlobalState.OPEN, 0b110, 0)


def test_a_process_that_is_only_waited_for_is_dead(desk: Desk) -> None:
    breaker, _ = desk.half_open(probes=2, lease_ns=3600 * 10**9)
    child = subprocess.Popen(["sleep", "60"])  # any program
    try:
        started = process_start(child.pid)
        assert breaker.acquire(desk.now, (child.pid, started))
        assert breaker.reap(desk.now) == 0
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert process_start(child.pid) == started  # its entry is still there
        assert breaker.reap(desk.now) == 1
    finally:
        child.kill()
        child.wait()


def test_the_first_participants_shard_is_free_again_after_it(name: str) -> None:
    with Segment.create(name, Layout(BreakersSpec("breakers", NAMES))) as segment:
        groups = [segment.breakers("breakers") for _ in range(PARTICIPANTS)]
        assert [group.shard for group in groups] == list(range(PARTICIPANTS))
        with pytest.raises(RoleTakenError, match="16 shards"):
            segment.breakers("breakers")
        assert segment.breakers("breakers", observe=True).shard == -1
        groups[3].close()
        assert segment.breakers("breakers").shard == 3


def test_what_a_participant_counted_stays_when_it_ends(name: str) -> None:
    with Segment.create(name, Layout(BreakersSpec("breakers", NAMES))) as segment:
        one, other = segment.breakers("breakers"), segment.breakers("breakers")
        breaker = other.breaker("feed")
        breaker.configure(settings(), 10**12)
        breaker.initialise(10**12)
        one.breaker("feed").fail_once(10**12)
        one.close()
        segment.breakers("breakers").breaker("feed").fail_once(10**12)
        assert breaker.counts(10**12)[:4] == (2, 2, 0, 2)
        assert breaker.totals()["failed"] == 2


def test_names_are_checked_like_those_of_other_regions() -> None:
    with pytest.raises(LayoutError):
        BreakersSpec("breakers", ("feed", "feed"))
    with pytest.raises(LayoutError):
        BreakersSpec("breakers", ())
