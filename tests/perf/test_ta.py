"""The benchmark of indicators: its pure parts, and one small run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from perf import ta as script
from perf.indicators.peers import HISTORY, PEERS
from workers.ta.features import Feature

SCRIPT = Path(script.__file__)


@pytest.mark.parametrize(("p99", "met"), [(1.99, True), (2.0, False)])
def test_the_limit_is_met_below_it(p99: float, met: bool) -> None:
    assert script.expectations([{"name": "bot4", "p99_us": p99}])[0]["met"] is met
    assert script.expectations([{"name": "ta", "p99_us": p99}])[0]["met"] is None


def test_a_sample_has_percentiles_by_nearest_rank() -> None:
    p50, p99 = script.sample(PEERS["bot4"](script.bars_of(HISTORY + 100)), 100)
    assert 0 < p50 <= p99


def test_what_both_have_is_alike() -> None:
    assert script.difference("bot4", "ta", script.bars_of(HISTORY + 20)) < 1e-6


def test_a_peer_has_only_features_of_ours() -> None:
    series = script.bars_of(HISTORY + 1)
    for name in ("bot4", "ta"):
        peer = PEERS[name](series)
        peer.update()
        assert set(peer.values()) <= set(Feature)
        assert len(peer.values()) >= 24


def test_a_peer_that_does_not_exist_is_refused() -> None:
    result = CliRunner().invoke(script.main, ["--peers", "bot4,other"])
    assert result.exit_code == 2
    assert "was other" in result.output


def test_as_a_script_it_measures_the_project_and_ta() -> None:
    command = [sys.executable, str(SCRIPT), "--json", "--quick", "--repeats", "1"]
    done = subprocess.run(
        [*command, "--peers", "bot4,ta"], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [each["name"] for each in found["results"]] == ["bot4", "ta"]
    for each in found["results"]:
        assert each["case"] == "16 families"
        assert 0 < each["p50_us"] <= each["p99_us"]
        assert each["max_abs_diff"] < 1e-6
