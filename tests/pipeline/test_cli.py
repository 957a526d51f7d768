"""The command line, started as a user starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli import COMMANDS, main
from shm import Layout, Segment, WordsSpec

BOT4 = str(Path(sys.executable).with_name("bot4"))


def bot4(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BOT4, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "COLUMNS": "100"},
    )


def test_help_lists_every_command_without_importing_them() -> None:
    done = bot4("--help")
    assert done.returncode == 0
    for command in COMMANDS:
        assert f"  {command} " in done.stdout
    heavy = {"numpy", "rich", "pydantic", "pipeline.cli.run", "workers"}
    code = (
        "import sys; from pipeline.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        f"sys.exit(bool({heavy} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_of_its_own(command: str) -> None:
    done = CliRunner().invoke(main, [command, "--help"])
    assert done.exit_code == 0
    assert f"Usage: main {command} " in done.output


def test_defaults_are_in_the_help() -> None:
    told = CliRunner().invoke(main, ["stop", "--help"]).output
    assert "[default: 15.0" in told


def test_exit_codes_are_in_the_help() -> None:
    codes = "0 ok, 1 failure, 2 usage, 3 not running, 4 halted, 78 bad configuration."
    assert codes in " ".join(CliRunner().invoke(main, ["--help"]).output.split())


def test_an_unknown_command_or_option_is_a_usage_error() -> None:
    assert bot4("trade").returncode == 2
    assert bot4("shm", "list", "--nam", "x").returncode == 2
    assert bot4("kill").returncode == 2  # without a reason


def test_segments_are_listed_with_their_state(name: str) -> None:
    assert bot4("shm", "list", "--name", name).stdout == "no segments\n"
    with Segment.create(name, Layout(WordsSpec("w", ("x",))), run_id="r1") as segment:
        done = bot4("shm", "list", "--name", name)
        assert name in done.stdout
        assert "running" in done.stdout
        listed = json.loads(bot4("shm", "list", "--name", name, "--json").stdout)
        assert [info["path"] for info in listed] == [segment.path]
        assert bot4("shm", "reap", "--name", name).stdout == "nothing to remove\n"


def test_segments_that_nobody_uses_are_removed(name: str) -> None:
    left = Segment.create(name, Layout(WordsSpec("w", ("x",))), run_id="r1")
    left.disown()
    left.close()
    assert bot4("shm", "list", "--name", name).stdout.count("stale") == 1
    done = bot4("shm", "reap", "--name", name, "--json")
    assert [info["state"] for info in json.loads(done.stdout)] == ["stale"]
    assert bot4("shm", "reap", "--name", name).stdout == "nothing to remove\n"


def test_a_venue_that_nothing_reads_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    text = (Path(__file__).parents[2] / "config.toml").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("price = ")]
    file.write_text("\n".join(lines).replace('venue = "sim"', 'venue = "mtgox"'))
    done = bot4("--config", str(file), "run", "--duration", "1")
    assert done.returncode == 78
    known = "sim, binance, kraken, coinbase or one that ccxt.pro reads"
    assert f"venue of BTCUSDT was 'mtgox', must be {known}" in done.stderr
