"""A model from its directory, checked before anything of it is evaluated."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from workers import _native
from workers.ml.models import manifest as manifests
from workers.ml.models.manifest import Arrays, Kernel, Manifest, ModelError

Vectors = Mapping[str, npt.NDArray[Any]]

ALL_VALID = np.uint64(0xFFFF_FFFF_FFFF_FFFF)


class Model:
    """A model that can be evaluated.

    Attributes:
        manifest: What it is, and what it was made from.
        native: The evaluator; workers/ml/native/models.hpp.
    """

    def __init__(self, manifest: Manifest, vectors: Vectors, columns: Sequence[int]) -> None:
        """Make one of its arrays.

        Args:
            manifest: Whose kind and calibration say what the arrays are.
            vectors: The arrays, by their names.
            columns: The place of each of the model's features in a row.

        Raises:
            ModelError: the arrays are not those of such a model.
        """
        self.manifest = manifest
        try:
            self.native = _native.Model(
                kind=manifest.kind,
                calibration=manifest.calibration,
                columns=list(columns),
                arrays=dict(vectors),
            )
        except ValueError as error:
            raise ModelError(f"{error}; train the model again") from error

    def evaluate(
        self, values: npt.NDArray[np.float64], valid: npt.NDArray[np.uint64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """Return the probability of a rise for each row, and where there is none.

        The GIL is released meanwhile.

        Args:
            values: Rows of features, shape (rows, features); the values of a row are adjacent.
            valid: Bit i of a row's word: its value i is valid. Shape (rows,).

        Returns:
            The probabilities, and which of them are neutral: 0.5, because a feature that the model
            uses was not valid or not finite.
        """
        probabilities = np.empty(len(values), np.float64)
        neutral = np.empty(len(values), np.bool_)
        self.native.evaluate(values, valid, probabilities, neutral)
        return probabilities, neutral


def load(directory: str | Path, kernel: Kernel | None = None) -> Model:
    """Return the model in a directory.

    Args:
        directory: With manifest.json and model.npz.
        kernel: What computes the rows that it will be given, with all of their values. None: rows
            have just the model's features, in its order.

    Raises:
        ModelError: it is missing, damaged, of another schema, or made for another kernel.
    """
    directory = Path(directory)
    manifest = read_manifest(directory)
    if kernel is not None:
        check_kernel(directory, manifest.card.kernel, kernel)
    if manifest.kind == "skops":
        raise ModelError(
            f"{directory / manifests.MANIFEST}: kind was skops, which only the process `model` "
            "evaluates; must be hgb, rf or lr here"
        )
    path = directory / manifests.ARRAYS
    data = read(path, manifests.MOST_ARRAYS_BYTES)
    try:
        return made(manifest, data, kernel)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def made(manifest: Manifest, data: bytes, kernel: Kernel | None = None) -> Model:
    """Return the model that a manifest and the bytes of its arrays are.

    Raises:
        ModelError: as `load`, without the file's name.
    """
    names = manifest.card.features
    columns = range(len(names)) if kernel is None else [kernel.features.index(n) for n in names]
    return Model(manifest, _vectors(manifest, data), columns)


def read_manifest(directory: str | Path) -> Manifest:
    """Return what the manifest in a model's directory says.

    Raises:
        ModelError: it is missing, no manifest, or of another schema.
    """
    path = Path(directory) / manifests.MANIFEST
    try:
        return manifests.decode(read(path, manifests.MOST_MANIFEST_BYTES))
    except ModelError as error:
        text = str(error)
        raise ModelError(text if text.startswith(str(path)) else f"{path}: {text}") from error


def read(
    path: Path,
    most_bytes: int,
    remedy: str = "name a directory that `bot4 train --out` has written",
) -> bytes:
    """Return a file.

    Raises:
        ModelError: it cannot be read, or is too large.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > most_bytes:
                raise ModelError(f"{path}: was {size} bytes, must be at most {most_bytes}")
            return file.read(most_bytes)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error


def check_kernel(directory: Path, trained: Kernel, running: Kernel) -> None:
    """Raise ModelError, with both lists, unless they compute the same rows."""
    if trained == running:
        return
    missing = [name for name in trained.features if name not in running.features]
    extra = [name for name in running.features if name not in trained.features]
    differences = [
        f"{what}: {', '.join(names)}"
        for what, names in (("missing here", missing), ("not in the model's", extra))
        if names
    ]
    if not differences and trained.features != running.features:
        differences = ["the same names in another order"]
    if not differences:
        differences = ["the same names, computed otherwise"]
    raise ModelError(
        f"{directory / manifests.MANIFEST}: features were of {_version(trained)}, "
        f"must be of {_version(running)}; train the model again\n"
        f"  {'; '.join(differences)}\n"
        f"  the model's: {', '.join(trained.features)}\n"
        f"  computed here: {', '.join(running.features)}"
    )


def _version(kernel: Kernel) -> str:
    return f"version {kernel.version} ({kernel.hash[:12]})"


def _vectors(manifest: Manifest, data: bytes) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays, which are what the manifest says they are."""
    said = manifest.arrays
    digest = hashlib.sha256(data).hexdigest()
    if digest != said.sha256:
        raise ModelError(
            f"SHA-256 was {digest}, must be {said.sha256}, as the manifest says; "
            "copy both files again or train the model again"
        )
    expected = {
        *manifests.ESTIMATOR_ARRAYS[manifest.kind],
        *manifests.CALIBRATION_ARRAYS[manifest.calibration],
    }
    if set(said.vectors) != expected:
        raise ModelError(
            f"arrays in the manifest were {', '.join(sorted(said.vectors))}, must be "
            f"{', '.join(sorted(expected))}; train the model again"
        )
    try:
        return _unpacked(said, data)
    except ModelError:
        raise
    # zipfile and numpy raise a dozen kinds; whichever it is, the file is bad.
    except Exception as error:
        raise ModelError(
            f"is not a file of arrays ({type(error).__name__}: {error}); train the model again"
        ) from error


def _unpacked(said: Arrays, data: bytes) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of an .npz file; never takes more memory than the file."""
    vectors = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
        names = sorted(f"{name}.npy" for name in said.vectors)
        if sorted(entry.filename for entry in entries) != names:
            found = ", ".join(sorted(entry.filename for entry in entries))
            raise ModelError(f"held {found}, must hold {', '.join(names)}; train the model again")
        for entry in entries:
            name = entry.filename.removesuffix(".npy")
            vector = said.vectors[name]
            # Nothing is decompressed: a few bytes could become any number of them.
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > len(data):
                raise ModelError(f"{entry.filename} was compressed; train the model again")
            with archive.open(entry) as file:
                _check_header(name, vector, file)
                content = file.read()
            if len(content) != vector.length * np.dtype(vector.dtype).itemsize:
                raise ModelError(
                    f"{entry.filename} was {len(content)} bytes, must be {vector.length} of "
                    f"{vector.dtype}; train the model again"
                )
            vectors[name] = np.frombuffer(content, vector.dtype)
    return vectors


def _check_header(name: str, vector: manifests.Vector, file: Any) -> None:
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ModelError(f"{name}.npy was of format {version}, must be (1, 0)")
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    wanted = "<i4" if name in manifests.INTEGER_ARRAYS else "<f8"
    if (dtype.str, vector.dtype) != (wanted, wanted) or shape != (vector.length,):
        raise ModelError(
            f"{name}.npy was {dtype.str} of shape {shape} where the manifest says "
            f"{vector.dtype} of shape ({vector.length},), must be {wanted}; train the model again"
        )
