"""The model's process: takes questions from a ring, and answers each of them, in order.

It is not vital. ml waits for an answer for its budget only, and trades on without it; so this may
die, hang or be slow at any instant, and is started again.

- A question that has waited for longer than ml does is refused, not evaluated. So what piled up
  while nobody was there is gone at once, and a row that kills the estimator is not tried again.
- While scikit-learn and the estimator are loaded, which takes seconds, questions are refused.
- An answer is published before its question is released: what a predecessor answered already is
  known by the last answer on the ring.
"""

from __future__ import annotations

import json
import os
import threading
import time
import warnings
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pipeline import _native
from pipeline.process import become_worker
from pipeline.records import ANSWER, Array
from pipeline.runtime import StopSignal
from pipeline.topology import MODEL
from pipeline.vocabulary import Refusal
from shm import Segment
from workers.ml.asking import columns
from workers.ml.models import read_manifest
from workers.ml.models.estimator import load
from workers.ml.running import check_same, directory_of, running_kernel

WAIT_S: Final = 0.1
"""Between heartbeats without a question."""

_STRATEGY: Final = "futex"  # it is not in a hurry: its answer takes a hundred times as long


class Loading:
    """An estimator that is being loaded by a thread of its own, so that the process beats."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Begin."""
        self._config = config
        self._estimator: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._load, name="loading", daemon=True)
        self._thread.start()

    def _load(self) -> None:
        try:
            directory = directory_of(self._config)
            assert directory is not None
            check_same(self._config, directory)
            loaded = load(directory, self._config["ml"]["trusted"], running_kernel(self._config))
            # The first evaluation makes what later ones find made.
            probabilities(loaded, np.zeros((1, loaded.n_features_in_)))
            self._estimator = loaded
        except BaseException as error:
            self._error = error

    def estimator(self) -> Any:
        """Return it once it is there, until then None.

        Raises:
            ModelError: it cannot be used.
        """
        if not self._thread.is_alive() and self._error is not None:
            raise self._error
        return self._estimator


def run(name: str, run_id: str, parent: str) -> None:
    """Answer until SIGTERM, in this process, as the child of `parent` (a pid).

    Raises:
        ModelError: the model cannot be used.
    """
    stop = StopSignal()
    warnings.simplefilter("ignore")  # of estimators; nobody reads them
    with Segment.attach(name, run_id=run_id) as segment:
        become_worker(MODEL, segment.layout.affinity()[MODEL] or (), int(parent))
        config = json.loads(segment.blob("config"))
        words = segment.words(f"{MODEL}.words")
        doorbell = segment.doorbell(MODEL, _STRATEGY)
        desk = Desk(segment, config, doorbell)
        words.store("pid", os.getpid())
        words.store("started_ns", time.monotonic_ns())
        loading = Loading(config)
        while not stop.wanted:
            words.store("beat", time.monotonic_ns())
            estimator = loading.estimator()
            if not desk.answer(estimator):
                doorbell.wait(WAIT_S)
            elif estimator is not None and words.load("first_ns") == 0:
                words.store("first_ns", time.monotonic_ns())


class Desk:
    """The two rings, and what is between them."""

    def __init__(self, segment: Segment, config: Mapping[str, Any], doorbell: Any) -> None:
        """Take both roles, and go on behind the last question that was answered."""
        directory = directory_of(config)
        assert directory is not None
        self._columns = columns(read_manifest(directory))
        self._timeout_ns = config["ml"]["answer_timeout_ms"] * 1_000_000
        self._questions = segment.consumer("questions", doorbell)
        self._answers = segment.producer("answers")
        self._last = 0
        follower = segment.ring_follower("answers")
        try:
            if (last := follower.last()) is not None:
                self._last = int(last["question_id"][0])
        finally:
            follower.close()

    def answer(self, estimator: Any) -> int:
        """Answer the questions that there are, up to a batch; return how many there were.

        Args:
            estimator: None while it is loaded.
        """
        # Without room for the answers they wait in their ring, and this process goes on to beat.
        room = self._answers.capacity - self._answers.depth
        questions = self._questions.view(min(_native.BATCH, room))
        count = len(questions)
        if count == 0:
            return 0
        answers = self._answered(questions[questions["question_id"] > self._last], estimator)
        self._answers.push_many(answers)
        self._questions.commit(count)
        if len(answers):
            self._last = int(answers["question_id"][-1])
        return count

    def _answered(self, questions: Array, estimator: Any) -> Array:
        answers = np.zeros(len(questions), ANSWER)
        answers["sequence"] = self._answers.published + np.arange(len(questions))
        answers["cause_step"] = answers["question_id"] = questions["question_id"]
        for field in ("instrument", "venue_ns", "received_ns"):
            answers[field] = questions[field]
        waited_ns = time.monotonic_ns() - questions["stamped_ns"]
        if estimator is None:
            answers["refusal"] = Refusal.LOADING
        else:
            is_late = waited_ns >= self._timeout_ns
            answers["refusal"][is_late] = Refusal.LATE
            rows = questions["value"][:, self._columns][~is_late]
            if len(rows):
                found = probabilities(estimator, rows)
                answers["refusal"][~is_late] = Refusal.FAILED if found is None else Refusal.NONE
                answers["probability"][~is_late] = 0.0 if found is None else found
        answers["stamped_ns"] = time.monotonic_ns()
        return answers


def probabilities(estimator: Any, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
    """Return the probability of a rise at each row, None if the estimator fails."""
    try:
        found = np.asarray(estimator.predict_proba(rows)[:, 1], np.float64)
    except Exception:
        return None
    return found if found.shape == (len(rows),) else None
