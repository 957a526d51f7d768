"""What the scripts have in common."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

import click
import pytest
from click.testing import CliRunner
from rich.console import Console

from perf import machine, script

REPORT: dict[str, Any] = {
    "skipped": {"a": "is not [there]"},
    "failed": {"b": "died"},
    "expectations": [
        {"expected": "fast", "measured": 0.25, "met": True},
        {"expected": "nothing lost", "measured": 3, "met": False},
        {"expected": "as before", "measured": None, "met": None},
    ],
}
END = (
    "skipped a: is not [there]\nfailed b: died\n"
    "fast. Measured: 0.25: met\n"
    "nothing lost. Measured: 3: NOT met\n"
    "as before. Measured: nothing: not measured\n"
)


@click.command()
@script.json_option
@script.names_option("--peers", "names", known=("one", "two"))
def choose(as_json: bool, names: Sequence[str]) -> None:
    script.tell({**REPORT, "names": names}, script.show_end, as_json=as_json)


def test_a_reader_is_told_who_is_missing_and_what_was_met() -> None:
    assert CliRunner().invoke(choose).output == END


def test_a_machine_gets_the_same() -> None:
    found = json.loads(CliRunner().invoke(choose, "--json").output)
    assert found == {**REPORT, "names": ["one", "two"]}


@pytest.mark.parametrize(
    ("given", "names"), [("two", ["two"]), ("two, one,two", ["two", "one"]), ("one", ["one"])]
)
def test_each_name_is_measured_once_in_the_order_given(given: str, names: list[str]) -> None:
    done = CliRunner().invoke(choose, ["--json", "--peers", given])
    assert json.loads(done.output)["names"] == names


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    done = CliRunner().invoke(choose, ["--peers", "one,three"])
    assert done.exit_code == 2
    assert "was three, must be of one, two" in done.output


def test_a_figure_may_have_words_of_its_own() -> None:
    screen = io.StringIO()
    script.show_end(REPORT, Console(file=screen), lambda each: f"<{each['measured']}>")
    assert "fast. Measured: <0.25>: met" in screen.getvalue()


def test_a_missing_peer_is_named_by_its_module_with_the_remedy() -> None:
    assert machine.why_missing("numpy") is None
    missing = machine.why_missing("nobody_has_this")
    assert missing is not None
    assert missing.startswith("nobody_has_this cannot be imported (")
    assert "pip install 'bot4[perf]'" in missing
