"""Reference values of others, if they are there: StockCharts' sheets and Tulip's vectors."""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

Floats = npt.NDArray[np.float64]


class Vector(NamedTuple):
    """One test of Tulip's: the indicator and its options, and columns, inputs first."""

    name: str
    options: tuple[float, ...]
    columns: list[Floats]


def path_to(*parts: str) -> Path:
    """Return a file of the indicators' data; skip the test without it."""
    root = os.environ.get("MARKET_DATA")
    data = Path(root) if root else Path(__file__).parents[4] / "shared" / "data"
    path = data.joinpath("indicators", *parts)
    if not path.exists():
        pytest.skip(f"no reference values: {path} is not there (MARKET_DATA names its folder)")
    return path


def sheet(name: str) -> dict[str, Floats]:
    """Return the columns of numbers of a sheet of StockCharts'; NaN where a cell is empty."""
    with path_to("stockcharts_ta", name).open(encoding="utf-8", newline="") as lines:
        table = list(csv.DictReader(lines))
    columns = {}
    for title in table[0]:
        cells = [row[title] for row in table]
        if title and all(re.fullmatch(r"-?[\d.]*(e-?\d+)?", cell or "") for cell in cells):
            columns[title] = np.array([float(cell) if cell else np.nan for cell in cells])
    return columns


def tulip(name: str) -> list[Vector]:
    """Return the tests of a file of Tulip's."""
    found: list[Vector] = []
    for line in path_to("tulip", name).read_text(encoding="utf-8").splitlines():
        if line.startswith("{"):
            numbers = line.strip("{}").split(",")
            found[-1].columns.append(np.array([float(each) for each in numbers if each]))
        elif line and not line.startswith("#"):
            name, *options = line.split()
            found.append(Vector(name, tuple(map(float, options)), []))
    return found
