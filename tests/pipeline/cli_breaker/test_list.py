"""What `bot4 breaker` lists."""

from __future__ import annotations

import dataclasses
import io
import json
import re

import pytest
from rich.console import Console

from pipeline.breakers.figures import figures_of
from pipeline.cli.breaker_view import BreakerTable
from pipeline.vocabulary import Mode
from shm import EventKind
from tests.pipeline.cli_breaker.without_processes import NAMES, SECOND, Run, shown


def test_the_list_has_a_row_per_breaker_and_the_global_state_on_top(run: Run) -> None:
    run.calls("ml", *[True] * 8, False, False)
    run.calls("risk", False)
    health = run.segment.words("health")
    health.store("feed.sim.age_ms", 4_120_000_000)
    health.store("ta.queue_bp", 250)
    done = run.bot4("list")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == f"{run.segment.name}, run {run.segment.run_id}"
    assert lines[1] == "global breaker: closed (6 of 6 breakers are enabled, none is open)"
    heads = "component state since failed in a row calls health"
    assert lines[2].split() == heads.split()
    rows = {line.split()[0]: line for line in lines[3:-1]}
    assert [each for each in rows if not each.startswith(("p99=", "queue="))] == [
        *("feed.sim*", "orders.sim*", "ta", "ml", "risk*", "storage"),
    ]
    assert re.match(r"ml +closed +\d\.\d s +20\.0/50% +2/5 +10 ", rows["ml"])
    # A single call is no rate.
    assert re.match(r"risk\* +closed +\d\.\d s +-/50% +1/5 +1 ", rows["risk*"])
    assert "age=4120/3000ms" in rows["feed.sim*"]
    assert "queue=2/90%" in done.stdout


def test_the_list_says_which_breakers_make_the_global_state(run: Run) -> None:
    run.calls("ta", *[False] * 5)
    assert run.bot4("list").stdout.splitlines()[1] == (
        "global breaker: degraded (ta is open; 1 of 6 in weight open = 16.7 %, limit 50.0 %)"
    )
    run.breaker("risk").force_open(actor="ann", reason="x")
    assert run.bot4("list").stdout.splitlines()[1] == (
        "global breaker: open (critical: risk is forced-open)"
    )


def test_the_list_as_json_has_every_figure_with_its_limit(run: Run) -> None:
    run.calls("ml", *[True] * 8, False, False)
    run.segment.words("health").store("ml.beat_ms", 250_000_000)
    document = json.loads(run.bot4("list", "--json").stdout)
    assert document["run_id"] == run.segment.run_id
    assert document["global"]["state"] == "closed"
    assert tuple(document["breakers"]) == NAMES
    ml = document["breakers"]["ml"]
    assert (ml["state"], ml["critical"], ml["generation"]) == ("closed", False, 1)
    window = ml["window"]
    assert (window["calls"], window["failure_bp"], window["failure_limit_bp"]) == (10, 2000, 5000)
    assert (window["consecutive"], window["consecutive_limit"]) == (2, 5)
    assert (window["slow_bp"], window["slow_limit_bp"]) == (0, None)
    assert ml["health"]["beat_ms"] == {
        "value": 250.0,
        "limit": run.config["breakers"]["ml"]["beat_ms"] or run.config["breakers"]["beat_ms"],
        "unit": "ms",
    }
    assert ml["settings"]["window_ns"] == 10 * SECOND
    assert document["breakers"]["ta"]["window"]["failure_bp"] is None


def test_events_that_found_no_place_are_counted_by_kind(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = dict.fromkeys((kind.name.lower() for kind in EventKind), 0)
    assert json.loads(run.bot4("list", "--json").stdout)["dropped"] == none
    assert "missing" not in run.bot4("list").stdout
    ml = run.breaker("ml")
    while not run.group.drops()[EventKind.TRANSITION]:
        ml.reset(actor="ann", reason="x")
    dropped = json.loads(run.bot4("list", "--json").stdout)["dropped"]
    assert dropped == none | {"transition": 1}
    said = "events of the breakers are missing: full rings dropped 1 of kind transition"
    assert said in run.bot4("list").stdout.splitlines()


def test_beyond_a_limit_stands_out_in_colour(run: Run) -> None:
    run.segment.words("health").store("feed.sim.age_ms", 4_120_000_000)
    screen = Console(file=io.StringIO(), force_terminal=True, width=130, color_system="standard")
    screen.print(BreakerTable("t", figures_of(run.segment, run.config)))
    text = screen.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b[1;31mage=4120/3000ms\x1b[0m" in text
    assert "\x1b[32mclosed\x1b[0m" in text


def test_a_narrow_terminal_has_what_is_nearest_to_its_limit(run: Run) -> None:
    health = run.segment.words("health")
    health.store("ta.beat_ms", 100_000_000)
    health.store("ta.queue_bp", 6000)
    found = figures_of(run.segment, run.config)
    lines = shown(BreakerTable("t", found), width=80).splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert [line.split()[-1] for line in lines if line.startswith("ta ")] == ["queue=60/90%"]
    assert len(lines) == 3 + len(NAMES) + 1


def test_slow_calls_have_a_column_if_there_is_a_rule_for_them(run: Run) -> None:
    found = figures_of(run.segment, run.config)
    assert " slow " not in shown(BreakerTable("t", found))
    first, *others = found.breakers
    settings = dataclasses.replace(first.settings, slow_bp=2500, slow_ns=SECOND)
    ruled = [dataclasses.replace(first, settings=settings), *others]
    text = shown(BreakerTable("t", dataclasses.replace(found, breakers=ruled)))
    assert " slow " in text
    assert " -/25% " in text
    assert "off" in text


def test_the_list_says_that_positions_are_being_closed(run: Run) -> None:
    told = "all positions are closed until bot4 resume"
    assert told not in run.bot4("list").stdout
    run.segment.words("run").store("mode", Mode.REDUCED)
    assert run.bot4("list").stdout.splitlines()[2].rstrip() == told
    assert json.loads(run.bot4("list", "--json").stdout)["global"]["flatten"] is True


# The audit trail.
