"""Which components are sick, which are well again, and what is said of them."""

from __future__ import annotations

from pipeline.vocabulary import Mode
from shm import GlobalState, State
from tests.pipeline.breakers.cast import MS, SECOND
from tests.pipeline.breakers.watch.stand import LOOK, NewStand


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
