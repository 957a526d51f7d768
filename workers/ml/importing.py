"""`bot4 model import`: an estimator that was fitted elsewhere, as a model of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workers.ml.models import Card, Manifest, ModelError, estimator, read_manifest
from workers.ml.running import TIME, bars_of, check_bars, running_kernel


def import_estimator(
    file: Path,
    out: Path,
    config: Mapping[str, Any],
    *,
    features: Sequence[str] | None,
    like: Path | None,
    data_to: str | None,
    trusted: Sequence[str],
) -> Manifest:
    """Write the model's directory.

    Args:
        file: Written by `skops.io.dump`.
        out: The directory.
        config: Whose bars it was fitted on, and whose windows the features were computed with.
        features: Their names, in the order of the estimator's columns; or
        like: a model with the same ones.
        data_to: End of the data that it was fitted on, ISO 8601, UTC unless it says otherwise.
        trusted: Types that it may be made of.

    Returns:
        What was written to manifest.json.

    Raises:
        ModelError: it cannot be such a model.
    """
    if (features is None) == (like is None):
        raise ModelError("--features and --like were both given or both left out; give one of them")
    kernel = running_kernel(config)
    if like is not None:
        card = read_manifest(like).card
        check_bars(like, card.data, config["ta"])
        if card.kernel != kernel:
            raise ModelError(
                f"{like}: its features were computed with other windows than [ta] has; give the "
                "--config that it was trained with, or name the --features"
            )
        names = card.features
    else:
        names = tuple(name.strip() for name in features or ())
    data: dict[str, Any] = {"file": file.name, **bars_of(config["ta"])}
    if data_to is not None:
        data["to"] = _time(data_to)
    return estimator.write(
        file,
        out,
        card=Card(features=names, kernel=kernel, seed=0, data_hash="unknown", data=data),
        trusted=trusted,
    )


def _time(text: str) -> str:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ModelError(
            f"--data-to was {text!r}, must be a time like 2026-01-31 or 2026-01-31T08:55:00"
        ) from None
    in_utc = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    return in_utc.strftime(TIME)
