"""Segments: made whole, checked when attached, gone afterwards."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import shm.segment_file
from shm import (
    ArgumentError,
    ClosedError,
    DoorbellSpec,
    Layout,
    LayoutError,
    NoSpaceError,
    NotASegmentError,
    OtherBootError,
    OtherLayoutError,
    OtherTimeNamespaceError,
    RingSpec,
    RoleTakenError,
    Segment,
    SegmentError,
    SegmentNotFoundError,
    TruncatedError,
    WordsSpec,
    _native,
    host,
    list_segments,
    reap,
)
from shm.layout import structure
from tests.conftest import TRADE, trades

LAYOUT = Layout(RingSpec("market", TRADE, 8), WordsSpec("control", ("halt",)))


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


def test_attaching_needs_the_same_layout_or_none(name: str) -> None:
    other = Layout(RingSpec("market", TRADE, 16), WordsSpec("control", ("halt",)))
    with Segment.create(name, LAYOUT) as segment:
        Segment.attach(name, LAYOUT).close()
        with Segment.attach(name) as attached:
            assert attached.layout == LAYOUT
        with pytest.raises(OtherLayoutError, match="market, control differ; start both"):
            Segment.attach(name, other)
        assert os.path.exists(segment.path)


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


def test_a_segment_that_does_not_exist_is_named(name: str) -> None:
    with pytest.raises(SegmentNotFoundError, match=f"0 segments of '{name}'.*start it first"):
        Segment.attach(name)
    with pytest.raises(SegmentNotFoundError, match=f"bot4.{name}.x does not exist"):
        Segment.attach(name, run_id="x")


def test_of_several_runs_one_must_be_named(name: str) -> None:
    with (
        Segment.create(name, LAYOUT, run_id="a"),
        Segment.create(name, LAYOUT, run_id="b"),
    ):
        with pytest.raises(SegmentNotFoundError, match=r"2 segments .*\(runs: a, b\)"):
            Segment.attach(name)
        with Segment.attach(name, run_id="b") as attached:
            assert attached.run_id == "b"


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


@pytest.mark.parametrize("what", ["producer", "words", "table_reader", "counters"])
def test_a_region_that_it_does_not_have_is_refused_with_those_it_has(name: str, what: str) -> None:
    with (
        Segment.create(name, LAYOUT) as segment,
        pytest.raises(
            ArgumentError, match=r"has no \w+ named 'nothing', only (market|control|none)"
        ),
    ):
        getattr(segment, what)("nothing")


def test_an_eventfd_must_be_handed_on(name: str) -> None:
    layout = Layout(
        DoorbellSpec("loop", event_loop=True), RingSpec("r", TRADE, 8, consumer_bell="loop")
    )
    with Segment.create(name, layout) as segment, Segment.attach(name) as attached:
        with pytest.raises(ArgumentError, match="its eventfd was not passed"):
            attached.producer("r")
        with Segment.attach(name, event_fds=segment.event_fds) as other:
            other.producer("r")  # the refused one kept no claim


# Files that are not what they should be.


@pytest.fixture
def damaged(tmp_path: Path, name: str) -> Path:
    """A whole segment's file, in a directory where it can be changed."""
    with Segment.create(name, LAYOUT) as segment:
        contents = Path(segment.path).read_bytes()
    path = tmp_path / f"bot4.{name}.x"
    path.write_bytes(contents)
    return path


def _write(path: Path, **fields: object) -> None:
    header = np.memmap(path, structure("SegmentHeader"), "r+", shape=(1,))
    for field, value in fields.items():
        header[field] = value


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
    _write(damaged, **fields)
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


def test_a_folder_that_does_not_exist_is_named(name: str, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere")
    for call in (
        lambda: Segment.create(name, LAYOUT, directory=nowhere),
        lambda: Segment.attach(name, directory=nowhere),
        lambda: list_segments(name, nowhere),
    ):
        with pytest.raises(SegmentError, match="nowhere"):
            call()


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


# What is left behind, and its removal.


def test_the_states_of_segments(damaged: Path, name: str) -> None:
    directory = str(damaged.parent)
    (info,) = list_segments(name, directory)
    assert (info.state, info.removable, info.problem) == ("stale", True, None)
    assert (info.name, info.run_id, info.bytes) == (name, "x", LAYOUT.size)
    assert info.creator_pid == os.getpid()
    _write(damaged, boot_id=b"another")
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


def test_a_process_that_ends_without_closing_removes_its_segment(name: str) -> None:
    child = (
        "import sys; from shm import Segment, Layout, WordsSpec\n"
        "segment = Segment.create(sys.argv[1], Layout(WordsSpec('w', ('x',))))\n"
        "words = segment.words('w')\n"
    )
    subprocess.run([sys.executable, "-c", child, name], check=True)
    assert list_segments(name) == []


# Claims and forks.


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


def test_a_region_beyond_the_mapping_is_refused_not_dereferenced(name: str) -> None:
    with Segment.create(name, LAYOUT) as segment:
        mapping = segment._mapping
        assert mapping is not None
        for offset in (LAYOUT.size, LAYOUT.size - 64, 2**63, 8):
            with pytest.raises(LayoutError, match="must be aligned to 64 and inside"):
                _native.Words("words", mapping, offset, ("a", "b"))


def test_process_start_names_a_process() -> None:
    assert host.process_start(os.getpid()) > 0
    assert host.process_start(2**22 + 1) == 0


# What went wrong once.


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


def test_a_segment_cannot_be_copied(name: str) -> None:
    with Segment.create(name, LAYOUT) as segment:
        for make in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match="attach there by name and run_id"):
                make(segment)


@pytest.mark.parametrize(
    "call",
    [
        lambda segment: segment.producer([]),
        lambda segment: segment.producer("market", object()),
        lambda segment: segment.consumer("market", "ta"),
        lambda segment: Segment.create(segment.name, None),  # type: ignore[arg-type]
        lambda segment: Segment.create(segment.name, LAYOUT, run_id=""),
    ],
)
def test_arguments_of_a_wrong_kind_are_refused_by_name(
    name: str, call: Callable[[Segment], object]
) -> None:
    with Segment.create(name, LAYOUT) as segment, pytest.raises(ArgumentError):
        call(segment)


def test_a_doorbell_of_another_segment_is_refused(name: str) -> None:
    layout = Layout(DoorbellSpec("d"), RingSpec("r", TRADE, 8, consumer_bell="d"))
    with (
        Segment.create(name, layout, run_id="a") as one,
        Segment.create(name, layout, run_id="b") as other,
        pytest.raises(ArgumentError, match="must be a doorbell of this segment"),
    ):
        one.consumer("r", other.doorbell("d"))
