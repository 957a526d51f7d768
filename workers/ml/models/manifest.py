"""What a model's manifest.json says."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from pipeline.stage import StageError

SCHEMA: Final = 1
"""Of the manifest and the arrays; another one is refused."""

MANIFEST: Final = "manifest.json"
ARRAYS: Final = "model.npz"
ESTIMATOR: Final = "model.skops"

MOST_FEATURES: Final = 64
"""As many as a row has bits of validity."""
MOST_MANIFEST_BYTES: Final = 1 << 22
MOST_ARRAYS_BYTES: Final = 1 << 30

Kind = Literal["hgb", "rf", "lr", "skops"]
Calibration = Literal["none", "sigmoid", "isotonic"]

ESTIMATOR_ARRAYS: Final[dict[str, tuple[str, ...]]] = {
    "hgb": ("feature", "threshold", "right", "root", "base"),
    "rf": ("feature", "threshold", "right", "root"),
    "lr": ("mean", "scale", "coefficient", "intercept"),
}
CALIBRATION_ARRAYS: Final[dict[str, tuple[str, ...]]] = {
    "none": (),
    "sigmoid": ("sigmoid",),
    "isotonic": ("isotonic_x", "isotonic_y"),
}
"""The vectors in model.npz; forest.hpp, linear.hpp and calibration.hpp in native/ explain them."""

INTEGER_ARRAYS: Final = frozenset({"feature", "right", "root"})
"""These are int32, all others float64."""

_Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
_Count = Annotated[int, Meta(ge=0, le=MOST_ARRAYS_BYTES)]
_Name = Annotated[str, Meta(min_length=1, max_length=100)]
_TypeName = Annotated[str, Meta(min_length=1, max_length=500)]
_Names = Annotated[tuple[_Name, ...], Meta(min_length=1, max_length=MOST_FEATURES)]


class ModelError(StageError):
    """A model that cannot be written, read or used; the message names the file and the remedy."""


# A field too many is as wrong as one too few: whoever wrote it meant something by it.
class Kernel(Struct, frozen=True, forbid_unknown_fields=True):
    """What computes rows of features.

    Attributes:
        version: Of the list of features.
        hash: Changes whenever the kernel computes anything else.
        features: The names of a row's values, in their order.
    """

    version: int
    hash: _Name
    features: _Names


class Card(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a model was made from and how well it did; all that is not known by the arrays.

    Attributes:
        features: The names of those that the model uses, in the order of its columns.
        kernel: What computed them.
        seed: Of all that was random.
        data_hash: Of the data that it was trained on.
        data: Where they come from: files, instruments, span, number of rows.
        labels: Parameters of the labels.
        splits: Of training, calibration, validation and test.
        metrics: In the folds and the final test, with the number of trials.
        calibration: What it was calibrated on, if it was.
    """

    features: _Names
    kernel: Kernel
    seed: int
    data_hash: _Name
    data: dict[str, Any] = {}
    labels: dict[str, Any] = {}
    splits: dict[str, Any] = {}
    metrics: dict[str, Any] = {}
    calibration: dict[str, Any] = {}


class Vector(Struct, frozen=True, forbid_unknown_fields=True):
    """A one-dimensional array in the file."""

    dtype: Literal["<f8", "<i4"]
    length: _Count


class Arrays(Struct, frozen=True, forbid_unknown_fields=True):
    """The file with the arrays, or with the estimator: that has no vectors."""

    bytes: _Count
    sha256: _Digest
    vectors: dict[str, Vector]


class Check(Struct, frozen=True, forbid_unknown_fields=True):
    """The comparison with scikit-learn without which no model is written.

    Attributes:
        rows: How many were compared.
        tolerance: The largest absolute difference of probabilities allowed; 0: bit-equal.
        max_abs_diff: The largest there was.
    """

    rows: int
    tolerance: float
    max_abs_diff: float


class Manifest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """All of manifest.json.

    Attributes:
        schema: SCHEMA.
        kind: hgb: histogram gradient boosting; rf: random forest; lr: logistic regression; skops:
            any other estimator, which is in a file of its own and not evaluated natively.
        calibration: From the estimator's score to a probability; of skops: none besides its own.
        check: Of skops: of no rows, as there is nothing to compare.
        versions: Of the libraries that it was made with.
        trusted: Types in the estimator's file beyond those that skops knows to be safe.
    """

    schema: int
    kind: Kind
    calibration: Calibration
    card: Card
    arrays: Arrays
    check: Check
    versions: dict[str, str]
    trusted: tuple[_TypeName, ...] = ()

    @property
    def is_asked(self) -> bool:
        """Whether another process evaluates it."""
        return self.kind == "skops"


class _AnySchema(Struct):
    schema: int


def encode(manifest: Manifest) -> bytes:
    """Return it as the text of manifest.json."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def decode(text: bytes) -> Manifest:
    """Return what the text of a manifest.json says.

    Raises:
        ModelError: it is none, or one of another schema. The file's name is the caller's to add.
    """
    try:
        schema = msgspec.json.decode(text, type=_AnySchema).schema
        if schema != SCHEMA:
            raise ModelError(f"schema was {schema}, must be {SCHEMA}; train the model again")
        manifest = msgspec.json.decode(text, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ModelError(f"is not a model's manifest ({error}); train the model again") from error
    check_features(manifest.card)
    return manifest


def check_features(card: Card) -> None:
    """Raise ModelError unless the model's features are different ones of the kernel's."""
    for what, names in (("features", card.features), ("kernel.features", card.kernel.features)):
        repeated = [name for i, name in enumerate(names) if name in names[:i]]
        if repeated:
            raise ModelError(f"card.{what} had {repeated[0]} twice; name each feature once")
    unknown = [name for name in card.features if name not in card.kernel.features]
    if unknown:
        raise ModelError(
            f"card.features had {', '.join(unknown)}, must be of card.kernel.features: "
            f"{', '.join(card.kernel.features)}"
        )
