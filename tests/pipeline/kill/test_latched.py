"""The supervisor's hand on words and latch, and its watch over the closing of positions."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.kill.closing import Closing
from pipeline.kill.latch import KilledError, LatchFile
from pipeline.kill.latched import Latched
from pipeline.kill.words import halt_reason, is_killed, kill, kill_reason, mode
from pipeline.notify.notice import Notice
from pipeline.vocabulary import Mode
from shm import Segment


class Hand:
    """A hand on the latch, and what it has said."""

    def __init__(self, folder: Path) -> None:
        self.file = LatchFile(folder)
        self.said: list[str] = []
        self.told: list[Notice] = []
        self.latched = Latched(folder, self.said.append, self.told.append)

    def trail(self) -> list[tuple[str, str, str, str]]:
        """What the audit trail says of the mode: from, to, cause and actor."""
        path = self.file.folder / "breakers.jsonl"
        entries = [json.loads(line) for line in path.read_text().splitlines()]
        return [tuple(each[key] for key in ("from", "to", "cause", "actor")) for each in entries]


@pytest.fixture
def hand(tmp_path: Path) -> Hand:
    made = Hand(tmp_path / "state")
    made.latched.begin()
    return made


def test_a_mode_is_raised_kept_and_recorded(segment: Segment, hand: Hand) -> None:
    with hand.latched.of(segment):
        hand.latched.raise_mode(Mode.REDUCED, "the global breaker opened: x")
        assert mode(segment) is Mode.REDUCED
        hand.latched.raise_mode(Mode.PAUSED, "late")
    assert hand.said == ["mode: normal -> reduced: the global breaker opened: x"]
    why = "the global breaker opened: x"
    assert hand.told == [Notice("mode", "warning", hand.said[0], why)]
    held = hand.file.read()
    assert (held.mode, held.actor, held.trip) == (Mode.REDUCED, "supervisor", "breakers")
    assert hand.trail() == [("normal", "reduced", "breakers", "supervisor")]


def test_the_next_run_begins_in_the_mode_of_the_last(segment: Segment, hand: Hand) -> None:
    hand.file.raise_to(Mode.PAUSED, "anna", "lunch", "manual")
    with hand.latched.of(segment):
        assert mode(segment) is Mode.PAUSED
    assert hand.said[0].startswith("mode paused, as before the restart: lunch (by anna")


def test_a_kill_between_the_look_at_the_latch_and_the_segment_is_seen(
    segment: Segment, hand: Hand
) -> None:
    hand.latched.check()
    hand.file.raise_to(Mode.EMERGENCY, "anna", "now", "manual")
    with pytest.raises(KilledError), hand.latched.of(segment):
        raise AssertionError("it must not begin")


def test_a_halt_latches_with_its_trip(segment: Segment, hand: Hand) -> None:
    with hand.latched.of(segment):
        hand.latched.halt("ta died", "system")
        assert str(halt_reason(segment)) == "ta died (by supervisor)"
    held = hand.file.read()
    assert (held.is_killed, held.reason, held.trip) == (True, "ta died", "system")


def test_a_kill_by_a_limit_latches_a_breach(segment: Segment, hand: Hand) -> None:
    with hand.latched.of(segment):
        hand.latched.kill("drawdown", "drawdown")
        hand.latched.kill("drawdown again", "drawdown")
        assert halt_reason(segment) is None
    assert (hand.file.read().reason, hand.file.read().trip) == ("drawdown", "drawdown")


def test_a_limit_stays_the_trip_when_the_kill_is_followed(
    segment: Segment, hand: Hand, config: dict[str, Any]
) -> None:
    closing = Closing(segment, config, hand.said.append, hand.told.append)
    with hand.latched.of(segment):
        hand.latched.kill("drawdown", "drawdown")
        assert closing.look(is_ending=False)
        hand.latched.kill()
        assert not closing.look(is_ending=True)
        hand.latched.halt("and ta died", "system")
    assert [each.text for each in hand.told] == [
        "killed: drawdown; all positions are closed",
        "killed: nothing is held any more",
    ]
    assert hand.file.read().trip == "drawdown"
    assert hand.trail() == [("normal", "emergency", "drawdown", "supervisor")]


def test_it_keeps_on_disk_what_another_has_killed(segment: Segment, hand: Hand) -> None:
    with hand.latched.of(segment):
        kill(segment, "enough", "anna")  # and is killed before it could set the latch
        hand.latched.kill()
    assert (hand.file.read().actor, hand.file.read().reason) == ("anna", "enough")


def test_a_disk_that_refuses_is_told_and_holds_up_nothing(segment: Segment, hand: Hand) -> None:
    with hand.latched.of(segment):
        hand.file.path.unlink()
        hand.file.path.mkdir()  # no file can be renamed over it
        hand.latched.kill("drawdown", "drawdown")
        assert is_killed(segment)
    assert any("does not say that the mode is emergency" in text for text in hand.said)
    assert hand.file.read().is_killed


# The closing


@pytest.fixture
def holding(segment: Segment, config: dict[str, Any]) -> Iterator[Segment]:
    """A segment whose executor holds something, with a beat in the future."""
    writer = segment.cells_writer("executor.instruments", 0)
    writer.edit(0)["position"] = 3
    writer.stamp(1)
    writer.begin_next()
    words = segment.words("executor.words")
    words.store("committed", 1)
    words.store("beat", time.monotonic_ns() + 10**12)
    yield segment
    writer.close()


def test_a_run_that_nobody_kills_is_left_alone(segment: Segment, config: dict[str, Any]) -> None:
    said: list[str] = []
    closing = Closing(segment, config, said.append)
    assert not closing.look(is_ending=False)
    assert (said, halt_reason(segment)) == ([], None)


def test_it_is_halted_once_nothing_is_held(segment: Segment, config: dict[str, Any]) -> None:
    said: list[str] = []
    closing = Closing(segment, config, said.append)
    kill(segment, "enough", "anna")
    assert closing.look(is_ending=False)  # news
    # The executor has not beaten since: a step may be under way that has not seen the word.
    assert not closing.look(is_ending=False)
    assert halt_reason(segment) is None
    segment.words("executor.words").store("beat", time.monotonic_ns())
    assert not closing.look(is_ending=False)
    assert str(halt_reason(segment)) == str(kill_reason(segment)) == "enough (by anna)"
    assert said[-1] == "killed: nothing is held any more"


def test_what_is_held_is_waited_for(holding: Segment, config: dict[str, Any]) -> None:
    closing = Closing(holding, config, lambda text: None)
    kill(holding, "enough", "anna")
    closing.look(is_ending=False)
    assert halt_reason(holding) is None


@pytest.mark.parametrize(("flatten_s", "is_ending"), [(0.0, False), (10.0, True)])
def test_but_not_for_ever(
    holding: Segment, config: dict[str, Any], flatten_s: float, is_ending: bool
) -> None:
    config["kill"]["flatten_s"] = flatten_s
    said: list[str] = []
    closing = Closing(holding, config, said.append)
    kill(holding, "enough", "anna")
    closing.look(is_ending=is_ending)
    closing.look(is_ending=is_ending)
    assert said[-1] == "killed: still held: 0.00003 BTCUSDT@sim"
    assert halt_reason(holding) is not None
