"""Which CPUs each process gets."""

from __future__ import annotations

import pytest

from pipeline.affinity import resolve
from pipeline.config import ConfigError

FIVE = ("feed", "ta", "ml", "risk", "executor")


def test_each_has_a_core_of_its_own_if_there_are_enough() -> None:
    assert resolve({}, FIVE, range(8)) == {name: (cpu,) for cpu, name in enumerate(FIVE)}


def test_neighbours_share_a_core_if_there_are_not_enough() -> None:
    placed = resolve({}, FIVE, [0, 1])
    assert [placed[name] for name in FIVE] == [(0,), (0,), (0,), (1,), (1,)]
    assert set(resolve({}, FIVE, [3]).values()) == {(3,)}


def test_what_is_configured_is_taken_and_left_out_of_the_rest() -> None:
    placed = resolve({"ta": [0], "ml": [2, 3], "feed": "auto"}, ("feed", "ta", "ml"), range(4))
    assert placed == {"feed": (1,), "ta": (0,), "ml": (2, 3)}


def test_if_every_core_is_claimed_the_rest_shares_them() -> None:
    assert resolve({"ta": [0, 1]}, ("feed", "ta"), [0, 1]) == {"feed": (0,), "ta": (0, 1)}
    assert resolve({"ta": [0]}, ("ta",), [0]) == {"ta": (0,)}


def test_a_cpu_that_is_not_available_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"affinity of ta was \[1, 9\], but of these \[9\]"):
        resolve({"ta": [1, 9]}, ("ta",), [0, 1])


def test_a_process_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="affinity names tb, but the processes are feed, ta"):
        resolve({"tb": [0]}, ("feed", "ta"), [0, 1])
