"""The latch on disk: what is believed, what is refused, and what nothing but an operator clears."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.kill.latch import FILE, MADE, KilledError, LatchError, LatchFile
from pipeline.kill.latched import Latched
from pipeline.vocabulary import Mode


@pytest.fixture
def file(tmp_path: Path) -> LatchFile:
    """The latch of a deployment that has one."""
    made = LatchFile(tmp_path / "state")
    assert made.begin()
    return made


def kill(file: LatchFile, reason: str = "enough", trip: str = "manual") -> None:
    file.raise_to(Mode.EMERGENCY, "anna", reason, trip, "r1")


def test_a_new_directory_has_a_clear_latch_and_is_begun_once(tmp_path: Path) -> None:
    file = LatchFile(tmp_path / "state")
    assert file.read().mode is Mode.NORMAL
    assert file.begin()
    assert not file.begin()
    assert file.read().mode is Mode.NORMAL
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert file.folder.stat().st_mode & 0o777 == 0o700


def test_a_directory_that_is_older_than_latches_is_new_to_them(tmp_path: Path) -> None:
    (tmp_path / "markets").mkdir()
    (tmp_path / "run.lock").touch()
    assert LatchFile(tmp_path).read().mode is Mode.NORMAL
    assert LatchFile(tmp_path).begin()


@pytest.mark.parametrize("killed", [False, True])
def test_a_latch_that_is_missing_where_there_was_one_means_killed(
    file: LatchFile, killed: bool
) -> None:
    if killed:
        kill(file)
    file.path.unlink()
    assert not file.begin()
    held = file.read()
    assert held.is_killed
    assert "is missing from a state directory that has had one" in held.reason


@pytest.mark.parametrize(
    "contents",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"[" * 60_000,
        b"\xff\xfe",
        b'{"version":1}',
        b'{"mode":"normal","time":"","actor":"","reason":"","trip":"","run_id":""}',
    ],
)
def test_a_latch_that_is_damaged_means_killed(file: LatchFile, contents: bytes) -> None:
    file.path.write_bytes(contents)
    held = file.read()
    assert (held.is_killed, held.trip) == (True, "latch")
    assert "is damaged" in held.reason


@pytest.mark.parametrize("place", [0, 20, -10])
def test_one_changed_byte_is_damage(file: LatchFile, place: int) -> None:
    data = bytearray(file.path.read_bytes())
    data[place] ^= 1
    file.path.write_bytes(data)
    assert file.read().is_killed


def test_a_clear_mode_cannot_be_written_by_hand(file: LatchFile) -> None:
    kill(file)
    document = json.loads(file.path.read_text())
    document["mode"] = "normal"
    file.path.write_text(json.dumps(document))
    assert file.read().is_killed


def test_a_latch_that_cannot_be_read_means_killed(file: LatchFile) -> None:
    file.path.unlink()
    file.path.mkdir()
    held = file.read()
    assert held.is_killed
    assert f"cannot be read ({os.strerror(errno.EISDIR)})" in held.reason


def test_the_first_reason_is_kept(file: LatchFile) -> None:
    kill(file, "first")
    kill(file, "second")
    held = file.read()
    assert (held.actor, held.reason, held.trip, held.run_id) == ("anna", "first", "manual", "r1")
    assert held.time.endswith("Z")


def test_a_kill_goes_over_the_reason_of_a_lower_mode(file: LatchFile) -> None:
    file.raise_to(Mode.PAUSED, "anna", "lunch", "manual")
    kill(file, "fire")
    assert file.read().reason == "fire"
    file.raise_to(Mode.REDUCED, "boris", "late", "manual")
    assert (file.read().mode, file.read().reason) == (Mode.EMERGENCY, "fire")


def test_a_kill_gives_a_damaged_latch_a_reason(file: LatchFile) -> None:
    file.path.write_bytes(b"")
    kill(file)
    assert file.read().reason == "enough"


def test_it_survives_restarts_and_refuses_runs_until_it_is_reset(file: LatchFile) -> None:
    kill(file)
    for _ in range(2):
        again = Latched(file.folder, lambda text: None)
        again.begin()
        with pytest.raises(KilledError, match=r"killed: enough \(by anna, .*bot4 resume"):
            again.check()
    assert LatchFile(file.folder).lower_to(Mode.NORMAL, "boris", "mended").reason == "enough"
    assert Latched(file.folder, lambda text: None).check().mode is Mode.NORMAL


def test_a_latch_that_was_missing_is_made_by_a_reset(file: LatchFile) -> None:
    file.path.unlink()
    assert file.lower_to(Mode.NORMAL, "boris", "looked at it").is_killed
    assert file.read().mode is Mode.NORMAL


@pytest.mark.parametrize("trip", ["drawdown", "loss"])
def test_a_breach_is_reset_only_if_it_is_rebased(file: LatchFile, trip: str) -> None:
    kill(file, "15 %", trip)
    with pytest.raises(LatchError, match=r"the breach stands: 15 % \(by anna.*--rebase"):
        file.lower_to(Mode.NORMAL, "boris", "better now")
    assert file.read().is_killed
    file.lower_to(Mode.NORMAL, "boris", "new money", rebase=True)
    assert file.read().mode is Mode.NORMAL


def test_what_is_not_above_cannot_be_lowered(file: LatchFile) -> None:
    file.raise_to(Mode.PAUSED, "anna", "lunch", "manual")
    with pytest.raises(LatchError, match="the mode was paused, must be above paused"):
        file.lower_to(Mode.PAUSED, "anna", "x")
    file.raise_to(Mode.REDUCED, "anna", "dinner", "manual")
    file.lower_to(Mode.PAUSED, "boris", "a little")
    assert (file.read().mode, file.read().reason) == (Mode.PAUSED, "a little")


def test_nothing_is_left_beside_it(file: LatchFile) -> None:
    kill(file)
    file.lower_to(Mode.NORMAL, "a", "b")
    assert {path.name for path in file.folder.iterdir()} == {FILE, MADE}


FULL = """
import resource, sys
from pathlib import Path
from pipeline.kill.latch import LatchFile
from pipeline.vocabulary import Mode
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
file = LatchFile(Path(sys.argv[1]))
try:
    file.raise_to(Mode[sys.argv[2]], "anna", "enough", "manual")
except OSError as error:
    print(error.strerror)
"""


@pytest.mark.parametrize("mode", [Mode.EMERGENCY, Mode.PAUSED])
def test_a_kill_that_finds_no_room_leaves_a_latch_that_means_killed(
    file: LatchFile, mode: Mode
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(file.folder), mode.name],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.strip() == os.strerror(errno.EFBIG), done.stderr
    assert file.read().is_killed is (mode is Mode.EMERGENCY)
    assert {path.name for path in file.folder.iterdir()} == {FILE, MADE}
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 0  # of this process
