"""An estimator of scikit-learn to a model's directory, or an error: never one that differs."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import platform
import tempfile
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from workers.ml.models import manifest as manifests
from workers.ml.models.convert import calibrator, flatten, uncalibrated
from workers.ml.models.load import ALL_VALID, Vectors, made
from workers.ml.models.manifest import Arrays, Card, Check, Manifest, ModelError, Vector

LEAST_ROWS = 20_000
"""On which native evaluation and scikit-learn's are compared."""

LINEAR_TOLERANCE = 1e-12
"""scikit-learn's sums are BLAS's, in an order that differs between machines."""

_PACKAGES = ("bot4", "numpy", "scikit-learn", "scipy")


def export(
    estimator: Any, directory: str | Path, *, card: Card, rows: npt.NDArray[np.float64]
) -> Manifest:
    """Write an estimator as a model, if it is evaluated natively to what scikit-learn says.

    A model that is there already is replaced: first its arrays, then its manifest. Whoever comes
    between finds a wrong SHA-256, and is refused.

    Args:
        estimator: Fitted, for two classes: HistGradientBoostingClassifier, RandomForestClassifier,
            a Pipeline of StandardScaler and LogisticRegression, or a CalibratedClassifierCV around
            a frozen one of these. The probability is that of its second class.
        directory: To write to; made if it is missing.
        card: What the arrays do not know.
        rows: To compare on, at least LEAST_ROWS of them, shape (rows, features). Probabilities of
            trees have to be bit-equal; those of logistic regression within 1e-12, and what an
            isotonic calibration makes of a score that is 1e-12 away.

    Returns:
        What was written to manifest.json.

    Raises:
        ModelError: it is not such an estimator, the probabilities differ, or the directory cannot
            be written to. Then nothing is written.
    """
    flat = flatten(estimator)
    manifests.check_features(card)
    for what, count in (("card.features", len(card.features)), ("the rows' width", _width(rows))):
        if count != flat.features:
            raise ModelError(
                f"{what} was {count}, must be {flat.features}, which the estimator was fitted on"
            )
    data = _packed(flat.vectors)
    draft = Manifest(
        schema=manifests.SCHEMA,
        kind=flat.kind,
        calibration=flat.calibration,
        card=card,
        arrays=Arrays(
            bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            vectors={
                name: Vector("<i4" if name in manifests.INTEGER_ARRAYS else "<f8", len(vector))
                for name, vector in flat.vectors.items()
            },
        ),
        check=Check(len(rows), LINEAR_TOLERANCE if flat.kind == "lr" else 0.0, max_abs_diff=0.0),
        versions={
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in _PACKAGES},
        },
    )
    manifest = msgspec.structs.replace(draft, check=_compared(estimator, rows, draft, data))
    text = manifests.encode(manifest)
    manifests.decode(text)  # what is written can be read
    write_files(Path(directory), {manifests.ARRAYS: data, manifests.MANIFEST: text})
    return manifest


def _width(rows: npt.NDArray[np.float64]) -> int:
    if rows.ndim != 2 or rows.dtype != np.float64 or len(rows) < LEAST_ROWS:
        raise ModelError(
            f"rows to compare on were {rows.dtype} of shape {rows.shape}, must be float64 of "
            f"({LEAST_ROWS} or more, features); give more of them"
        )
    return int(rows.shape[1])


def _packed(vectors: Vectors) -> bytes:
    file = io.BytesIO()
    # Dates in it are those of 1980, so that the same arrays are the same bytes.
    np.savez(file, allow_pickle=False, **dict(vectors))
    return file.getvalue()


def _compared(estimator: Any, rows: npt.NDArray[np.float64], draft: Manifest, data: bytes) -> Check:
    """Return how far native evaluation of those very bytes is from scikit-learn's.

    Raises:
        ModelError: farther than the draft's tolerance.
    """
    rows = np.ascontiguousarray(rows)
    native, neutral = made(draft, data).evaluate(rows, np.full(len(rows), ALL_VALID))
    if neutral.any():
        row = int(np.argmax(neutral))
        raise ModelError(
            f"row {row} to compare on was {rows[row].tolist()}, must be finite and within what "
            "the estimator can add up"
        )
    with _one_thread(uncalibrated(estimator)):
        theirs = np.asarray(estimator.predict_proba(rows)[:, 1], np.float64)
    differences = np.abs(native - theirs)
    allowed = draft.check.tolerance + _amplified(estimator, rows, draft)
    # Written so that a NaN of theirs is too much.
    if not np.all(differences <= allowed):
        worst = int(np.argmin(differences <= allowed))
        raise ModelError(
            f"native probability of row {worst} was {float(native[worst])!r}, scikit-learn's "
            f"{float(theirs[worst])!r}; they may differ by {draft.check.tolerance:g}. "
            f"Nothing was written: scikit-learn {metadata.version('scikit-learn')} computes "
            "otherwise than workers/ml/native; install the version that the tests passed with"
        )
    return msgspec.structs.replace(draft.check, max_abs_diff=float(np.max(differences)))


def _amplified(
    estimator: Any, rows: npt.NDArray[np.float64], draft: Manifest
) -> npt.NDArray[np.float64]:
    """Return what becomes of the tolerance on the steep parts of an isotonic calibration."""
    if draft.check.tolerance == 0.0 or draft.calibration != "isotonic":
        return np.zeros(len(rows))
    curve = calibrator(estimator).predict
    scores = uncalibrated(estimator).decision_function(rows)
    step = draft.check.tolerance * np.maximum(1.0, np.abs(scores))
    here = curve(scores)
    below, above = curve(scores - step), curve(scores + step)
    return np.asarray(np.maximum(np.abs(below - here), np.abs(above - here)), np.float64)


@contextlib.contextmanager
def _one_thread(estimator: Any) -> Iterator[None]:
    """Keep a forest to one thread: several add up their trees in any order."""
    if not hasattr(estimator, "n_jobs"):
        yield
        return
    before, estimator.n_jobs = estimator.n_jobs, 1
    try:
        yield
    finally:
        estimator.n_jobs = before


def write_files(directory: Path, files: Mapping[str, bytes]) -> None:
    """Write files of these names, all or none, for their owner only; each appears in its turn.

    Raises:
        ModelError: the directory cannot be written to.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.ExitStack() as undo:
            written = []
            for name, content in files.items():
                fd, path = tempfile.mkstemp(prefix=f".{name}.", dir=directory)  # of mode 0600
                undo.callback(Path(path).unlink, missing_ok=True)
                with os.fdopen(fd, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(fd)
                written.append((path, directory / name))
            for path, final in written:
                os.replace(path, final)
        _sync(directory)
    except OSError as error:
        raise ModelError(
            f"{directory}: cannot be written to ({error.strerror}); name another directory"
        ) from error


def _sync(directory: Path) -> None:
    """Let the new names survive a power failure, too."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
