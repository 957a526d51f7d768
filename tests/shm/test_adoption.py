"""Taking over the segment of a creator that was killed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import shm.adoption
from shm import (
    ArgumentError,
    BlobSpec,
    CellsSpec,
    CountersSpec,
    DoorbellSpec,
    Layout,
    OtherLayoutError,
    RingSpec,
    RoleTakenError,
    Segment,
    SegmentNotFoundError,
    TableSpec,
    Wake,
    host,
    list_segments,
    reap,
)
from shm.locks import OWNER, Claim, is_claimed
from shm.segment_file import read_header
from tests.conftest import TRADE, trades

LAYOUT = Layout(
    DoorbellSpec("loop", event_loop=True),
    RingSpec("market", TRADE, 8, consumer_bell="loop"),
    TableSpec("quotes", TRADE, 3),
    CellsSpec("orders", TRADE, 2),
    CountersSpec("feed", ("records",)),
    BlobSpec("config", 64),
)

CREATE = """
import os, signal, sys
import numpy as np
from shm import Segment
from tests.conftest import trades
from tests.shm.test_adoption import LAYOUT
segment = Segment.create(sys.argv[1], LAYOUT, run_id="killed", blobs={"config": b"as it was"})
segment.producer("market").push_many(trades(0, 5))
cells = segment.cells_writer("orders", 0)
cells.edit(1)[:] = trades(7, 1)
cells.stamp(3)
print(os.getpid(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def killed(name: str) -> str:
    """The deployment whose segment a process has left that was killed."""
    done = subprocess.run(
        [sys.executable, "-c", CREATE, name],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert done.stdout, done.stderr
    return name


def test_everything_is_as_it_was_left(killed: str) -> None:
    with Segment.adopt(killed, LAYOUT) as segment:
        assert segment.run_id == "killed"
        assert segment.blob("config") == b"as it was"
        assert (segment.cells("orders", 3)[1] == trades(7, 1)[0]).all()
        assert (segment.consumer("market").view() == trades(0, 5)).all()
        assert segment.producer("market").published == 5


def test_the_adopter_is_its_owner(killed: str) -> None:
    segment = Segment.adopt(killed, run_id="killed")
    header = read_header(segment._fd, segment.path)
    assert header["creator_pid"] == os.getpid()
    assert header["creator_start"] == host.process_start(os.getpid())
    assert [info.state for info in list_segments(killed)] == ["running"]
    assert reap(killed) == []
    with Segment.attach(killed, LAYOUT) as attached:
        assert attached.owner_alive()
    segment.close()
    assert list_segments(killed) == []


def test_its_event_loops_have_eventfds_again(killed: str) -> None:
    with Segment.adopt(killed, LAYOUT) as segment:
        doorbell = segment.doorbell("loop")
        with Segment.attach(killed, event_fds=segment.event_fds) as other:
            assert doorbell.arm()
            other.bell("loop").ring()
            assert os.eventfd_read(segment.event_fds["loop"]) == 1
            doorbell.disarm()
            assert doorbell.wait(0) is Wake.RUNG


def test_a_living_owner_keeps_its_segment(name: str) -> None:
    with Segment.create(name, LAYOUT) as segment:
        with pytest.raises(RoleTakenError, match=f"ownership of {segment.path} is held by a live"):
            Segment.adopt(name, LAYOUT)
        assert segment.producer("market").push(trades(0, 1))


@pytest.mark.parametrize(
    ("role", "message"),
    [
        ("producer", "the producer of ring 'market'"),
        ("consumer", "the consumer of ring 'market'"),
        ("table_writer", "the writer of row 1 of table 'quotes'"),
        ("cells_writer", "the writer of cells 'orders'"),
        ("doorbell", "the owner of doorbell 'loop'"),
        ("counters_writer", "the writer of counters 'feed'"),
    ],
)
def test_a_role_that_is_still_held_is_named_and_nothing_is_kept(
    killed: str, role: str, message: str
) -> None:
    event_fd = os.eventfd(0)
    with Segment.attach(killed, event_fds={"loop": event_fd}) as survivor:
        arguments: dict[str, tuple[object, ...]] = {
            "producer": ("market",),
            "consumer": ("market",),
            "table_writer": ("quotes", range(1, 2)),
            "cells_writer": ("orders", 3),
            "doorbell": ("loop",),
            "counters_writer": ("feed",),
        }
        held = getattr(survivor, role)(*arguments[role])
        before = set(os.listdir("/proc/self/fd"))
        with pytest.raises(
            RoleTakenError, match=f"{message} in .* after 0.01 s; end the processes"
        ):
            Segment.adopt(killed, LAYOUT, timeout=0.01)
        assert set(os.listdir("/proc/self/fd")) == before
        assert not survivor.owner_alive()
        held.close()
        with Segment.adopt(killed, LAYOUT, timeout=0):  # though one is still attached
            assert survivor.owner_alive()
    os.close(event_fd)


def test_a_role_that_is_given_back_meanwhile_is_waited_for(killed: str) -> None:
    survivor = Segment.attach(killed, LAYOUT, event_fds={})
    held = survivor.counters_writer("feed")

    def die_when_it_is_waited_for() -> None:
        while not survivor.owner_alive():
            os.sched_yield()
        held.close()

    thread = threading.Thread(target=die_when_it_is_waited_for)
    thread.start()
    with Segment.adopt(killed, LAYOUT, timeout=60):
        assert held.closed
    thread.join()
    survivor.close()


ADOPT = """
import sys
from shm import RoleTakenError, Segment
print("ready", flush=True)
sys.stdin.readline()
try:
    segment = Segment.adopt(sys.argv[1])
except RoleTakenError:
    print("refused", flush=True)
else:
    print("adopted", flush=True)
    sys.stdin.read()
"""


def test_of_several_adopters_one_wins(killed: str) -> None:
    rivals = [
        subprocess.Popen(
            [sys.executable, "-c", ADOPT, killed],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    pipes = [(rival.stdin, rival.stdout) for rival in rivals]
    for _, output in pipes:
        assert output is not None
        assert output.readline() == "ready\n"
    for start, _ in pipes:
        assert start is not None
        start.write("\n")
        start.flush()
    outcomes = sorted(output.readline() for _, output in pipes if output is not None)
    assert outcomes == ["adopted\n", "refused\n", "refused\n", "refused\n"]
    for rival in rivals:
        rival.communicate()
        assert rival.returncode == 0


def test_it_must_be_one_that_could_be_attached(killed: str) -> None:
    with pytest.raises(OtherLayoutError, match="differ; start both sides"):
        Segment.adopt(killed, Layout(CountersSpec("feed", ("records",))))
    with pytest.raises(SegmentNotFoundError):
        Segment.adopt(killed, LAYOUT, run_id="other")
    for timeout in (-1.0, float("nan")):
        with pytest.raises(ArgumentError, match="timeout was"):
            Segment.adopt(killed, LAYOUT, timeout=timeout)
    assert [info.state for info in reap(killed)] == ["stale"]


def test_one_that_is_removed_meanwhile_is_not_adopted(
    killed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def claim_too_late(fd: int, first: int, count: int, what: str) -> Claim:
        # Another process removes it just before: by then the file is open here.
        assert len(reap(killed)) == 1
        return Claim(fd, first, count, what)

    monkeypatch.setattr(shm.adoption, "Claim", claim_too_late)
    with pytest.raises(SegmentNotFoundError, match="was removed; start it anew"):
        Segment.adopt(killed, LAYOUT)


def test_an_adopter_that_is_killed_leaves_it_to_the_next(killed: str) -> None:
    child = (
        "import os, signal, sys; from shm import Segment\n"
        "segment = Segment.adopt(sys.argv[1]); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", child, killed], check=False)
    with Segment.adopt(killed, LAYOUT) as segment:
        assert is_claimed(segment._fd, OWNER)
        assert segment.depth("market") == 5
