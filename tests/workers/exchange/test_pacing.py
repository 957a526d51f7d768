"""When events are due."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workers.exchange.pacing import Leashed, Pace

START = 5_000_000_000


def test_the_first_is_due_at_once_and_each_other_a_period_later() -> None:
    pace = Pace(11, 1_000, START)
    assert pace.due(START - 1) == 10
    assert pace.due(START) == 11
    assert pace.due(START + 999_999) == 11
    assert pace.due(START + 1_000_000) == 12


def test_who_was_late_finds_all_that_is_due() -> None:
    assert Pace(1, 2_000, START).due(START + 3_000_000_000) == 6_001


def test_a_delay_does_not_move_what_follows() -> None:
    pace = Pace(1, 1_000, START)
    assert pace.wait(6_001, START) == 6.0
    assert pace.wait(6_001, START + 5_500_000_000) == 0.5
    assert pace.wait(6_001, START + 7_000_000_000) == 0.0


@given(
    rate=st.integers(1, 1_000_000),
    first=st.integers(1, 2**40),
    ahead=st.integers(0, 10**9),
)
def test_an_event_is_due_after_the_wait_for_it_and_not_before(
    rate: int, first: int, ahead: int
) -> None:
    pace = Pace(first, rate, START)
    index = first + ahead
    due = START - (-ahead * 1_000_000_000 // rate)
    assert pace.wait(index, due) == 0.0
    assert pace.due(due) >= index
    assert pace.due(due - 1) < index
    assert pace.wait(index, due - 1) > 0


def test_nothing_beyond_the_leash_is_due_and_all_of_it_is_once_the_leash_is_longer() -> None:
    ends = [0]
    pace = Leashed(Pace(1, 1_000, START), lambda: ends[0])
    now = START + 10_000_000
    assert pace.due(now) == 11
    assert pace.wait(12, now) == 0.001
    ends[0] = 4
    assert pace.due(now) == 4
    assert pace.wait(5, now) > 0
    ends[0] = 400
    assert pace.due(now) == 11
    assert pace.wait(11, now) == 0
