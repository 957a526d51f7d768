"""The channel: what is told, what waits, and what is dropped."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import topology
from pipeline.notify.notice import Notice
from pipeline.notify.notifier import WAITING, Notifier
from pipeline.notify.own_mode import OwnMode
from pipeline.supervisor.start import encoded
from pipeline.vocabulary import Denial, Mode
from shm import Segment
from workers.native import layouts

KILL = Notice("kill", "critical", "killed: x (by anna); all positions are closed", "x", "anna")


class Channel:
    """A notifier whose command appends to a file, and what it has said."""

    def __init__(self, config: dict[str, Any], script: str = "", **settings: Any) -> None:
        self.file = Path(config["state_dir"]) / "told"
        config["notify"] |= settings
        config["notify"]["command"] = ["/bin/sh", "-c", script or f"cat >> {self.file}"]
        self.said: list[str] = []
        self.notifier = Notifier(config, self.said.append)

    def told(self) -> list[dict[str, Any]]:
        """Wait until all was told; return it."""
        self.notifier.close()
        return [json.loads(line) for line in self.file.read_text().splitlines()]


@pytest.fixture
def run(config: dict[str, Any]) -> Iterator[Segment]:
    """The segment of a run, without its processes."""
    layout = topology.layout(config, config["affinity"])
    with Segment.create(config["name"], layout, blobs={"config": encoded(config)}) as segment:
        yield segment


def test_a_notice_says_who_what_when_and_why(config: dict[str, Any]) -> None:
    channel = Channel(config)
    channel.notifier.tell(KILL)
    (told,) = channel.told()
    assert told.pop("time").endswith("Z")
    assert told == {
        "deployment": config["name"],
        "run": None,
        "kind": "kill",
        "severity": "critical",
        "text": KILL.text,
        "reason": "x",
        "operator": "anna",
        "figures": {},
    }
    assert channel.notifier.counts() == {"delivered": 1, "failed": 0, "dropped": 0}
    assert channel.said == []


def test_of_a_run_it_has_the_figures(config: dict[str, Any], run: Segment) -> None:
    channel = Channel(config)
    with channel.notifier.of(run):
        channel.notifier.tell(KILL)
    channel.notifier.tell(KILL)
    during, after = channel.told()
    assert during["run"] == after["run"] == run.run_id
    assert during["figures"] == {
        "mode": "normal",
        "currency": "USDT",
        "equity": "100000",
        "day_result": "0",
        "drawdown_bp": 0.0,
        "held": {},
    }
    assert after["figures"] == {}


def test_without_figures_it_is_told_all_the_same(config: dict[str, Any], run: Segment) -> None:
    channel = Channel(config)
    with channel.notifier.of(run):
        run.close()
        channel.notifier.tell(KILL)
    assert [told["figures"] for told in channel.told()] == [{}]
    assert channel.said[0].startswith("notify: told without figures (")


@pytest.mark.parametrize("own", [[], ["/bin/false"]])
def test_a_command_that_is_not_configured_here_may_be_that_of_the_run(
    config: dict[str, Any], own: list[str]
) -> None:
    channel = Channel(config)
    layout = topology.layout(config, config["affinity"])
    with Segment.create(config["name"], layout, blobs={"config": encoded(config)}) as segment:
        config["notify"] = {**config["notify"], "command": own}
        with (
            Notifier(config, channel.said.append) as notifier,
            notifier.of(segment, borrows=True),
        ):
            notifier.tell(KILL)
    assert channel.file.exists() is (own == [])
    assert channel.said == (
        [] if own == [] else [f"notify: /bin/false: exit status 1; not told: {KILL.text}"]
    )


def test_other_kinds_are_not_told(config: dict[str, Any]) -> None:
    channel = Channel(config, on=["mode"])
    channel.notifier.tell(KILL)
    channel.notifier.tell(Notice("mode", "info", "mode: paused -> normal: x (by anna)"))
    assert [told["kind"] for told in channel.told()] == ["mode"]


def test_without_a_command_nothing_is_started(config: dict[str, Any]) -> None:
    before = threading.active_count()
    with Notifier(config, lambda text: None) as notifier:
        notifier.tell(KILL)
        assert threading.active_count() == before
    assert set(notifier.counts().values()) == {0}


def test_what_fails_is_said_with_what_was_printed_and_does_not_end_it(
    config: dict[str, Any],
) -> None:
    channel = Channel(config, "echo no route; exit 7")
    for _ in range(12):
        channel.notifier.tell(KILL)
    channel.notifier.close()
    assert channel.notifier.counts() == {"delivered": 0, "failed": 12, "dropped": 0}
    assert channel.said == [f"notify: /bin/sh: exit status 7: no route; not told: {KILL.text}"] * 12


def test_while_it_hangs_a_bounded_number_waits_and_nobody_else(config: dict[str, Any]) -> None:
    channel = Channel(config, "sleep 600", timeout_s=0.3)
    for _ in range(WAITING + 10):
        channel.notifier.tell(KILL)
    assert channel.notifier.counts()["dropped"] in (9, 10)
    channel.notifier.close()
    counts = channel.notifier.counts()
    assert counts["delivered"] == 0
    assert counts["failed"] in (1, 2)
    assert sum(counts.values()) == WAITING + 10
    assert (
        channel.said[-1]
        == f"notify: {counts['dropped']} notices were dropped: /bin/sh was too slow"
    )
    assert not [each for each in threading.enumerate() if each.name == "notify"]


# What risk does to its own mode


def account(mode: Mode, code: Denial = Denial.NONE, *, request: int = 0, begun: int = 1) -> np.void:
    made = np.zeros(1, layouts["RiskAccount"])
    made["mode"], made["mode_code"], made["request"], made["begun"] = mode, code, request, begun
    cell: np.void = made[0]
    return cell


def test_that_risk_changes_its_own_mode_is_told_once() -> None:
    own = OwnMode(account(Mode.NORMAL, begun=0), Mode.NORMAL)
    paused = account(Mode.PAUSED, Denial.DAILY)
    texts = [own.look(each) for each in (account(Mode.NORMAL), paused, paused)]
    assert texts == [
        None,
        Notice("mode", "warning", "risk: mode normal -> paused (805 DAILY)", "DAILY"),
        None,
    ]
    assert own.look(account(Mode.NORMAL)) == Notice(
        "mode", "info", "risk: mode paused -> normal, by itself"
    )


def test_what_it_was_in_before_the_run_or_an_operator_has_done_is_no_news() -> None:
    own = OwnMode(account(Mode.NORMAL, begun=0), Mode.PAUSED)
    assert own.look(account(Mode.NORMAL, begun=0)) is None
    assert own.look(account(Mode.PAUSED, Denial.DAILY)) is None
    assert own.look(account(Mode.NORMAL, request=1)) is None
    resumed = OwnMode(account(Mode.REDUCED, Denial.DRAWDOWN), Mode.NORMAL)
    assert resumed.look(account(Mode.REDUCED, Denial.DRAWDOWN)) is None
    assert resumed.look(account(Mode.EMERGENCY, Denial.DRAWDOWN)) is None
