"""Where paths lead: the state directory, models and strategies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from pipeline.config import load
from tests.pipeline.config.reading import HOME, read


@pytest.mark.parametrize(
    ("text", "environ", "expected"),
    [
        ("", {"XDG_STATE_HOME": "/var/state"}, "/var/state/bot4/paper"),
        ("", {"XDG_STATE_HOME": "relative"}, "/home/me/.local/state/bot4/paper"),
        ('name = "x"', {}, "/home/me/.local/state/bot4/x"),
        ('state_dir = "~/here"', {}, "/home/me/here"),
        ('state_dir = "/there/"', {}, "/there"),
        ('state_dir = ""', {"BOT4_NAME": "y"}, "/home/me/.local/state/bot4/y"),
    ],
)
def test_the_state_directory_follows_from_the_name_unless_it_is_given(
    text: str, environ: Mapping[str, str], expected: str
) -> None:
    assert read(text, environ=environ).config.state_dir == expected


def test_paths_are_of_the_file_that_names_them_or_of_where_the_command_is_run(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    file = folder / "c.toml"
    file.write_text('[ml]\nmodel = "models/a"\nstrategy = "mine.py:Mine"\n')
    ml = load(file, environ=HOME).resolved()["ml"]
    assert (ml["model"], ml["strategy"]) == (f"{folder}/models/a", f"{folder}/mine.py:Mine")
    flags = {"ml.model": "../b", "ml.strategy": "/abs/mine.py:Mine"}
    ml = load(file, flags=flags, environ=HOME).resolved()["ml"]
    assert (ml["model"], ml["strategy"]) == (f"{tmp_path.parent}/b", "/abs/mine.py:Mine")


@pytest.mark.parametrize(
    ("text", "model", "strategy"),
    [
        ("", "packaged", "blend"),
        ('[ml]\nmodel = ""\nstrategy = "mine:Mine"', "", "mine:Mine"),
        ('[ml]\nstrategy = "of-a-package"', "packaged", "of-a-package"),
    ],
)
def test_what_is_no_path_stays_as_it_is(text: str, model: str, strategy: str) -> None:
    ml = read(text).resolved()["ml"]
    assert (ml["model"], ml["strategy"]) == (model, strategy)
