"""The ml stage when another process evaluates the model: it asks, and does not wait."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, ClassVar

import numpy as np

from pipeline.records import FEATURES
from pipeline.stage import TICK
from pipeline.topology import most_questions
from workers.ml.models import Manifest, ModelError
from workers.ml.reference import MachineLearning
from workers.ml.running import checked_manifest, misfit, until_ns
from workers.ml.settings import MlAsking, MlSettings
from workers.ml.stage import NATIVE, Strategies
from workers.ta.features import FEATURE_NAMES

CHECK_S = 120.0
"""So long scikit-learn and a large estimator may take to be loaded, on a busy machine."""


class AskingStrategies(Strategies):
    """Strategies whose model is asked by a ring, and answers by another.

    Answers are inputs like all others, so that recovery and replay have the same ones. As a row is
    decided on when its answer is there, or when a tick finds that it has waited for too long, both
    may be followed by an intent.
    """

    emits: ClassVar = {
        "outcomes": {},
        "answers": {"intents": 1},
        "features": {"intents": 1, "questions": 1},
        "clusters": {},
        TICK: {"intents": 1},
    }

    @property
    def tick_steps(self) -> int:
        """How many steps a tick makes: one for each row that may wait."""
        return len(self.instruments)

    def cells(self) -> dict[str, tuple[np.dtype[Any], int]]:
        """Return the state: also the row of each instrument that waits for an answer."""
        return {**super().cells(), "rows": (FEATURES, len(self.instruments))}

    def check(self) -> None:
        """Refuse a model that cannot be used, before anything is started.

        The estimator is loaded for that, in a process which then ends.

        Raises:
            ModelError: it is missing, damaged, of undated data, made for other features, or made of
                types that are not trusted.
        """
        self.manifest()
        command = [sys.executable, "-m", "workers.model", "--check", self.config["ml"]["model"]]
        try:
            loaded = subprocess.run(
                [*command, *self.config["ml"]["trusted"]],
                capture_output=True,
                text=True,
                timeout=CHECK_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            slow = ModelError(f"it was not loaded within {CHECK_S:g} s; use a smaller one")
            raise misfit(self.config, slow) from None
        if loaded.returncode != 0:
            raise misfit(self.config, ModelError(loaded.stderr.strip()))

    def manifest(self) -> Manifest:
        """Return what the model is.

        Raises:
            ModelError: as `check`.
        """
        return checked_manifest(self.config)

    def kernel(self) -> object:
        """Return the native kernel for a strategy that is built in, else that of reference.py.

        Raises:
            ModelError: as `check`.
        """
        return self.kernel_of(*self._reckoned())

    def kernel_of(self, settings: MlSettings, asking: MlAsking) -> object:
        """Return the same for any model, which has no manifest yet when it is tested."""
        if self.strategy_name not in NATIVE:
            return self._reference_of(settings, asking)
        return NATIVE[self.strategy_name](settings, self._caps(), None, self.instruments, asking)

    def reference(self) -> MachineLearning:
        """Return the kernel in Python, for whichever strategy.

        Raises:
            ModelError: as `check`.
        """
        return self._reference_of(*self._reckoned())

    def _reference_of(self, settings: MlSettings, asking: MlAsking) -> MachineLearning:
        return MachineLearning(
            settings,
            self._caps(),
            self.instruments,
            self.strategy,
            None,
            self.strategy_name,
            asking,
        )

    def _reckoned(self) -> tuple[MlSettings, MlAsking]:
        manifest = self.manifest()
        places = columns(manifest)
        asking = MlAsking(
            needed=sum(1 << place for place in places),
            timeout_ns=self.config["ml"]["answer_timeout_ms"] * 1_000_000,
            most=most_questions(self.config),
        )
        return MlSettings.of(self.config, until_ns(self.config, manifest)), asking


def columns(manifest: Manifest) -> list[int]:
    """Return the place of each of the model's features in a row."""
    return [FEATURE_NAMES.index(name) for name in manifest.card.features]
