"""The model of a run: what is refused, and what becomes of a decision without its answer."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workers.ml
from pipeline.replay import Driver
from tests.workers.ml.signals import ENGINES, NOW, WINDOWS, Array, config, drive, scored, see
from workers.ml.models import ModelError, load
from workers.ml.running import doubts
from workers.ml.stage import Strategies
from workers.ta.features import MODEL_FEATURES, Feature

PACKAGED = Path(workers.ml.__file__).parent / "default"
DAY_NS = 86_400 * 10**9
END = "2025-06-18 08:55:00"
END_NS = 1_750_236_900 * 10**9

BLEND: dict[str, Any] = {"strategy": "blend", "enter_bp": 2_000, "leave_bp": 0}


def dated(folder: Path, end: str = END) -> Path:
    """Return a copy of the packaged model whose data end then."""
    shutil.copytree(PACKAGED, folder)
    return changed(folder, lambda card: [h.update(to=end) for h in card["data"]["histories"]])


def changed(folder: Path, change: Any) -> Path:
    """Change the card of a model."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest["card"])
    path.write_text(json.dumps(manifest))
    return folder


def whole(score: float, venue_ns: int = 60) -> Array:
    """Return a row for which "blend" has a score, with all that a model may read."""
    row = scored(score)
    for feature in MODEL_FEATURES:
        row["valid"] |= np.uint64(1 << feature)
    row["value"][0, Feature.ATR_RATIO] = 0.01
    row["value"][0, Feature.VOLATILITY] = 0.006
    row["venue_ns"] = venue_ns
    return row


def asked(driver: Driver) -> tuple[int, ...]:
    own = driver.state("instruments")[0]
    return tuple(int(own[name]) for name in ("asked", "missing", "stale"))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_model_has_its_share_of_the_score(engine: str) -> None:
    driver = drive(engine, **BLEND, model="packaged")
    row = whole(0.9)
    intent = see(driver, row)
    assert intent is not None
    probabilities, neutral = load(PACKAGED).evaluate(
        np.array(row["value"])[:, _columns()], np.array([(1 << 64) - 1], np.uint64)
    )
    assert not neutral[0]
    assert probabilities[0] != 0.5
    ta = 0.5 * 0.9 + 0.5 * 0.9  # as the strategy adds it up
    assert intent["score"][0] == 0.5 * ta + 0.5 * (2 * probabilities[0] - 1)
    assert intent["quantity"] == 10_000
    assert asked(driver) == (1, 0, 0)


def _columns() -> list[int]:
    names = load(PACKAGED).manifest.card.features
    return [Feature[name.upper()] for name in names]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_row_that_lacks_a_feature_of_the_model_is_traded_upon_at_half_size(engine: str) -> None:
    driver = drive(engine, **BLEND, model="packaged")
    intent = see(driver, scored(0.9))
    assert intent is not None
    assert intent["score"] == 0.45
    assert intent["quantity"] == 5_000
    assert asked(driver) == (1, 1, 0)


@pytest.mark.parametrize("engine", ENGINES)
def test_without_a_model_none_is_missed(engine: str) -> None:
    driver = drive(engine, **BLEND)
    intent = see(driver, scored(0.9))
    assert intent is not None
    assert (intent["score"][0], intent["quantity"][0]) == (0.45, 10_000)
    assert asked(driver) == (0, 0, 0)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("venue_ns", "is_stale"),
    [
        (1, False),
        (END_NS + 30 * DAY_NS, False),
        (END_NS + 30 * DAY_NS + 1, True),
        (0, True),  # of any time
    ],
)
def test_a_model_becomes_too_old_by_the_clock_of_the_venue(
    tmp_path: Path, engine: str, venue_ns: int, is_stale: bool
) -> None:
    model = dated(tmp_path / "model")
    driver = drive(engine, **BLEND, model=str(model), model_max_age_days=30)
    intent = see(driver, whole(0.9, venue_ns), now_ns=NOW)
    assert intent is not None
    assert asked(driver) == (1, 0, int(is_stale))
    assert intent["quantity"] == (5_000 if is_stale else 10_000)
    assert (intent["score"] == 0.45) == is_stale


def test_a_model_without_dates_cannot_become_too_old() -> None:
    stage = Strategies(config(**BLEND, model="packaged", model_max_age_days=30))
    with pytest.raises(
        ModelError, match=r"ml\.model_max_age_days was 30, must be 0 for packaged: the data"
    ):
        stage.check()


def test_a_model_of_other_features_is_refused_with_both_lists(tmp_path: Path) -> None:
    def rename(card: Any) -> None:
        card["kernel"]["features"][0] = "sma_faster"

    shutil.copytree(PACKAGED, tmp_path / "model")
    stage = Strategies(config(**BLEND, model=str(changed(tmp_path / "model", rename))))
    with pytest.raises(ModelError) as caught:
        stage.check()
    text = str(caught.value)
    assert "missing here: sma_faster; not in the model's: sma_fast" in text
    assert "the model's: sma_faster, sma_slow" in text
    assert "computed here: sma_fast, sma_slow" in text


@pytest.mark.parametrize("name", ["fast", "atr"])
def test_a_model_of_other_windows_is_refused(name: str) -> None:
    settings = config(**BLEND, model="packaged")
    settings["ta"] = {**WINDOWS, name: WINDOWS[name] - 1}
    with pytest.raises(ModelError, match="the same names, computed otherwise"):
        Strategies(settings).check()


@pytest.mark.parametrize(
    ("bars", "message"),
    [
        (
            {"trades_per_bar": 5},
            (
                "bars were tick, trades_per_bar = 20, must be tick, trades_per_bar = 5, as [ta] "
                "has them; set ta.trades_per_bar=20, or bot4 train --simulated --set "
                "ta.trades_per_bar=5 --out DIR"
            ),
        ),
        (
            {"bar": "time", "interval_ms": 300_000},
            (
                "must be time, interval_ms = 300000, as [ta] has them; set ta.bar=tick, or bot4 "
                "train --data FILE --out DIR, of bars of 300000 ms"
            ),
        ),
        ({"bar": "volume"}, "must be volume, lots_per_bar = 100000, as [ta] has them; set ta.bar="),
        ({"bar": "time", "trades_per_bar": 5}, "set ta.bar=tick, ta.trades_per_bar=20, or"),
    ],
)
def test_a_model_of_other_bars_is_refused_with_the_remedy(
    bars: dict[str, Any], message: str
) -> None:
    settings = config(**BLEND, model="packaged")
    settings["ta"] = {**WINDOWS, **bars}
    with pytest.raises(ModelError) as caught:
        Strategies(settings).check()
    text = str(caught.value)
    assert text.startswith("ml.model was 'packaged', must fit; or do without, with \"\"\n")
    assert message in text


def test_what_is_not_the_size_of_these_bars_may_be_another() -> None:
    settings = config(**BLEND, model="packaged")
    settings["ta"] = {**WINDOWS, "interval_ms": 1, "lots_per_bar": 1}
    Strategies(settings).check()


@pytest.mark.parametrize(
    ("data", "is_refused"),
    [
        ({"bar": "time", "interval_ms": 60_000}, False),
        ({"bar": "time", "interval_ms": 60_000.0}, False),
        ({"bar": "time", "interval_ms": 300_000}, True),
        ({"bar": "time"}, True),
        ({"bar": ["time"]}, True),
        ({"bar": "range", "size": 3}, True),
        ({}, False),  # it does not say
    ],
)
def test_bars_are_compared_with_what_the_card_says(
    tmp_path: Path, data: dict[str, Any], is_refused: bool
) -> None:
    shutil.copytree(PACKAGED, tmp_path / "model")
    model = changed(tmp_path / "model", lambda card: card.update(data=data))
    settings = config(**BLEND, model=str(model))
    settings["ta"] = {**WINDOWS, "bar": "time", "interval_ms": 60_000}
    stage = Strategies(settings)
    if is_refused:
        with pytest.raises(ModelError, match="bars were ") as caught:
            stage.check()
        assert ("; set ta." in str(caught.value)) == ("interval_ms" in data)
    else:
        stage.check()


def test_a_run_is_told_of_a_model_that_does_not_say_its_bars(tmp_path: Path) -> None:
    shutil.copytree(PACKAGED, tmp_path / "model")
    model = changed(tmp_path / "model", lambda card: card.update(data={}))
    (doubt,) = doubts(config(model=str(model)))
    assert doubt == (
        f"ml.model {str(model)!r} does not say of what bars it was made: those of [ta], tick, "
        "trades_per_bar = 20, may be others"
    )
    assert doubts(config(model="packaged")) == []
    assert doubts(config(model="")) == []


def test_a_model_that_is_missing_or_damaged_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nowhere/manifest.json: cannot be read"):
        Strategies(config(**BLEND, model=str(tmp_path / "nowhere"))).check()
    model = dated(tmp_path / "model")
    arrays = bytearray((model / "model.npz").read_bytes())
    arrays[100] ^= 1
    (model / "model.npz").write_bytes(arrays)
    with pytest.raises(ModelError, match="SHA-256 was"):
        Strategies(config(**BLEND, model=str(model))).kernel()


def test_another_model_than_the_run_began_with_is_refused() -> None:
    with pytest.raises(ModelError, match="was changed while it was in use"):
        Strategies(config(**BLEND, model="packaged", model_sha256="0" * 64)).kernel()
