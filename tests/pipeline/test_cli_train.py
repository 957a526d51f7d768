"""`bot4 train` and `bot4 model`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipeline.cli import main
from tests.workers.ml.training.walks import walk, write

_SMALL = ("--model", "lr", "--folds", "1", "--horizon", "8")

pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(walk(1500), tmp_path / "walk.csv")


def bot4(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_a_model_is_trained_and_its_card_shown(file: Path) -> None:
    done = bot4("train", "--data", str(file), "--out", "model", *_SMALL)
    assert done.exit_code == 0, done.stderr
    lines = done.stderr.splitlines()
    assert lines[0] == f"[1/10] {file}"
    assert [line.split("/")[0] for line in lines] == [f"[{i}" for i in range(1, 11)]
    assert done.stdout.endswith("written to model\n")
    shown = bot4("model", "show", "model")
    assert shown.exit_code == 0
    assert shown.stdout + "written to model\n" == done.stdout
    for told in ("logistic regression", "walk.csv: 1,500 bars", "8 bars", "final from", "(--json)"):
        assert told in shown.stdout


def test_the_card_is_printed_as_json(file: Path) -> None:
    done = bot4("train", "--data", str(file), "--out", "model", "--json", *_SMALL)
    card = json.loads(done.stdout)
    assert card["card"]["metrics"]["trials"] == 1
    assert card == json.loads(bot4("model", "show", "model", "--json").stdout)
    assert card == {**json.loads(Path("model/manifest.json").read_text())}


def test_a_terminal_gets_a_bar(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    done = bot4("train", "--data", str(file), "--out", "model", "--json", *_SMALL)
    assert done.exit_code == 0
    assert "[1/10]" not in done.stderr
    assert "10/10" in done.stderr


def test_the_simulated_market_needs_no_file() -> None:
    done = bot4("train", "--simulated", "--bars", "600", "--out", "model", "--json", *_SMALL)
    assert done.exit_code == 0, done.stderr
    data = json.loads(done.stdout)["card"]["data"]
    assert [history["name"] for history in data["histories"]] == ["BTCUSDT", "ETHUSDT", "SOLUSDT"]
    assert (data["bar"], data["trades_per_bar"]) == ("tick", 20)
    assert "tick bars of 20 trades" in bot4("model", "show", "model").stdout


@pytest.mark.parametrize("given", [(), ("--simulated", "--data", "a.csv")])
def test_what_to_learn_from_is_named_once(given: tuple[str, ...]) -> None:
    done = bot4("train", "--out", "model", *given)
    assert done.exit_code == 2
    assert "name either histories, with --data, or --simulated" in done.stderr


def test_a_history_that_is_not_there_is_named_without_a_traceback() -> None:
    done = bot4("train", "--data", "none.parquet", "--out", "model")
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1] == (
        "bot4: none.parquet: is no file; name a Parquet or CSV file"
    )


@pytest.mark.parametrize(("module", "named"), [("sklearn", "scikit-learn"), ("pyarrow", "pyarrow")])
def test_a_library_that_is_missing_is_named_in_one_line(
    file: Path, monkeypatch: pytest.MonkeyPatch, module: str, named: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    done = bot4("train", "--data", str(file), "--out", "model")
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1].startswith(f"bot4: {named} is missing, which ")
    assert done.stderr.endswith("install it: pip install 'bot4[train]'\n")


def test_a_model_that_is_not_there_is_named() -> None:
    done = bot4("model", "show", "none")
    assert done.exit_code == 78
    assert done.stderr.startswith("bot4: none/manifest.json: cannot be read")
