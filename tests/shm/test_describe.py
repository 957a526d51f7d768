"""Records defined in C++, seen from numpy and back."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np

from tests.native.programs import build


def test_a_record_goes_from_numpy_to_cpp_and_back_unchanged_but_for_what_was_changed(
    tmp_path: Path,
) -> None:
    program = build("round_trip", "quick", tmp_path, folder=Path(__file__).parent)
    *lines, size = subprocess.run(
        [program], capture_output=True, text=True, check=True
    ).stdout.split("\n")[:-1]
    fields = [line.split() for line in lines]
    dtype = np.dtype(
        {
            "names": [name for name, *_ in fields],
            "formats": [
                f"S{count}" if form == "S" else (form, (int(count),)) if count != "1" else form
                for _, form, count, _ in fields
            ],
            "offsets": [int(offset) for *_, offset in fields],
            "itemsize": int(size),
        }
    )
    record = np.zeros(1, dtype)
    record[0] = (
        255,
        -300,
        (1, 2, 2**32 - 1),
        (0.1, -1e300),
        b"abcdef",
        -(2**62),
        2**64 - 1,
        0.5,
        -100,
        2**16 - 1,
        2**31 - 1,
        7,
    )
    back = subprocess.run([program, "x"], input=record.tobytes(), capture_output=True, check=True)
    changed = np.frombuffer(back.stdout, dtype)[0]
    expected = (0, 300, [2, 3, 0], [0.2, -2e300], b"Bbcdef", 2**62, 0, 1.0, 100, 0, -(2**31) + 1, 8)
    for name, value in zip(dtype.names or (), expected, strict=True):
        assert np.array_equal(changed[name], np.array(value).astype(changed[name].dtype)), name
