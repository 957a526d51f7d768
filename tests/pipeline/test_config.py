"""The configuration file."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config import Config, ConfigError, load


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BOT4_CONFIG", raising=False)


def test_without_a_file_the_defaults_hold() -> None:
    assert load() == Config()
    assert load().name == "paper"


def test_a_host_goes_over_the_default_entry_by_entry(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(
        '[hosts.default.affinity]\nfeed = [0]\nta = "auto"\n[hosts.big.affinity]\nfeed = [4, 5]\n'
    )
    assert load(file).affinity("big") == {"feed": [4, 5], "ta": "auto"}
    assert load(file).affinity("small") == {"feed": [0], "ta": "auto"}
    assert load(file).affinity()["ta"] == "auto"


def test_the_file_is_the_one_named_then_the_environments_then_the_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "config"):
        (tmp_path / f"{name}.toml").write_text(f'name = "{name}"\n')
    assert load().name == "config"
    monkeypatch.setenv("BOT4_CONFIG", str(tmp_path / "b.toml"))
    assert load().name == "b"
    assert load(tmp_path / "a.toml").name == "a"


def test_the_projects_own_file_is_valid() -> None:
    assert load(Path(__file__).parents[2] / "config.toml").name == "paper"


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("name = 3\n", ["name was 3: "]),
        ('name = "a/b"\n', ["name was 'a/b': "]),
        (
            '[hosts.x.affinity]\nta = [-1]\nml = "some"\nfeed = []\n[host]\n',
            [
                "hosts.x.affinity.ta was [-1]: Value error, must be",
                "hosts.x.affinity.ml was 'some'",
                "hosts.x.affinity.feed was []",
                "host was",
            ],
        ),
        ("name = \n", ["Invalid value (at line 1"]),
        ("\xff", ["Invalid"]),
    ],
)
def test_everything_that_is_wrong_is_named_with_its_value(
    tmp_path: Path, text: str, messages: list[str]
) -> None:
    file = tmp_path / "c.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as refused:
        load(file)
    for message in messages:
        assert message in str(refused.value)
    assert str(file) in str(refused.value)


def test_a_named_file_must_be_there_and_readable(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.toml does not exist"):
        load(tmp_path / "no.toml")
    with pytest.raises(ConfigError, match="Is a directory"):
        load(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="latin"):
        load(tmp_path / "latin.toml")
