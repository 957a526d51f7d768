"""When a segment is removed, by whom, and what is left behind until then."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shm import ClosedError, Segment, list_segments, reap
from tests.conftest import trades
from tests.shm.segment.contents import LAYOUT, write_header


def test_only_its_creator_removes_it(name: str) -> None:
    with Segment.create(name, LAYOUT) as segment:
        attached = Segment.attach(name)
        assert attached.owner_alive()
        attached.close()
        attached.close()
        assert segment.owner_alive()
    assert not os.path.exists(segment.path)
    segment.close()


def test_after_its_end_a_segment_says_so(name: str) -> None:
    segment = Segment.create(name, LAYOUT)
    segment.close()
    for call in (
        lambda: segment.producer("market"),
        lambda: segment.words("control"),
        lambda: segment.depth("market"),
    ):
        with pytest.raises(ClosedError, match="was used after it was closed"):
            call()


def test_a_process_that_ends_without_closing_removes_its_segment(name: str) -> None:
    child = (
        "import sys; from shm import Segment, Layout, WordsSpec\n"
        "segment = Segment.create(sys.argv[1], Layout(WordsSpec('w', ('x',))))\n"
        "words = segment.words('w')\n"
    )
    subprocess.run([sys.executable, "-c", child, name], check=True)
    assert list_segments(name) == []


def test_a_segment_lives_on_with_the_roles_that_were_taken_in_it(name: str) -> None:
    child = (
        "import sys; from shm import *\n"
        "words = Segment.create(sys.argv[1], Layout(WordsSpec('w', ('x',)))).words('w')\n"
        "words.store('x', 3)\n"
        "print(list_segments(sys.argv[1])[0].state)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", child, name], capture_output=True, text=True, check=True
    )
    assert done.stdout == "running\n"
    assert list_segments(name) == []


@pytest.mark.parametrize("ending", ["pass", "segment.close()", "raise SystemExit(7)", "fork()"])
def test_a_thread_that_still_waits_keeps_no_segment_in_place(name: str, ending: str) -> None:
    child = (
        "import os, sys, threading, time; from shm import *\n"
        "def fork():\n"
        "    if os.fork() == 0: sys.exit()\n"
        "    os.wait()\n"
        "segment = Segment.create(sys.argv[1], Layout(DoorbellSpec('d')))\n"
        "doorbell = segment.doorbell('d', 'futex')\n"
        "threading.Thread(target=doorbell.wait, daemon=True).start()\n"
        # Whoever falls asleep tells nobody: it has to be looked for.
        "while not doorbell.sleeps: time.sleep(0.001)\n"
        "try:\n"
        f"    with segment: {ending}\n"
        "except ClosedError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", child, name], capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    assert done.returncode == (7 if "SystemExit" in ending else 0)
    # Told once, unless there is something worse to tell.
    assert done.stdout.count("waits in it") == (0 if "SystemExit" in ending else 1)
    assert list_segments(name) == []


def test_a_creation_that_failed_does_not_remove_the_segment_that_was_in_its_way(name: str) -> None:
    child = (
        "import sys; from shm import *\n"
        "try: Segment.create(sys.argv[1], Layout(WordsSpec('w', ('x',))), run_id='a')\n"
        "except SegmentError as error: kept = error\n"
    )
    with Segment.create(name, LAYOUT, run_id="a") as segment:
        done = subprocess.run(
            [sys.executable, "-c", child, name], capture_output=True, text=True, check=True
        )
        assert done.stderr == ""
        assert os.path.exists(segment.path)


def test_a_segment_whose_name_was_taken_over_is_not_removed(name: str) -> None:
    with Segment.create(name, LAYOUT, run_id="a") as first:
        os.unlink(first.path)
        with Segment.create(name, LAYOUT, run_id="a") as second:
            first.close()
            assert os.path.exists(second.path)


# What is left behind


def test_a_role_can_outlive_its_creator_and_then_the_segment_is_orphaned(name: str) -> None:
    segment = Segment.create(name, LAYOUT)
    attached = Segment.attach(name)
    producer = attached.producer("market")
    assert segment._owner is not None
    segment._owner.release()  # as the kernel does when the creator is killed
    assert not attached.owner_alive()
    assert [info.state for info in list_segments(name)] == ["orphaned"]
    assert reap(name) == []
    assert producer.push(trades(0, 1))
    producer.close()
    assert reap(name) == []  # it is still attached, if only to read
    attached.close()
    assert [info.state for info in reap(name)] == ["stale"]
    segment.close()


def test_the_states_of_segments(damaged: Path, name: str) -> None:
    directory = str(damaged.parent)
    (info,) = list_segments(name, directory)
    assert (info.state, info.removable, info.problem) == ("stale", True, None)
    assert (info.name, info.run_id, info.bytes) == (name, "x", LAYOUT.size)
    assert info.creator_pid == os.getpid()
    write_header(damaged, boot_id=b"another")
    (info,) = list_segments(name, directory)
    assert (info.state, info.problem) == ("stale", "from before the last boot")
    os.truncate(damaged, 10)
    (info,) = list_segments(name, directory)
    assert (info.state, info.removable) == ("invalid", True)
    assert "10 bytes long" in (info.problem or "")
    assert [removed.path for removed in reap(name, directory)] == [str(damaged)]
    assert list_segments(name, directory) == []


def test_a_segment_whose_creator_was_killed_is_removed_and_a_running_one_is_not(
    name: str,
) -> None:
    child = (
        "import os, signal, sys; from shm import Segment, Layout, WordsSpec\n"
        "Segment.create(sys.argv[1], Layout(WordsSpec('w', ('x',))), run_id='killed')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    with Segment.create(name, LAYOUT, run_id="running"):
        subprocess.run([sys.executable, "-c", child, name], check=False)
        assert {info.run_id: info.state for info in list_segments(name)} == {
            "killed": "stale",
            "running": "running",
        }
        assert [info.run_id for info in reap(name)] == ["killed"]
        assert [info.run_id for info in list_segments(name)] == ["running"]


def test_a_segment_that_vanishes_while_it_is_inspected_is_not_an_error(
    damaged: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = str(damaged.with_name(f"bot4.{name}.gone"))
    module = sys.modules["shm.reap"]  # shm.reap itself is the function
    monkeypatch.setattr(module, "segment_paths", lambda *_: [gone, str(damaged)])
    assert [info.path for info in reap(name, str(damaged.parent))] == [str(damaged)]
