"""`bot4 breaker log`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from pipeline.breakers.audit import FILE, AuditEntry, AuditTrail
from pipeline.cli import main
from tests.pipeline.cli_breaker.without_processes import Run


def entry(kind: str, reason: str, **changes: Any) -> AuditEntry:
    fields: dict[str, Any] = {
        "time": "2026-05-28T20:26:40.123456Z",
        "monotonic_ns": 1,
        "run_id": "r",
        "kind": kind,
        "breaker": "ta",
        "before": "closed",
        "after": "open",
        "cause": "tripped",
        "actor": "ann",
        "reason": reason,
        "figures": {"calls": 3, "failures": 1, "slow": 0, "consecutive": 0},
        "generation": 2,
    }
    return AuditEntry(**{**fields, **changes})


def test_the_log_has_a_line_for_each_thing_that_happened(run: Run) -> None:
    trail = AuditTrail(run.trail)
    for each in (
        entry("transition", "", actor="", cause="consecutive", breaker="feed.sim", generation=4),
        entry("intent", "killed", generation=1),
        entry("intent", "[why]", generation=1),
        entry("transition", "[why]"),
        entry("done", "[why]"),
        entry("reloaded", "", actor="", before="open", after="open"),
        entry("refused", "no", after="closed", figures={"slow": 2, "consecutive": 4}),
        entry("lease_expired", "", actor="", after="closed", cause="none", figures={}),
    ):
        trail.append(each)
    done = run.bot4("log")
    assert (done.exit_code, done.stderr) == (0, "")
    time, called = "2026-05-28T20:26:40.123456Z", "1 of 3 calls failed"
    assert done.stdout.splitlines() == [
        f"{time}  feed.sim  closed -> open  consecutive  1 of 3 calls failed",
        f"{time}  ta        closed -> open  tripped (without a result)  {called}  ann: killed",
        f"{time}  ta        closed -> open  tripped  {called}  ann: [why]",
        f"{time}  ta        closed  tripped (refused)  2 slow, 4 in a row  ann: no",
        f"{time}  ta        closed  none (lease expired)",
    ]


def test_the_log_as_json_has_every_entry(run: Run) -> None:
    run.bot4("trip", "ml", "--reason", "a")
    run.bot4("reset", "ml", "--reason", "b")
    entries = json.loads(run.bot4("log", "--json").stdout)
    assert [(each["kind"], each["reason"]) for each in entries] == [
        *(("intent", "a"), ("done", "a"), ("intent", "b"), ("done", "b")),
    ]
    assert {"from", "to", "figures", "time"} <= entries[0].keys()
    assert json.loads(run.bot4("log", "--json", "--last", "1").stdout) == entries[-1:]


def test_a_torn_line_is_skipped_with_a_note(run: Run) -> None:
    run.bot4("trip", "ml", "--reason", "a")
    with run.trail.open("ab") as file:
        file.write(b'{"time"')
    done = run.bot4("log", "--json")
    assert len(json.loads(done.stdout)) == 2
    assert done.stderr == f"""bot4: {run.trail}:3: is torn, skipped: '{{"time"'\n"""


def test_the_log_is_there_when_nothing_runs(name: str, config: dict[str, Any]) -> None:
    folder = Path(config["state_dir"])
    flags = ["--name", name, "--set", f"state_dir={folder}"]
    done = CliRunner().invoke(main, ["breaker", "log", *flags])
    assert (done.exit_code, done.stdout) == (0, f"{folder / FILE}: no entries\n")
    AuditTrail(folder / FILE).append(entry("done", "x"))
    assert "ann: x" in CliRunner().invoke(main, ["breaker", "log", *flags]).stdout
