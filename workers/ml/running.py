"""The model that a run uses: found, verified against the features that run, dated."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import workers.ml
from workers.ml.models import Kernel, Manifest, Model, ModelError, estimator, load, read_manifest
from workers.ml.models.manifest import MANIFEST
from workers.ta.batch import kernel_hash
from workers.ta.features import FEATURE_NAMES, FEATURES_VERSION

_SIZES: Final = {"tick": "trades_per_bar", "time": "interval_ms", "volume": "lots_per_bar"}
"""The key of a bar's size, in `[ta]` as in a card, by the kind of bars."""

TIME = "%Y-%m-%d %H:%M:%S"
_NS = 1_000_000_000
_DAY_NS = 86_400 * _NS


def checked_model(config: Mapping[str, Any]) -> Model | None:
    """Return the model that `ml.model` names, None if there is none.

    Raises:
        ModelError: it is missing or damaged, made for other features than `[ta]` computes or other
            bars, another than the run began with, or cannot become too old although it is to.
    """
    directory = directory_of(config)
    if directory is None:
        return None
    try:
        model = load(directory, running_kernel(config))
        check_bars(directory, model.manifest.card.data, config["ta"])
    except ModelError as error:
        raise misfit(config, error) from error
    check_same(config, directory)
    until_ns(config, model.manifest)
    return model


def checked_manifest(config: Mapping[str, Any]) -> Manifest:
    """Return the manifest of the model that another process evaluates.

    Raises:
        ModelError: as `checked_model`; or it is made of types that `ml.trusted` does not name.
    """
    directory = directory_of(config)
    assert directory is not None
    try:
        manifest, _ = estimator.verified(directory, running_kernel(config))
        check_bars(directory, manifest.card.data, config["ta"])
        estimator.check_trusted(manifest, config["ml"]["trusted"])
        estimator.check_installed()
    except ModelError as error:
        raise misfit(config, error) from error
    check_same(config, directory)
    until_ns(config, manifest)
    return manifest


def running_kernel(config: Mapping[str, Any]) -> Kernel:
    """Return what computes the rows of a run."""
    return Kernel(FEATURES_VERSION, kernel_hash(config["ta"]), FEATURE_NAMES)


def misfit(config: Mapping[str, Any], error: ModelError) -> ModelError:
    """Return an error that names the key of the configuration, too."""
    was = f"ml.model was {config['ml']['model']!r}"
    return ModelError(f'{was}, must fit; or do without, with ""\n{error}')


def check_same(config: Mapping[str, Any], directory: Path) -> None:
    """Raise ModelError if the model is another than the run began with."""
    # A process that died goes on with the same answers, or not at all.
    pinned = config["ml"].get("model_sha256", "")
    found = sha256_of(config)
    if pinned and found != pinned:
        raise ModelError(
            f"ml.model, {directory}, was changed while it was in use: SHA-256 of its manifest was "
            f"{found}, must be {pinned}; start a new run, or put the old one back"
        )


def check_bars(directory: Path, data: Mapping[str, Any], ta: Mapping[str, Any]) -> None:
    """Raise ModelError if it was trained on other bars: of these it has seen nothing."""
    if "bar" not in data:  # of an export that was not told; see `doubts`
        return
    size = _SIZES[ta["bar"]]
    if all(data.get(key) == value for key, value in bars_of(ta).items()):
        return
    remedies = []
    theirs = ("bar", _SIZES.get(str(data["bar"]), "size"))
    if all(key in data and key in ta for key in theirs):
        changes = [f"ta.{key}={data[key]}" for key in theirs if data[key] != ta[key]]
        remedies.append(f"set {', '.join(changes)}")
    if ta["bar"] == "tick":
        remedies.append(f"bot4 train --simulated --set ta.{size}={ta[size]} --out DIR")
    elif ta["bar"] == "time":
        remedies.append(f"bot4 train --data FILE --out DIR, of bars of {ta[size]} ms")
    raise ModelError(
        f"{directory / MANIFEST}: bars were {_bars(data)}, must be {_bars(ta)}, as [ta] has them; "
        + (", or ".join(remedies) or "use other bars")
    )


def bars_of(ta: Mapping[str, Any]) -> dict[str, Any]:
    """Return the kind of bars and their size, as a card has them."""
    return {"bar": ta["bar"], _SIZES[ta["bar"]]: ta[_SIZES[ta["bar"]]]}


def doubts(config: Mapping[str, Any]) -> list[str]:
    """Return what a run is told of its model that is no reason to refuse it.

    Raises:
        ModelError: it is missing.
    """
    directory = directory_of(config)
    if directory is None or "bar" in read_manifest(directory).card.data:
        return []
    doubt = (
        f"ml.model {config['ml']['model']!r} does not say of what bars it was made: those of [ta], "
        f"{_bars(config['ta'])}, may be others"
    )
    return [doubt]


def _bars(table: Mapping[str, Any]) -> str:
    size = _SIZES.get(str(table["bar"]), "size")
    return f"{table['bar']}, {size} = {table.get(size)}"


def directory_of(config: Mapping[str, Any]) -> Path | None:
    """Return where the model is; None if there is none."""
    name = config["ml"]["model"]
    if name == "packaged":
        return Path(workers.ml.__file__).parent / "default"
    return Path(name) if name else None


def sha256_of(config: Mapping[str, Any]) -> str:
    """Return what says which model it is; empty: there is none.

    Raises:
        ModelError: it is missing.
    """
    directory = directory_of(config)
    if directory is None:
        return ""
    read_manifest(directory)  # which says what is wrong with it
    # With that of the arrays in it.
    return hashlib.sha256((directory / MANIFEST).read_bytes()).hexdigest()


def kind_of(config: Mapping[str, Any]) -> str:
    """Return of which kind the model is; empty: there is none.

    Raises:
        ModelError: it is missing.
    """
    directory = directory_of(config)
    return "" if directory is None else read_manifest(directory).kind


def until_ns(config: Mapping[str, Any], manifest: Manifest | None) -> int:
    """Return until when a model is not too old, by the venue's clock, ns UTC; 0: for ever.

    Raises:
        ModelError: it is to become too old, but its data have no date.
    """
    days: int = config["ml"]["model_max_age_days"]
    if manifest is None or days == 0:
        return 0
    ends = [_end_ns(entry) for entry in _histories(manifest)]
    if not ends or None in ends:
        raise ModelError(
            f"ml.model_max_age_days was {days}, must be 0 for {config['ml']['model']}: the data "
            "that it was trained on have no dates"
        )
    return max(end for end in ends if end is not None) + days * _DAY_NS


def _histories(manifest: Manifest) -> list[Any]:
    data = manifest.card.data
    histories = data.get("histories", [data] if "to" in data else [])
    return list(histories) if isinstance(histories, list) else []


def _end_ns(history: Any) -> int | None:
    """Return the end of the data of an instrument, as its card says it."""
    said = history.get("to") if isinstance(history, Mapping) else None
    try:
        end = datetime.datetime.strptime(str(said), TIME).replace(tzinfo=datetime.UTC)
    except ValueError:
        return None
    return int(end.timestamp()) * _NS
