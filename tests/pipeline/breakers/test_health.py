"""What the supervisor sees of each component, in a segment that the test has filled."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline import topology
from pipeline.breakers.health import (
    FIRST_WORD_NS,
    OVERSLEPT_NS,
    STALE_NS,
    SUCCESSION_NS,
    Distance,
    Health,
    Vitals,
    components_of,
    distances,
)
from tests.pipeline.breakers.cast import MS, SECOND, Cast

LOOK = 50 * MS


class Eye:
    """Looks at a cast as the supervisor does."""

    def __init__(self, cast: Cast) -> None:
        self.cast = cast
        self.lag = 0
        self.vitals = Vitals(cast.segment, cast.config, cast.stages, lambda now: self.lag)

    def look(self, after: int = LOOK, silent: tuple[str, ...] = ()) -> dict[str, Health]:
        """Look once more after some time, in which all beat but the `silent` ones."""
        self.cast.now += after
        self.cast.beat(*silent)
        if "feed" not in silent and self.cast.segment.words("feed.words").load("first_ns"):
            self.cast.hear()
        return self.vitals.look(self.cast.now)

    def watch(self, duration: int, silent: tuple[str, ...] = ()) -> dict[str, Health]:
        """Look all the time; return what was seen last."""
        for _ in range(duration // LOOK):
            seen = self.look(silent=silent)
        return seen


@pytest.fixture
def eye(cast: Cast) -> Eye:
    return Eye(cast)


@pytest.fixture
def awake(eye: Eye) -> Iterator[Eye]:
    """One that sees a run in which all has begun and is well."""
    eye.cast.begin()
    eye.look()
    yield eye


def value(health: Health, name: str) -> float | None:
    (found,) = [each.value for each in health.distances if each.name == name]
    return found


def test_nobody_is_judged_before_the_first_beat(eye: Eye) -> None:
    seen = eye.watch(30 * SECOND)
    assert {name for name, health in seen.items() if health.judged} == {"storage"}
    assert all(health.ok for health in seen.values())
    for name in ("age_ms", "beat_ms", "p99_ms"):
        assert value(seen["feed.sim"], name) is None


def test_a_run_that_is_well_has_a_value_for_each_limit(awake: Eye) -> None:
    awake.cast.take("ta", "hop.market", 0.5, 10)
    awake.watch(SECOND)
    awake.cast.take("ta", "hop.market", 0.5, 10)
    seen = awake.watch(SECOND)
    assert list(seen) == list(topology.components(awake.cast.config))
    assert all(health.judged and health.ok for health in seen.values())
    for component, health in seen.items():
        quantities = topology.HEALTH[component.partition(".")[0]]
        assert tuple(each.name for each in health.distances) == quantities
    found = {each.name: each for each in seen["ta"].distances}
    assert found["beat_ms"] == Distance("beat_ms", 0, 1500, "ms")
    assert (found["restarts"].value, found["restarts"].limit) == (0, 3)
    assert found["p99_ms"].value == pytest.approx(0.5, rel=1 / 32)
    assert seen["ta"].duration_ns == pytest.approx(0.5 * MS, rel=1 / 32)
    assert (found["queue_bp"].value, found["queue_bp"].limit) == (0, 9000)


def test_what_was_seen_can_be_read_by_anybody(awake: Eye) -> None:
    awake.lag = 1_234_567
    awake.cast.wait(64)
    seen = awake.watch(100 * MS, silent=("feed",))
    read = distances(awake.cast.segment, awake.cast.config)
    assert read == {component: health.distances for component, health in seen.items()}
    assert [each.value for each in read["storage"]] == [1.235]
    assert [each.name for each in read["ta"] if each.value == 2500] == ["queue_bp"]


def test_a_feed_is_sick_once_the_link_is_silent(awake: Eye) -> None:
    def look() -> Health:
        awake.cast.now += LOOK
        awake.cast.beat()
        return awake.vitals.look(awake.cast.now)["feed.sim"]

    for _ in range(60):
        seen = look()
    assert seen.ok
    seen = look()
    assert seen.judged
    assert seen.wrong == "age of the last message 3050 ms > 3000 ms"


def test_the_oldest_quote_of_a_venue_counts_and_a_market_without_one_does_not(awake: Eye) -> None:
    cast = awake.cast
    cast.hear(2, quoted=False)
    for _ in range(80):
        cast.now += LOOK
        cast.beat()
        cast.hear(0)
        seen = awake.vitals.look(cast.now)["feed.sim"]
    assert value(seen, "age_ms") == 4000  # row 1
    for _ in range(80):
        cast.now += LOOK
        cast.beat()
        cast.hear(0, 1)
        seen = awake.vitals.look(cast.now)["feed.sim"]
    assert value(seen, "age_ms") == 0
    assert seen.ok


def test_a_feed_does_not_answer_for_the_silence_before_it_began(awake: Eye) -> None:
    awake.watch(10 * SECOND, silent=("feed",))
    awake.cast.store("feed", beat=0, first_ns=0)
    assert not awake.look().pop("feed.sim").judged
    awake.cast.begin("feed", worked=False)
    assert not awake.watch(5 * SECOND)["feed.sim"].judged
    awake.cast.store("feed", first_ns=awake.cast.now)  # and the link of two instruments is as old
    awake.cast.hear(0)
    awake.cast.now += LOOK
    awake.cast.beat()
    seen = awake.vitals.look(awake.cast.now)["feed.sim"]
    assert seen.judged
    assert value(seen, "age_ms") == 50


def test_a_feed_whose_venue_never_speaks_is_sick_at_last(eye: Eye) -> None:
    eye.cast.begin(worked=False)
    seen = eye.watch(FIRST_WORD_NS)["feed.sim"]
    assert not seen.judged
    seen = eye.watch(100 * MS)["feed.sim"]
    assert seen.judged
    assert seen.wrong == "age of the last message 20050 ms > 3000 ms"


@pytest.mark.parametrize(
    ("process", "component"),
    [("feed", "feed.sim"), ("executor", "orders.sim"), ("ta", "ta"), ("ml", "ml")],
)
def test_a_process_that_does_not_beat_is_sick(awake: Eye, process: str, component: str) -> None:
    seen = awake.watch(1500 * MS, silent=(process,))
    assert all(health.ok for health in seen.values())
    seen = awake.look(silent=(process,))
    assert [name for name, health in seen.items() if not health.ok] == [component]
    assert seen[component].wrong == "age of the last heartbeat 1550 ms > 1500 ms"


@pytest.mark.parametrize(
    ("process", "component"), [("ta", "ta"), ("executor", "orders.sim"), ("risk", "risk")]
)
def test_a_successor_that_hangs_before_its_first_beat_is_sick_after_a_grace(
    awake: Eye, process: str, component: str
) -> None:
    awake.vitals.died(process, awake.cast.now)
    awake.cast.store(process, beat=0, first_ns=0)
    seen = awake.watch(SUCCESSION_NS)[component]
    assert (seen.judged, value(seen, "beat_ms")) == (False, None)
    seen = awake.look()[component]
    assert seen.judged
    assert seen.wrong == "age of the last death (no heartbeat since) 3050 ms > 1500 ms"
    # Its death is no excuse for the next one.
    awake.vitals.died(process, awake.cast.now)
    assert awake.look()[component].wrong.startswith("age of the last death")
    awake.cast.begin(process)
    assert awake.look()[component].ok
    awake.vitals.died(process, awake.cast.now)
    awake.cast.store(process, beat=0, first_ns=0)
    assert not awake.look()[component].judged


def test_a_feed_whose_successor_hears_nothing_is_as_old_as_what_was_heard_last(awake: Eye) -> None:
    awake.vitals.died("feed", awake.cast.now)
    awake.cast.store("feed", beat=0, first_ns=0)
    awake.watch(SECOND)
    awake.cast.begin("feed", worked=False)
    assert not awake.watch(2 * SECOND)["feed.sim"].judged
    seen = awake.look()["feed.sim"]
    assert seen.judged
    assert seen.wrong == "age of the last message 3050 ms > 3000 ms"
    awake.cast.begin("feed")
    assert awake.look()["feed.sim"].ok
    assert awake.watch(5 * SECOND)["feed.sim"].ok


def test_a_limit_that_is_longer_than_the_grace_holds_and_nobody_is_well_meanwhile(
    awake: Eye,
) -> None:
    awake.cast.config["breakers"]["ta"]["beat_ms"] = 5000
    awake.vitals.died("ta", awake.cast.now)
    awake.cast.store("ta", beat=0, first_ns=0)
    seen = awake.watch(5 * SECOND)["ta"]
    assert (seen.judged, value(seen, "beat_ms")) == (False, 5000)
    assert awake.look()["ta"].wrong.endswith(" 5050 ms > 5000 ms")


def test_in_a_run_that_is_gone_on_with_all_are_awaited_from_its_beginning(cast: Cast) -> None:
    cast.begin()
    cast.now += 60 * SECOND
    vitals = Vitals(cast.segment, cast.config, cast.stages, lambda now: 0, died_ns=cast.now)
    for process in topology.PIPELINE:
        cast.store(process, beat=0, first_ns=0)
    cast.now += LOOK
    vitals.look(cast.now)
    cast.begin("ta", "ml", "risk")
    for _ in range(SUCCESSION_NS // LOOK):
        cast.now += LOOK
        cast.beat()
        seen = vitals.look(cast.now)
    assert all(health.ok for health in seen.values())
    cast.now += LOOK
    cast.beat()
    seen = vitals.look(cast.now)
    assert [name for name, each in seen.items() if not each.ok] == ["feed.sim", "orders.sim"]


def test_deaths_make_sick_until_they_are_long_ago(awake: Eye) -> None:
    for _ in range(3):
        awake.vitals.died("executor", awake.cast.now)
    assert awake.watch(SECOND)["orders.sim"].ok
    awake.vitals.died("executor", awake.cast.now)
    awake.cast.store("executor", beat=0)  # also while nobody has begun in its place
    seen = awake.look()
    assert [name for name, health in seen.items() if not health.ok] == ["orders.sim"]
    assert seen["orders.sim"].judged
    assert seen["orders.sim"].wrong == "4 deaths within 60 s > 3"
    awake.cast.begin("executor")
    assert not awake.watch(58 * SECOND)["orders.sim"].ok
    assert awake.watch(2 * SECOND)["orders.sim"].ok


def test_the_p99_of_the_last_second_counts_and_that_of_the_past_does_not(awake: Eye) -> None:
    awake.watch(SECOND)
    awake.cast.take("risk", "hop.intents", 1500, 300)
    seen = awake.watch(SECOND)["risk"]
    assert seen.wrong.startswith("p99 of hop.intents 1")
    assert seen.wrong.endswith(" ms > 1000 ms")
    assert seen.duration_ns >= 1500 * MS
    seen = awake.watch(1250 * MS)["risk"]
    assert seen.ok
    assert value(seen, "p99_ms") is None


def test_a_strategy_whose_steps_take_too_long_makes_ml_sick_even_if_it_says_nothing(
    awake: Eye,
) -> None:
    awake.watch(SECOND)
    awake.cast.take("ml", "step", 1500, 3)  # each was waited for, and led to no intent
    seen = awake.watch(SECOND)["ml"]
    assert seen.wrong.startswith("p99 of step 1")
    assert seen.wrong.endswith(" ms > 1000 ms")


def test_a_model_that_is_too_old_makes_each_look_at_ml_a_slow_call(awake: Eye) -> None:
    cells = awake.cast.segment.cells_writer("ml.instruments", 0)
    rows = [(3, 0), (4, 1), (5, 1)]
    for step, (asked, stale) in enumerate(rows, 1):
        own = cells.edit(1)
        own["asked"], own["stale"] = asked, stale
        cells.stamp(step)
        awake.cast.store("ml", committed=step)
        cells.begin_next()
        seen = [awake.look()["ml"] for _ in range(3)]
        # Between rows it stays as it was; and it trades on, at the configured size.
        assert [each.duration_ns == STALE_NS for each in seen] == [step == 2] * 3
        assert all(each.ok for each in seen)


def test_one_straggler_makes_nobody_sick(awake: Eye) -> None:
    awake.watch(SECOND)
    awake.cast.take("ml", "through", 5000)
    assert value(awake.watch(500 * MS)["ml"], "p99_ms") is None
    awake.cast.take("ml", "through", 1, 9)
    assert value(awake.watch(500 * MS)["ml"], "p99_ms") == pytest.approx(1, rel=1 / 32)
    awake.cast.take("ml", "through", 1, 90)
    awake.cast.take("ml", "through", 5000)
    assert awake.watch(500 * MS)["ml"].ok is True  # 1 of 91 in the last second
    awake.cast.take("ml", "through", 5000)
    assert awake.watch(500 * MS)["ml"].ok is False


def test_what_a_process_took_in_its_first_second_does_not_count(awake: Eye) -> None:
    awake.watch(2 * SECOND)
    awake.vitals.died("ta", awake.cast.now)
    awake.cast.store("ta", beat=0, first_ns=0)
    awake.watch(500 * MS)
    awake.cast.take("ta", "hop.market", 3000, 500)  # what waited while nobody was there
    awake.cast.begin("ta")
    seen = awake.watch(3 * SECOND)["ta"]
    assert seen.ok
    assert value(seen, "p99_ms") is None


def test_histograms_that_were_reset_begin_anew(awake: Eye) -> None:
    awake.cast.take("ta", "hop.market", 3000, 500)
    awake.watch(2 * SECOND)
    awake.cast.segment.reset_histograms("ta.latency")
    awake.cast.take("ta", "hop.market", 7, 2)
    seen = awake.watch(500 * MS)["ta"]
    assert value(seen, "p99_ms") == pytest.approx(7, rel=1 / 32)


def test_a_ring_that_wakes_nobody_is_not_judged_by_its_hop(awake: Eye) -> None:
    awake.watch(SECOND)
    awake.cast.take("executor", "hop.ticks", 3000, 500)
    awake.cast.take("executor", "tick_to_order", 3000, 500)
    assert awake.watch(SECOND)["orders.sim"].ok


def test_a_ring_that_is_nearly_full_makes_its_consumer_sick(awake: Eye) -> None:
    awake.cast.wait(230)
    assert awake.look()["ta"].ok
    awake.cast.wait(1)
    seen = awake.look()
    assert [name for name, health in seen.items() if not health.ok] == ["ta"]
    assert seen["ta"].wrong == "filling of ring market 90.2 % > 90.0 %"
    awake.cast.store("ta", first_ns=0)
    assert awake.look()["ta"].ok  # it is to take what waits for it first


def test_storage_is_sick_when_what_happened_is_not_on_disk(awake: Eye) -> None:
    awake.lag = 5_000 * MS
    assert awake.look()["storage"].ok
    awake.lag += MS
    assert awake.look()["storage"].wrong == (
        "age of the oldest event that is not on disk 5001 ms > 5000 ms"
    )


def test_several_things_that_are_wrong_are_all_named(awake: Eye) -> None:
    awake.cast.wait(256)
    assert awake.watch(1550 * MS, silent=("ta",))["ta"].wrong == (
        "age of the last heartbeat 1550 ms > 1500 ms; filling of ring market 100.0 % > 90.0 %"
    )


def test_nobody_is_judged_by_a_look_that_is_late_and_all_have_their_limits_after_it(
    awake: Eye,
) -> None:
    awake.cast.now += OVERSLEPT_NS + 3 * SECOND  # the machine stood still, so nobody did anything
    seen = awake.vitals.look(awake.cast.now)
    assert not any(health.judged for health in seen.values())
    silent = tuple(topology.PIPELINE)
    seen = awake.watch(1500 * MS, silent=silent)
    assert all(health.judged and health.ok for health in seen.values())
    seen = awake.look(silent=silent)
    assert not any(seen[name].ok for name in ("feed.sim", "orders.sim", "ta", "ml", "risk"))


def test_a_component_may_have_a_limit_of_its_own(awake: Eye) -> None:
    awake.cast.config["breakers"]["ta"]["beat_ms"] = 400
    seen = awake.watch(500 * MS, silent=("ta", "ml"))
    assert seen["ta"].wrong == "age of the last heartbeat 500 ms > 400 ms"
    assert seen["ml"].ok


def test_the_components_of_a_process_are_those_of_all_venues(awake: Eye) -> None:
    config = awake.cast.config
    config["instruments"][0]["venue"] = "other"
    assert components_of("executor", config) == ("orders.other", "orders.sim")
    assert components_of("feed", config) == ("feed.other", "feed.sim")
    assert components_of("ta", config) == ("ta",)
    assert components_of("exchange", config) == ()


def test_decisions_without_the_answer_of_the_model_make_ml_sick_for_a_look(cast: Cast) -> None:
    cast.config["ml"]["model_kind"] = "skops"
    eye = Eye(cast)
    cast.begin()
    assert eye.look()["ml"].ok
    stage = cast.segment.cells_writer("ml.stage", 0)
    stage.edit(0)["late"] = 2
    stage.stamp(1)
    cast.store("ml", committed=1)
    seen = eye.look()
    assert seen["ml"].judged
    assert seen["ml"].wrong == "2 decisions without the model's answer within 750 ms"
    assert seen["ml"].duration_ns == 750 * MS
    assert all(health.ok for name, health in seen.items() if name != "ml")
    assert eye.look()["ml"].ok
