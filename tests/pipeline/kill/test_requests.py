"""A request's way through the segment, with the real stage in this process."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import pytest

from pipeline import runtime
from pipeline.kill.positions import committed
from pipeline.requests import Handover, Request, RequestError, latest, live_of, risk_account, turn
from pipeline.stage import Stage
from pipeline.topology import MOST_LIMITS
from pipeline.vocabulary import ControlKind
from shm import Segment


class Run:
    """A supervisor and a risk stage that go on when they are told to."""

    def __init__(self, segment: Segment, stage: Stage) -> None:
        self.segment = segment
        self.stage = stage
        self.said: list[str] = []
        self.handover = Handover(segment, self.said.append)
        self.loop = runtime.build(stage, segment)
        self.loop.recover()

    def go_on(self) -> None:
        """Hand on what there is, and take it."""
        self.handover.look()
        while self.loop.turn():
            pass

    def ask(self, request: Request) -> bool:
        """Ask in another thread, and go on until it has its answer."""
        answers: list[bool] = []
        mine = turn(self.segment)
        thread = threading.Thread(target=lambda: answers.append(mine.ask(request)[0]))
        thread.start()
        while thread.is_alive():
            self.go_on()
        [answer] = answers
        return answer


@pytest.fixture
def run(segment: Segment, stages: Mapping[str, Stage]) -> Run:
    return Run(segment, stages["risk"])


def flow(amount: int) -> Request:
    return Request(ControlKind.FLOW, "anna", "a test", amount)


def test_a_request_is_answered_and_kept(run: Run) -> None:
    assert run.ask(flow(5))
    assert not run.ask(flow(-(2**62)))
    account = risk_account(run.segment)
    assert (account["flows_e8"], account["request"], account["refused"]) == (5, 2, 1)
    assert run.said == ["flow (by anna): a test"] * 2


def test_a_request_for_more_limits_than_the_ring_has_room_for(run: Run) -> None:
    # The ring has 256 places, and the account, three instruments and the strategies 121 limits.
    count = len(committed(run.segment, "risk", "limits"))
    limits = [(index % count, index) for index in range(3 * count)]
    live = {"positions": 5}
    assert run.ask(Request(ControlKind.APPLY, "anna", "x", limits=limits, live=live))
    cells = committed(run.segment, "risk", "limits")
    assert cells["value"].tolist() == list(range(2 * count, 3 * count))
    assert live_of(latest(run.segment)) == live
    assert run.ask(flow(5))
    assert live_of(latest(run.segment)) == live


def test_of_two_who_ask_at_once_one_is_told_to_repeat_it(run: Run) -> None:
    late = turn(run.segment)
    assert run.ask(flow(5))
    with pytest.raises(RequestError, match="a request by anna came between; nothing was changed"):
        late.ask(flow(7))
    assert run.ask(flow(7))
    assert risk_account(run.segment)["flows_e8"] == 12


def test_what_a_request_cannot_hold_is_refused(run: Run) -> None:
    mine = turn(run.segment)
    many = [(0, 0)] * (MOST_LIMITS + 1)
    with pytest.raises(RequestError, match="limits to be changed were 1025, must be at most 1024"):
        mine.ask(Request(ControlKind.APPLY, "anna", "x", limits=many))
    with pytest.raises(RequestError, match=r"changes since the start were 50\d\d bytes"):
        mine.ask(Request(ControlKind.APPLY, "anna", "x", live={"x": "y" * 5000}))
    assert latest(run.segment) is None


def test_a_supervisor_that_takes_over_repeats_nothing_that_risk_has_done(run: Run) -> None:
    assert run.ask(flow(5))
    published = run.handover._ring.published
    run.handover._ring.close()
    run.handover = Handover(run.segment, run.said.append)
    run.go_on()
    assert run.handover._ring.published == published


def test_what_is_handed_on_twice_is_done_once(run: Run) -> None:
    answers: list[Any] = []
    mine = turn(run.segment)
    thread = threading.Thread(target=lambda: answers.append(mine.ask(flow(5))))
    thread.start()
    while latest(run.segment) is None:
        pass
    for _ in range(2):  # handed on by two supervisors, before risk has taken either
        run.handover.look()
        run.handover._ring.close()
        run.handover = Handover(run.segment, run.said.append)
    assert run.segment.depth("control") == 2
    while thread.is_alive():
        run.go_on()
    assert risk_account(run.segment)["flows_e8"] == 5
