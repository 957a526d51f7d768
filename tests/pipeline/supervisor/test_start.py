"""The beginning of a run: alone under its name, in a new segment or in a killed run's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline import topology
from pipeline.supervisor import AlreadyRunningError, halt, halt_reason
from pipeline.supervisor.start import NameLock, encoded, open_segment
from shm import Layout, RoleTakenError, Segment, SegmentError, WordsSpec, list_segments, reap


@pytest.fixture
def layout(config: Mapping[str, Any]) -> Layout:
    return topology.layout(config, config["affinity"])


@pytest.fixture
def killed(name: str, layout: Layout) -> Iterator[Segment]:
    """What a run that was killed has left behind."""
    segment = Segment.create(name, layout, blobs={"config": b"{}"})
    segment.words("run").store("finished", 7)
    segment.disown()
    segment.close()
    yield segment
    reap(name)


def test_a_deployment_is_started_once(tmp_path: Path) -> None:
    lock = NameLock(tmp_path / "state")
    with pytest.raises(AlreadyRunningError, match=r"run\.lock is held .*; stop it \(bot4 stop\)"):
        NameLock(tmp_path / "state")
    lock.release()
    NameLock(tmp_path / "state").release()


def test_the_state_directory_is_for_its_owner_only(tmp_path: Path) -> None:
    NameLock(tmp_path / "a" / "state").release()
    assert (tmp_path / "a" / "state").stat().st_mode & 0o777 == 0o700


def test_equal_configurations_are_equal_bytes(config: dict[str, Any]) -> None:
    again = dict(reversed(config.items()))
    assert encoded(config) == encoded(again)
    assert json.loads(encoded(config)) == config


def test_a_configuration_that_is_too_large_is_refused_with_a_remedy() -> None:
    with pytest.raises(SegmentError, match="was 65544 bytes, must be at most 65472"):
        encoded({"x": "y" * (1 << 16)})


def test_without_a_predecessor_a_segment_is_made(name: str, layout: Layout) -> None:
    said: list[str] = []
    segment, resumed = open_segment(name, layout, b"{}", said.append)
    with segment:
        assert not resumed
        assert segment.blob("config") == b"{}"
        assert said == []


def test_a_killed_runs_segment_is_gone_on_with_and_said_to_be(
    name: str, layout: Layout, killed: Segment
) -> None:
    said: list[str] = []
    segment, resumed = open_segment(name, layout, b"{}", said.append)
    with segment:
        assert resumed
        assert segment.run_id == killed.run_id
        assert segment.words("run").load("finished") == 7
    assert said == [f"going on with run {killed.run_id}, which was killed: {killed.path}"]


def test_another_configuration_removes_it_and_says_why(
    name: str, layout: Layout, killed: Segment
) -> None:
    said: list[str] = []
    segment, resumed = open_segment(name, layout, b'{"a":1}', said.append)
    with segment:
        assert not resumed
        assert segment.run_id != killed.run_id
        assert [info.run_id for info in list_segments(name)] == [segment.run_id]
    why = f"run {killed.run_id} cannot be gone on with: its configuration was another"
    assert said == [f"{why}; removed {killed.path}"]


def test_the_table_of_the_breakers_may_be_another_and_that_is_said(
    name: str, layout: Layout
) -> None:
    before = Segment.create(name, layout, blobs={"config": b'{"a":1,"breakers":{"consecutive":5}}'})
    before.disown()
    before.close()
    said: list[str] = []
    config = b'{"a":1,"breakers":{"consecutive":3}}'
    segment, resumed = open_segment(name, layout, config, said.append)
    with segment:
        assert resumed
        assert segment.run_id == before.run_id
        segment.disown()
    assert "the breakers keep the settings that they have" in said[0]
    assert said[1].startswith("going on with run ")
    segment, resumed = open_segment(name, layout, config.replace(b"1", b"2", 1), said.append)
    with segment:
        assert not resumed


def test_who_is_told_makes_no_other_run_of_it(name: str, layout: Layout) -> None:
    before = Segment.create(name, layout, blobs={"config": b'{"a":1,"notify":{"command":[]}}'})
    before.disown()
    before.close()
    config = b'{"a":1,"notify":{"command":["tell"]}}'
    segment, resumed = open_segment(name, layout, config, lambda text: None)
    with segment:
        assert resumed


def test_another_layout_removes_it_and_says_why(name: str, layout: Layout) -> None:
    other = Segment.create(name, Layout(WordsSpec("w", ("x",))))
    other.disown()
    other.close()
    said: list[str] = []
    segment, resumed = open_segment(name, layout, b"{}", said.append)
    with segment:
        assert not resumed
        assert [info.run_id for info in list_segments(name)] == [segment.run_id]
    assert len(said) == 2
    assert said[0].startswith(f"run {other.run_id} cannot be gone on with: ")
    assert "layout" in said[0]
    assert said[1] == f"removed {other.path}: nobody uses it"


def test_of_two_that_were_left_one_is_gone_on_with(
    name: str, layout: Layout, killed: Segment
) -> None:
    with Segment.create(name, layout, blobs={"config": b"{}"}) as second:
        second.disown()
    segment, resumed = open_segment(name, layout, b"{}", lambda text: None)
    with segment:
        assert resumed
        assert segment.run_id in (killed.run_id, second.run_id)


def test_what_is_no_segment_of_ours_is_left_alone(
    name: str, layout: Layout, tmp_path: Path
) -> None:
    path = Path(f"/dev/shm/bot4.{name}.link")
    path.symlink_to(tmp_path)
    try:
        segment, resumed = open_segment(name, layout, b"{}", lambda text: None)
        with segment:
            assert not resumed
            assert path.is_symlink()
    finally:
        path.unlink()


def test_a_file_that_is_broken_is_reported_and_removed(name: str, layout: Layout) -> None:
    path = Path(f"/dev/shm/bot4.{name}.broken")
    path.write_bytes(b"no segment at all")
    path.chmod(0o600)
    said: list[str] = []
    segment, _ = open_segment(name, layout, b"{}", said.append)
    with segment:
        assert not path.exists()
    assert any(text.startswith(f"removed {path}: ") for text in said)


def test_a_segment_whose_owner_lives_is_refused_with_a_remedy(name: str, layout: Layout) -> None:
    with (
        Segment.create(name, layout, blobs={"config": b"{}"}),
        pytest.raises(AlreadyRunningError, match=r"is in use by pid \d+; stop that run"),
    ):
        open_segment(name, layout, b"{}", lambda text: None)


def test_one_whose_stages_have_not_gone_is_not_taken(
    name: str, layout: Layout, killed: Segment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.supervisor.start.ADOPTION_S", 0.0)
    with Segment.attach(name, layout, run_id=killed.run_id) as orphan:
        role = orphan.producer("orders")
        with pytest.raises(RoleTakenError, match="producer of ring 'orders'"):
            open_segment(name, layout, b"{}", lambda text: None)
        role.close()


def test_a_run_that_was_halted_is_over_and_never_gone_on_with(
    name: str, layout: Layout, killed: Segment
) -> None:
    with Segment.attach(name, layout, run_id=killed.run_id) as again:
        halt(again, "prices look wrong", "anna")
    said: list[str] = []
    segment, resumed = open_segment(name, layout, b"{}", said.append)
    with segment:
        assert not resumed
        assert halt_reason(segment) is None
    why = f"run {killed.run_id} cannot be gone on with: it was halted"
    assert said == [f"{why}: prices look wrong (by anna); removed {killed.path}"]
