"""Files that are not what they should be are refused, each by its own error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from shm import (
    NotASegmentError,
    OtherBootError,
    OtherLayoutError,
    OtherTimeNamespaceError,
    Segment,
    TruncatedError,
    list_segments,
    reap,
)
from tests.shm.segment.contents import LAYOUT, write_header


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"magic": 0}, NotASegmentError, "is not a segment of this version"),
        ({"format": 99}, NotASegmentError, "format 99"),
        ({"bytes": 1 << 40}, TruncatedError, "its header says 1099511627776; remove it"),
        ({"boot_id": b"another"}, OtherBootError, "is from boot another"),
        ({"time_namespace": 1}, OtherTimeNamespaceError, "in time namespace 1, this process"),
        ({"layout_hash": np.zeros(32, np.uint8)}, OtherLayoutError, "does not fit its hash"),
        ({"layout_bytes": 10}, OtherLayoutError, "does not fit its hash"),
        ({"layout_bytes": 2**63}, OtherLayoutError, "does not fit its hash"),
    ],
)
def test_a_header_that_does_not_fit_is_refused_by_its_own_error(
    damaged: Path, name: str, fields: dict[str, object], error: type[Exception], message: str
) -> None:
    write_header(damaged, **fields)
    with pytest.raises(error) as refused:
        Segment.attach(name, run_id="x", directory=str(damaged.parent))
    assert message in str(refused.value)


@pytest.mark.parametrize("length", [0, 7, 100, LAYOUT.size - 1, LAYOUT.size + 1])
def test_a_file_of_another_length_is_refused(damaged: Path, name: str, length: int) -> None:
    os.truncate(damaged, length)
    with pytest.raises(TruncatedError, match=f"is {length} bytes long"):
        Segment.attach(name, run_id="x", directory=str(damaged.parent))


def test_a_file_of_another_user_is_not_trusted(damaged: Path, name: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    os.chown(damaged, 12345, 12345)
    with pytest.raises(NotASegmentError, match="belongs to user 12345, must be 0"):
        Segment.attach(name, run_id="x", directory=str(damaged.parent))
    assert [info.state for info in list_segments(name, str(damaged.parent))] == ["foreign"]
    assert reap(name, str(damaged.parent)) == []


def test_a_link_or_a_folder_of_that_name_is_not_followed(damaged: Path, name: str) -> None:
    damaged.rename(damaged.with_name("elsewhere"))
    damaged.symlink_to("elsewhere")
    with pytest.raises(NotASegmentError, match="cannot be opened"):
        Segment.attach(name, run_id="x", directory=str(damaged.parent))
    damaged.unlink()
    damaged.mkdir()
    with pytest.raises(NotASegmentError, match="cannot be opened"):
        Segment.attach(name, run_id="x", directory=str(damaged.parent))
    assert [info.removable for info in list_segments(name, str(damaged.parent))] == [False]
    damaged.rmdir()
    os.mkfifo(damaged)
    with pytest.raises(NotASegmentError, match="is not a regular file"):
        Segment.attach(name, run_id="x", directory=str(damaged.parent))
    assert [info.problem for info in list_segments(name, str(damaged.parent))] == [
        "not a regular file"
    ]
    assert reap(name, str(damaged.parent)) == []


def test_another_time_namespace_refuses_for_real(name: str) -> None:
    child = (
        "import sys; from shm import Segment, OtherTimeNamespaceError\n"
        "try: Segment.attach(sys.argv[1])\n"
        "except OtherTimeNamespaceError as error: print(error)\n"
    )
    with Segment.create(name, LAYOUT):
        done = subprocess.run(
            ["unshare", "--time", "--fork", sys.executable, "-c", child, name],
            capture_output=True,
            text=True,
        )
    if "unshare" in done.stderr:
        pytest.skip(f"no time namespaces here: {done.stderr.strip()}")
    assert "their clocks differ" in done.stdout, done.stderr
