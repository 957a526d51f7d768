"""The model that a run uses: found, verified against the features that run, dated."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import workers.ml
from workers.ml.models import Kernel, Manifest, Model, ModelError, load, read_manifest
from workers.ml.models.manifest import MANIFEST
from workers.ta.batch import kernel_hash
from workers.ta.features import FEATURE_NAMES, FEATURES_VERSION

_SIZES: Final = {"tick": "trades_per_bar", "time": "interval_ms", "volume": "lots_per_bar"}
"""The key of a bar's size, in `[ta]` as in a card, by the kind of bars."""

_TIME = "%Y-%m-%d %H:%M:%S"
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
    running = Kernel(FEATURES_VERSION, kernel_hash(config["ta"]), FEATURE_NAMES)
    try:
        model = load(directory, running)
        _check_bars(directory, model.manifest.card.data, config["ta"])
    except ModelError as error:
        was = f"ml.model was {config['ml']['model']!r}"
        raise ModelError(f'{was}, must fit; or do without, with ""\n{error}') from error
    # A process that died goes on with the same answers, or not at all.
    pinned = config["ml"].get("model_sha256", "")
    found = sha256_of(config)
    if pinned and found != pinned:
        raise ModelError(
            f"ml.model, {directory}, was changed while it was in use: SHA-256 of its manifest was "
            f"{found}, must be {pinned}; start a new run, or put the old one back"
        )
    until_ns(config, model)
    return model


def _check_bars(directory: Path, data: Mapping[str, Any], ta: Mapping[str, Any]) -> None:
    """Raise ModelError if it was trained on other bars: of these it has seen nothing."""
    if "bar" not in data:  # of an export that was not told
        return
    size = _SIZES[ta["bar"]]
    if data["bar"] == ta["bar"] and data.get(size) == ta[size]:
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


def until_ns(config: Mapping[str, Any], model: Model | None) -> int:
    """Return until when a model is not too old, by the venue's clock, ns UTC; 0: for ever.

    Raises:
        ModelError: it is to become too old, but its data have no date.
    """
    days: int = config["ml"]["model_max_age_days"]
    if model is None or days == 0:
        return 0
    ends = [_end_ns(entry) for entry in _histories(model.manifest)]
    if not ends or None in ends:
        raise ModelError(
            f"ml.model_max_age_days was {days}, must be 0 for {config['ml']['model']}: the data "
            "that it was trained on have no dates"
        )
    return max(end for end in ends if end is not None) + days * _DAY_NS


def _histories(manifest: Manifest) -> list[Any]:
    histories = manifest.card.data.get("histories", [])
    return list(histories) if isinstance(histories, list) else []


def _end_ns(history: Any) -> int | None:
    """Return the end of the data of an instrument, as its card says it."""
    said = history.get("to") if isinstance(history, Mapping) else None
    try:
        end = datetime.datetime.strptime(str(said), _TIME).replace(tzinfo=datetime.UTC)
    except ValueError:
        return None
    return int(end.timestamp()) * _NS
