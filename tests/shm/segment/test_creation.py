"""Segments are made whole, or not at all, and say what they are."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import shm.segment_file
from shm import (
    ArgumentError,
    Layout,
    NoSpaceError,
    RingSpec,
    Segment,
    SegmentError,
    host,
    list_segments,
)
from tests.conftest import TRADE, trades
from tests.shm.segment.contents import LAYOUT


def test_what_one_process_writes_another_reads(name: str) -> None:
    with Segment.create(name, LAYOUT) as segment:
        segment.producer("market").push_many(trades(0, 5))
        child = (
            "import sys, numpy as np; from shm import Segment\n"
            "with Segment.attach(sys.argv[1]) as segment:\n"
            "    print(segment.consumer('market').view()['sequence'].tolist(), segment.run_id)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", child, name], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == f"[0, 1, 2, 3, 4] {segment.run_id}"


def test_the_header_says_what_and_whose_it_is(name: str) -> None:
    with Segment.create(name, LAYOUT, run_id="run-1") as segment:
        assert (segment.name, segment.run_id) == (name, "run-1")
        assert repr(segment) == f"<Segment {segment.path} {LAYOUT.size} bytes>"
        header = shm.segment_file.read_header(segment._fd, segment.path)
        assert header["run_id"] == b"run-1"
        assert header["creator_pid"] == os.getpid()
        assert header["creator_start"] == host.process_start(os.getpid()) > 0
        assert header["bytes"] == os.stat(segment.path).st_size == LAYOUT.size
        assert os.stat(segment.path).st_mode & 0o777 == 0o600
        assert Path(segment.path).name == f"bot4.{name}.run-1"


def test_all_its_space_is_taken_at_creation(name: str) -> None:
    with Segment.create(name, LAYOUT) as segment:
        assert os.stat(segment.path).st_blocks * 512 >= LAYOUT.size


def test_a_segment_cannot_be_copied(name: str) -> None:
    with Segment.create(name, LAYOUT) as segment:
        for make in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match="attach there by name and run_id"):
                make(segment)


def test_process_start_names_a_process() -> None:
    assert host.process_start(os.getpid()) > 0
    assert host.process_start(2**22 + 1) == 0


# What cannot be made


def test_a_run_id_cannot_be_used_twice(name: str) -> None:
    with Segment.create(name, LAYOUT, run_id="a"):
        with pytest.raises(SegmentError, match="exists already"):
            Segment.create(name, LAYOUT, run_id="a")
        assert len(list_segments(name)) == 1


@pytest.mark.parametrize("bad", ["a/b", "", "../x", "a.b", "A", "x" * 65, 7])
def test_a_name_that_is_no_file_name_is_refused(bad: str) -> None:
    with pytest.raises(ArgumentError, match=r"name was .*, must be 1 to 64 of"):
        Segment.create(bad, LAYOUT)
    with pytest.raises(ArgumentError, match="name was"):
        Segment.attach(bad)
    with pytest.raises(ArgumentError, match="run_id was"):
        Segment.attach("x", run_id=bad or "/")


def test_a_segment_too_large_for_the_file_system_is_refused_at_creation(name: str) -> None:
    huge = Layout(RingSpec("market", TRADE, 1 << 32))
    with pytest.raises(NoSpaceError, match=r"needs 262144\.0 MiB, and /dev/shm has .* MiB free"):
        Segment.create(name, huge)


def test_a_directory_that_cannot_hold_one_is_refused(name: str) -> None:
    with pytest.raises(SegmentError, match="/proc cannot hold a segment"):
        Segment.create(name, LAYOUT, directory="/proc")
