"""Who has a role: one at a time, until it ends, and no fork of it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from shm import ClosedError, DoorbellSpec, Layout, NoSpaceError, RingSpec, RoleTakenError, Segment
from tests.conftest import TRADE, trades
from tests.shm.segment.contents import LAYOUT


def test_a_role_is_free_again_when_its_holder_is_killed(name: str) -> None:
    child = (
        "import sys; from shm import Segment\n"
        "segment = Segment.attach(sys.argv[1]); role = segment.producer('market')\n"
        "print('held', flush=True); sys.stdin.read()\n"
    )
    with Segment.create(name, LAYOUT) as segment:
        holder = subprocess.Popen(
            [sys.executable, "-c", child, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        with holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            with pytest.raises(RoleTakenError):
                segment.producer("market")
            holder.kill()
        segment.producer("market")


def test_a_fork_inherits_no_role_and_leaves_the_parents_alone(name: str) -> None:
    with Segment.create(name, LAYOUT) as segment:
        producer = segment.producer("market")
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                producer.push(trades(0, 1))
            except ClosedError:
                status = 0 if producer.closed else 2
            finally:
                os.write(writer, bytes([status]))
                os._exit(status)
        assert os.read(reader, 1) == b"\0"
        os.waitpid(child, 0)
        os.close(reader)
        os.close(writer)
        assert producer.push(trades(0, 1))
        assert os.path.exists(segment.path)
        with pytest.raises(RoleTakenError):
            segment.producer("market")


def test_a_role_that_is_dropped_is_given_back(name: str) -> None:
    with Segment.create(name, LAYOUT) as segment:
        for _ in range(3):
            assert segment.producer("market").push(trades(0, 1))


def test_no_descriptor_is_left_open(name: str) -> None:
    before = set(os.listdir("/proc/self/fd"))
    layout = Layout(DoorbellSpec("d", event_loop=True), *[r.spec for r in LAYOUT.regions.values()])
    with Segment.create(name, layout) as segment:
        producer, doorbell = segment.producer("market"), segment.doorbell("d")
        with pytest.raises(RoleTakenError):
            segment.producer("market")
    with pytest.raises(NoSpaceError):
        Segment.create(name, Layout(RingSpec("r", TRADE, 1 << 32)))
    assert producer.closed and doorbell.closed
    assert set(os.listdir("/proc/self/fd")) == before
