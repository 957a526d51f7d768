"""`bot4 notify`, and the commands that tell what an operator does without a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipeline.cli import main


def bot4(name: str, folder: Path, script: str, *arguments: str) -> Result:
    """Run a command of a deployment that tells by a script in a folder."""
    file = folder / "tell"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o700)
    (folder / "c.toml").write_text('[notify]\ncommand = ["./tell"]\n')
    flags = ["--name", name, "--set", f"state_dir={folder}/state"]
    return CliRunner().invoke(main, ["--config", f"{folder}/c.toml", *arguments, *flags])


def test_it_shows_what_the_command_answers(name: str, tmp_path: Path, elsewhere: None) -> None:
    done = bot4(name, tmp_path, f"cat > {tmp_path}/told; echo ok", "notify", "--text", "hello")
    assert done.exit_code == 0
    assert done.stdout.startswith(f"{tmp_path}/tell: told, exit status 0, in 0.")
    assert done.stdout.endswith(" s\n  ok\n")
    told = json.loads((tmp_path / "told").read_text())
    assert (told["deployment"], told["kind"], told["text"]) == (name, "test", "hello")
    assert (told["run"], told["figures"]) == (None, {})


def test_a_failure_is_its_exit_code(name: str, tmp_path: Path, elsewhere: None) -> None:
    done = bot4(name, tmp_path, "echo no route >&2; exit 3", "notify", "--json")
    assert done.exit_code == 1
    said = json.loads(done.stdout)
    assert (said["exit_status"], said["failure"]) == (3, "exit status 3")
    assert (said["lines"], said["notice"]["kind"]) == (["no route"], "test")


def test_without_a_command_it_says_where_one_belongs(elsewhere: None) -> None:
    done = CliRunner().invoke(main, ["notify"])
    assert done.exit_code == 78
    assert done.stderr == (
        "bot4: notify.command was [], must be a program with its arguments, or nobody is told\n"
    )


def test_what_is_done_without_a_run_is_told_by_whoever_does_it(
    name: str, tmp_path: Path, elsewhere: None
) -> None:
    script = f"cat >> {tmp_path}/told"
    for arguments in (
        ("init",),
        ("mode", "paused", "--reason", "lunch"),
        ("mode", "paused", "--reason", "again"),
        ("kill", "--reason", "enough"),
        ("kill", "--reason", "again"),
        ("resume", "--reason", "calm"),
    ):
        assert bot4(name, tmp_path, script, *arguments, *_by(arguments)).exit_code == 0
    lines = (tmp_path / "told").read_text().splitlines()
    assert [(told["kind"], told["text"]) for told in map(json.loads, lines)] == [
        ("mode", "mode: normal -> paused: lunch (by anna)"),
        ("kill", "killed: enough (by anna); it was not running"),
        ("mode", "mode: emergency -> normal: calm (by anna)"),
    ]


def _by(arguments: tuple[str, ...]) -> list[str]:
    return [] if arguments == ("init",) else ["--actor", "anna"]


def test_one_that_fails_is_said_and_changes_nothing(
    name: str, tmp_path: Path, elsewhere: None
) -> None:
    bot4(name, tmp_path, "", "init")
    done = bot4(name, tmp_path, "exit 3", "kill", "--reason", "enough", "--actor", "anna")
    assert done.exit_code == 0
    assert done.stderr == (
        f"bot4: notify: {tmp_path}/tell: exit status 3; not told: "
        "killed: enough (by anna); it was not running\n"
    )
    assert "latched: no run begins until bot4 resume --reason TEXT\n" in done.stdout


@pytest.mark.parametrize("command", ["no-such-program", "./none"])
def test_a_run_says_at_once_that_nobody_would_be_told(
    command: str, name: str, tmp_path: Path, elsewhere: None
) -> None:
    from pipeline.cli.run import configure

    notes = configure(None, name, {"notify.command": json.dumps([command])})["notes"]
    shown = command if command == "no-such-program" else f"{tmp_path}/none"
    assert notes[-1] == (
        f"notify.command was {shown!r}, which is no program here: nobody would be told"
    )
