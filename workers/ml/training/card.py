"""What a model's card says of its training, as plain numbers and texts."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from workers.ml.training import features
from workers.ml.training.books import Book
from workers.ml.training.canary import Song
from workers.ml.training.dataset import Dataset
from workers.ml.training.history import History
from workers.ml.training.metrics import Metrics, p_value
from workers.ml.training.splits import Rows, Split, WalkForward
from workers.ml.training.walk import Trained
from workers.ta.features import WINDOWS, Windows

Section = dict[str, Any]


def of_data(
    histories: Sequence[History], data: Dataset, bar: Mapping[str, Any], windows: Windows
) -> Section:
    """Return where the rows come from."""
    return {
        **bar,
        "windows": {name: windows[name] for name in sorted(WINDOWS)},
        "histories": [
            {
                "name": history.name,
                "bars": len(history),
                "from": _time(history.closed_ms[0], data.is_dated),
                "to": _time(history.closed_ms[-1], data.is_dated),
                "interval_ms": history.interval_ms,
                "missing": history.missing,
                "duplicates": history.duplicates,
                "segments": len(history.segments),
            }
            for history in histories
        ],
        "rows": len(data),
        "labels": int(data.decided.sum()),
        "neutral": int((~data.decided & ~data.ambiguous).sum()),
        "ambiguous": int(data.ambiguous.sum()),
        "effective": float(data.weight.sum()) / data.together,
    }


def of_splits(data: Dataset, plan: WalkForward, splits: Sequence[Split]) -> Section:
    """Return the periods, the final test's last."""
    return {
        "kind": "walk-forward",
        **asdict(plan),
        "periods": [
            {
                **{
                    name: {"rows": len(rows), **_span(data, rows)}
                    for name, rows in (
                        ("fit", split.fit),
                        ("calibrate", split.calibrate),
                        ("test", split.test),
                    )
                },
                "purged": split.purged,
            }
            for split in splits
        ],
    }


def of_metrics(
    trained: Trained, books: Sequence[Book], threshold: float, trials: int, song: Song
) -> Section:
    """Return how well it did, and what that is worth after so many trials."""
    return {
        "threshold": threshold,
        "folds": [_metrics(*of, 1) for of in zip(trained.folds, books[:-1], strict=True)],
        "final": _metrics(trained.final, books[-1], trials),
        "trials": trials,
        "importance": dict(zip(features.NAMES, trained.importance, strict=True)),
        "canary": asdict(song),
    }


def of_calibration(data: Dataset, method: str, split: Split) -> Section:
    """Return what the model's probabilities were set right by."""
    return {"method": method, "rows": len(split.calibrate), **_span(data, split.calibrate)}


def _metrics(metrics: Metrics, book: Book, trials: int) -> Section:
    p = p_value(metrics.z, trials)
    return {**metrics.as_dict(), "z": metrics.z, "p_value": p, "books": book}


def _span(data: Dataset, rows: Rows) -> Section:
    return {
        "from": _time(data.begin_ms[rows[0]], data.is_dated),
        "to": _time(data.end_ms[rows].max(), data.is_dated),
    }


def _time(ms: int, is_dated: bool) -> str:
    """Return a time of UTC, to the second; what no calendar has, as its number."""
    if not is_dated:
        return f"event {ms}"
    try:
        at = datetime.datetime.fromtimestamp(int(ms) / 1000, datetime.UTC)
    except (OverflowError, ValueError, OSError):
        return f"{ms} ms"
    return at.strftime("%Y-%m-%d %H:%M:%S")
