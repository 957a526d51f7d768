"""How often a history's final test has been looked at: the more often, the less it proves.

The count lies beside the model, by the hash of the data. What is tried again in the same way is
the same trial.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from workers.ml.training.error import TrainingError

FILE = "trials.json"

_Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
_Trials = dict[_Digest, list[_Digest]]


def count_trial(directory: Path, data_hash: str, trial: str) -> int:
    """Note a trial, and return how many there were on the same data, this one with them.

    Args:
        directory: Of the model.
        data_hash: SHA-256 of the data.
        trial: SHA-256 of all settings.

    Raises:
        TrainingError: the file cannot be read or written, or is none.
    """
    path = directory / FILE
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        known = _read(path)
        trials = known.setdefault(data_hash, [])
        if trial not in trials:
            trials.append(trial)
            _write(path, msgspec.json.format(msgspec.json.encode(known), indent=2) + b"\n")
    except OSError as error:
        raise TrainingError(
            f"{path}: cannot be read or written ({error.strerror}); name another directory"
        ) from error
    return len(trials)


def _read(path: Path) -> _Trials:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Trials)
    except FileNotFoundError:
        return {}
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TrainingError(
            f"{path}: is no count of trials ({error}); put back what was there, or train into "
            "another directory"
        ) from None


def _write(path: Path, text: bytes) -> None:
    fd, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(text)
        os.replace(name, path)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
        raise
