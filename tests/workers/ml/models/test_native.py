"""The evaluators' headers by themselves, under AddressSanitizer and UndefinedBehaviorSanitizer."""

from __future__ import annotations

import random
import re
import struct
from pathlib import Path
from typing import Any

import numpy.typing as npt
import pytest

from tests.native.programs import build, expect_success
from tests.workers.ml.models.damage import damaged, vectors_of
from tests.workers.ml.models.estimators import CALIBRATIONS, KINDS, USED
from workers.ml.models.manifest import CALIBRATION_ARRAYS, ESTIMATOR_ARRAYS

MODELS = 1500


def small(vectors: dict[str, npt.NDArray[Any]], trees: int = 3) -> dict[str, npt.NDArray[Any]]:
    """Return the first trees only, so that damage is where walks come by."""
    if "root" not in vectors:
        return vectors
    end = vectors["root"][trees]
    cut = {name: vectors[name][:end] for name in ("feature", "threshold", "right")}
    return {**vectors, **cut, "root": vectors["root"][:trees]}


def write_models(path: Path) -> None:
    source = random.Random(20261123)
    with path.open("wb") as file:
        for number in range(MODELS):
            kind = KINDS[number % len(KINDS)]
            calibration = CALIBRATIONS[number // len(KINDS) % len(CALIBRATIONS)]
            vectors = damaged(small(vectors_of(kind, calibration)), source)
            file.write(bytes([KINDS.index(kind), CALIBRATIONS.index(calibration), len(USED)]))
            for name in ESTIMATOR_ARRAYS[kind] + CALIBRATION_ARRAYS[calibration]:
                vector = vectors[name]
                file.write(struct.pack("=I", len(vector)) + vector.tobytes())


@pytest.mark.parametrize("variant", ["address", "release"])
def test_no_arrays_make_the_evaluators_leave_their_memory(variant: str, tmp_path: Path) -> None:
    binary = build("evaluators", variant, tmp_path, folder=Path(__file__).parent)
    models = tmp_path / "models"
    write_models(models)
    output = expect_success(binary, str(models))
    pattern = r"(\d+) models, (\d+) accepted, (\d+) predictions, (\d+) wrong\n"
    counted = re.fullmatch(pattern, output)
    assert counted is not None, output
    total, accepted, predictions, wrong = map(int, counted.groups())
    assert (total, predictions, wrong) == (MODELS, 21 * accepted, 0)
    # Both ways are taken often.
    assert MODELS / 10 < accepted < MODELS * 0.9
