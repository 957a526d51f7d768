"""What single sections may say: pipeline, venues, notify and ml."""

from __future__ import annotations

from pathlib import Path

import pytest

from shm import STRATEGIES
from tests.pipeline.config.reading import read, refused


@pytest.mark.parametrize("wait", ["auto", *STRATEGIES])
def test_each_wait_strategy_can_be_asked_for(wait: str) -> None:
    assert read(f'pipeline.wait = "{wait}"').config.pipeline.wait == wait


def test_other_venues_are_those_of_ccxt_and_have_addresses_only() -> None:
    loaded = read('[venues.bybit]\nurl = "ws://127.0.0.1:1"\n')
    assert loaded.config.resolved()["venues"]["bybit"]["url"] == "ws://127.0.0.1:1"
    assert str(loaded.values()["venues.bybit.url"][1]) == "c.toml:2"
    assert loaded.config.resolved()["venues"]["binance"]["links"] == 1
    flagged = read(flags={"venues.bybit.rest_url": "http://[::1]:5"})
    assert flagged.config.resolved()["venues"]["bybit"]["rest_url"] == "http://[::1]:5"
    [unknown] = refused('[venues.bibit]\nurl = "ws://h"\n')
    assert unknown.startswith("c.toml:1: venues.bibit was 'bibit', must be binance, kraken, ")
    assert "did you mean bybit" in unknown
    assert refused("[venues.bybit]\nlink = 2\n") == [
        "c.toml:2: unknown key venues.bybit.link; the keys there are url, rest_url"
    ]
    [wrong] = refused('[venues.bybit]\nurl = "http://h"\n')
    assert (
        wrong
        == "c.toml:2: venues.bybit.url was 'http://h', must be an address wss://host or ws://host"
    )


def test_a_command_that_is_told_is_an_array_whose_path_is_of_the_file(tmp_path: Path) -> None:
    text = '[notify]\ncommand = ["./tell", "./me"]\non = ["kill"]\n'
    loaded = read(text)
    assert loaded.config.notify.on == ("kill",)
    assert loaded.resolved()["notify"]["command"] == [f"{tmp_path}/tell", "./me"]
    assert read("", {"notify.command": '["tell"]'}).resolved()["notify"]["command"] == ["tell"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('command = "curl -s"', "command was 'curl -s', must be an array, e.g. ["),
        ('command = [" "]', "command was [' '], must begin with a program, or be [] for none"),
        ("command = [1]", "command.0 was 1, must be a valid string"),
        ('on = "kill"', "on was 'kill', must be an array, e.g. ["),
        ("on = []", "on was [], must name at least one kind; command = [] tells nobody"),
        ('on = ["kill", "fill"]', "on.1 was 'fill', must be 'kill', 'mode', 'breaker' or 'stage'"),
        ("timeout_s = 0", "timeout_s was 0, must be greater than 0"),
        ("timeouts = 1", "unknown key notify.timeouts; did you mean timeout_s?"),
    ],
)
def test_what_cannot_be_told_is_refused(line: str, message: str) -> None:
    (problem,) = refused(f"[notify]\n{line}\n")
    path = "" if line.startswith("timeouts") else "notify."
    assert problem.startswith(f"c.toml:2: {path}{message}")


def test_a_score_that_leaves_is_below_one_that_enters() -> None:
    assert refused("[ml]\nenter_bp = 1000\nleave_bp = 1000") == [
        "c.toml:3: ml.leave_bp was 1000, must be less than ml.enter_bp, 1000"
    ]


@pytest.mark.parametrize(("margin", "is_refused"), [(0, 0), (1, 1), (9_999, 1), (10_000, 0)])
def test_an_entry_is_worth_at_least_its_costs(margin: int, is_refused: int) -> None:
    text = f"[ml]\ncost_margin_bp = {margin}"
    if not is_refused:
        assert read(text).config.ml.cost_margin_bp == margin
        return
    (problem,) = refused(text)
    assert problem.startswith(f"c.toml:2: ml.cost_margin_bp was {margin}, must be 0 or >= 10000: ")


@pytest.mark.parametrize("strategy", ["a b", "mine.py", ":Mine", "mine.py:", "mine.py:Mine()"])
def test_what_names_no_strategy_is_refused(strategy: str) -> None:
    (problem,) = refused(f'[ml]\nstrategy = "{strategy}"')
    assert 'must be a name such as "blend", "path/to/file.py:Class" or' in problem
