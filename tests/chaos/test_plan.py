"""Which process is killed when: all of it from a seed."""

from __future__ import annotations

from collections import Counter

import pytest

from pipeline import topology
from pipeline.chaos.plan import LEAST, OUTSIDE, POINTS, plan


@pytest.mark.parametrize("kills", [15, 16, 25, 100])
def test_from_fifteen_kills_on_each_process_is_killed_at_least_three_times(kills: int) -> None:
    for seed in range(20):
        victims = Counter(kill.process for kill in plan(seed, 30_000, kills, None))
        assert victims.total() == kills
        assert set(victims) == set(topology.PIPELINE)
        assert min(victims.values()) >= LEAST == 3


def test_the_same_seed_gives_the_same_plan_and_another_another() -> None:
    assert plan(7, 30_000, 25, None) == plan(7, 30_000, 25, None)
    assert plan(7, 30_000, 25, None) != plan(8, 30_000, 25, None)


def test_positions_are_in_order_and_leave_room_at_both_ends() -> None:
    positions = [kill.position for kill in plan(3, 20_000, 200, None)]
    assert positions == sorted(positions)
    assert 1_000 <= positions[0] < 2_000
    assert 17_000 < positions[-1] < 18_000


def test_every_fourth_kill_is_from_outside_and_the_others_at_a_point_that_there_is() -> None:
    kills = plan(7, 30_000, 200, None)
    for number, kill in enumerate(kills):
        kind = "feed" if kill.process == "feed" else "stage"
        assert (kill.point == OUTSIDE) == (number % 4 == 3)
        assert kill.point in (OUTSIDE, *POINTS[kind])


def test_every_point_of_every_process_comes_round() -> None:
    hit = {(kill.process, kill.point) for kill in plan(7, 30_000, 200, None)}
    for process in topology.PIPELINE:
        for point in POINTS["feed" if process == "feed" else "stage"]:
            assert (process, point) in hit


def test_the_few_kills_of_the_default_reach_all_points_but_the_least_of_them() -> None:
    points = {kill.point for kill in plan(7, 200_000, 25, None) if kill.process != "feed"}
    assert points >= {OUTSIDE, *POINTS["stage"][:-1]}


@pytest.mark.parametrize("only", [*topology.PIPELINE, "supervisor"])
def test_one_process_alone_can_be_chosen(only: str) -> None:
    kills = plan(7, 30_000, 8, only)
    assert {kill.process for kill in kills} == {only}
    if only == "supervisor":  # it cannot be told to kill itself
        assert {kill.point for kill in kills} == {OUTSIDE}


def test_no_kills_are_no_plan() -> None:
    assert plan(7, 30_000, 0, None) == []


def test_the_least_number_of_events_has_room_for_kills() -> None:
    assert len(plan(7, 100, 25, None)) == 25
