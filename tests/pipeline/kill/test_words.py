"""The halt word, the mode, and the reason of a kill."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from pipeline.kill import words
from pipeline.kill.words import (
    halt,
    halt_reason,
    is_killed,
    kill,
    kill_reason,
    lower_mode,
    mode,
    raise_mode,
)
from pipeline.topology import HALT
from pipeline.vocabulary import Mode
from shm import Segment


def attached(segment: Segment) -> Segment:
    return Segment.attach(segment.name, run_id=segment.run_id)


def test_a_run_that_was_not_halted_has_no_reason(segment: Segment) -> None:
    assert halt_reason(segment) is None
    assert segment.words("run").load("halted") == 0


def test_whoever_sees_the_word_can_read_who_and_why(segment: Segment) -> None:
    assert halt(segment, "prices look wrong", "anna")
    with attached(segment) as other:
        reason = halt_reason(other)
    assert reason is not None
    assert (reason.actor, reason.reason) == ("anna", "prices look wrong")
    assert reason.time_ns > 0
    assert str(reason) == "prices look wrong (by anna)"


def test_the_first_reason_is_kept(segment: Segment) -> None:
    assert halt(segment, "first", "anna")
    with attached(segment) as other:
        assert not halt(other, "second", "boris")
    assert str(halt_reason(segment)) == "first (by anna)"


def test_of_two_at_once_exactly_one_halts_and_its_reason_is_whole(segment: Segment) -> None:
    with attached(segment) as one, attached(segment) as two:
        start = threading.Barrier(2)
        won: dict[str, bool] = {}

        def run(who: Segment, actor: str) -> None:
            start.wait()
            won[actor] = halt(who, f"by {actor}" * 9, actor)

        threads = [
            threading.Thread(target=run, args=(one, "anna")),
            threading.Thread(target=run, args=(two, "boris")),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(won.values()) == [False, True]
    winner = next(actor for actor, halted in won.items() if halted)
    reason = halt_reason(segment)
    assert reason is not None
    assert (reason.actor, reason.reason) == (winner, f"by {winner}" * 9)


def test_a_writer_that_hangs_does_not_keep_others_from_halting(
    segment: Segment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words, "_PATIENCE_S", 0.0)
    with attached(segment) as hanging:
        role = hanging.table_writer("halt")
        assert halt(segment, "now", "anna")
        assert segment.words("run").load("halted") == 1
        reason = halt_reason(segment)
        assert reason is not None
        assert reason.actor == "unknown"
        assert not halt(segment, "again", "anna")
        role.close()


def test_a_writer_that_was_killed_between_reason_and_word_has_not_halted(segment: Segment) -> None:
    with attached(segment) as killed:
        row = np.zeros(1, HALT)
        row["actor"], row["reason"] = b"ghost", b"never seen"
        killed.table_writer("halt").write(0, row)
    assert halt_reason(segment) is None
    assert halt(segment, "really", "anna")
    assert str(halt_reason(segment)) == "really (by anna)"


def test_a_reason_that_is_too_long_is_cut_off_not_refused(segment: Segment) -> None:
    assert halt(segment, "ä" * 500, "b" * 100)
    reason = halt_reason(segment)
    assert reason is not None
    assert reason.reason == "ä" * 92
    assert reason.actor == "b" * 64


def test_a_kill_is_an_emergency_in_which_something_is_still_sent(segment: Segment) -> None:
    assert kill(segment, "enough", "anna")
    assert (mode(segment), is_killed(segment)) == (Mode.EMERGENCY, True)
    assert halt_reason(segment) is None
    assert str(kill_reason(segment)) == "enough (by anna)"


def test_a_halt_after_a_kill_keeps_the_reason_of_the_kill(segment: Segment) -> None:
    assert kill(segment, "enough", "anna")
    assert halt(segment, "flat", "supervisor")
    assert not halt(segment, "again", "supervisor")
    assert not kill(segment, "late", "boris")
    assert str(halt_reason(segment)) == "enough (by anna)"


def test_the_mode_only_goes_up_by_raising(segment: Segment) -> None:
    assert raise_mode(segment, Mode.REDUCED) is Mode.NORMAL
    assert raise_mode(segment, Mode.PAUSED) is Mode.REDUCED
    assert mode(segment) is Mode.REDUCED
    assert lower_mode(segment, Mode.PAUSED) is Mode.REDUCED
    assert lower_mode(segment, Mode.REDUCED) is Mode.PAUSED
    assert mode(segment) is Mode.PAUSED


def test_a_run_that_was_killed_stays_so(segment: Segment) -> None:
    kill(segment, "enough", "anna")
    assert lower_mode(segment, Mode.NORMAL) is Mode.EMERGENCY
    assert mode(segment) is Mode.EMERGENCY


def test_a_mode_that_nobody_knows_is_an_emergency(segment: Segment) -> None:
    segment.words("run").store("mode", 2**64 - 1)
    assert mode(segment) is Mode.EMERGENCY
    assert is_killed(segment)
    assert str(kill_reason(segment)).startswith("unknown: ")
