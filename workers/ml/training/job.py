"""A training from the first bar to the last byte: read, label, listen for leaks, walk, export."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from workers.ml.models import Card, Manifest, export
from workers.ml.models.export import LEAST_ROWS
from workers.ml.training import canary, card, estimators, features, walk
from workers.ml.training.books import Books
from workers.ml.training.dataset import Computed, Floats, data_hash, dataset
from workers.ml.training.error import TrainingError
from workers.ml.training.history import History, load
from workers.ml.training.labels import TripleBarrier
from workers.ml.training.simulated import simulated
from workers.ml.training.splits import WalkForward
from workers.ml.training.trials import count_trial
from workers.ml.training.walk import Recipe

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Job:
    """What to train, and where to write it.

    Attributes:
        config: The resolved configuration: `[ta]` says what the features are.
        files: Histories, one an instrument; none: those of the simulated market.
        simulated_bars: Of each of its instruments, if so.
        out: The model's directory.
        rule: The labels.
        recipe: The model; its embargo follows from the one here and the bars' interval.
        embargo_bars: Before each test period and each calibration.
    """

    config: Mapping[str, Any]
    files: tuple[Path, ...]
    simulated_bars: int
    out: Path
    rule: TripleBarrier
    recipe: Recipe
    embargo_bars: int


def job_from(
    *,
    config: Mapping[str, Any],
    files: tuple[Path, ...],
    simulated_bars: int,
    out: Path,
    model: estimators.Kind,
    horizon: int,
    barrier: float,
    cost_bp: float,
    folds: int,
    embargo_bars: int,
    calibration: estimators.Method,
    threshold: float,
    seed: int,
) -> Job:
    """Return a job as the command line says it.

    Raises:
        TrainingError: a setting cannot be.
    """
    rule = TripleBarrier(horizon, barrier, cost_bp)
    recipe = Recipe(model, calibration, WalkForward(folds), threshold, seed)
    return Job(config, files, simulated_bars, out, rule, recipe, embargo_bars)


def steps(job: Job) -> int:
    """Return how often `run` tells its progress."""
    return max(1, len(job.files)) + 3 + canary.steps(job.recipe) + walk.steps(job.recipe)


def run(job: Job, progress: Progress) -> Manifest:
    """Train a model and write it, unless it is refused.

    Args:
        job: What to do.
        progress: Is told what begins, `steps(job)` times.

    Returns:
        The manifest of the model that was written.

    Raises:
        TrainingError: there is too little data, or it is wrong, or random walks could be foretold.
        ModelError: the model that would be written is not scikit-learn's.
    """
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise TrainingError(
            "scikit-learn is missing, which trains models; install it: pip install 'bot4[train]'"
        ) from None
    windows = job.config["ta"]
    histories, bar = _histories(job, progress)
    embargo_ms = job.embargo_bars * max(history.interval_ms for history in histories)
    recipe = _with_embargo(job.recipe, embargo_ms)

    def compute(history: History) -> Computed:
        return features.compute(history, windows)

    progress(f"features and labels of {sum(map(len, histories)):,} bars")
    data = dataset(histories, compute, job.rule)
    song = canary.listen(histories, compute, job.rule, recipe, _quoted(progress, "random walks"))
    # From here on the final test is looked at, whatever becomes of the model.
    hashed = data_hash(histories)
    trials = count_trial(job.out, hashed, _digest(job, recipe))
    trained = walk.train(data, recipe, progress)
    progress("books of the test periods: TA only, ML only, blend")
    books = Books(histories, job.config, job.rule.cost_bp)
    models = (*trained.earlier, trained.estimator)
    periods = [split.test for split in trained.splits]
    kept = [books.keep(model, data, of) for model, of in zip(models, periods, strict=True)]
    progress("comparison with scikit-learn, and export")
    return export(
        trained.estimator,
        job.out,
        card=Card(
            features=features.NAMES,
            kernel=features.kernel(windows),
            seed=recipe.seed,
            data_hash=hashed,
            data=card.of_data(histories, data, bar, windows),
            labels={"kind": "triple-barrier", **asdict(job.rule)},
            splits=card.of_splits(data, recipe.walk, trained.splits),
            metrics=card.of_metrics(trained, kept, recipe.threshold, trials, song),
            calibration=card.of_calibration(data, recipe.method, trained.splits[-1]),
        ),
        rows=_rows_to_compare(data.values, recipe.seed),
    )


def _quoted(progress: Progress, about: str) -> Progress:
    return lambda text: progress(f"{about}: {text}")


def _with_embargo(recipe: Recipe, embargo_ms: int) -> Recipe:
    return replace(recipe, walk=replace(recipe.walk, embargo_ms=embargo_ms))


def _histories(job: Job, progress: Progress) -> tuple[list[History], dict[str, Any]]:
    """Return the histories, and of what bars they are."""
    settings = job.config["ta"]
    if not job.files:
        progress("simulated market")
        trades = settings["trades_per_bar"]
        made = simulated(job.config, job.recipe.seed, job.simulated_bars)
        return made, {"bar": "tick", "trades_per_bar": trades}
    histories = []
    for path in job.files:
        progress(str(path))
        histories.append(load(path, settings["flat_bars"]))
    first = histories[0]
    for history in histories:
        if history.interval_ms != first.interval_ms:
            raise TrainingError(
                f"{history.name}: interval was {history.interval_ms} ms, must be "
                f"{first.interval_ms} ms as in {first.name}; train one model for each interval"
            )
    return histories, {"bar": "time", "interval_ms": first.interval_ms}


def _digest(job: Job, recipe: Recipe) -> str:
    """Return the SHA-256 of all that a model depends on, but for the data."""
    kernel = features.kernel(job.config["ta"])
    settings = [asdict(job.rule), asdict(recipe), features.NAMES, kernel.hash]
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _rows_to_compare(values: Floats, seed: int) -> Floats:
    """Return the rows, and if they are too few, more from within their range."""
    lacking = max(0, LEAST_ROWS - len(values))
    random = np.random.default_rng([seed, lacking])
    shape = (lacking, values.shape[1])
    return np.concatenate([values, random.uniform(values.min(0), values.max(0), shape)])
