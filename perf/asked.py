"""The round trip to a model in a process of its own: a question into its ring until its answer."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from perf.ranks import percentiles
from pipeline import topology
from pipeline.cli.run import configure
from pipeline.records import ANSWER, QUESTION
from pipeline.vocabulary import Refusal
from shm import Segment
from workers.ml.importing import import_estimator
from workers.ml.models import ModelError
from workers.ta.features import FEATURE_NAMES, MODEL_FEATURES

CASE: Final = "logistic through skops 1 row"
BUDGET_MS: Final = 750.0

_START_S = 60.0
_LEAST_CALLS = 50
_SEED = 20261124
_NAMES = tuple(FEATURE_NAMES[feature] for feature in MODEL_FEATURES)
_PLACES = [int(feature) for feature in MODEL_FEATURES]

Floats = npt.NDArray[np.float64]


class Asked:
    """A process with a model, and the rings to it and from it; only ml is missing."""

    def __init__(self, segment: Segment, estimator: Any) -> None:
        """Take ml's roles."""
        self._questions = segment.producer("questions")
        self._answers = segment.consumer("answers")
        self._estimator = estimator
        self._question = np.zeros(1, QUESTION)
        self._answer = np.zeros(1, ANSWER)
        self._random = np.random.default_rng(_SEED)

    def ask(self, row: Floats) -> tuple[int, float | None]:
        """Return how long an answer took, in ns, and the probability; None if it was refused."""
        question = self._question
        question["sequence"] = self._questions.published
        question["question_id"] = self._questions.published + 1
        question["value"][0, _PLACES] = row
        question["stamped_ns"] = begin = time.monotonic_ns()
        self._questions.push(question)
        while not self._answers.pop(self._answer):
            os.sched_yield()
            if time.monotonic_ns() - begin > _START_S * 1e9:
                raise ModelError(f"no answer came within {_START_S:g} s")
        took = time.monotonic_ns() - begin
        self._answers.commit()
        is_answer = self._answer["refusal"][0] == Refusal.NONE
        return took, float(self._answer["probability"][0]) if is_answer else None

    def rows(self, count: int) -> Floats:
        """Return so many random rows."""
        return self._random.normal(size=(count, len(_NAMES)))

    def wait(self) -> None:
        """Wait until it is loaded.

        Raises:
            ModelError: it is not, after a minute.
        """
        end = time.monotonic() + _START_S
        while self.ask(self.rows(1)[0])[1] is None:
            if time.monotonic() > end:
                raise ModelError(f"the model was not loaded within {_START_S:g} s")
            time.sleep(0.05)  # meanwhile it refuses at once: asking on would only slow it

    def difference(self, count: int) -> float:
        """Return how far answers are from what the estimator says here."""
        rows = self.rows(count)
        found = [self.ask(row)[1] for row in rows]
        theirs = self._estimator.predict_proba(rows)[:, 1]
        differences = [
            abs(one - other) for one, other in zip(found, theirs, strict=True) if one is not None
        ]
        return float(max(differences, default=np.inf))

    def measure(self, seconds: float) -> tuple[float, float]:
        """Return p50 and p99 of a round trip, in us; one follows the other."""
        rows = self.rows(1000)
        taken: list[int] = []
        end = time.monotonic() + seconds
        while len(taken) < _LEAST_CALLS or time.monotonic() < end:
            taken.append(self.ask(rows[len(taken) % len(rows)])[0])
        p50, p99 = percentiles(taken, (500, 990))
        return p50 / 1e3, p99 / 1e3


@contextmanager
def asked() -> Iterator[Asked]:
    """Start the process as the supervisor does, with a logistic regression of all features.

    Raises:
        ModelError: it cannot be made, or skops is missing.
    """
    random = np.random.default_rng(_SEED)
    x = random.normal(size=(2_000, len(_NAMES)))
    y = (x[:, 0] + random.normal(size=len(x)) > 0).astype(np.int64)
    linear = importlib.import_module("sklearn.linear_model").LogisticRegression().fit(x, y)
    name = f"perf-{os.getpid()}"
    with tempfile.TemporaryDirectory(prefix="bot4-perf-") as folder:
        file, out = Path(folder, "estimator.skops"), Path(folder, "model")
        importlib.import_module("skops.io").dump(linear, file)
        own = {"state_dir": folder, "ml.model": str(out)}
        plain = configure(None, name, {**own, "ml.model": ""})
        import_estimator(file, out, plain, features=_NAMES, like=None, data_to=None, trusted=())
        config = configure(None, name, own)
        del config["notes"]
        layout = topology.layout(config, config["affinity"])
        encoded = importlib.import_module("pipeline.supervisor.start").encoded(config)
        with Segment.create(name, layout, blobs={"config": encoded}) as segment:
            process = subprocess.Popen(
                [sys.executable, "-m", "workers.model", name, segment.run_id, str(os.getpid())],
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            )
            try:
                desk = Asked(segment, linear)
                desk.wait()
                yield desk
            finally:
                process.terminate()
                process.wait()
