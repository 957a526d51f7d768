"""Arrays of models with something wrong in them, and files of them."""

from __future__ import annotations

import hashlib
import io
import math
import random
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from tests.workers.ml.models.estimators import CARD, fitted
from workers.ml.models import Manifest, Model
from workers.ml.models import manifest as manifests
from workers.ml.models.convert import flatten
from workers.ml.models.load import made
from workers.ml.models.manifest import Arrays, Check, Vector

Vectors = dict[str, npt.NDArray[Any]]

FLOATS = (0.0, -0.0, 1.0, -1.0, 5e-324, 1e308, -1e308, math.inf, -math.inf, math.nan, 1e-300)


def vectors_of(kind: str, calibration: str) -> Vectors:
    return dict(flatten(fitted(kind, calibration)).vectors)


def packed(vectors: Vectors) -> bytes:
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **vectors)
    return file.getvalue()


def described(kind: Any, calibration: Any, vectors: Vectors, data: bytes) -> Manifest:
    """Return a manifest that says of the arrays what they are."""
    said = {
        name: Vector("<i4" if vector.dtype == np.int32 else "<f8", len(vector))
        for name, vector in vectors.items()
    }
    return Manifest(
        schema=manifests.SCHEMA,
        kind=kind,
        calibration=calibration,
        card=CARD,
        arrays=Arrays(len(data), hashlib.sha256(data).hexdigest(), said),
        check=Check(rows=20_000, tolerance=0.0, max_abs_diff=0.0),
        versions={"numpy": "2.0"},
    )


def made_of(kind: str, calibration: str, vectors: Vectors) -> Model:
    data = packed(vectors)
    return made(described(kind, calibration, vectors, data), data)


def resigned(manifest: Manifest, data: bytes) -> Manifest:
    """Return the manifest with the hash of other bytes."""
    digest = hashlib.sha256(data).hexdigest()
    arrays = msgspec.structs.replace(manifest.arrays, bytes=len(data), sha256=digest)
    return msgspec.structs.replace(manifest, arrays=arrays)


def damaged(vectors: Vectors, source: random.Random) -> Vectors:
    """Return the arrays with one to three changes."""
    result = {name: vector.copy() for name, vector in vectors.items()}
    for _ in range(source.randint(1, 3)):
        name = source.choice(list(result))
        vector = result[name]
        what = source.random()
        if what < 0.08:
            result[name] = vector[: source.randint(0, len(vector))].copy()
        elif what < 0.14:
            result[name] = np.concatenate([vector, vector[:1]])
        elif len(vector):
            place = source.randrange(len(vector))
            vector[place] = _other(vector, place, source)
    return result


def _other(vector: npt.NDArray[Any], place: int, source: random.Random) -> float:
    if vector.dtype == np.int32:
        length = len(vector)
        near = [place + step for step in (-1, 0, 1, 2, 3)]
        far = [-(2**31), 2**31 - 1, -2, -1, 0, 1, length - 1, length, length + 1]
        return source.choice([*near, *far, source.randrange(length)])
    return source.choice([*FLOATS, source.gauss(0, 1), float(source.choice(vector))])
