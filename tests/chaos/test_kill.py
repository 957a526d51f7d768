"""`bot4 chaos kill`: real runs, real kills, and whether its proof can fail."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

import workers.ml
from pipeline import topology
from pipeline.chaos.plan import plan
from pipeline.chaos.run import SETTINGS, ChaosRun
from pipeline.chaos.victim import Victim
from pipeline.config import load
from shm import list_segments
from tests.pipeline.supervisor.started import BOT4, PATIENCE_S, environment
from tests.workers.ml.estimators import imported


def chaos(tmp_path: Path, *arguments: str) -> tuple[int, dict[str, Any], str]:
    process = subprocess.Popen(
        [BOT4, "chaos", "kill", "--json", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(TMPDIR=str(tmp_path)),
        cwd=tmp_path,
    )
    try:
        out, errors = process.communicate(timeout=2 * PATIENCE_S)
    finally:
        process.kill()
    assert list_segments(f"chaos-{process.pid}") == []
    assert list(tmp_path.iterdir()) == []
    return process.returncode, json.loads(out) if out else {}, errors


def test_fifteen_kills_lose_double_and_change_nothing(tmp_path: Path) -> None:
    code, figures, errors = chaos(tmp_path, "--events", "100000", "--kills", "15")
    assert code == 0, errors
    assert figures["kills"] == 15
    assert figures["killed"] == dict.fromkeys(sorted(topology.PIPELINE), 3)
    assert (figures["lost"], figures["duplicated"], figures["changed"]) == (0, 0, 0)
    assert figures["findings"] == []
    assert figures["orders"] >= 1000
    assert figures["replayed_inputs"] > 0
    assert 0 < figures["recovery_ms"]["p50"] <= figures["recovery_ms"]["max"]
    assert errors.count("SIGKILL") == 15


def test_nor_do_those_of_a_strategy_of_ones_own_in_a_file(tmp_path: Path, name: str) -> None:
    example = Path(workers.ml.__file__).parent / "example.py"
    run = ChaosRun(
        name,
        tmp_path,
        events=20_000,
        rate=2_000,  # a kernel in Python keeps up with the rows of that on a busy machine too
        seed=7,
        sabotage=None,
        report=print,
        strategy=f"{example}:Rebound",
    )
    outcome = run.execute(plan(7, 20_000, 6, "ml"))
    assert outcome.killed == {"ml": 6}
    assert outcome.verdict.findings == []
    assert outcome.verdict.is_clean
    assert outcome.replayed > 0
    assert outcome.verdict.orders >= 10


def test_nor_do_those_of_a_model_in_a_process_of_its_own(tmp_path: Path, name: str) -> None:
    model, _ = imported(
        tmp_path, load(None, flags={"ta.trades_per_bar": "2"}, environ={}).resolved()
    )
    run = ChaosRun(
        name,
        tmp_path,
        events=16_000,
        rate=800,  # the model takes up to 10 s to be back, and is to be killed again
        seed=7,
        sabotage=None,
        report=print,
        model=str(model),
    )
    outcome = run.execute(plan(7, 16_000, 4, None, ("ml", topology.MODEL)))
    assert outcome.killed == {"ml": 2, topology.MODEL: 2}
    assert outcome.verdict.findings == []
    assert outcome.verdict.is_clean
    assert outcome.replayed > 0
    assert outcome.verdict.orders >= 10


def test_nor_do_those_of_the_supervisor(tmp_path: Path) -> None:
    code, figures, errors = chaos(
        tmp_path, "--stage", "supervisor", "--events", "80000", "--kills", "2", "--rate", "20000"
    )
    assert code == 0, errors
    assert figures["killed"] == {"supervisor": 2}
    assert (figures["lost"], figures["duplicated"], figures["changed"]) == (0, 0, 0)
    assert figures["findings"] == []


@pytest.mark.parametrize("rule", ["dedupe", "slots", "context"])
def test_the_proof_fails_if_a_rule_of_the_recovery_is_switched_off(
    tmp_path: Path, rule: str
) -> None:
    code, figures, errors = chaos(
        tmp_path, "--sabotage", rule, "--events", "16000", "--kills", "20"
    )
    assert code == 1
    assert figures["findings"]
    assert figures["lost"] + figures["duplicated"] + figures["changed"] > 0
    assert "bot4: the run differs from its replay: " in errors
    if rule == "dedupe":
        assert figures["duplicated"] > 0


def test_a_run_that_is_given_up_leaves_nothing(tmp_path: Path, name: str) -> None:
    victim = Victim(name, {**SETTINGS, "state_dir": str(tmp_path)}, "--leash", "10")
    try:
        victim.start()
        victim.attach().close()
    finally:
        victim.end()
    assert list_segments(name) == []
    victim.end()


def test_too_few_orders_prove_nothing(tmp_path: Path) -> None:
    code, figures, errors = chaos(tmp_path, "--events", "500", "--kills", "0")
    assert code == 1
    assert figures["findings"] == []
    assert figures["kills"] == 0
    assert "must be at least 1000 to prove anything; use more --events" in errors


def test_wrong_arguments_are_usage_errors(tmp_path: Path) -> None:
    for arguments in (("--kills", "-1"), ("--events", "99"), ("--stage", "exchange")):
        code, _, errors = chaos(tmp_path, *arguments)
        assert code == 2
        assert arguments[0] in errors
