"""How `bot4 breaker show` explains a breaker."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import pytest

from pipeline.breakers import figures
from pipeline.breakers.figures import GlobalFigures, explain, figures_of
from shm import Cause, GlobalState, State
from tests.pipeline.cli_breaker.without_processes import SECOND, Run


def test_an_open_breaker_is_explained_with_its_figures_and_its_deadline(run: Run) -> None:
    run.calls("ta", *[True] * 3, *[False] * 5)
    breaker = run.breaker("ta")
    now_ns = breaker.deadline_ns - 17_700_000_000
    since = f"{(now_ns - breaker.since_ns) / SECOND:.1f}"
    assert explain(run.look("ta", now_ns)) == (
        f"open since {since} s: 5 consecutive failures, limit 5 (8 calls in the window, 5 failed "
        "= 62.5 %); probes again in 17.7 s"
    )
    assert "probes again with the next call" in explain(run.look("ta", breaker.deadline_ns))
    lines = dict(re.split(" {2,}", line, maxsplit=1) for line in _show(run, "ta").splitlines())
    assert lines["state"] == "open"
    assert lines["last transition"] == "closed -> open"
    assert lines["opens at"] == "5 failures in a row, 50.0 % of at least 10 calls failed"
    assert lines["all calls"].startswith("8 admitted, 0 rejected, 3 succeeded, 5 failed")


def _show(run: Run, name: str) -> str:
    done = run.bot4("show", name)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_rates_are_explained_with_their_limits(run: Run) -> None:
    run.calls("ta", *[True, False] * 5)
    assert ": 10 calls in the window, 5 failed = 50.0 %, limit 50.0 %; " in _show(run, "ta")
    settings = run.look("ml").settings
    run.breaker("ml").configure(
        dataclasses.replace(settings, slow_bp=5000, slow_ns=SECOND // 10, window="count")
    )
    for _ in range(10):
        run.breaker("ml").complete(run.breaker("ml").acquire(), True, duration_ns=SECOND)
    last = run.look("ml")
    slow = dataclasses.replace(settings, slow_bp=5000, slow_ns=SECOND // 10)
    assert ": 10 of 10 calls took longer than 100 ms = 100.0 %, limit 50.0 %; " in explain(
        dataclasses.replace(last, settings=slow)
    )


def test_a_half_open_breaker_tells_of_its_probes(run: Run) -> None:
    run.calls("ta", *[False] * 5)
    breaker = run.breaker("ta")
    later = breaker.deadline_ns
    permits = [breaker.acquire(later) for _ in range(3)]
    breaker.complete(permits[0], True, later)
    assert explain(run.look("ta", later)) == (
        "half-open since 0.0 s: the cooldown is over; 1 of 3 probes have succeeded, 0 failed "
        "(1 may), 2 in flight"
    )
    breaker.complete(permits[1], False, later)
    breaker.complete(permits[2], False, later)
    told = explain(run.look("ta", later))
    assert told.startswith("open since 0.0 s: more than 1 of the probes failed; probes again in ")
    assert told.endswith("; 1 episode of probes has failed since it was closed")


def test_what_was_done_by_hand_is_explained_by_who_and_why(run: Run) -> None:
    run.breaker("ta").disable(actor="ann", reason="[/b] replaced")
    assert ": disabled by ann: [/b] replaced (0 calls in the window, 0 failed)" in _show(run, "ta")


def test_causes_that_nobody_told_of_and_breakers_that_never_closed_are_said_to_be_so(
    run: Run, name: str
) -> None:
    lost = dataclasses.replace(run.look("ta"), last=None, since_ns=None)
    assert explain(lost) == "closed: whoever changed it was killed before it could say why"
    uninit = dataclasses.replace(lost, state=State.UNINIT)
    assert explain(uninit) == "uninit: it was never closed; bot4 breaker reset does so"


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_has_an_explanation(run: Run, cause: Cause) -> None:
    one = run.look("ta")
    one.last["cause"] = cause
    assert explain(one)


def test_one_breaker_as_json_explains_itself(run: Run) -> None:
    run.calls("ta", *[False] * 5)
    done = json.loads(run.bot4("show", "ta", "--json").stdout)
    assert (done["breaker"], done["state"]) == ("ta", "open")
    assert "5 consecutive failures, limit 5" in done["why"]
    assert 0 < done["probes_again_in_s"] <= 36


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (None, "-"),
        (12_345_000_000, "12.3 s"),
        (119 * SECOND, "119.0 s"),
        (150 * SECOND, "2.5 min"),
        (9000 * SECOND, "2.5 h"),
        (1_000_000 * SECOND, "11.6 d"),
    ],
)
def test_times_are_in_the_unit_that_people_would_use(ns: int | None, text: str) -> None:
    assert figures.duration(ns) == text


def whole(run: Run, state: GlobalState, **changes: Any) -> GlobalFigures:
    return dataclasses.replace(figures_of(run.segment, run.config), state=state, **changes)


def test_why_the_global_breaker_is_as_it_is(run: Run) -> None:
    assert whole(run, GlobalState.OPEN, latch=True).why() == "the kill latch is set"
    run.breaker("ta").trip(actor="ann", reason="x")
    run.breaker("ml").trip(actor="ann", reason="x")
    run.breaker("storage").trip(actor="ann", reason="x")
    opened = "ta is open, ml is open, storage is open"
    assert whole(run, GlobalState.OPEN).why() == (
        f"3 of 6 in weight open = 50.0 %, limit 50.0 %: {opened}"
    )
    run.breaker("storage").disable(actor="ann", reason="x")
    # Beyond what it takes to close, it stays open.
    assert whole(run, GlobalState.OPEN).why() == (
        "2 of 5 in weight open = 40.0 %, closes at 35.0 %: ta is open, ml is open"
    )
    few = whole(run, GlobalState.DEGRADED, min_components=6)
    assert few.why() == (
        "ta is open, ml is open; 2 of 5 in weight open = 40.0 %, not judged with fewer than 6 "
        "enabled, limit 50.0 %"
    )
