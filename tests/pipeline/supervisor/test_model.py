"""A model in a process of its own, in a run: it trades with it, and goes on without it."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from pipeline.config import load
from pipeline.kill.positions import committed
from pipeline.records import ANSWER, INTENT, Array
from pipeline.topology import MODEL
from pipeline.vocabulary import Refusal
from tests.pipeline.supervisor.started import SETTINGS, Started, bot4, until
from tests.workers.ml.estimators import FEATURES, dumped, imported

TRADING: dict[str, Any] = {
    "ml__strategy": "blend",
    "ml__enter_bp": "1000",
    "exchange__rate": "1000",
    "ta__trades_per_bar": "10",
    # A model that is stopped on purpose is no illness here.
    "breakers__ml__consecutive": "0",
    "breakers__ml__failure_bp": "10000",
}


def resolved() -> dict[str, Any]:
    bars = {"ta.trades_per_bar": TRADING["ta__trades_per_bar"]}
    return load(None, flags={**SETTINGS, **bars}, environ={}).resolved()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return imported(tmp_path_factory.mktemp("model"), resolved())[0]


def stage(run: Started) -> dict[str, int]:
    """What ml has counted of questions and answers."""
    own = committed(run.segment, "ml", "stage")[0]
    missing = committed(run.segment, "ml", "instruments")["missing"].sum()
    return {name: int(own[name]) for name in own.dtype.names or ()} | {"missing": int(missing)}


def published(run: Started, ring: str, dtype: np.dtype[Any]) -> Array:
    """Return what is still in a ring of all that was published there."""
    follower = run.segment.ring_follower(ring, from_oldest=True)
    try:
        records = np.zeros(follower.published - follower.position, dtype)
        copied, _ = follower.read(records)
        return records[:copied]
    finally:
        follower.close()


def answered(run: Started, more: int = 20) -> None:
    """Wait for so many more rows that are decided on with an answer."""

    def good() -> int:
        counts = stage(run)
        return counts["last_answer"] - counts["refused"] - counts["ignored"]

    goal = good() + more
    until(lambda: good() >= goal, f"{more} answers")


def test_it_is_asked_and_killed_more_often_than_a_stage_may_be_it_halts_nothing(
    name: str, tmp_path: Path, model: Path
) -> None:
    with Started(
        name,
        tmp_path,
        ml__model=str(model),
        supervisor__restart_budget="1",
        supervisor__backoff_max_s="0.2",
        **TRADING,
    ) as run:
        answered(run, 60)
        answers = published(run, "answers", ANSWER)
        until(lambda: len(published(run, "intents", INTENT)), "an intent")
        for _ in range(2):
            run.replaced(MODEL, run.strike(MODEL))
        answered(run)
        figures, errors = run.stop()
    good = answers[answers["refusal"] == Refusal.NONE]
    assert ((good["probability"] > 0) & (good["probability"] < 1)).all()
    assert len(np.unique(good["probability"])) > 10
    # The ring holds the youngest 128 and has lapped the first ones where waiting took long.
    assert answers["question_id"][-1] >= 60
    assert (np.diff(answers["question_id"].astype(np.int64)) == 1).all()
    assert figures["model"]["state"] == "in use"
    assert figures["stages"][MODEL]["restarts"] == 2
    assert figures["queues"]["questions"]["p50_us"] is None
    assert figures["exit_reason"] == "signal"
    assert errors.count("ended: signal SIGKILL; starting it again") == 2
    assert re.search(r"^CPUs: .*\bmodel \d", errors)


def test_stopped_it_is_done_without_and_killed_and_started_again(
    name: str, tmp_path: Path, model: Path
) -> None:
    settings = {**TRADING, "ml__answer_timeout_ms": "300", "supervisor__heartbeat_s": "2"}
    with Started(name, tmp_path, ml__model=str(model), **settings) as run:
        answered(run)
        breaker = run.segment.breakers("breakers", observe=True).breaker("ml")
        failures, late = breaker.totals()["failed"], stage(run)["late"]
        pid = run.strike(MODEL, signal.SIGSTOP)
        until(lambda: stage(run)["late"] > late, "a decision without an answer")
        before = stage(run)
        # The pipeline goes on, at half size where it enters.
        run.flows(60, "features")
        until(lambda: breaker.totals()["failed"] > failures, "a slow call")
        until(lambda: stage(run)["last_intent_id"] > before["last_intent_id"], "an intent")
        run.replaced(MODEL, pid)
        answered(run)
        figures, errors = run.stop()
    assert f"model (pid {pid}) has not beaten for 2 s; killing it" in errors
    assert figures["model"]["missing"] >= 40
    assert figures["model"]["late"] > 0
    assert figures["exit_reason"] == "signal"


def test_a_run_that_was_killed_goes_on_with_its_questions(
    name: str, tmp_path: Path, model: Path
) -> None:
    with Started(name, tmp_path, ml__model=str(model), **TRADING) as run:
        answered(run)
        run.kill()
    with Started(name, tmp_path, ml__model=str(model), **TRADING) as run:
        answered(run)
        figures, errors = run.stop()
    assert "going on with run" in errors
    assert figures["exit_reason"] == "signal"


def twice(rows: Any) -> Any:
    """Stand for anything that somebody may put into a file."""
    return 2 * rows


def test_what_is_not_trusted_is_refused_by_name_before_anything_starts(
    name: str, tmp_path: Path
) -> None:
    rows = np.random.default_rng(1).normal(size=(50, 2))
    made = make_pipeline(FunctionTransformer(twice), LogisticRegression())
    file = dumped(tmp_path, made.fit(rows, (rows[:, 0] > 0).astype(int)))
    ours = f"{__name__}.twice"
    out = tmp_path / "out"
    command: list[str | Path] = [
        "model",
        "import",
        file,
        "--out",
        out,
        "--features",
        ",".join(FEATURES),
    ]
    refused = bot4(*command)
    assert refused.returncode == 78
    assert refused.stderr == (
        f"bot4: {file}: is made of types that are not trusted: {ours}; name it with --trust, if "
        "you trust it\n"
    )
    assert not out.exists()
    model, _ = imported(tmp_path, resolved(), made, trusted=[ours])
    # A file that says of itself that it needs no trust.
    path = model / "manifest.json"
    manifest = json.loads(path.read_text())
    assert manifest.pop("trusted") == [ours]
    path.write_text(json.dumps(manifest))
    with Started(name, tmp_path, ml__model=str(model), **TRADING) as run:
        _, errors = run.end(78)
    assert f"ml.model was '{model}', must fit" in errors
    assert f"is made of types that are not trusted: {ours}; add it to ml.trusted" in errors


def test_a_file_that_was_changed_is_refused(name: str, tmp_path: Path) -> None:
    model, _ = imported(tmp_path, resolved())
    with (model / "model.skops").open("ab") as file:
        file.write(b"\0")
    with Started(name, tmp_path, ml__model=str(model)) as run:
        _, errors = run.end(78)
    assert f"{model / 'model.skops'}: SHA-256 was" in errors
    assert "import the model again" in errors
