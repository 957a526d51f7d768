"""Breakers in the live table, in its line and in its JSON."""

from __future__ import annotations

import dataclasses
import io
import json

import pytest
from click.testing import CliRunner
from rich.console import Console

from pipeline import topology
from pipeline.cli import main
from pipeline.cli.view import StateTable, as_json, as_line
from pipeline.supervisor import Snapshot, snapshot
from tests.pipeline.cli_breaker.without_processes import NAMES, Run, shown


@pytest.fixture
def state(run: Run) -> Snapshot:
    stages = {each: topology.stage(each, run.config) for each in topology.STAGES}
    return snapshot(run.segment, run.config, stages)


def test_the_live_table_has_the_global_state_and_each_breaker_that_is_not_closed(
    run: Run, state: Snapshot
) -> None:
    assert "\nbreakers: closed\n" in shown(StateTable(state, None, "t", run.config))
    sick = dataclasses.replace(
        state,
        breakers={**state.breakers, "ta": "open", "ml": "half_open"},
        global_breaker="degraded",
    )
    table = StateTable(sick, None, "t", run.config)
    assert "\nbreakers: ta open, ml half-open, global degraded\n" in shown(table)
    screen = Console(file=io.StringIO(), force_terminal=True, width=130, color_system="standard")
    screen.print(table)
    text = screen.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b[33mdegraded\x1b[0m" in text
    assert "\x1b[1;31mopen\x1b[0m" in text


def test_a_line_mentions_breakers_only_if_one_is_not_closed(run: Run, state: Snapshot) -> None:
    assert "breakers" not in as_line(state, None, 1.0, run.config)
    off = dataclasses.replace(state, breakers={**state.breakers, "ta": "disabled"})
    assert as_line(off, None, 1.0, run.config).endswith(", breakers: ta disabled")
    both = {**state.breakers, "feed.sim": "forced_open", "risk": "disabled"}
    worse = dataclasses.replace(state, breakers=both, global_breaker="open")
    assert as_line(worse, None, 1.0, run.config).endswith(
        ", breakers: feed.sim forced-open, risk disabled, global open"
    )
    halted = dataclasses.replace(state, global_breaker="open")
    assert as_line(halted, None, 1.0, run.config).endswith(", breakers: global open")


def test_states_have_underscores_in_json_only(run: Run) -> None:
    run.breaker("ta").force_open(actor="ann", reason="x")
    assert json.loads(run.bot4("list", "--json").stdout)["breakers"]["ta"]["state"] == "forced_open"
    assert "forced_open" not in run.bot4("list").stdout + run.bot4("show", "ta").stdout
    assert "forced-open" in run.bot4("list").stdout


def test_json_of_a_run_has_its_breakers(run: Run, state: Snapshot) -> None:
    data = as_json(state, run.config)
    assert data["global_breaker"] == "closed"
    assert data["breakers"] == dict.fromkeys(NAMES, "closed")
    status = CliRunner().invoke(main, ["status", "--json", "--name", run.segment.name])
    assert json.loads(status.stdout)["breakers"] == data["breakers"]
