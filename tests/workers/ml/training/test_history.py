from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.ml.training import history
from workers.ml.training.history import History, HistoryError, checked

_HEADER = "ts_ms,open,high,low,close,volume"
_MINUTE = 60_000


def load(path: Path, flat_bars: int = 5) -> History:
    return history.load(path, flat_bars)


def _csv(path: Path, *rows: str, header: str = _HEADER) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def _row(minute: float, low: float = 9.0, high: float = 11.0, close: float = 10.0) -> str:
    return f"{int(minute * _MINUTE)},10,{high},{low},{close},1.5"


def test_parquet_and_csv_are_the_same_history(tmp_path: Path) -> None:
    rows = [(minute * _MINUTE, 10.0, 11.0, 9.0, 10.5, 2.0) for minute in range(4)]
    columns = dict(zip(_HEADER.split(","), zip(*rows, strict=True), strict=True))
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    text = [",".join(map(str, row)) for row in rows]
    plain = load(_csv(tmp_path / "a.csv", *text))
    packed = tmp_path / "a.csv.gz"
    packed.write_bytes(gzip.compress((tmp_path / "a.csv").read_bytes()))
    for other in (load(tmp_path / "a.parquet"), load(packed)):
        assert np.array_equal(plain.bars, other.bars)
        assert np.array_equal(plain.closed_ms, other.closed_ms)
    assert plain.interval_ms == _MINUTE
    assert plain.bars[0].tolist() == [100.0, 110.0, 90.0, 105.0, 2.0]  # in ticks of 0.1, lots of 1


def test_few_missing_bars_are_bridged_and_more_begin_a_new_segment(tmp_path: Path) -> None:
    found = load(_csv(tmp_path / "a.csv", *map(_row, (0, 1, 2, 5, 6, 100, 101))))
    minutes = [1, 2, 3, 4, 5, 6, 7, 101, 102]
    assert found.closed_ms.tolist() == [minute * _MINUTE for minute in minutes]
    assert found.segment.tolist() == [0] * 7 + [1, 1]
    assert found.segments == [slice(0, 7), slice(7, 9)]
    assert found.missing == 2 + 93
    assert found.bars[3:5].tolist() == [[10, 10, 10, 10, 0]] * 2
    assert len(load(tmp_path / "a.csv", flat_bars=1).segments) == 3


@given(
    st.lists(st.tuples(st.integers(1, 10**6), st.integers(0, 10**6)), min_size=1, max_size=20),
    st.integers(0, 5),
    st.integers(0, 5),
)
def test_prices_and_volumes_are_whole_multiples_of_their_steps(
    bars: list[tuple[int, int]], price_decimals: int, volume_decimals: int
) -> None:
    # The first has a step of one, so no larger one fits.
    ticks = np.array([[1] * 4 + [1], *([tick] * 4 + [lot] for tick, lot in bars)])
    scale = np.array([10.0**price_decimals] * 4 + [10.0**volume_decimals])
    times = np.arange(len(ticks), dtype=np.int64) * _MINUTE
    assert checked("a", times, ticks / scale, 5).bars.tolist() == ticks.tolist()


def test_prices_without_a_step_stay_as_they_are() -> None:
    bars = np.full((2, 5), 1 / 3)
    assert checked("a", np.array([0, _MINUTE]), bars, 5).bars.tolist() == bars.tolist()


def test_a_bar_that_is_there_twice_is_taken_once(tmp_path: Path) -> None:
    history = load(_csv(tmp_path / "a.csv", *map(_row, (0, 1, 1, 2))))
    assert (len(history), history.duplicates, history.missing) == (3, 1, 0)


def test_comments_at_the_beginning_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"# about\n{_HEADER.replace('ts_ms', 'time_ms')}\n{_row(0)}\n{_row(1)}\n")
    assert len(load(path)) == 2


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([_row(1), _row(0)], "row 2: time was 0, must not be before"),
        ([_row(0), _row(1, low=0.0)], "row 2: low was 0, must be > 0"),
        ([_row(0), _row(1, high=9.5)], "row 2: high was 9.5, must be no less than open and close"),
        ([_row(0), _row(1, low=10.5)], "row 2: low was 10.5, must be no more than open and close"),
        ([_row(0), "60000,10,11,9,10,-1"], "row 2: volume was -1, must be >= 0"),
        ([_row(0), "60000,10,11,9,,1"], "row 2: close was nan, must be a number"),
        ([_row(0), "60000,10,11,9,nan,1"], "row 2: close was nan, must be a number"),
        ([_row(0), "60000,10,11,9,ten,1"], "close has a value that is no number"),
        ([_row(0), _row(0.005)], "bars were 300 ms apart, must be at least 1000; times are in ms"),
        ([_row(0), "1e30,10,11,9,10,1"], r"row 2: ts_ms was 1e\+30, must be ms since 1970"),
        ([_row(-1), _row(0)], "row 1: ts_ms was -60000, must be ms since 1970"),
        (
            [_row(hours / 1000 * 60) for hours in range(447_000, 447_003)],
            "ts_ms was 1609200000 to 1609207200, must be ms since 1970, but these are seconds",
        ),
        ([_row(0)], "bars were 1, must be at least 2"),
        ([_row(0), _row(0)], "all bars have the same time"),
        ([*map(_row, (0, 1, 2, 2.5, 4))], "must be a multiple of the interval, 60000 ms"),
    ],
)
def test_what_cannot_be_is_named(tmp_path: Path, rows: list[str], told: str) -> None:
    with pytest.raises(HistoryError, match=told):
        load(_csv(tmp_path / "a.csv", *rows))


def test_missing_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match=r"columns were a, b, must have ts_ms, open, high"):
        load(_csv(tmp_path / "a.csv", "1,2", header="a,b"))


def test_a_column_that_is_there_twice_is_named(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="has column 'close' twice; remove or rename one"):
        load(_csv(tmp_path / "a.csv", f"{_row(0)},1", header=f"{_HEADER},close"))


@pytest.mark.parametrize("name", ["a.parquet", "a.csv"])
def test_garbage_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(bytes(range(256)) * 4)
    with pytest.raises(HistoryError, match=r"neither Parquet nor CSV|columns were"):
        load(tmp_path / name)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="is no file; name a Parquet"):
        load(tmp_path / "none.parquet")
