"""The audit trail, on a real file; a folder in its place is a disk that fails."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.breakers.audit import (
    FILE,
    AuditEntry,
    AuditTrail,
    AuditWriter,
    forced_open,
    read,
    utc,
)
from shm import (
    BREAKER_EVENT,
    Breakers,
    BreakerSettings,
    BreakersSpec,
    Cause,
    EventKind,
    GlobalState,
    Layout,
    Segment,
    State,
)

NAMES = ("feed.sim", "storage")
WALL_NS = 1_780_000_000_123_456_789  # 2026-05-28T20:26:40.123456Z
SECOND = 1_000_000_000


class Clock:
    """CLOCK_MONOTONIC as a test wants it."""

    def __init__(self) -> None:
        self.now_ns = 1000 * SECOND

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / FILE


@pytest.fixture
def group(name: str, clock: Clock) -> Iterator[Breakers]:
    """Breakers, closed, that open after five failures in a row and close after three probes."""
    with Segment.create(name, Layout(BreakersSpec("breakers", NAMES))) as segment:
        group = segment.breakers("breakers")
        for each in NAMES:
            group.breaker(each).configure(BreakerSettings(), clock())
            group.breaker(each).initialise(clock())
        group.events()
        yield group


@pytest.fixture
def writer(group: Breakers, path: Path, clock: Clock) -> AuditWriter:
    return AuditWriter(
        AuditTrail(path),
        group.breaker("storage"),
        NAMES,
        "run-1",
        capacity=8,
        clock=clock,
        wall=lambda: WALL_NS,
    )


def entry(reason: str = "why", **changes: Any) -> AuditEntry:
    fields: dict[str, Any] = {
        "time": utc(WALL_NS),
        "monotonic_ns": 5,
        "run_id": "run-1",
        "kind": "transition",
        "breaker": "feed.sim",
        "before": "closed",
        "after": "open",
        "cause": "consecutive",
        "actor": "",
        "reason": reason,
        "figures": {"calls": 5, "failures": 5, "slow": 0, "consecutive": 5},
        "generation": 2,
    }
    return AuditEntry(**{**fields, **changes})


def record(**fields: object) -> np.void:
    made = np.zeros(1, BREAKER_EVENT)
    made["kind"] = EventKind.TRANSITION
    for field, value in fields.items():
        made[field] = value
    first: np.void = made[0]
    return first


def test_a_time_is_utc_to_the_microsecond() -> None:
    assert utc(WALL_NS) == "2026-05-28T20:26:40.123456Z"


def test_each_entry_is_a_json_object_on_a_line_of_a_file_of_its_owner(path: Path) -> None:
    trail = AuditTrail(path)
    trail.append(entry("a\nb"))
    trail.append(entry())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    lines = path.read_text().splitlines()
    assert len(lines) == 2
    assert json.loads(lines[1]) == {
        "time": "2026-05-28T20:26:40.123456Z",
        "monotonic_ns": 5,
        "run_id": "run-1",
        "kind": "transition",
        "breaker": "feed.sim",
        "from": "closed",
        "to": "open",
        "cause": "consecutive",
        "actor": "",
        "reason": "why",
        "figures": {"calls": 5, "failures": 5, "slow": 0, "consecutive": 5},
        "generation": 2,
    }
    assert read(path) == ([entry("a\nb"), entry()], [])


def test_a_file_that_is_not_there_has_no_entries(path: Path) -> None:
    assert read(path) == ([], [])


def test_a_torn_last_line_is_skipped_with_a_note(path: Path) -> None:
    AuditTrail(path).append(entry())
    with path.open("ab") as file:
        file.write(b'{"time":"2026-')
    entries, notes = read(path)
    assert entries == [entry()]
    assert notes == [f"""{path}:2: is torn, skipped: '{{"time":"2026-'"""]


def test_the_line_after_a_torn_one_is_whole(path: Path) -> None:
    trail = AuditTrail(path)
    trail.append(entry("first"))
    with path.open("ab") as file:
        file.write(b'{"time"')
    trail.append(entry("second"))
    entries, notes = read(path)
    assert [each.reason for each in entries] == ["first", "second"]
    assert len(notes) == 1
    assert ":2: is no entry, skipped" in notes[0]


@pytest.mark.parametrize(
    "line", [b"5", b"[]", b"{}", b"\xff", json.dumps({**entry().as_json(), "to": 5}).encode()]
)
def test_a_line_that_is_no_entry_is_skipped_with_a_note(path: Path, line: bytes) -> None:
    path.write_bytes(line + b"\n")
    AuditTrail(path).append(entry())
    entries, notes = read(path)
    assert (entries, len(notes)) == ([entry()], 1)


def test_several_processes_may_append_at_once(path: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from tests.pipeline.breakers.test_audit import AuditTrail, entry\n"
        "trail = AuditTrail(pathlib.Path(sys.argv[1]))\n"
        "for i in range(40): trail.append(entry(f'{sys.argv[2]}.{i}'))\n"
    )
    root = Path(__file__).parents[3]
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(path), str(number)], cwd=root)
        for number in range(3)
    ]
    assert [process.wait(60) for process in started] == [0, 0, 0]
    entries, notes = read(path)
    assert notes == []
    expected = [f"{number}.{i}" for number in range(3) for i in range(40)]
    assert sorted(each.reason for each in entries) == sorted(expected)
    assert [each.reason for each in entries if each.reason[0] == "1"] == expected[40:80]


def test_half_a_line_is_a_failure(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:20]))
    with pytest.raises(OSError, match="No space left"):
        AuditTrail(path).append(entry())
    monkeypatch.undo()
    AuditTrail(path).append(entry())
    assert read(path)[0] == [entry()]


def test_an_event_becomes_an_entry_with_the_time_at_which_it_happened() -> None:
    made = AuditEntry.of(
        record(
            time_ns=2 * SECOND,
            before=State.CLOSED << 61 | 6 << 37,
            after=State.OPEN << 61 | 7 << 37,
            breaker=1,
            cause=Cause.TRIPPED,
            calls=10,
            failures=6,
            slow=2,
            consecutive=3,
            actor=b"ann",
            reason="größer".encode(),
        ),
        NAMES,
        "run-1",
        WALL_NS,
        5 * SECOND,
    )
    assert made == AuditEntry(
        utc(WALL_NS - 3 * SECOND),
        2 * SECOND,
        "run-1",
        "transition",
        "storage",
        "closed",
        "open",
        "tripped",
        "ann",
        "größer",
        {"calls": 10, "failures": 6, "slow": 2, "consecutive": 3},
        7,
    )


def test_an_event_of_the_global_state_has_the_names_of_global_states() -> None:
    made = AuditEntry.of(
        record(
            kind=EventKind.GLOBAL,
            breaker=0xFFFF_FFFF,
            before=GlobalState.CLOSED,
            after=GlobalState.DEGRADED,
            cause=Cause.COMPONENTS,
        ),
        NAMES,
        "run-1",
        WALL_NS,
        0,
    )
    assert (made.kind, made.breaker, made.cause) == ("global", "global", "components")
    assert (made.before, made.after, made.generation) == ("closed", "degraded", 0)


def test_an_event_is_on_the_disk_when_it_was_delivered(
    writer: AuditWriter, group: Breakers, path: Path, clock: Clock
) -> None:
    breaker = group.breaker("feed.sim")
    for _ in range(5):
        breaker.complete(breaker.acquire(clock()), False, clock())
    (event,) = group.events()
    writer.deliver(event)
    ((written,), _) = read(path)
    assert (written.breaker, written.before, written.after) == ("feed.sim", "closed", "open")
    assert (written.cause, written.generation) == ("consecutive", breaker.generation)
    assert written.figures["consecutive"] == 5
    assert (writer.waiting, writer.written, writer.lag_ns(clock())) == (0, 1, 0)
    assert group.breaker("storage").totals()["succeeded"] == 1


def test_what_cannot_be_written_waits_and_trips_the_breaker_of_the_storage(
    writer: AuditWriter, group: Breakers, path: Path, clock: Clock
) -> None:
    storage = group.breaker("storage")
    path.mkdir()
    writer.deliver(record(time_ns=clock()))
    assert "Is a directory" in str(writer.failure)
    for _ in range(4):
        assert storage.state.name == "CLOSED"
        writer.idle()
    assert storage.state.name == "OPEN"
    clock.now_ns += SECOND
    assert (writer.waiting, writer.lag_ns(clock())) == (1, SECOND)
    # While it is open nothing is tried.
    before = storage.totals()
    path.rmdir()
    writer.idle()
    assert storage.totals()["rejected"] == before["rejected"] + 1
    assert not path.exists()
    # Its own opening is an event, too.
    for event in group.events():
        writer.deliver(event)
    assert writer.waiting == 2
    clock.now_ns = storage.deadline_ns
    writer.idle()
    assert (writer.waiting, writer.failure) == (0, None)
    assert [each.after for each in read(path)[0]][-1] == "open"


def test_a_sick_storage_recovers_although_nothing_is_to_be_written(
    writer: AuditWriter, group: Breakers, path: Path, clock: Clock
) -> None:
    storage = group.breaker("storage")
    storage.trip(clock(), actor="ann", reason="disk is exchanged")
    writer.idle()
    assert storage.state.name == "OPEN"
    clock.now_ns = storage.deadline_ns
    for _ in range(3):
        writer.idle()
    assert storage.state.name == "CLOSED"
    calls = storage.totals()["admitted"]
    writer.idle()  # nothing is tried when nothing is wrong
    assert storage.totals()["admitted"] == calls


def test_a_failing_probe_keeps_a_sick_storage_open(
    writer: AuditWriter, group: Breakers, path: Path, clock: Clock
) -> None:
    storage = group.breaker("storage")
    path.mkdir()
    storage.trip(clock(), actor="ann", reason="disk is exchanged")
    clock.now_ns = storage.deadline_ns
    writer.idle()
    writer.idle()
    assert (storage.state.name, storage.attempt) == ("OPEN", 1)


def test_the_newest_events_are_dropped_and_counted_by_kind_when_too_many_wait(
    writer: AuditWriter, path: Path, clock: Clock
) -> None:
    path.mkdir()
    for number in range(8):
        writer.deliver(record(time_ns=clock() + number))
    writer.deliver(record())
    writer.deliver(record(kind=EventKind.OWNER_DIED))
    assert (writer.waiting, writer.dropped) == (8, {"transition": 1, "owner_died": 1})
    assert writer.lag_ns(clock() + 10) == 10


def test_a_slow_write_is_a_slow_call(
    group: Breakers, path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = group.breaker("storage")
    storage.configure(BreakerSettings(slow_bp=5000, slow_ns=SECOND // 10), clock())
    writer = AuditWriter(AuditTrail(path), storage, NAMES, "run-1", clock=clock)
    sync = os.fdatasync

    def slow_sync(fd: int) -> None:
        clock.now_ns += SECOND
        sync(fd)

    monkeypatch.setattr(os, "fdatasync", slow_sync)
    writer.deliver(record(time_ns=clock()))
    assert storage.counts(clock()).slow == 1
    assert storage.totals()["succeeded"] == 1


def test_whatever_goes_wrong_the_permit_is_given_back_as_a_failure(
    writer: AuditWriter, group: Breakers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(fd: int) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(os, "fdatasync", broken)
    with pytest.raises(RuntimeError):
        writer.deliver(record())
    assert writer.failure == "RuntimeError: a bug"
    assert group.breaker("storage").totals()["failed"] == 1
    assert writer.waiting == 1


def test_at_the_end_it_writes_although_the_breaker_is_open(
    writer: AuditWriter, group: Breakers, path: Path, clock: Clock
) -> None:
    storage = group.breaker("storage")
    path.mkdir()
    writer.deliver(record(time_ns=clock()))
    for _ in range(4):
        writer.idle()
    assert storage.state is State.OPEN
    before = storage.totals()
    writer.insist()
    writer.idle()
    assert writer.waiting == 1
    assert "Is a directory" in str(writer.failure)
    path.rmdir()
    writer.deliver(record(time_ns=clock()))
    assert (writer.waiting, writer.written, writer.failure) == (0, 2, None)
    assert len(read(path)[0]) == 2
    # What it did not admit it is not told of.
    counted = {key: count for key, count in storage.totals().items() if key != "rejected"}
    assert counted == {key: count for key, count in before.items() if key != "rejected"}


def test_a_write_that_hangs_is_not_said_to_have_failed_as_the_one_before(
    writer: AuditWriter, path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.mkdir()
    writer.deliver(record(time_ns=clock()))
    assert writer.failure is not None
    path.rmdir()
    seen: list[str | None] = []
    sync = os.fdatasync

    def look(fd: int) -> None:
        seen.append(writer.failure)
        sync(fd)

    monkeypatch.setattr(os, "fdatasync", look)
    writer.idle()
    assert seen == [None]


# What was left forced open


def forced(**changes: Any) -> AuditEntry:
    fields = {"after": "forced_open", "actor": "ann", "reason": "ill", "generation": 2}
    return entry(**{**fields, **changes})


def test_who_was_left_forced_open_is_found_with_actor_and_reason() -> None:
    found = forced_open(
        [
            entry(breaker="risk", after="closed", generation=1),
            forced(kind="intent", breaker="ta"),
            forced(kind="refused", breaker="ml"),
            forced(),
            forced(kind="done", breaker="risk", actor="bob", reason="as before the restart: x"),
            forced(kind="done", breaker="storage"),
            entry(kind="done", breaker="storage", after="closed", actor="ann", generation=3),
        ]
    )
    assert found == {
        "feed.sim": ("ann", "as before the restart: ill"),
        "risk": ("bob", "as before the restart: x"),
    }


def test_the_last_run_counts_and_in_it_the_last_generation() -> None:
    reset = entry(kind="done", after="closed", actor="ann", generation=3)
    # What the supervisor wrote was held up by the disk.
    assert forced_open([reset, forced()]) == {}
    assert (
        forced_open([forced(generation=(1 << 20) - 1), entry(after="closed", generation=0)]) == {}
    )
    assert forced_open([reset, forced(run_id="run-2", generation=1)]).keys() == {"feed.sim"}
    assert forced_open([forced(), entry(run_id="run-2", after="closed", generation=1)]) == {}


def test_who_forced_it_open_is_told_by_whichever_entry_knows() -> None:
    lost = forced(actor="", reason="events were lost")
    assert forced_open([forced(kind="done"), lost])["feed.sim"][0] == "ann"
    assert forced_open([lost, forced(kind="done")])["feed.sim"][0] == "ann"
    assert forced_open([lost])["feed.sim"] == ("unknown", "as before the restart: events were lost")
