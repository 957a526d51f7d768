"""Who is told what of a run with all processes, by a command that appends to a file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from pipeline.cli import main
from pipeline.kill.latch import LatchFile
from pipeline.kill.positions import executor_cells
from tests.pipeline.supervisor.started import Started, until


def command(script: str) -> str:
    return json.dumps(["/bin/sh", "-c", script])


def told(folder: Path) -> list[dict[str, Any]]:
    file = folder / "told"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def hears(folder: Path, kind: str) -> None:
    """Wait until something of a kind was told."""
    until(lambda: any(each["kind"] == kind for each in told(folder)), f"a notice of kind {kind}")


def operate(run: Started, *arguments: str) -> Result:
    """Do something to it as an operator does."""
    done = CliRunner().invoke(main, [*arguments, "--actor", "anna", *run.flags])
    assert done.exit_code == 0, done.output
    return done


def holds(run: Started) -> None:
    run.flows(20, "orders")
    until(lambda: executor_cells(run.segment)["position"].any(), "a position")


def test_all_that_happens_is_told_once(name: str, tmp_path: Path) -> None:
    script = command(f"env > {tmp_path}/env; cat >> {tmp_path}/told")
    environ = {"KRAKEN_SECRET": "x"}
    # On a busy machine a breaker might open by itself.
    calm = {"breakers__consecutive": "0", "breakers__failure_bp": "10000"}
    with Started(name, tmp_path, notify__command=script, environ=environ, **calm) as run:
        holds(run)
        operate(run, "mode", "paused", "--reason", "lunch")
        operate(run, "resume", "--reason", "back")
        operate(run, "breaker", "trip", "ta", "--reason", "a test")
        hears(tmp_path, "breaker")
        pid = run.strike("ta")
        run.replaced("ta", pid)
        hears(tmp_path, "stage")
        # Those of the operator's commands are not the supervisor's.
        until(lambda: run.segment.words("notices").load("delivered") == 2, "the counts")
        done = CliRunner().invoke(main, ["status", "--json", *run.flags])
        run_id = run.segment.run_id
        operate(run, "kill", "--reason", "enough")
        figures, errors = run.end(4)
    notices = told(tmp_path)
    texts = [(each["kind"], each["severity"], each["operator"], each["text"]) for each in notices]
    # The first of a kill is told by the operator's command, the other one by the supervisor.
    texts[-2:] = sorted(texts[-2:])
    assert texts == [
        ("mode", "warning", "anna", "mode: normal -> paused: lunch (by anna)"),
        ("mode", "info", "anna", "mode: paused -> normal: back (by anna)"),
        ("breaker", "warning", "anna", "breaker ta: closed -> open: a test (by anna)"),
        (
            *("stage", "warning", None),
            f"ta (pid {pid}) ended: signal SIGKILL; starting it again",
        ),
        ("kill", "critical", "anna", "killed: enough (by anna); all positions are closed"),
        ("kill", "info", "anna", "killed: nothing is held any more"),
    ]
    assert {(each["deployment"], each["run"]) for each in notices} == {(name, run_id)}
    assert all(float(each["figures"]["equity"]) > 0 for each in notices)
    assert json.loads(done.stdout)["notices"] == {"delivered": 2, "failed": 0, "dropped": 0}
    assert figures["notices"]["failed"] == figures["notices"]["dropped"] == 0
    assert "notify: " not in errors
    assert "SECRET" not in (tmp_path / "env").read_text()


def test_of_a_kill_without_a_supervisor_the_operators_command_tells(
    name: str, tmp_path: Path
) -> None:
    script = command(f"cat >> {tmp_path}/told")
    with Started(name, tmp_path, notify__command=script) as run:
        holds(run)
        run.kill()
        # The command is that of the run: the operator's own configuration has none.
        run.flags = run.flags[:4]
        operate(run, "kill", "--reason", "enough")
    begun, ended = told(tmp_path)
    assert (begun["kind"], begun["text"]) == (
        "kill",
        "killed: enough (by anna); all positions are closed",
    )
    assert (ended["kind"], ended["text"]) == ("kill", "killed: nothing is held any more")
    assert (ended["operator"], ended["reason"]) == ("anna", "enough")
    assert begun["run"] == ended["run"]
    assert (ended["figures"]["held"], ended["figures"]["mode"]) == ({}, "emergency")


def test_a_command_that_hangs_holds_up_neither_the_run_nor_the_kill(
    name: str, tmp_path: Path
) -> None:
    script = command("sleep 600")
    with Started(name, tmp_path, notify__command=script, notify__timeout_s="0.5") as run:
        run.flows(1)
        pid = run.strike("ml")
        run.replaced("ml", pid)
        done = operate(run, "kill", "--reason", "enough", "--json")
        _, errors = run.end(4)
    assert json.loads(done.stdout)["held"] == {}
    assert LatchFile(tmp_path).read().is_killed
    late = r"notify: /bin/sh: has not ended, killed after [\d.]+ s; not told: "
    assert re.search(late + r"killed: enough \(by anna\); all positions", done.stderr), done.stderr
    assert re.search(late + r"ml \(pid ", errors), errors
