"""What a watch finds when it begins: forced open before, or of a run that is gone on with."""

from __future__ import annotations

import contextlib
import dataclasses

from pipeline.breakers.settings import settings_of
from pipeline.vocabulary import Mode
from shm import State
from tests.pipeline.breakers.cast import MS, SECOND, Cast
from tests.pipeline.breakers.watch.stand import UNTIL_RESUMED, NewStand, Stand


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


def test_a_beginning_that_was_interrupted_is_completed(new_cast: Cast) -> None:
    with contextlib.closing(new_cast.segment.breakers("breakers")) as group:
        done = dataclasses.replace(settings_of(new_cast.config)["ta"], consecutive=9)
        group.configure({"ta": done})
    new_cast.config["breakers"]["min_components"] = 2
    stand = Stand(new_cast)
    assert set(stand.states().values()) == {State.CLOSED}
    assert stand.breaker("ta").settings == done
    assert stand.group.current_limits.min_components == 2


# A run that is gone on with


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
