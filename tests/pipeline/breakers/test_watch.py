"""The supervisor's part in the breakers, look by look, with a clock that the test turns."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from pipeline import topology
from pipeline.breakers.settings import apply, settings_of
from pipeline.breakers.subscribers import Event
from pipeline.breakers.watch import BreakerWatch
from pipeline.notify.notice import Notice
from pipeline.vocabulary import Mode
from shm import Breaker, Breakers, EventKind, GlobalState, Segment, State
from shm.host import process_start
from tests.pipeline.breakers.cast import MS, SECOND, Cast

LOOK = 50 * MS
UNTIL_RESUMED = "new risk is refused and positions are closed until `bot4 resume`"


class Stand:
    """A watch, and all that it has said and done."""

    def __init__(self, cast: Cast, forced: Mapping[str, tuple[str, str]] | None = None) -> None:
        self.cast = cast
        self.forced = forced or {}
        self.said: list[str] = []
        self.events: list[Event] = []
        self.told: list[Notice] = []
        self.halts: list[str] = []
        self.lag = 0
        self.resume()

    def resume(self, *, killed: bool = False) -> None:
        """Have another watch go on with what there is, maybe that of a run that was killed."""
        self.group: Breakers = self.cast.segment.breakers("breakers")
        self.watch = BreakerWatch(
            self.group,
            self.cast.segment,
            self.cast.config,
            self.cast.stages,
            self.said.append,
            self.halts.append,
            now_ns=self.cast.now,
            publish=self.events.append,
            tell=self.told.append,
            raise_mode=self.raise_mode,
            lag_ns=lambda now_ns: self.lag,
            resumed=killed,
            forced=self.forced,
        )

    def raise_mode(self, mode: Mode, reason: str) -> None:
        """Do it as the supervisor does, without a record."""
        assert reason.startswith("the global breaker opened: ")
        self.cast.segment.words("run").store("mode", mode)

    def run(
        self, duration: int = LOOK, silent: tuple[str, ...] = (), *, judge: bool = True
    ) -> None:
        """Look all the time; all are alive but the `silent` ones."""
        for _ in range(duration // LOOK):
            self.cast.now += LOOK
            self.cast.beat(*silent)
            if "feed" not in silent:
                self.cast.hear()
            self.watch.tick(self.cast.now, judge=judge)

    def breaker(self, name: str) -> Breaker:
        return self.group.breaker(name)

    def states(self) -> dict[str, State]:
        return {name: self.group.breaker(name).state for name in self.group.names}

    def word(self, word: str) -> int:
        return self.cast.segment.words("run").load(word)


NewStand = Callable[..., Stand]


@pytest.fixture
def new_stand(cast: Cast) -> NewStand:
    """Make a stand whose breakers are configured like this: ta={...}, on_open=..."""

    def new(**changes: Any) -> Stand:
        table = cast.config["breakers"]
        table["jitter_bp"] = 0
        for key, value in changes.items():
            table[key] = {**table[key], **value} if isinstance(value, dict) else value
        with contextlib.closing(cast.segment.breakers("breakers")) as group:
            apply(group, cast.config, cast.now)
        stand = Stand(cast)
        cast.begin()
        stand.run()
        return stand

    return new


# The beginning


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


# What is sick


def test_a_feed_that_is_silent_opens_its_breaker_and_the_global_one(new_stand: NewStand) -> None:
    stand = new_stand()
    cast = stand.cast
    for _ in range(64):
        cast.now += LOOK
        cast.beat()
        stand.watch.tick(cast.now)
    assert stand.said == []
    cast.now += LOOK
    cast.beat()
    stand.watch.tick(cast.now)
    assert stand.states()["feed.sim"] == State.OPEN
    what = "age of the last message 3250 ms > 3000 ms"
    assert stand.said == [
        f"breaker feed.sim: closed -> open: {what} (5 consecutive failures)",
        f"global breaker: closed -> open: feed.sim is open ({what}); new risk is refused",
    ]
    assert [each.text for each in stand.told] == stand.said
    assert [each.severity for each in stand.told] == ["warning", "critical"]
    assert (stand.word("mode"), stand.halts) == (Mode.NORMAL, [])


def test_what_is_well_again_is_closed_after_its_probes(new_stand: NewStand) -> None:
    stand = new_stand()
    stand.run(1750 * MS, silent=("risk",))
    assert stand.states()["risk"] == State.OPEN
    assert stand.group.state(stand.cast.now) == GlobalState.OPEN
    stand.said.clear()
    stand.run(29 * SECOND)
    assert stand.said == []
    stand.told.clear()
    stand.run(2 * SECOND)
    assert [each.text for each in stand.told] == stand.said[1:]  # not of the probes
    assert {each.severity for each in stand.told} == {"info"}
    assert stand.states()["risk"] == State.CLOSED
    assert stand.said == [
        "breaker risk: open -> half-open: the cooldown is over, probes are let through",
        "global breaker: open -> degraded: no breaker is open",
        "breaker risk: half-open -> closed: its probes succeeded",
    ]
    assert stand.group.state(stand.cast.now) == GlobalState.CLOSED


def test_probes_that_fail_say_why(new_stand: NewStand) -> None:
    stand = new_stand()
    stand.run(1750 * MS, silent=("ml",))
    stand.said.clear()
    stand.run(31 * SECOND, silent=("ml",))
    assert stand.said[0].startswith("breaker ml: open -> half-open: ")
    assert stand.said[1].startswith("breaker ml: half-open -> open: age of the last heartbeat ")
    assert stand.said[1].endswith(" ms > 1500 ms (its probes failed)")
    assert stand.breaker("ml").attempt == 1
    assert len(stand.told) == 1  # it was open, and is


def test_what_is_not_critical_leaves_the_global_one_degraded(new_stand: NewStand) -> None:
    stand = new_stand()
    stand.run(1750 * MS, silent=("ta",))
    assert stand.group.state(stand.cast.now) == GlobalState.DEGRADED
    assert len(stand.said) == 1


def test_as_many_as_half_open_the_global_one(new_stand: NewStand) -> None:
    off = {"critical": False}
    stand = new_stand(feed=off, orders=off, risk=off)
    stand.run(1750 * MS, silent=("ta", "ml"))
    assert stand.group.state(stand.cast.now) == GlobalState.DEGRADED
    stand.run(1750 * MS, silent=("ta", "ml", "risk"))
    assert stand.group.state(stand.cast.now) == GlobalState.OPEN
    assert stand.said[-1].startswith("global breaker: degraded -> open: ta is open (age of ")


def test_a_slow_look_is_one_whose_p99_is_long(new_stand: NewStand) -> None:
    stand = new_stand(ta={"slow_bp": 5000, "slow_ms": 100})
    stand.run(SECOND)
    for _ in range(12):
        stand.cast.take("ta", "through", 500, 100)
        stand.run(LOOK * 5)
    assert stand.states()["ta"] == State.OPEN
    assert stand.said[0].startswith("breaker ta: closed -> open: ")
    assert stand.said[0].endswith(" calls were slow")


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


# Deaths


def test_a_death_is_one_failure_of_the_components_that_the_process_is(new_stand: NewStand) -> None:
    stand = new_stand()
    stand.watch.died("executor", "signal SIGKILL", stand.cast.now)
    stand.watch.died("exchange", "signal SIGKILL", stand.cast.now)
    failures = {
        name: stand.breaker(name).counts(stand.cast.now).failures for name in stand.group.names
    }
    assert failures == dict.fromkeys(stand.group.names, 0) | {"orders.sim": 1}
    stand.run(SECOND)
    assert set(stand.states().values()) == {State.CLOSED}


def test_a_process_that_dies_again_and_again_opens_its_breaker(new_stand: NewStand) -> None:
    stand = new_stand()
    for _ in range(4):
        stand.cast.store("ta", beat=0, first_ns=0)
        stand.watch.died("ta", "exit status 1", stand.cast.now)
        stand.run()
    assert stand.states()["ta"] == State.OPEN
    assert stand.said == [
        "breaker ta: closed -> open: 4 deaths within 60 s > 3 (5 consecutive failures)"
    ]


def test_deaths_alone_open_too_and_say_how_it_died(new_stand: NewStand) -> None:
    stand = new_stand(ta={"restarts": 100})
    stand.cast.store("ta", beat=0, first_ns=0)
    for _ in range(5):
        stand.watch.died("ta", "signal SIGSEGV", stand.cast.now)
        stand.run()
    assert stand.said == [
        "breaker ta: closed -> open: its process ended: signal SIGSEGV (5 consecutive failures)"
    ]


# The storage


def test_a_lag_opens_the_storage(new_stand: NewStand) -> None:
    stand = new_stand()
    stand.lag = 6 * SECOND
    stand.run(250 * MS)
    what = "age of the oldest event that is not on disk 6000 ms > 5000 ms"
    assert stand.said == [f"breaker storage: closed -> open: {what} (5 consecutive failures)"]
    assert stand.group.state(stand.cast.now) == GlobalState.DEGRADED


def test_only_writes_probe_the_storage(new_stand: NewStand) -> None:
    stand = new_stand()
    stand.lag = 6 * SECOND
    stand.run(250 * MS)
    stand.lag = 0
    stand.run(40 * SECOND)
    assert stand.states()["storage"] == State.OPEN
    storage = stand.breaker("storage")
    for _ in range(3):
        permit = storage.acquire(stand.cast.now)
        assert permit
        storage.complete(permit, True, stand.cast.now)
    stand.run()
    assert stand.states()["storage"] == State.CLOSED
    assert stand.said[-1] == "breaker storage: half-open -> closed: its probes succeeded"


def test_failures_of_calls_that_the_watch_did_not_make_are_told_by_their_number(
    new_stand: NewStand,
) -> None:
    stand = new_stand()
    storage = stand.breaker("storage")
    for _ in range(5):
        storage.complete(storage.acquire(stand.cast.now), False, stand.cast.now)
    stand.run()
    assert stand.said == ["breaker storage: closed -> open: 5 consecutive failures"]


# What follows from the global one


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


def test_while_a_run_is_drained_silence_is_no_illness_but_the_rest_goes_on(
    new_stand: NewStand,
) -> None:
    stand = new_stand()
    stand.breaker("ta").trip(stand.cast.now, actor="ann", reason="to see")
    stand.run(10 * SECOND, silent=topology.PIPELINE, judge=False)
    assert stand.said == ["breaker ta: closed -> open: to see (by ann)"]
    assert stand.group.state(stand.cast.now) == GlobalState.DEGRADED


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


# What an operator has left forced open


@pytest.fixture
def new_cast(name: str, config: dict[str, Any], stages: Any) -> Any:
    """A cast whose breakers nobody has configured."""
    with Segment.create(name, topology.layout(config, config["affinity"])) as segment:
        yield Cast(segment, config, stages)


def test_what_was_forced_open_before_the_start_never_closes(new_cast: Cast) -> None:
    new_cast.config["breakers"]["on_open"] = "halt"
    stand = Stand(new_cast, {"orders.sim": ("ann", "as before the restart: venue is ill")})
    assert stand.states()["orders.sim"] == State.FORCED_OPEN
    assert stand.breaker("orders.sim").generation == 1
    # Without a halt: it could not be reset, if each start ended in one.
    assert stand.said == [
        "breaker orders.sim: uninit -> forced-open: as before the restart: venue is ill (by ann)",
        "global breaker: unknown -> open: orders.sim is forced-open; new risk is refused",
    ]
    assert stand.halts == []
    assert stand.told == []  # when it was forced open, it was
    new_cast.begin()
    stand.run(SECOND)
    stand.breaker("orders.sim").reset(new_cast.now, actor="ann", reason="well again")
    stand.run()
    assert set(stand.states().values()) == {State.CLOSED}
    # From now on it is as any other.
    stand.breaker("orders.sim").force_open(new_cast.now, actor="ann", reason="ill again")
    stand.run()
    assert stand.halts == ["the global breaker opened: orders.sim is forced-open"]


def test_a_run_that_is_gone_on_with_is_as_it_was_whatever_the_trail_says(
    new_stand: NewStand,
) -> None:
    stand = new_stand()
    stand.group.close()
    stand.forced = {"risk": ("ann", "long ago")}
    stand.resume(killed=True)
    assert stand.states()["risk"] == State.CLOSED


def test_in_a_run_that_is_gone_on_with_who_does_not_come_back_is_sick(
    new_stand: NewStand,
) -> None:
    stand = new_stand()
    stand.group.close()
    stand.resume(killed=True)
    stand.cast.store("ta", beat=0, first_ns=0)
    stand.run(3300 * MS)
    assert stand.states()["ta"] == State.OPEN
    assert "age of the last death (no heartbeat since) 3250 ms > 1500 ms" in stand.said[0]


def test_a_run_that_is_gone_on_with_keeps_the_settings_and_limits_that_it_has(
    new_stand: NewStand,
) -> None:
    stand = new_stand(consecutive=9, min_components=4)
    before = {name: stand.breaker(name).settings for name in stand.group.names}
    stand.group.close()
    stand.cast.config["breakers"] |= {"consecutive": 2, "min_components": 1}
    stand.resume(killed=True)
    assert {name: stand.breaker(name).settings for name in stand.group.names} == before
    assert stand.group.current_limits.min_components == 4


def test_a_beginning_that_was_interrupted_is_completed(new_cast: Cast) -> None:
    with contextlib.closing(new_cast.segment.breakers("breakers")) as group:
        done = dataclasses.replace(settings_of(new_cast.config)["ta"], consecutive=9)
        group.configure({"ta": done})
    new_cast.config["breakers"]["min_components"] = 2
    stand = Stand(new_cast)
    assert set(stand.states().values()) == {State.CLOSED}
    assert stand.breaker("ta").settings == done
    assert stand.group.current_limits.min_components == 2


# What processes leave behind


def test_the_probe_of_a_dead_process_is_released(new_stand: NewStand) -> None:
    stand = new_stand()
    storage = stand.breaker("storage")
    storage.trip(stand.cast.now, actor="ann", reason="to see")
    stand.run(31 * SECOND)
    stand.said.clear()
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert storage.acquire(stand.cast.now, owner=(gone.pid, 1))
    assert storage.acquire(stand.cast.now, owner=(os.getpid(), process_start(os.getpid())))
    stand.run()
    assert storage.in_flight == 1
    dead = "breaker storage: the process that had a probe died, and the probe does not count"
    assert dead in stand.said
    stand.run(11 * SECOND)
    assert storage.in_flight == 0
    late = "breaker storage: a probe has outlived its lease, and counts as failed"
    assert late in stand.said


def test_a_run_that_is_gone_on_with_keeps_its_breakers_and_what_is_open_has_its_effect(
    new_stand: NewStand,
) -> None:
    stand = new_stand(on_open="refuse")
    stand.breaker("ml").disable(stand.cast.now, actor="ann", reason="to see")
    stand.run(1750 * MS, silent=("risk",))
    before = stand.states()
    assert before["risk"] == State.OPEN
    stand.group.close()
    stand.said.clear()
    # The one before may have been killed before it could act.
    stand.cast.config["breakers"]["on_open"] = "flatten"
    stand.resume()
    assert stand.states() == before
    assert stand.word("mode") == Mode.REDUCED
    assert stand.said == [f"global breaker: unknown -> open: risk is open; {UNTIL_RESUMED}"]


def test_events_that_were_lost_are_made_good_from_the_words(
    new_stand: NewStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand = new_stand()
    other = stand.cast.segment.breakers("breakers")
    stand.breaker("ta").trip(stand.cast.now, actor="ann", reason="to see")
    lost = stand.group.events()  # as if whoever tripped it had been killed before it could tell
    assert len(lost) > 0
    other.close()
    stand.run(2 * LOOK)
    (told,) = stand.said
    assert told.startswith("breaker ta: closed -> open: ")
    assert "lost" in told
    assert [int(event["breaker"]) for event in stand.events[-1:]] == [stand.breaker("ta").index]


def test_settings_that_somebody_else_has_loaded_are_told(new_stand: NewStand) -> None:
    stand = new_stand()
    code = (
        "import sys, dataclasses\n"
        "from shm import Segment, BreakerSettings\n"
        "with Segment.attach(sys.argv[1], run_id=sys.argv[2]) as segment:\n"
        "    segment.breakers('breakers').breaker('ml').configure(BreakerSettings())\n"
    )
    segment = stand.cast.segment
    command = [sys.executable, "-c", code, segment.name, segment.run_id]
    subprocess.run(command, check=True)
    stand.run()
    assert stand.said == ["breaker ml has new settings"]


def test_more_events_than_are_read_at_once_are_all_read_in_one_look(
    new_stand: NewStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand = new_stand()
    monkeypatch.setattr("pipeline.breakers.watch._MOST_EVENTS", 2)
    for _ in range(4):
        stand.breaker("ta").reset(stand.cast.now, actor="ann", reason="to see")
    stand.run()
    assert stand.said == ["breaker ta: closed -> closed: to see (by ann)"] * 4
