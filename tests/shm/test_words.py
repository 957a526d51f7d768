"""Atomic words, native and reference alike."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from shm import ArgumentError, ClosedError, Layout, Segment, WordsSpec
from tests.conftest import NewSegment

MAX = 2**64 - 1


@pytest.fixture
def segment(new_segment: NewSegment) -> Segment:
    return new_segment(WordsSpec("control", ("halt", "mode")))


def test_words_are_zero_until_stored_and_seen_by_every_holder(segment: Segment) -> None:
    one, other = segment.words("control"), segment.words("control")
    assert one.load("halt") == 0
    one.store("halt", MAX)
    assert other.load("halt") == MAX
    assert other.load("mode") == 0


def test_fetch_add_returns_the_value_before_and_wraps(segment: Segment) -> None:
    words = segment.words("control")
    assert words.fetch_add("mode", 5) == 0
    assert words.fetch_add("mode", MAX) == 5
    assert words.load("mode") == 4


def test_compare_and_swap_changes_only_what_is_expected(segment: Segment) -> None:
    words = segment.words("control")
    assert words.compare_and_swap("halt", 0, 3) == 0
    assert words.load("halt") == 3
    assert words.compare_and_swap("halt", 0, 9) == 3
    assert words.load("halt") == 3


@pytest.mark.parametrize("value", [-1, MAX + 1, 0.5, None])
def test_what_is_not_a_word_is_refused(segment: Segment, value: object) -> None:
    words = segment.words("control")
    calls = (
        lambda: words.store("halt", value),  # type: ignore[arg-type]
        lambda: words.fetch_add("halt", value),  # type: ignore[arg-type]
        lambda: words.compare_and_swap("halt", value, 1),  # type: ignore[arg-type]
        lambda: words.compare_and_swap("halt", 0, value),  # type: ignore[arg-type]
    )
    for call in calls:
        with pytest.raises(ArgumentError, match="words 'control'"):
            call()


def test_unknown_words_and_closed_groups_are_refused(segment: Segment) -> None:
    words = segment.words("control")
    with pytest.raises(ArgumentError, match="words 'control' has no 'kill'"):
        words.load("kill")
    words.close()
    with pytest.raises(ClosedError):
        words.load("halt")


def test_no_addition_of_several_threads_is_lost(name: str) -> None:
    with Segment.create(name, Layout(WordsSpec("control", ("n",)))) as segment:

        def add() -> None:
            words = segment.words("control")
            for _ in range(10_000):
                words.fetch_add("n", 1)

        threads = [threading.Thread(target=add) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert segment.words("control").load("n") == 40_000


def test_names_that_are_no_plain_strings_are_refused_without_asking_them(
    new_segment: NewSegment,
) -> None:
    segment = new_segment(WordsSpec("control", ("halt",)))

    class Meddler(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            segment.close()
            return True

        __hash__ = str.__hash__

    words = segment.words("control")
    for name in (Meddler("x"), np.zeros(3), None, 3):
        with pytest.raises(ArgumentError, match="words 'control' has no"):
            words.load(name)  # type: ignore[arg-type]
    assert not words.closed


def test_numpys_integers_are_words(segment: Segment) -> None:
    words = segment.words("control")
    words.store("halt", np.uint64(MAX))  # type: ignore[arg-type]
    assert words.fetch_add("halt", np.int8(1)) == MAX  # type: ignore[arg-type]
