"""Search of the exactly-once protocol for an instant at which a kill breaks its promise.

The model is worth as much as it can fail, so each rule is also broken in turn, and the same search
has to find the consequence.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from random import Random

import pytest

from tests.model.exactly_once import (
    Fault,
    Kill,
    Script,
    Sizes,
    Violation,
    World,
    bursts,
    check,
    round_robin,
)

# Both sources and TICK; instruments that come back within a batch.
SCRIPT = Script(a=((0, 1), (1, 2), (0, 3)), b=((0, 4), (1, 5)), ticks=1)
# Two inputs at B all the same, because C feeds back.
SHORT_SCRIPT = Script(a=((0, 1),), b=())

SIZES = Sizes()
UNTIL_OTHERS_WAIT = 1_000_000
DEADLOCKS = (Fault.ROOM_FOR_EVERY_INPUT, Fault.WAIT_UNCOMMITTED)
NEED_A_KILL = [fault for fault in Fault if fault not in (*DEADLOCKS, Fault.NO_MARK)]


def play(
    turns: Iterator[int],
    kills: Iterable[Kill] = (),
    *,
    script: Script = SCRIPT,
    sizes: Sizes = SIZES,
    fault: Fault | None = None,
    first_ring: int = 0,
) -> World:
    """Run once and check; a violation names the kills that led to it."""
    world = World(script, sizes, fault, first_ring)
    kills = tuple(kills)
    try:
        world.run(turns, kills)
        check(world)
    except Violation as violation:
        last = [stores[-1:] for stores in world.stores]
        raise Violation(f"{violation}; {kills}, {sizes}, {script}, last stores {last}") from None
    return world


def every_store(world: World) -> list[tuple[int, int]]:
    """Return stage and number of each store of a run."""
    return [
        (stage, store)
        for stage, stores in enumerate(world.stores)
        for store in range(1, len(stores) + 1)
    ]


def play_random(seed: int, fault: Fault | None = None) -> World:
    """Run a random schedule of a random script, with one to four kills of one or more stages."""
    random = Random(seed)

    def records(least: int) -> tuple[tuple[int, int], ...]:
        return tuple(
            (random.randrange(2), random.randrange(100)) for _ in range(random.randint(least, 3))
        )

    script = Script(a=records(1), b=records(0), ticks=random.randint(0, 2))
    batch = random.randint(1, 4)
    sizes = Sizes(random.randint(2, 4), batch, random.randint(batch, 4))
    kills = [
        Kill(
            stage=random.randrange(3),
            store=random.randint(1, 150),
            others=tuple(other for other in range(3) if random.random() < 0.25),
            turns=random.choice((0, 5, UNTIL_OTHERS_WAIT)),
        )
        for _ in range(random.randint(1, 4))
    ]
    return play(bursts(seed), kills, script=script, sizes=sizes, fault=fault)


@pytest.mark.parametrize("turns", [round_robin, lambda: bursts(1)], ids=["fair", "bursts"])
@pytest.mark.parametrize("dead", [0, UNTIL_OTHERS_WAIT], ids=["back at once", "back late"])
def test_a_kill_before_any_store_changes_nothing(
    turns: Callable[[], Iterator[int]], dead: int
) -> None:
    for stage, store in every_store(play(turns())):
        play(turns(), [Kill(stage, store, turns=dead)])


@pytest.mark.parametrize("dead", [0, UNTIL_OTHERS_WAIT], ids=["back at once", "back late"])
def test_two_kills_before_any_two_stores_change_nothing(dead: int) -> None:
    world = play(round_robin(), script=SHORT_SCRIPT)
    for first, second in itertools.combinations(every_store(world), 2):
        kills = [Kill(*first, turns=dead), Kill(*second, turns=dead)]
        play(round_robin(), kills, script=SHORT_SCRIPT)


def test_a_second_kill_during_recovery_or_soon_after_changes_nothing() -> None:
    dying = 1  # B, with several inputs
    world = play(bursts(2))
    for store in range(1, len(world.stores[dying]) + 1, 7):
        for later in range(1, 30):
            play(bursts(2), [Kill(dying, store), Kill(dying, store + later)])


def test_all_stages_dying_at_once_changes_nothing() -> None:
    for stage, store in every_store(play(round_robin())):
        play(round_robin(), [Kill(stage, store, others=(0, 1, 2))])


def test_random_kills_of_random_schedules_change_nothing() -> None:
    for seed in range(1_500):
        play_random(seed)


def violations(seeds: range, fault: Fault) -> Iterator[Violation]:
    for seed in seeds:
        try:
            play_random(seed, fault)
        except Violation as violation:
            yield violation


@pytest.mark.parametrize("fault", NEED_A_KILL, ids=lambda fault: fault.name.lower())
def test_a_broken_rule_shows_when_a_stage_is_killed(fault: Fault) -> None:
    for seed in range(20):
        play(bursts(seed), fault=fault)
    assert next(violations(range(2_000), fault), None), f"nobody noticed that {fault.value}"


@pytest.mark.parametrize("fault", DEADLOCKS, ids=lambda fault: fault.name.lower())
def test_a_broken_rule_of_waiting_is_a_deadlock_without_any_kill(fault: Fault) -> None:
    def stuck(seed: int) -> bool:
        try:
            play(bursts(seed), fault=fault)
        except Violation:
            return True
        return False

    assert any(stuck(seed) for seed in range(200)), f"nobody noticed that {fault.value}"


def test_a_slot_without_a_mark_is_never_taken_for_the_current_one() -> None:
    assert list(violations(range(500), Fault.NO_MARK)) == []
    for stage, store in every_store(play(round_robin(), fault=Fault.NO_MARK)):
        play(round_robin(), [Kill(stage, store)], fault=Fault.NO_MARK)


def test_a_batch_longer_than_the_context_ring_cannot_be_replayed() -> None:
    sizes = Sizes(ring=4, batch=3, contexts=2)
    world = play(bursts(0), sizes=sizes)
    with pytest.raises(Violation, match=r"context \d+ was overwritten"):
        for stage, store in every_store(world):
            play(bursts(0), [Kill(stage, store)], sizes=sizes)


def test_a_ring_of_one_slot_loses_the_record_that_was_being_written() -> None:
    world = play(round_robin(), first_ring=1)
    with pytest.raises(Violation, match="A: outputs are not those of its steps"):
        for stage, store in every_store(world):
            play(round_robin(), [Kill(stage, store)], first_ring=1)
