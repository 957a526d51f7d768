"""What a run cannot be started with, and what it says of that."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from shm import list_segments
from tests.pipeline.supervisor.started import BOT4, PATIENCE_S, Started, bot4, environment


def test_a_strategy_that_there_is_not_is_bad_configuration(name: str, tmp_path: Path) -> None:
    with Started(name, tmp_path, ml__strategy="nowhere:Strategy") as run:
        _, errors = run.end(78)
    assert "ml.strategy was 'nowhere:Strategy', but there is no module nowhere" in errors
    assert "Traceback" not in errors


def test_a_model_of_other_features_is_bad_configuration_before_anything_starts(
    name: str, tmp_path: Path
) -> None:
    with Started(name, tmp_path, ml__model="packaged") as run:  # with short averages
        _, errors = run.end(78)
    assert "ml.model was 'packaged', must fit; or do without" in errors
    assert "the model's: sma_fast, " in errors
    assert "computed here: sma_fast, " in errors
    assert "Traceback" not in errors
    assert list_segments(name) == []


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--set", "exchange.rate=0"), 78, "exchange.rate was 0, must be"),
        (("--set", "exchange.rat=5"), 78, "unknown key exchange.rat"),
        (("--set", "hosts.default.affinity.ta=[4095]"), 78, "affinity of ta was [4095]"),
        (("--set", "state_dir=/proc/nowhere"), 1, "/proc/nowhere"),
        (
            ("--venue", "bitmex"),
            78,
            "was 'bitmex', must be sim, binance, kraken, coinbase or one that",
        ),
        (("--venue", "kraken"), 78, "instruments of venue 'kraken' were none"),
        (("--duration", "0"), 2, "--duration"),
        (("--duration", "nan"), 2, "'--duration': was nan, must be finite"),
        (("--duration", "inf"), 2, "--duration"),
        (("--events", "0"), 2, "--events"),
        (("--seed", "-1"), 2, "--seed"),
    ],
)
def test_what_is_given_wrongly_is_named(
    name: str, tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    state = (
        () if any("state_dir" in each for each in arguments) else ("--set", f"state_dir={tmp_path}")
    )
    done = bot4("run", "--name", name, *state, *arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_output_that_cannot_be_written_is_a_failure_in_one_line(name: str, tmp_path: Path) -> None:
    flags = ["--name", name, "--set", f"state_dir={tmp_path}"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [BOT4, "run", "--json", "--events", "10", *flags],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE_S,
            env=environment(),
            cwd=tmp_path,
        )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "bot4: [Errno 28] No space left on device"
    assert "Traceback" not in done.stderr
