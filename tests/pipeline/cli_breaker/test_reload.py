"""`bot4 breaker reload`."""

from __future__ import annotations

import os
from typing import Any

import pytest

from pipeline import topology
from pipeline.supervisor.start import encoded
from shm import Segment
from shm.breaker_types import PARTICIPANTS
from shm.locks import Claim, role_byte
from tests.pipeline.cli_breaker.without_processes import NAMES, Run


def test_a_reload_reaches_the_breakers_that_exist(run: Run) -> None:
    run.calls("ta", False)
    done = run.bot4("reload", "--set", "breakers.consecutive=3")
    assert done.exit_code == 0, done.output
    assert done.stdout == (
        f"{run.segment.name}, run {run.segment.run_id}: reloaded {len(NAMES)} breakers\n"
    )
    run.calls("ta", False)
    assert run.state("ta") == "CLOSED"
    run.calls("ta", False)
    assert run.state("ta") == "OPEN"
    intent, result = run.entries()
    assert (intent.kind, result.kind) == ("intent", "done")
    assert (result.breaker, result.cause, result.reason) == ("all", "reloaded", "reload")


def test_a_reload_during_another_one_is_to_be_repeated(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.breakers.settings._PAUSE_S", 0.0)
    region = run.segment.layout.regions["breakers"]
    fd = os.open(run.segment.path, os.O_RDWR)
    claim = Claim(fd, role_byte(region.index, PARTICIPANTS), 1, "the reload")
    try:
        done = run.bot4("reload", "--set", "breakers.consecutive=1")
    finally:
        claim.release()
        os.close(fd)
    assert done.exit_code == 1
    assert "another reload is under way; repeat" in done.stderr
    run.calls("ta", False)
    assert run.state("ta") == "CLOSED"
    assert [entry.kind for entry in run.entries()] == ["intent", "refused"]


def test_a_reload_says_what_it_does_not_reach(run: Run) -> None:
    done = run.bot4(
        "reload", "--set", "breakers.feed.age_ms=5000", "--set", "breakers.on_open=halt",
        "--set", "breakers.ml.weight=2",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "breakers.feed.age_ms, breakers.on_open: taken up by the next run" in done.stderr
    assert "weight" not in done.stderr
    settings = run.breaker("ml").settings
    assert settings is not None
    assert settings.weight == 2


def test_a_reload_of_something_invalid_is_refused_as_a_whole(run: Run) -> None:
    done = run.bot4(
        "reload", "--set", "breakers.consecutive=3", "--set", "breakers.storage.probes=0"
    )
    assert done.exit_code == 78
    assert "breakers.storage.probes was 0, must be" in done.stderr
    run.calls("ta", *[False] * 4)
    assert run.state("ta") == "CLOSED"
    assert run.entries() == []


def test_a_reload_without_an_audit_trail_is_refused(run: Run) -> None:
    run.trail.mkdir()
    done = run.bot4("reload", "--set", "breakers.consecutive=1")
    assert done.exit_code == 1
    run.calls("ta", False)
    assert run.state("ta") == "CLOSED"


def test_a_reload_for_other_components_is_refused(name: str, config: dict[str, Any]) -> None:
    config["instruments"][0]["venue"] = "elsewhere"
    layout = topology.layout(config, config["affinity"])
    with Segment.create(name, layout, blobs={"config": encoded(config)}) as segment:
        done = Run(segment, config).bot4("reload")
    assert done.exit_code == 78
    assert "the configuration's components were feed.sim, orders.sim, ta, ml" in done.stderr
    assert "must be those of the run, feed.elsewhere, feed.sim, orders.elsewhere" in done.stderr
