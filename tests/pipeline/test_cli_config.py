"""`bot4 config`."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from pipeline.cli import config as cli
from pipeline.cli.config import command

pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "c.toml"
    file.write_text('name = "mine"\n[risk]\nposition_bp = 100\n')
    return file


def bot4(*arguments: str, file: Path | None = None) -> Result:
    return CliRunner().invoke(command, arguments, obj=file)


def test_a_valid_configuration_is_said_to_be(file: Path) -> None:
    done = bot4("check", file=file)
    assert done.exit_code == 0
    assert done.output == f"{file}: ok, mine trades BTCUSDT, ETHUSDT, SOLUSDT\n"
    assert bot4("check").output.startswith("defaults: ok, paper trades")


def test_everything_that_is_wrong_is_named_at_once_with_exit_code_78(file: Path) -> None:
    file.write_text("[risk]\nposition_bp = 0\npositon_bp = 1\n")
    done = bot4("check", "--set", "ta.slow=5", file=file)
    assert done.exit_code == 78
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        f"bot4: {file}:2: risk.position_bp was 0, must be greater than 0",
        f"{file}:3: unknown key risk.positon_bp; did you mean position_bp?",
        "--set: ta.slow was 5, must be greater than ta.fast, 5",
    ]
    assert bot4("show", file=file).exit_code == 78


def test_values_are_shown_with_their_origins(file: Path) -> None:
    done = bot4("show", "--origin", "--name", "other", "--set", "risk.stale_ms=500", file=file)
    lines = done.output.splitlines()
    assert 'name = "other"  # --name' in lines
    assert f"risk.position_bp = 100  # {file}:3" in lines
    assert "risk.stale_ms = 500  # --set" in lines
    assert 'equity = "100000"  # default' in lines
    assert 'hosts.default.affinity.feed = "auto"  # default' in lines
    assert 'name = "mine"' in bot4("show", file=file).output.splitlines()


def test_values_are_shown_as_json(file: Path) -> None:
    values = json.loads(bot4("show", "--json", file=file).output)
    assert values["risk.position_bp"] == 100
    assert values["instruments.0.tick"] == "0.01"
    values = json.loads(bot4("show", "--json", "--origin", file=file).output)
    assert values["risk.position_bp"] == {"value": 100, "origin": f"{file}:3"}


@pytest.mark.parametrize("origin", [True, False])
def test_a_terminal_gets_a_table(file: Path, monkeypatch: pytest.MonkeyPatch, origin: bool) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=200)
    monkeypatch.setattr(cli, "Console", lambda: console)
    assert bot4("show", *(["--origin"] if origin else []), file=file).exit_code == 0
    assert "position_bp" in screen.getvalue()
    assert (f"{file}:3" in screen.getvalue()) == origin


def test_the_packaged_configuration_is_valid_and_names_every_default(tmp_path: Path) -> None:
    printed = tmp_path / "printed.toml"
    printed.write_text(bot4("default").output)
    assert bot4("show", file=printed).output == bot4("show").output


def test_a_setting_without_a_value_is_a_usage_error() -> None:
    done = bot4("check", "--set", "risk.position_bp")
    assert done.exit_code == 2
    assert "must be KEY=VALUE" in done.output
