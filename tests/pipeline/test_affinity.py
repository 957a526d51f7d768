"""Which CPUs each process gets."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

import pytest

from pipeline.affinity import HOT, PROCESSES, AffinityError, Placement, resolve, verify
from pipeline.config import Config, ConfigError, Cpus
from pipeline.topology import MODEL

USUAL = tuple(name for name in PROCESSES if name != MODEL)


def place(available: Sequence[int], processes: Sequence[str] = USUAL, **wanted: Cpus) -> Placement:
    return resolve(wanted, processes, available)


def shown(placement: Placement) -> dict[str, tuple[str, ...]]:
    """CPUs -> the processes there."""
    there: dict[str, tuple[str, ...]] = {}
    for name, cpus in placement.cpus.items():
        key = ",".join(map(str, cpus))
        there[key] = (*there.get(key, ()), name)
    return there


def test_the_configuration_knows_the_same_processes() -> None:
    assert tuple(Config().affinity()) == PROCESSES


@pytest.mark.parametrize("count", [6, 7, 64])
def test_with_enough_cpus_each_stage_has_its_own_and_the_supervisor_another(count: int) -> None:
    placement = place(range(10, 10 + count))
    assert shown(placement) == {
        "10": ("supervisor", "exchange"),
        **{str(cpu): (name,) for cpu, name in enumerate(HOT, 11)},
    }
    assert placement.notes == ()
    assert tuple(placement.cpus) == USUAL


@pytest.mark.parametrize(
    ("count", "groups"),
    [
        (3, [("feed", "ta", "ml"), ("risk", "executor")]),
        (4, [("feed", "ta"), ("ml", "risk"), ("executor",)]),
        (5, [("feed", "ta"), ("ml",), ("risk",), ("executor",)]),
    ],
)
def test_with_fewer_neighbours_share_and_the_supervisor_stays_apart(
    count: int, groups: list[tuple[str, ...]]
) -> None:
    placement = place(range(count))
    assert shown(placement) == {
        "0": ("supervisor", "exchange"),
        **{str(cpu): group for cpu, group in enumerate(groups, 1)},
    }
    assert placement.notes == ()


def test_with_two_cpus_the_supervisor_joins_the_fewer_stages_and_a_note_says_so() -> None:
    placement = place([4, 2])
    assert shown(placement) == {
        "2": ("feed", "ta", "ml"),
        "4": ("supervisor", "exchange", "risk", "executor"),
    }
    assert placement.notes == (
        "supervisor shares CPU 4 with risk, executor",
        "exchange shares CPU 4 with risk, executor",
    )


def test_with_one_cpu_all_are_there_and_a_note_says_so() -> None:
    placement = place([3])
    assert set(placement.cpus.values()) == {(3,)}
    assert placement.notes[0] == "supervisor shares CPU 3 with feed, ta, ml, risk, executor"


def test_a_model_in_a_process_of_its_own_is_kept_apart_from_the_stages() -> None:
    placement = place(range(3), PROCESSES)
    assert placement.cpus[MODEL] == placement.cpus["supervisor"] == (0,)
    placement = place(range(8), PROCESSES, model=[7])
    assert placement.cpus[MODEL] == (7,)
    assert placement.cpus["supervisor"] == placement.cpus["exchange"] == (0,)
    assert (7,) not in [placement.cpus[name] for name in HOT]


def test_what_is_configured_is_taken_and_left_out_of_the_rest() -> None:
    placement = place(range(8), ta=[1], ml=[3, 2], feed="auto")
    assert placement.cpus == {
        "supervisor": (0,),
        "exchange": (0,),
        "feed": (4,),
        "ta": (1,),
        "ml": (2, 3),
        "risk": (5,),
        "executor": (6,),
    }


def test_a_stage_put_on_the_supervisors_cpu_by_hand_is_noted() -> None:
    placement = place(range(8), supervisor=[0, 1], risk=[1, 2])
    assert placement.cpus["exchange"] == (0, 1)
    assert placement.notes == (
        "supervisor shares CPU 1 with risk",
        "exchange shares CPU 1 with risk",
    )


def test_the_supervisor_joins_the_exchange_if_only_that_is_configured() -> None:
    placement = place([0, 1], exchange=[0])
    assert shown(placement) == {"0": ("supervisor", "exchange"), "1": HOT}
    assert placement.notes == ()


def test_if_every_cpu_is_claimed_the_supervisor_joins_the_fewest_stages() -> None:
    placement = place([0, 1, 2], feed=[0], ta=[0], ml=[1, 2], risk=[1], executor=[1])
    assert placement.cpus["supervisor"] == (2,)
    assert placement.notes[0] == "supervisor shares CPU 2 with ml"


def test_processes_that_do_not_run_need_no_cpu() -> None:
    placement = place(range(2), ("feed", "ta"), supervisor=[0])
    assert placement.cpus == {"feed": (0,), "ta": (1,)}
    assert place([0, 1], ("supervisor",)).cpus == {"supervisor": (0,)}


def test_a_cpu_that_is_not_available_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"affinity of ta was \[1, 9\], but of these \[9\]"):
        place([0, 1], ta=[1, 9])


def test_the_kernels_map_is_compared_with_the_wanted_one() -> None:
    pid = os.getpid()
    own = os.sched_getaffinity(0)
    verify({"ta": pid}, {"ta": tuple(own), "ml": (0,)})
    with pytest.raises(AffinityError, match=rf"CPUs of ta \(pid {pid}\) were .*, must be \[9999\]"):
        verify({"ta": pid}, {"ta": (9999,)})


def test_a_process_that_has_ended_cannot_be_verified() -> None:
    ended = subprocess.Popen([sys.executable, "-S", "-c", ""])
    ended.wait()
    with pytest.raises(AffinityError, match=rf"process ml \(pid {ended.pid}\) has ended"):
        verify({"ml": ended.pid}, {"ml": (0,)})
