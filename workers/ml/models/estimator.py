"""Any other estimator of scikit-learn: in a file of skops, with an explicit list of trusted types.

Such a file says which types it is made of, and making it makes instances of them. Types that skops
knows to be safe need nothing; each other one has to be named by who imports the file *and* in the
configuration that runs it, so that no file on a disk trusts itself. Nothing is unpickled.

skops and scikit-learn are an extra, and imported late: only the process that evaluates the model
has them.
"""

from __future__ import annotations

import hashlib
import importlib.util
import platform
from collections.abc import Collection, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from workers.ml.models import manifest as manifests
from workers.ml.models.export import write_files
from workers.ml.models.load import check_kernel, read, read_manifest
from workers.ml.models.load import load as load_native
from workers.ml.models.manifest import Arrays, Card, Check, Kernel, Manifest, ModelError

EXTRA = "pip install 'bot4[models]'"

_PACKAGES = ("bot4", "numpy", "scikit-learn", "scipy", "skops")


def check_installed() -> None:
    """Raise ModelError, with the remedy, unless the libraries are there; imports none of them."""
    missing = [name for name in ("skops", "sklearn") if importlib.util.find_spec(name) is None]
    if missing:
        raise ModelError(
            f"a model of kind skops needs {' and '.join(missing)}, which is missing: {EXTRA}"
        )


def write(
    file: str | Path, directory: str | Path, *, card: Card, trusted: Sequence[str] = ()
) -> Manifest:
    """Write a model's directory for an estimator that `skops.io.dump` has written.

    Args:
        file: Of a fitted classifier with two classes; its probability is that of the second.
        directory: To write to; made if it is missing.
        card: What the file does not know.
        trusted: Types that it may be made of beyond those that skops knows to be safe.

    Returns:
        What was written to manifest.json.

    Raises:
        ModelError: it is no such file, has other types, or the directory cannot be written to.
            Then nothing is written.
    """
    manifests.check_features(card)
    data = read(
        Path(file), manifests.MOST_ARRAYS_BYTES, "name a file that skops.io.dump has written"
    )
    try:
        used = _checked_types(data, trusted, "name it with --trust, if you trust it")
        rise = _tried(_checked(_made(data, used), len(card.features)))
    except ModelError as error:
        raise ModelError(f"{file}: {error}") from error
    card = msgspec.structs.replace(card, labels={"rise": rise})
    manifest = Manifest(
        schema=manifests.SCHEMA,
        kind="skops",
        calibration="none",
        card=card,
        arrays=Arrays(bytes=len(data), sha256=hashlib.sha256(data).hexdigest(), vectors={}),
        check=Check(rows=0, tolerance=0.0, max_abs_diff=0.0),
        versions={
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in _PACKAGES},
        },
        trusted=tuple(used),
    )
    text = manifests.encode(manifest)
    manifests.decode(text)  # what is written can be read
    # First the estimator, then what names its SHA-256.
    write_files(Path(directory), {manifests.ESTIMATOR: data, manifests.MANIFEST: text})
    return manifest


def verified(directory: str | Path, kernel: Kernel | None = None) -> tuple[Manifest, bytes]:
    """Return what the manifest in a model's directory says, and the bytes of its estimator.

    Raises:
        ModelError: it is missing, damaged, of another kind, or made for another kernel.
    """
    directory = Path(directory)
    manifest = read_manifest(directory)
    if manifest.kind != "skops":
        raise ModelError(
            f"{directory / manifests.MANIFEST}: kind was {manifest.kind}, must be skops"
        )
    if kernel is not None:
        check_kernel(directory, manifest.card.kernel, kernel)
    path = directory / manifests.ESTIMATOR
    data = read(path, manifests.MOST_ARRAYS_BYTES)
    digest = hashlib.sha256(data).hexdigest()
    if digest != manifest.arrays.sha256:
        raise ModelError(
            f"{path}: SHA-256 was {digest}, must be {manifest.arrays.sha256}, as the manifest "
            "says; copy both files again or import the model again"
        )
    return manifest, data


def whole(directory: str | Path) -> Manifest:
    """Return the manifest of a model of any kind, whose files are what it says.

    Raises:
        ModelError: as `verified`, or `workers.ml.models.load`.
    """
    if read_manifest(directory).kind == "skops":
        return verified(directory)[0]
    return load_native(directory).manifest


def check_trusted(manifest: Manifest, trusted: Collection[str]) -> None:
    """Raise ModelError unless the configuration trusts each type that the manifest names."""
    missing = [name for name in manifest.trusted if name not in trusted]
    if missing:
        raise ModelError(
            f"ml.trusted was {sorted(trusted)}, but the model is also made of "
            f"{', '.join(missing)}; add it to ml.trusted, if you trust it"
        )


def load(directory: str | Path, trusted: Collection[str], kernel: Kernel | None = None) -> Any:
    """Return the estimator in a model's directory.

    Args:
        directory: With manifest.json and model.skops.
        trusted: The types that the configuration trusts.
        kernel: What computes the rows that it will be given, if that is known.

    Raises:
        ModelError: as `verified`, or it is made of types that are not trusted.
    """
    manifest, data = verified(directory, kernel)
    check_trusted(manifest, trusted)
    path = Path(directory) / manifests.ESTIMATOR
    try:
        # What the file has, whatever the manifest says of it.
        used = _checked_types(data, trusted, "add it to ml.trusted, if you trust it")
        return _checked(_made(data, used), len(manifest.card.features))
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def _checked_types(data: bytes, trusted: Collection[str], remedy: str) -> list[str]:
    """Return the types that a file needs trust for, if they have it."""
    check_installed()
    import skops.io

    try:
        needed = sorted(skops.io.get_untrusted_types(data=data))
    except Exception as error:  # zipfile, json and skops raise a dozen kinds
        raise ModelError(
            f"is not a file of skops ({type(error).__name__}: {error}); write it with skops.io.dump"
        ) from error
    if missing := [name for name in needed if name not in trusted]:
        raise ModelError(f"is made of types that are not trusted: {', '.join(missing)}; {remedy}")
    return needed


def _made(data: bytes, trusted: list[str]) -> Any:
    import skops.io

    try:
        return skops.io.loads(data, trusted=trusted)
    except Exception as error:
        raise ModelError(
            f"cannot be loaded ({type(error).__name__}: {error}); write it with the versions of "
            "scikit-learn and skops that are installed here"
        ) from error


def _tried(estimator: Any) -> str:
    """Return the name of the class that is a rise, if a row of zeros gets a probability."""
    name, row = type(estimator).__name__, np.zeros((1, estimator.n_features_in_))
    try:
        found = np.asarray(estimator.predict_proba(row), np.float64)
    except Exception as error:  # which is another's code
        raise ModelError(
            f"predict_proba of {name} cannot evaluate a row of zeros ({type(error).__name__}: "
            f"{error}); fit it again"
        ) from error
    if found.shape != (1, 2) or not 0.0 <= found[0, 1] <= 1.0:
        raise ModelError(
            f"predict_proba of {name} at a row of zeros was {found.tolist()}, must be two "
            "probabilities; fit it again"
        )
    return str(estimator.classes_[1])


def _names(classes: Any) -> str:
    return ", ".join(map(str, classes))


def _checked(estimator: Any, features: int) -> Any:
    name = type(estimator).__name__
    if not callable(getattr(estimator, "predict_proba", None)):
        raise ModelError(f"estimator was {name}, must have predict_proba: a classifier")
    classes = getattr(estimator, "classes_", None)
    if classes is None:
        raise ModelError(f"estimator was {name}, not fitted; must be fitted")
    if len(classes) != 2:
        raise ModelError(
            f"classes of {name} were {_names(classes)}, must be two: no rise, and a rise"
        )
    count = getattr(estimator, "n_features_in_", None)
    if count != features:
        raise ModelError(
            f"features of {name} were {count}, must be {features}, as many as are named"
        )
    return estimator
