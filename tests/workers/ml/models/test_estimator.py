"""Estimators from elsewhere: what becomes a model, what is refused, and what is loaded again."""

from __future__ import annotations

import importlib.util
import json
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression

from pipeline.cli import main
from tests.workers.ml.estimators import FEATURES, dumped, fitted, imported
from tests.workers.ml.signals import config
from workers.ml.models import ModelError, estimator, load, whole

TREE = "sklearn.tree._tree.Tree"
ROWS = np.random.default_rng(5).normal(size=(60, 2))
RISES = (ROWS[:, 0] > 0).astype(int)


def trees() -> Any:
    return ExtraTreesClassifier(2, random_state=1).fit(ROWS, RISES)


def changed(**parts: Any) -> Any:
    made = fitted()
    for name, value in parts.items():
        setattr(made, name, value)
    return made


def test_what_was_imported_is_loaded_again_with_the_same_answers(tmp_path: Path) -> None:
    model, manifest = imported(tmp_path, config(), data_to="2026-01-31T12:00:00+02:00")
    assert manifest.is_asked
    assert manifest.card.features == FEATURES
    assert manifest.card.data == {
        "file": "estimator.skops",
        "bar": "tick",
        "trades_per_bar": config()["ta"]["trades_per_bar"],
        "to": "2026-01-31 10:00:00",
    }
    assert manifest.versions.keys() == {"python", "bot4", "numpy", "scikit-learn", "scipy", "skops"}
    assert whole(model) == manifest
    loaded = estimator.load(model, ())
    assert loaded.predict_proba(ROWS).tobytes() == fitted().predict_proba(ROWS).tobytes()
    for path in model.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {path.name for path in model.iterdir()} == {"manifest.json", "model.skops"}


def test_it_is_no_model_that_can_be_evaluated_natively(tmp_path: Path) -> None:
    model, _ = imported(tmp_path, config())
    with pytest.raises(ModelError, match="kind was skops, which only the process `model`"):
        load(model)


def test_types_need_trust_when_it_is_imported_and_when_it_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=rf"types that are not trusted: {TREE}; name it with"):
        imported(tmp_path, config(), trees())
    assert not (tmp_path / "imported").exists()
    model, manifest = imported(tmp_path, config(), trees(), trusted=[TREE, "another.Type"])
    assert manifest.trusted == (TREE,)  # what it has, not what was allowed
    with pytest.raises(ModelError, match=r"ml\.trusted was \[\], but the model is also made of"):
        estimator.load(model, ())
    assert estimator.load(model, (TREE,)).n_features_in_ == 2


def test_a_manifest_cannot_speak_for_its_file(tmp_path: Path) -> None:
    model, _ = imported(tmp_path, config(), trees(), trusted=[TREE])
    path = model / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["trusted"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match=rf"not trusted: {TREE}; add it to ml.trusted"):
        estimator.load(model, ())


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        (LinearRegression().fit(ROWS, RISES), "must have predict_proba: a classifier"),
        (LogisticRegression(), "was LogisticRegression, not fitted; must be fitted"),
        (
            LogisticRegression().fit(ROWS, np.arange(60) % 3),
            "classes of LogisticRegression were 0, 1, 2, must be two",
        ),
        (
            changed(coef_=np.full((1, 2), np.nan)),
            r"at a row of zeros was \[\[nan, nan\]\], must be two probabilities; fit it again",
        ),
        (
            changed(coef_=np.zeros((1, 5))),
            r"cannot evaluate a row of zeros \(ValueError: .*\); fit it again",
        ),
        (
            LogisticRegression().fit(ROWS[:, :1], RISES),
            "features of LogisticRegression were 1, must be 2, as many as are named",
        ),
    ],
)
def test_what_is_no_classifier_of_the_features_is_refused(
    tmp_path: Path, made: Any, problem: str
) -> None:
    with pytest.raises(ModelError, match=rf"estimator.skops: .*{problem}"):
        imported(tmp_path, config(), made)


@pytest.mark.parametrize("content", [b"", b"PK", b"\x80\x04K\x01."])
def test_what_is_no_file_of_skops_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    done = run("import", path, "--out", tmp_path / "out", "--features", ",".join(FEATURES))
    assert done.exit_code == 78
    assert f"bot4: {path}: is not a file of skops (" in done.stderr
    assert not (tmp_path / "out").exists()


def manifest_of(model: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((model / "manifest.json").read_text())
    return read


def run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(main, ["model", *map(str, arguments)])


def test_the_command_says_what_to_configure_and_show_prints_the_card(tmp_path: Path) -> None:
    file = dumped(tmp_path, trees())
    out = tmp_path / "out"
    done = run("import", file, "--out", out, "--features", ",".join(FEATURES), "--trust", TREE)
    assert done.exit_code == 0, done.output
    assert manifest_of(out)["card"]["labels"] == {"rise": "1"}
    assert done.stdout == (
        f"{out}: rsi_balance, bollinger_position; of bars with bar = tick, trades_per_bar = 20\n"
        "a rise is its class 1\n"
        f'to run it, put into the configuration, under [ml]:  trusted = ["{TREE}"]\n'
    )
    shown = run("show", out)
    assert shown.exit_code == 0, shown.output
    assert TREE in shown.stdout
    assert "evaluated by a process of its own" in shown.stdout
    assert json.loads(run("show", out, "--json").stdout)["trusted"] == [TREE]
    other = tmp_path / "other"
    done = run("import", file, "--out", other, "--like", out, "--trust", TREE)
    assert done.exit_code == 0, done.output
    assert whole(other).card.features == FEATURES


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "--features and --like were both given or both left out; give one of them"),
        (("--features", "rsi_balance,hope"), "card.features had hope, must be of"),
        (("--features", "a", "--data-to", "soon"), "--data-to was 'soon', must be a time like"),
        (("--like", "nowhere"), "nowhere/manifest.json: cannot be read"),
    ],
)
def test_bad_arguments_are_named(tmp_path: Path, arguments: tuple[str, ...], problem: str) -> None:
    done = run("import", dumped(tmp_path), "--out", tmp_path / "out", *arguments)
    assert done.exit_code == 78
    assert problem in done.stderr


def test_what_cannot_be_shown_or_read_is_named(tmp_path: Path) -> None:
    model, _ = imported(tmp_path, config())
    manifest = manifest_of(model)
    manifest["card"]["data"]["histories"] = [{"a": 1}]
    (model / "manifest.json").write_text(json.dumps(manifest))
    shown = run("show", model)
    assert shown.exit_code == 78
    assert "card is not one of bot4 train (KeyError: 'name'); --json prints it" in shown.stderr
    assert run("show", model, "--json").exit_code == 0
    missing = run("import", tmp_path / "none", "--out", tmp_path / "out", "--features", "rsi")
    assert missing.exit_code == 78


def test_features_of_other_bars_are_not_alike(tmp_path: Path) -> None:
    other = config()
    other["ta"] = {**other["ta"], "trades_per_bar": 7}
    model, _ = imported(tmp_path, other)
    done = run("import", dumped(tmp_path), "--out", tmp_path / "out", "--like", model)
    assert done.exit_code == 78
    assert "bars were tick, trades_per_bar = 7, must be tick, trades_per_bar = 20" in done.stderr
    time = ("--set", "ta.bar=time", "--set", "ta.interval_ms=3600000")
    names = ",".join(FEATURES)
    done = run("import", dumped(tmp_path), "--out", tmp_path / "out", "--features", names, *time)
    assert done.exit_code == 0, done.stderr
    assert whole(tmp_path / "out").card.data == {
        "file": "estimator.skops",
        "bar": "time",
        "interval_ms": 3_600_000,
    }
    assert "time bars of 3600000 ms" in run("show", tmp_path / "out").stdout


def test_features_of_other_windows_are_not_alike(tmp_path: Path) -> None:
    other = config()
    other["ta"] = {**other["ta"], "atr": 13}
    model, _ = imported(tmp_path, other)
    done = run("import", dumped(tmp_path), "--out", tmp_path / "out", "--like", model)
    assert done.exit_code == 78
    assert "computed with other windows than [ta] has" in done.stderr


def test_without_the_libraries_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"needs skops and sklearn.*pip install 'bot4\[models\]'"):
        estimator.check_installed()
