"""Which wait strategy follows from which affinity map."""

from __future__ import annotations

import pytest

from shm import STRATEGIES, DoorbellSpec, Layout, Segment, StrategyError, WaitStrategy, choose
from shm.waiting import Finally, check

OWN = {"feed": (0,), "ta": (1,)}
SHARED = {"feed": (0,), "ta": (0, 1)}
UNKNOWN = {"feed": None, "ta": (1,)}


def test_a_core_of_its_own_is_spun_on_and_a_shared_one_is_yielded() -> None:
    assert choose(OWN, "ta").name == "spin-futex"
    assert choose(SHARED, "ta").name == "yield-futex"
    assert choose(SHARED, "feed").name == "yield-futex"
    assert choose({"alone": (3,)}, "alone").name == "spin-futex"


@pytest.mark.parametrize("process", ["feed", "ta"])
def test_a_process_whose_cpus_are_not_known_may_be_anywhere(process: str) -> None:
    assert choose(UNKNOWN, process).name == "yield-futex"


@pytest.mark.parametrize("affinity", [SHARED, UNKNOWN])
def test_spinning_for_ever_on_a_shared_core_is_refused(
    affinity: dict[str, tuple[int, ...] | None],
) -> None:
    with pytest.raises(StrategyError, match=r"wait strategy of ta was 'spin'.*'yield-futex'"):
        check(STRATEGIES["spin"], affinity, "ta")
    for name in ("spin-yield", "spin-futex", "yield", "yield-futex", "futex"):
        assert check(STRATEGIES[name], affinity, "ta").name == name


def test_spinning_for_ever_on_a_core_of_its_own_is_allowed() -> None:
    assert check(STRATEGIES["spin"], OWN, "ta").finally_ is Finally.SPIN


def test_a_segments_doorbells_are_the_affinity_map(name: str) -> None:
    layout = Layout(DoorbellSpec("a", cpus=(0,)), DoorbellSpec("b", cpus=(0,)))
    with Segment.create(name, layout) as segment:
        with pytest.raises(StrategyError):
            segment.doorbell("a", STRATEGIES["spin"])
        segment.doorbell("a", WaitStrategy("own", 10, 10, Finally.SLEEP))


def test_a_strategy_may_be_named_and_must_exist(name: str) -> None:
    with Segment.create(name, Layout(DoorbellSpec("a"))) as segment:
        segment.doorbell("a", "futex")
        with pytest.raises(StrategyError, match="was 'sleep', must be one of spin, "):
            segment.doorbell("a", "sleep")


@pytest.mark.parametrize(("spins", "yields"), [(-1, 0), (2**32 - 1, 0), (0, 2**32 - 1)])
def test_spins_and_yields_are_bounded(spins: int, yields: int) -> None:
    with pytest.raises(StrategyError, match=r"must be in 0 \.\. 1000000"):
        WaitStrategy("own", spins, yields, Finally.SLEEP)
