"""Histories of bars, read from files and checked."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.ml.training.error import TrainingError

COLUMNS = ("open", "high", "low", "close", "volume")
TIMES = ("ts_ms", "time_ms")
"""Names that the column of times has; ms since 1970, when a bar opened."""

_SHORTEST_MS = 1000
_LAST_MS = 253_402_300_800_000  # the year 10000
_SECONDS = range(10**8, 10**11)  # of 1973 to 5138; in ms all of it is before 1974
_MOST_DECIMALS = 12
_MOST_STEPS = 1 << 42  # beyond, a product of price and volume is not exact anyway


class HistoryError(TrainingError):
    """A file is no history that can be trained on; the text names it, the row and the remedy."""


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """The bars of one instrument, in order.

    Attributes:
        name: Of the file that they are from.
        interval_ms: From one bar to the next; where they differ, the median.
        closed_ms: When each bar had closed, ms since 1970; int64, shape (bars,).
        bars: Open, high, low, close, volume; float64, shape (bars, 5). In whole ticks and lots, as
            the ta stage has them, if they are multiples of a power of ten; else as they were.
            Those of intervals that are missing are at the last close, without volume, as the stage
            bridges them.
        segment: Number of the segment that each bar is in; a gap begins a new one, so nothing is
            looked back at or forward to across it. int64, shape (bars,).
        duplicates: Bars that were in the file twice; the first of each is kept.
        missing: Bars that are not in the file between the first and the last.
        is_dated: Whether its times are such; otherwise they only tell what was before what.
    """

    name: str
    interval_ms: int
    closed_ms: npt.NDArray[np.int64]
    bars: npt.NDArray[np.float64]
    segment: npt.NDArray[np.int64]
    duplicates: int = 0
    missing: int = 0
    is_dated: bool = True

    def __len__(self) -> int:
        return len(self.closed_ms)

    @property
    def segments(self) -> list[slice]:
        """Return each segment's bars."""
        edges = np.flatnonzero(np.diff(self.segment)) + 1
        bounds = [0, *edges.tolist(), len(self)]
        return [slice(first, last) for first, last in itertools.pairwise(bounds)]


def load(path: Path, flat_bars: int) -> History:
    """Read a history: Parquet, or CSV (also compressed), with a time, OHLC and a volume.

    Args:
        path: Of the file.
        flat_bars: As in `checked`.

    Raises:
        HistoryError: it is none.
        OSError: it cannot be read.
    """
    table = _table(path)
    time_name = next((name for name in TIMES if name in table), None)
    absent = [name for name in COLUMNS if name not in table]
    if time_name is None:
        absent.insert(0, TIMES[0])
    if time_name is None or absent:
        raise HistoryError(
            f"{path}: columns were {', '.join(table)}, must have {', '.join(absent)} as well; "
            f"a history has {TIMES[0]} (ms since 1970), {', '.join(COLUMNS)}"
        )
    times = _times(path, time_name, _numbers(path, time_name, table[time_name]))
    bars = np.column_stack([_numbers(path, name, table[name]) for name in COLUMNS])
    return checked(path.name, times, bars, flat_bars)


def checked(
    name: str, times: npt.NDArray[np.int64], bars: npt.NDArray[np.float64], flat_bars: int
) -> History:
    """Return bars as a history.

    Args:
        name: What they are called in messages.
        times: When each opened, ms since 1970; int64, shape (bars,).
        bars: Open, high, low, close, volume; float64, shape (bars, 5).
        flat_bars: Most missing bars that are bridged, `[ta] flat_bars`; after more, a new segment
            begins.

    Raises:
        HistoryError: a value cannot be, or there are fewer than two bars.
    """
    if len(times) < 2:
        raise HistoryError(f"{name}: bars were {len(times)}, must be at least 2")
    steps = np.diff(times)
    if (backwards := np.flatnonzero(steps < 0)).size:
        row = int(backwards[0]) + 1
        raise HistoryError(
            f"{name}: row {row + 1}: time was {times[row]}, must not be before the row above, "
            f"{times[row - 1]}; sort the file by time"
        )
    _check_prices(name, bars)
    kept = np.concatenate(([True], steps > 0))
    times, bars = times[kept], np.ascontiguousarray(bars[kept])
    if len(times) < 2:
        raise HistoryError(f"{name}: all bars have the same time, must be at least two times")
    steps = np.diff(times)
    interval = _interval(name, steps)
    missing = steps // interval - 1
    bridged = np.where(missing <= flat_bars, missing, 0)
    segment = np.concatenate(([0], np.cumsum(missing > flat_bars))).astype(np.int64)
    # Each bar, and then as many flat ones as are missing behind it.
    copies = np.append(bridged, 0) + 1
    source = np.repeat(np.arange(len(times)), copies)
    behind = np.arange(len(source)) - (np.cumsum(copies) - copies)[source]
    flat = behind > 0
    bars = np.column_stack([_whole(bars[:, :4]), _whole(bars[:, 4:])])[source]
    bars[flat, :4] = bars[flat, 3:4]
    bars[flat, 4] = 0.0
    return History(
        name=name,
        interval_ms=interval,
        closed_ms=times[source] + (behind + 1) * interval,
        bars=bars,
        segment=segment[source],
        duplicates=int(kept.size - kept.sum()),
        missing=int(missing.sum()),
    )


def _table(path: Path) -> dict[str, Any]:
    try:
        import pyarrow
        import pyarrow.csv
        import pyarrow.parquet
    except ImportError as error:
        raise HistoryError(
            f"{error.name} is missing, which reads histories; install it: pip install 'bot4[train]'"
        ) from None
    if not path.is_file():
        raise HistoryError(f"{path}: is no file; name a Parquet or CSV file")
    try:
        if path.suffix == ".parquet":
            table = pyarrow.parquet.read_table(path)
        else:
            with pyarrow.input_stream(str(path), compression="detect") as stream:
                skip = pyarrow.csv.ReadOptions(skip_rows=_comments(path))
                table = pyarrow.csv.read_csv(stream, read_options=skip)
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        # It may quote the file, which may be anything.
        told = str(error).encode("ascii", "backslashreplace").decode()[:100]
        raise HistoryError(
            f"{path}: it is neither Parquet nor CSV ({told!r}); convert it to one of them"
        ) from None
    names = table.column_names
    if repeated := [name for i, name in enumerate(names) if name in names[:i]]:
        raise HistoryError(f"{path}: has column {repeated[0]!r} twice; remove or rename one")
    return {name: table.column(name) for name in names}


def _comments(path: Path) -> int:
    """Return how many lines at the beginning are comments, as those of `bot4 history` are."""
    with path.open("rb") as file:
        count = 0
        while file.readline(1 << 16).startswith(b"#"):
            count += 1
        return count


def _numbers(path: Path, name: str, column: Any) -> npt.NDArray[np.float64]:
    import pyarrow

    try:
        values = np.asarray(column.cast(pyarrow.float64()).to_numpy(), dtype=np.float64)
    except (pyarrow.ArrowException, ValueError) as error:
        raise HistoryError(
            f"{path}: column {name} has a value that is no number: {error}"
        ) from None
    wrong = np.flatnonzero(~np.isfinite(values))
    if wrong.size:
        row = int(wrong[0])
        raise HistoryError(
            f"{path}: row {row + 1}: {name} was {values[row]}, must be a number; correct or remove "
            "the row"
        )
    return values


def _times(path: Path, name: str, values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    if (wrong := np.flatnonzero((values < 0) | (values >= _LAST_MS))).size:
        row = int(wrong[0])
        raise HistoryError(
            f"{path}: row {row + 1}: {name} was {values[row]:.16g}, must be ms since 1970, from 0 "
            f"to {_LAST_MS}; convert the times"
        )
    times = values.astype(np.int64)
    if len(times) and int(times[0]) in _SECONDS and int(times[-1]) in _SECONDS:
        raise HistoryError(
            f"{path}: {name} was {times[0]} to {times[-1]}, must be ms since 1970, but these are "
            "seconds; multiply them by 1000"
        )
    return times


def _check_prices(name: str, bars: npt.NDArray[np.float64]) -> None:
    opened, high, low, close, volume = bars.T
    rules: Sequence[tuple[str, npt.NDArray[np.bool_], npt.NDArray[np.float64], str]] = (
        ("low", low <= 0, low, "must be > 0"),
        ("volume", volume < 0, volume, "must be >= 0"),
        ("high", high < np.maximum(opened, close), high, "must be no less than open and close"),
        ("low", low > np.minimum(opened, close), low, "must be no more than open and close"),
    )
    for what, broken, values, rule in rules:
        if (rows := np.flatnonzero(broken)).size:
            row = int(rows[0])
            raise HistoryError(
                f"{name}: row {row + 1}: {what} was {values[row]:g}, {rule}; correct or remove the "
                f"row ({rows.size} like it)"
            )


def _whole(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return values in the largest step, a power of ten, that they are all multiples of.

    Sums of whole numbers are exact, so features have the bits that the ta stage gives them if its
    ticks and lots are these.
    """
    for decimals in range(_MOST_DECIMALS + 1):
        steps = np.rint(values * 10.0**decimals)
        if steps.max() > _MOST_STEPS:
            break
        # What is written with so many decimals is read as the double that is nearest to this.
        if np.array_equal(steps / 10.0**decimals, values):
            return steps
    return values


def _interval(name: str, steps: npt.NDArray[np.int64]) -> int:
    values, counts = np.unique(steps, return_counts=True)
    interval = int(values[np.argmax(counts)])
    if interval < _SHORTEST_MS:
        raise HistoryError(
            f"{name}: bars were {interval} ms apart, must be at least {_SHORTEST_MS}; times are in "
            "ms since 1970, not in seconds"
        )
    if (odd := np.flatnonzero(steps % interval)).size:
        row = int(odd[0])
        raise HistoryError(
            f"{name}: after row {row + 1}: the next bar was {steps[row]} ms later, must be a "
            f"multiple of the interval, {interval} ms; bars of one interval only"
        )
    return interval
