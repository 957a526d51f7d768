"""What an operator does to a breaker, and what is kept of it."""

from __future__ import annotations

import getpass
import os
import threading
from typing import Any

import pytest
from click.testing import CliRunner

from pipeline.breakers import by_hand
from pipeline.breakers.audit import AuditEntry, AuditTrail
from pipeline.breakers.by_hand import OPERATIONS
from pipeline.cli import main
from tests.pipeline.cli_breaker.without_processes import Run
from tests.pipeline.supervisor.started import until


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
def test_an_operation_changes_the_breaker_between_two_records(
    run: Run, operation: by_hand.Operation
) -> None:
    run.calls("ml", True, False)
    before = run.breaker("ml").generation
    done = run.bot4(operation.name, "ml", "--actor", "ann", "--reason", "maintenance")
    assert done.exit_code == 0, done.output
    to = operation.state.replace("_", "-")
    assert done.stdout.splitlines()[0] == f"ml: closed -> {to} (generation {before + 1})"
    assert run.state("ml").lower() == operation.state
    intent, result = run.entries()
    assert (intent.kind, result.kind) == ("intent", "done")
    assert (intent.generation, result.generation) == (before, before + 1)
    for entry in (intent, result):
        assert (entry.breaker, entry.before, entry.after) == ("ml", "closed", operation.state)
        assert (entry.actor, entry.reason) == ("ann", "maintenance")
        assert (entry.run_id, entry.cause) == (run.segment.run_id, operation.cause)
        assert entry.figures == {"calls": 2, "failures": 1, "slow": 0, "consecutive": 1}
    told = [event for event in run.group.events() if event["actor"]]
    assert [(bytes(each["actor"]), bytes(each["reason"])) for each in told] == [
        (b"ann", b"maintenance")
    ]


def test_the_actor_is_the_login_name_by_default(run: Run) -> None:
    run.bot4("trip", "ml", "--reason", "x")
    assert {entry.actor for entry in run.entries()} == {getpass.getuser()}


def test_a_change_of_the_global_state_is_said(run: Run) -> None:
    run.group.derive()
    assert run.bot4("force-open", "risk", "--reason", "x").stdout.splitlines() == [
        "risk: closed -> forced-open (generation 2)",
        "global breaker: closed -> open",
    ]


def test_what_changes_nothing_is_said_and_recorded(run: Run) -> None:
    run.breaker("ml").disable(actor="ann", reason="x")
    done = run.bot4("disable", "ml", "--reason", "x")
    assert (done.exit_code, done.stdout) == (0, "ml was disabled: nothing changed\n")
    assert [entry.kind for entry in run.entries()] == ["intent", "no-op"]


def test_what_is_not_allowed_is_refused_with_a_remedy_and_recorded(run: Run) -> None:
    run.breaker("ml").force_open(actor="ann", reason="x")
    done = run.bot4("trip", "ml", "--reason", "x")
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr == (
        "bot4: breaker 'ml': trip is not possible while it is FORCED_OPEN; reset it first\n"
    )
    intent, result = run.entries()
    assert (intent.kind, intent.after) == ("intent", "open")
    assert (result.kind, result.before, result.after) == ("refused", "forced_open", "forced_open")


@pytest.mark.parametrize("command", [("show",), ("trip", "--reason", "x")])
def test_an_unknown_name_is_a_usage_error_with_the_names_there_are(
    run: Run, command: tuple[str, ...]
) -> None:
    done = run.bot4(*command, "feed.sin")
    assert done.exit_code == 2
    assert (
        "'BREAKER': was 'feed.sin', must be one of feed.sim, orders.sim, ta, ml, risk, storage; "
        "did you mean feed.sim?"
    ) in done.stderr
    assert "did you mean" not in run.bot4(*command, "xyzzy").stderr
    assert run.entries() == []


@pytest.mark.parametrize(
    "arguments", [(), ("--reason", " "), ("--reason", "x", "--actor", "")], ids=str
)
def test_who_and_why_must_be_given(run: Run, arguments: tuple[str, ...]) -> None:
    done = run.bot4("trip", "ml", *arguments)
    assert done.exit_code == 2
    assert "--reason" in done.stderr or "--actor" in done.stderr
    assert run.state("ml") == "CLOSED"


def test_bytes_that_are_no_text_do_not_end_in_a_traceback(run: Run) -> None:
    # As Python hands on what is not UTF-8 on a command line.
    done = run.bot4("trip", "ml", "--reason", "caf\udce9", "--actor", "j\udcf6rg")
    assert done.exit_code == 0, done.output
    assert run.state("ml") == "OPEN"
    assert {(entry.actor, entry.reason) for entry in run.entries()} == {("j?rg", "caf?")}


@pytest.mark.parametrize("command", ["reset", "disable", "metrics-only"])
def test_without_an_audit_trail_nothing_is_changed(run: Run, command: str) -> None:
    run.trail.mkdir()
    run.calls("ml", False)
    done = run.bot4(command, "ml", "--reason", "x")
    assert done.exit_code == 1
    assert done.stderr.startswith(
        f"bot4: nothing was changed: the audit trail {run.trail} cannot be written ("
    )
    assert (run.state("ml"), run.breaker("ml").generation) == ("CLOSED", 1)


@pytest.mark.parametrize(("command", "state"), [("trip", "OPEN"), ("force-open", "FORCED_OPEN")])
def test_what_makes_trading_more_careful_is_done_without_an_audit_trail_and_says_so(
    run: Run, command: str, state: str
) -> None:
    run.trail.mkdir()
    done = run.bot4(command, "ml", "--reason", "x")
    assert done.exit_code == 0
    assert run.state("ml") == state
    without, unsaid = done.stderr.splitlines()
    assert without.startswith(
        f"bot4: goes on without a record: the audit trail {run.trail} cannot be written ("
    )
    assert unsaid.startswith(f"bot4: done, but {run.trail} does not say so (")


def test_a_disk_that_hangs_does_not_hold_up_a_trip(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, hanging = threading.Event(), threading.Semaphore(0)

    def hang(fd: int) -> None:
        hanging.release()
        answer.wait()

    monkeypatch.setattr(os, "fdatasync", hang)
    monkeypatch.setattr(by_hand, "_RECORD_S", 0.01)
    done = run.bot4("trip", "ml", "--reason", "x")
    assert hanging.acquire(timeout=30)
    answer.set()
    assert done.exit_code == 0
    assert run.state("ml") == "OPEN"
    assert done.stderr.count("no answer from the disk in 0.01 s") == 2
    until(
        lambda: all(thread.name != "audit" for thread in threading.enumerate()),
        "the end of the writes",
    )


def test_a_result_that_cannot_be_recorded_is_said(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = AuditTrail.append

    def only_intents(self: AuditTrail, entry: AuditEntry) -> None:
        if entry.kind != "intent":
            raise OSError(28, "No space left on device")
        append(self, entry)

    monkeypatch.setattr(AuditTrail, "append", only_intents)
    done = run.bot4("reset", "ml", "--reason", "x")
    assert done.exit_code == 0
    assert done.stdout == "ml: closed -> closed (generation 2)\n"
    assert done.stderr == (
        f"bot4: done, but {run.trail} does not say so (No space left on device)\n"
    )


# Reload and resume.


@pytest.mark.parametrize(
    "command",
    [
        ("list",),
        ("show", "ta"),
        ("trip", "ta", "--reason", "x"),
        ("reload",),
    ],
    ids=lambda command: command[0],
)
def test_without_a_run_the_exit_code_is_that_of_not_running(
    name: str, config: dict[str, Any], command: tuple[str, ...]
) -> None:
    done = CliRunner().invoke(main, ["breaker", *command, "--name", name])
    assert done.exit_code == 3
    assert f"{name} is not running" in done.stderr


# What `run` and `status` show.
